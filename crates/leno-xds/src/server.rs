//! The serving side of one ADS stream: requests come in, what to send comes out.
//!
//! Pure: the caller owns the connection and says what the proxy shall have. One response per type is in flight at a
//! time; what changes meanwhile is coalesced into the next. What is referred to goes out before what refers to it, and
//! clusters and endpoints are taken away only after the listeners and routes that used them are acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::discovery::{Request, Resource, Response, Variant};
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

/// One stream's state: what was sent, what is in flight.
#[derive(Debug)]
pub struct Server {
    variant: Variant,
    nonce: u64,
    streams: ByType<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// `None` until the proxy asks for the type.
    subscription: Option<Subscription>,
    /// What the proxy was sent and has not been told to forget.
    sent: BTreeMap<Arc<str>, Encoded>,
    /// Names it asked for that do not exist, and was told so.
    absent: BTreeSet<String>,
    in_flight: Option<InFlight>,
    /// The last revision sent, or known to need no message.
    offered: u64,
    /// The last revision it is known to have in force.
    acknowledged: u64,
    /// The last revision it answered, be it with a refusal, or that needed no message.
    settled: u64,
    /// Whether the subscription was answered at all; an empty answer is one too.
    answered: bool,
    /// What was refused and not taken since, the problems by resource: what was sent of it is not what is in force.
    /// Problems that name no resource are those of the last response.
    refused: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    revision: u64,
    /// What it brings and takes away.
    names: Vec<String>,
}

/// What one type's turn would change.
struct Change {
    upserts: Vec<Resource>,
    removed: Vec<String>,
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

impl Stream {
    /// An answer speaks of what the response brought; what was refused before and not sent again stays refused.
    fn note_answer(&mut self, kind: ResourceType, answered: &InFlight, error: Option<&str>) {
        self.refused.remove("");
        for name in &answered.names {
            self.refused.remove(name);
        }
        for problem in error.into_iter().flat_map(non_empty_lines) {
            let name = resource_of(kind, problem).unwrap_or_default();
            self.refused.entry(name.to_owned()).or_default().push(problem.to_owned());
        }
    }

    /// Everything that is refused now, one problem a line.
    fn refusal(&self) -> Option<String> {
        let lines: Vec<&str> = self.refused.values().flatten().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Takes names in and out; says whether anything changed.
    fn subscribe(&mut self, variant: Variant, kind: ResourceType, request: &Request) -> bool {
        let first = self.subscription.is_none();
        let subscription = self.subscription.get_or_insert_default();
        if first {
            let known = request.initial_versions.iter();
            // The proxy still has these; the bytes are not needed again unless the version moved.
            self.sent.extend(known.map(|(name, version)| {
                let known = Encoded { version: version.as_str().into(), bytes: Bytes::new() };
                (Arc::from(name.as_str()), known)
            }));
        }
        let before = (subscription.wildcard, subscription.names.clone());
        match variant {
            Variant::StateOfTheWorld => {
                subscription.names = request.subscribe.iter().cloned().collect()
            }
            Variant::Delta => {
                subscription.names.extend(request.subscribe.iter().filter(|n| *n != "*").cloned())
            }
        }
        let named_all = request.subscribe.iter().any(|name| name == "*");
        let nothing_named = subscription.names.is_empty() && request.subscribe.is_empty();
        match variant {
            // A first request without names means everything, for the types that have everything.
            Variant::Delta => {
                subscription.wildcard |=
                    named_all || (first && nothing_named && kind.has_wildcard())
            }
            Variant::StateOfTheWorld => {
                subscription.wildcard = named_all || (nothing_named && kind.has_wildcard())
            }
        }
        for name in &request.unsubscribe {
            subscription.names.remove(name);
            subscription.wildcard &= name != "*";
            self.sent.remove(name.as_str());
            self.absent.remove(name);
            self.refused.remove(name);
        }
        // A name that is asked for again wants an answer again (Envoy does so after a cluster was replaced).
        if variant == Variant::Delta && !first {
            for name in &request.subscribe {
                self.sent.remove(name.as_str());
                self.absent.remove(name);
            }
        }
        let changed = before != (subscription.wildcard, subscription.names.clone())
            || !request.subscribe.is_empty();
        if variant == Variant::StateOfTheWorld && before.1 != subscription.names {
            // What is newly named is sent with everything else; what is no longer named is forgotten.
            let (wildcard, names) = (subscription.wildcard, subscription.names.clone());
            self.sent.retain(|name, _| wildcard || names.contains(&**name));
            self.answered = false;
        }
        first || changed
    }

    fn wants(&self, name: &str) -> bool {
        let wanted = |subscription: &Subscription| {
            subscription.wildcard || subscription.names.contains(name)
        };
        self.subscription.as_ref().is_some_and(wanted)
    }

    /// What the proxy lacks; `None` if it did not ask for the type.
    fn change(&self, wanted: &Wanted) -> Option<Change> {
        let subscription = self.subscription.as_ref()?;
        let differs = |name: &Arc<str>, encoded: &Encoded| {
            self.sent.get(name).is_none_or(|sent| sent.version != encoded.version)
        };
        let mut upserts = Vec::new();
        let mut add = |name: &Arc<str>, encoded: &Encoded| {
            if differs(name, encoded) {
                let Encoded { version, bytes } = encoded;
                let (name, version) = (name.to_string(), version.to_string());
                upserts.push(Resource { name, version, bytes: bytes.clone() });
            }
        };
        if subscription.wildcard {
            wanted.iter().for_each(|(name, encoded)| add(name, encoded));
        } else {
            let named =
                subscription.names.iter().filter_map(|name| wanted.get_key_value(name.as_str()));
            named.for_each(|(name, encoded)| add(name, encoded));
        }
        let gone = self.sent.keys().filter(|name| !wanted.contains_key(*name) && self.wants(name));
        let mut removed: Vec<String> = gone.map(ToString::to_string).collect();
        let missing = subscription.names.iter().filter(|name| {
            !wanted.contains_key(name.as_str())
                && !self.sent.contains_key(name.as_str())
                && !self.absent.contains(*name)
        });
        removed.extend(missing.cloned());
        Some(Change { upserts, removed })
    }

    fn record(&mut self, wanted: &Wanted, change: &Change) {
        for resource in &change.upserts {
            if let Some((name, encoded)) = wanted.get_key_value(resource.name.as_str()) {
                self.sent.insert(Arc::clone(name), encoded.clone());
                self.absent.remove(&resource.name);
            }
        }
        for name in &change.removed {
            self.sent.remove(name.as_str());
            self.absent.insert(name.clone());
        }
    }

    /// State of the world: all that the proxy shall have, held-back removals included.
    fn everything(&self) -> Vec<Resource> {
        let resource = |(name, encoded): (&Arc<str>, &Encoded)| Resource {
            name: name.to_string(),
            version: String::new(),
            bytes: encoded.bytes.clone(),
        };
        self.sent.iter().map(resource).collect()
    }
}

/// A refusal without words is one, too.
fn non_empty_lines(error: &str) -> Vec<&str> {
    if error.is_empty() { vec!["refused without a reason"] } else { error.lines().collect() }
}

/// `routes[9080].virtual_hosts…: …` is about the route configuration `9080`; Envoy's own words name nothing.
fn resource_of(kind: ResourceType, problem: &str) -> Option<&str> {
    let rest = problem.strip_prefix(kind.plural())?.strip_prefix('[')?;
    // An IPv6 address has brackets of its own.
    let end = ["].", "]:"].into_iter().filter_map(|end| rest.find(end)).min()?;
    Some(&rest[..end])
}

impl Change {
    fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests;
