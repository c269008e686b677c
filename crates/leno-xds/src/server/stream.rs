//! One type's share of a stream: what the proxy asked for, what it was sent, and what it said of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Encoded, Held, Wanted};
use crate::ResourceType;
use crate::discovery::{Request, Resource, Variant};

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// `None` until the proxy asks for the type.
    subscription: Option<Subscription>,
    /// What the proxy was sent and has not been told to forget.
    sent: BTreeMap<Arc<str>, Encoded>,
    /// Names it asked for that do not exist, and was told so.
    pub(super) absent: BTreeSet<String>,
    pub(super) in_flight: Option<InFlight>,
    /// The last revision sent, or known to need no message.
    pub(super) offered: u64,
    /// The last revision it is known to have in force.
    pub(super) acknowledged: u64,
    /// The last revision it answered, be it with a refusal, or that needed no message.
    pub(super) settled: u64,
    /// Whether the subscription was answered at all; an empty answer is one too.
    pub(super) answered: bool,
    /// What was refused and not taken since, the problems by resource: what was sent of it is not what is in force.
    /// Problems that name no resource are those of the last response.
    pub(super) refused: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    pub(super) revision: u64,
    /// What it brings and takes away.
    pub(super) names: Vec<String>,
}

/// What one type's turn would change.
pub(super) struct Change {
    pub(super) upserts: Vec<Resource>,
    pub(super) removed: Vec<String>,
}

impl Stream {
    /// An answer speaks of what the response brought; what was refused before and not sent again stays refused.
    pub(super) fn note_answer(
        &mut self,
        kind: ResourceType,
        answered: &InFlight,
        error: Option<&str>,
    ) {
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
    pub(super) fn refusal(&self) -> Option<String> {
        let lines: Vec<&str> = self.refused.values().flatten().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Takes names in and out; says whether anything changed.
    pub(super) fn subscribe(
        &mut self,
        variant: Variant,
        kind: ResourceType,
        request: &Request,
    ) -> bool {
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
        let was_wildcard = subscription.wildcard;
        let mut renamed = false;
        match variant {
            Variant::StateOfTheWorld => {
                let names: BTreeSet<String> = request.subscribe.iter().cloned().collect();
                renamed = names != subscription.names;
                subscription.names = names;
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
            renamed |= subscription.names.remove(name);
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
        if variant == Variant::StateOfTheWorld && renamed {
            // What is newly named is sent with everything else; what is no longer named is forgotten.
            let (wildcard, names) = (subscription.wildcard, &subscription.names);
            self.sent.retain(|name, _| wildcard || names.contains(&**name));
            self.absent.retain(|name| names.contains(name));
            self.answered = false;
        }
        first || renamed || was_wildcard != subscription.wildcard || !request.subscribe.is_empty()
    }

    /// Counts what is kept here because the proxy said it, and for no other reason.
    pub(super) fn add_to(&self, held: &mut Held) {
        let named = self.subscription.iter().flat_map(|subscription| &subscription.names);
        // Told to be there still when the stream began: the bytes never were ours to send.
        let known = self.sent.iter().filter(|(_, sent)| sent.bytes.is_empty());
        let known = known.map(|(name, sent)| name.len() + sent.version.len());
        let refused = self
            .refused
            .iter()
            .map(|(name, problems)| name.len() + problems.iter().map(String::len).sum::<usize>());
        for bytes in named.map(String::len).chain(known).chain(refused) {
            held.names += 1;
            held.bytes += bytes;
        }
    }

    fn wants(&self, name: &str) -> bool {
        let wanted = |subscription: &Subscription| {
            subscription.wildcard || subscription.names.contains(name)
        };
        self.subscription.as_ref().is_some_and(wanted)
    }

    /// What the proxy lacks; `None` if it did not ask for the type.
    pub(super) fn change(&self, wanted: &Wanted) -> Option<Change> {
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

    pub(super) fn record(&mut self, wanted: &Wanted, change: &Change) {
        for resource in &change.upserts {
            if let Some((name, encoded)) = wanted.get_key_value(resource.name.as_str()) {
                self.sent.insert(Arc::clone(name), encoded.clone());
                self.absent.remove(&resource.name);
            }
        }
        let named = |name: &String| {
            self.subscription.as_ref().is_some_and(|subscription| subscription.names.contains(name))
        };
        // Of what was not asked for by name nobody wants to hear again that it is not there.
        self.absent.extend(change.removed.iter().filter(|name| named(name)).cloned());
        for name in &change.removed {
            self.sent.remove(name.as_str());
        }
    }

    /// State of the world: all that the proxy shall have, held-back removals included.
    pub(super) fn everything(&self) -> Vec<Resource> {
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
pub(super) fn resource_of(kind: ResourceType, problem: &str) -> Option<&str> {
    let rest = problem.strip_prefix(kind.plural())?.strip_prefix('[')?;
    // An IPv6 address has brackets of its own.
    let end = ["].", "]:"].into_iter().filter_map(|end| rest.find(end)).min()?;
    Some(&rest[..end])
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removed.is_empty()
    }
}
