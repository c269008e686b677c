//! The serving side of one ADS stream: requests come in, what to send comes out.
//!
//! Pure: the caller owns the connection and says what the proxy shall have. One response per type is in flight at a
//! time; what changes meanwhile is coalesced into the next. What is referred to goes out before what refers to it, and
//! clusters and endpoints are taken away only after the listeners and routes that used them are acknowledged.

mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use self::stream::{InFlight, Stream};
use crate::discovery::{Request, Response, Variant};
use crate::{ByType, ResourceType};

/// One resource as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Differs when the bytes differ; a hash of them is fine.
    pub version: Arc<str>,
    /// The resource's own message.
    pub bytes: Bytes,
}

impl Encoded {
    /// Names the version after the bytes (FNV-1a, 64 bits): the same bytes are the same version on every replica.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { version: format!("{hash:016x}").into(), bytes }
    }
}

/// Everything a proxy shall have of one type, by name.
pub type Wanted = BTreeMap<Arc<str>, Encoded>;

/// What a request told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The proxy asks for this type, or for other names of it.
    Subscribed(ResourceType),
    /// What was sent for this revision is in force.
    Acknowledged(ResourceType, u64),
    /// What was sent for this revision was refused; the proxy keeps what it had.
    Refused(ResourceType, u64, String),
}

/// What a proxy makes its stream keep, over all types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Names it asked for, says it has, or refused.
    pub names: usize,
    /// The bytes of those names, and of what it said of them.
    pub bytes: usize,
}

/// One stream's state: what was sent, what is in flight.
#[derive(Debug)]
pub struct Server {
    variant: Variant,
    nonce: u64,
    streams: ByType<Stream>,
}

impl Server {
    /// A new stream, nothing subscribed.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        Self { variant, nonce: 0, streams: ByType::default() }
    }

    /// The last revision of the type that the proxy has in force.
    #[must_use]
    pub fn acknowledged(&self, kind: ResourceType) -> u64 {
        self.streams[kind].acknowledged
    }

    /// The last revision of the type that was answered, be it with a refusal, or that needed no message.
    #[must_use]
    pub fn settled(&self, kind: ResourceType) -> u64 {
        self.streams[kind].settled
    }

    /// The last revision of the type that was sent, or needed no message.
    #[must_use]
    pub fn offered(&self, kind: ResourceType) -> u64 {
        self.streams[kind].offered
    }

    /// What the proxy's requests made this stream keep. The machine bounds nothing: whoever owns the connection ends the
    /// stream of a proxy that asks for too much.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for (_, stream) in self.streams.iter() {
            stream.add_to(&mut held);
        }
        held
    }

    /// Takes a request. Types that Leno does not serve, and answers to responses that are no longer the last, tell
    /// nothing.
    pub fn request(&mut self, request: &Request) -> Vec<Event> {
        let Some(kind) = request.kind() else { return Vec::new() };
        let mut events = Vec::new();
        let stream = &mut self.streams[kind];
        let stale = !request.nonce.is_empty()
            && stream.in_flight.as_ref().is_some_and(|in_flight| in_flight.nonce != request.nonce);
        if let Some(in_flight) =
            stream.in_flight.take_if(|in_flight| in_flight.nonce == request.nonce)
        {
            stream.note_answer(kind, &in_flight, request.error.as_deref());
            stream.settled = in_flight.revision;
            events.push(match stream.refusal() {
                None => {
                    stream.acknowledged = in_flight.revision;
                    Event::Acknowledged(kind, in_flight.revision)
                }
                Some(problems) => Event::Refused(kind, in_flight.revision, problems),
            });
        }
        // State of the world repeats its names with each request; a stale one repeats old names.
        let subscribes = self.variant == Variant::Delta || !stale;
        if subscribes && stream.subscribe(self.variant, kind, request) {
            events.push(Event::Subscribed(kind));
        }
        events
    }

    /// What to send so that the proxy comes to have `wanted`, made from `revision`; empty when it has, or must answer
    /// first. Types found to be complete without a message count as acknowledged.
    pub fn advance(&mut self, wanted: &ByType<Arc<Wanted>>, revision: u64) -> Vec<Response> {
        let users_settled = [ResourceType::Listener, ResourceType::Route].into_iter().all(|kind| {
            let stream = &self.streams[kind];
            stream.in_flight.is_none()
                && stream.change(&wanted[kind]).is_none_or(|change| change.is_empty())
        });
        let mut responses = Vec::new();
        for kind in ResourceType::ALL {
            let may_remove =
                users_settled || matches!(kind, ResourceType::Listener | ResourceType::Route);
            responses.extend(self.turn(kind, &wanted[kind], revision, may_remove));
        }
        responses
    }

    fn turn(
        &mut self,
        kind: ResourceType,
        wanted: &Wanted,
        revision: u64,
        may_remove: bool,
    ) -> Option<Response> {
        let stream = &mut self.streams[kind];
        if stream.in_flight.is_some() {
            return None;
        }
        let mut change = stream.change(wanted)?;
        let held_back = !may_remove && !change.removed.is_empty();
        if held_back {
            change.removed.clear();
        }
        if change.is_empty() && stream.answered {
            if !held_back {
                (stream.offered, stream.settled) = (revision, revision);
                if stream.refused.is_empty() {
                    stream.acknowledged = revision;
                }
            }
            return None;
        }
        self.nonce += 1;
        let nonce = format!("{}", self.nonce);
        stream.record(wanted, &change);
        stream.answered = true;
        stream.offered = revision;
        let resources = match self.variant {
            Variant::Delta => change.upserts,
            Variant::StateOfTheWorld => stream.everything(),
        };
        let brought = resources.iter().map(|resource| &resource.name);
        let names = brought.chain(&change.removed).cloned().collect();
        stream.in_flight = Some(InFlight { nonce: nonce.clone(), revision, names });
        let removed = if self.variant == Variant::Delta { change.removed } else { Vec::new() };
        Some(Response {
            type_url: kind.type_url().to_owned(),
            nonce,
            version: revision.to_string(),
            resources,
            removed,
        })
    }
}

#[cfg(test)]
mod tests;
