//! The asking side of ADS: what to ask, what came, what to answer. Pure.
//!
//! Lives longer than a stream: after a reconnect it asks for what it wants again and, with delta, says what it still
//! has, so that nothing is sent twice. A response must be answered ([`Client::accept`] or [`Client::refuse`]) before the next
//! of its type is of use.

use std::collections::{BTreeMap, BTreeSet};

use crate::discovery::{Request, Resource, Response, Variant};
use crate::{ByType, Node, ResourceType};

/// One proxy's subscriptions and what is in force.
#[derive(Debug)]
pub struct Client {
    variant: Variant,
    node: Node,
    /// Whether this stream has said who it is.
    introduced: bool,
    types: ByType<Type>,
}

#[derive(Debug, Default)]
struct Type {
    /// `None`: not asked for; for types without wildcard it follows from others.
    names: Option<BTreeSet<String>>,
    /// Name and version of what was accepted.
    accepted: BTreeMap<String, String>,
    /// State of the world: the version last accepted.
    version: String,
    /// This stream's last response.
    nonce: String,
    pending: Option<Update>,
}

/// What a response asks to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which type.
    pub kind: ResourceType,
    /// New and changed resources.
    pub upserts: Vec<Resource>,
    /// Names that are gone.
    pub removed: Vec<String>,
    /// As the server calls this state.
    pub version: String,
    nonce: String,
}

impl Update {
    /// What a process kept for its successor, to be taken as if it had come on a stream.
    #[must_use]
    pub fn from_kept(kind: ResourceType, upserts: Vec<Resource>) -> Self {
        Self { kind, upserts, removed: Vec::new(), version: String::new(), nonce: String::new() }
    }
}

impl Client {
    /// Asks for every cluster and listener; endpoints and routes are named by [`Client::subscribe`].
    #[must_use]
    pub fn new(variant: Variant, node: Node) -> Self {
        let types = ByType::from_fn(|kind| Type {
            names: kind.has_wildcard().then(BTreeSet::new),
            ..Type::default()
        });
        Self { variant, node, introduced: false, types }
    }

    /// Which protocol is spoken.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// What is said on a new stream.
    pub fn connected(&mut self) -> Vec<Request> {
        self.introduced = false;
        for kind in ResourceType::ALL {
            let asked = &mut self.types[kind];
            asked.nonce.clear();
            asked.pending = None;
        }
        ResourceType::ALL.into_iter().filter_map(|kind| self.first_request(kind)).collect()
    }

    /// Names wanted of a type without wildcard; says what to send, if anything changed.
    pub fn subscribe(&mut self, kind: ResourceType, names: BTreeSet<String>) -> Option<Request> {
        let asked = &mut self.types[kind];
        let old = asked.names.replace(names.clone());
        asked.accepted.retain(|name, _| names.contains(name));
        let Some(old) = old.filter(|old| !old.is_empty() || !asked.nonce.is_empty()) else {
            return self.first_request(kind);
        };
        if old == names {
            return None;
        }
        let mut request = self.blank(kind);
        match self.variant {
            Variant::Delta => {
                request.subscribe = names.difference(&old).cloned().collect();
                request.unsubscribe = old.difference(&names).cloned().collect();
            }
            Variant::StateOfTheWorld => {
                request.subscribe = names.into_iter().collect();
                let asked = &self.types[kind];
                request.version.clone_from(&asked.version);
                // With the nonce of a response that waits for its answer this would be taken for the answer.
                if asked.pending.is_none() {
                    request.nonce.clone_from(&asked.nonce);
                }
            }
        }
        Some(request)
    }

    /// Takes a response. `None` for types that were not asked for.
    pub fn response(&mut self, response: Response) -> Option<Update> {
        let kind = response.kind()?;
        let wildcard = kind.has_wildcard();
        let asked = &mut self.types[kind];
        let names = asked.names.as_ref()?;
        asked.nonce.clone_from(&response.nonce);
        let (upserts, removed) = match self.variant {
            Variant::Delta => (response.resources, response.removed),
            // Only clusters and listeners are sent whole; what is missing of them is gone.
            Variant::StateOfTheWorld => {
                let here: BTreeSet<&str> =
                    response.resources.iter().map(|resource| resource.name.as_str()).collect();
                let gone =
                    asked.accepted.keys().filter(|name| wildcard && !here.contains(name.as_str()));
                (response.resources.clone(), gone.cloned().collect())
            }
        };
        let wanted = |resource: &Resource| wildcard || names.contains(&resource.name);
        let update = Update {
            kind,
            upserts: upserts.into_iter().filter(wanted).collect(),
            removed,
            version: response.version,
            nonce: response.nonce,
        };
        asked.pending = Some(update.clone());
        Some(update)
    }

    /// The last response of the type is in force: the ACK to send. `None` if there is none to answer.
    pub fn accept(&mut self, kind: ResourceType) -> Option<Request> {
        let asked = &mut self.types[kind];
        let update = asked.pending.take()?;
        for resource in update.upserts {
            asked.accepted.insert(resource.name, resource.version);
        }
        for name in &update.removed {
            asked.accepted.remove(name);
        }
        asked.version = update.version;
        Some(self.answer(kind, update.nonce, None))
    }

    /// The last response of the type cannot be put in force as it came: the NACK to send, with every problem. The
    /// resources named in `refused` are not what was sent, whatever is in force of them; the others are in force.
    pub fn refuse(
        &mut self,
        kind: ResourceType,
        problems: String,
        refused: &BTreeSet<String>,
    ) -> Option<Request> {
        let asked = &mut self.types[kind];
        let update = asked.pending.take()?;
        for resource in update.upserts {
            // No version is that of something that was not sent: after a reconnect it is asked for again.
            let is_refused = refused.contains(&resource.name);
            let version = if is_refused { String::new() } else { resource.version };
            asked.accepted.insert(resource.name, version);
        }
        for name in &update.removed {
            asked.accepted.remove(name);
        }
        Some(self.answer(kind, update.nonce, Some(problems)))
    }

    /// What the response that waits for its answer brings or takes away.
    pub fn pending(&self, kind: ResourceType) -> impl Iterator<Item = &str> {
        let update = self.types[kind].pending.iter();
        update.flat_map(|update| {
            let upserts = update.upserts.iter().map(|resource| &resource.name);
            upserts.chain(&update.removed).map(String::as_str)
        })
    }

    /// What is in force came from disk: said to a delta server on the next stream, so that it is not sent again.
    pub fn remember(&mut self, kind: ResourceType, name: String, version: String) {
        self.types[kind].accepted.insert(name, version);
    }

    /// Name and version of everything in force.
    pub fn accepted(&self, kind: ResourceType) -> impl Iterator<Item = (&str, &str)> {
        self.types[kind].accepted.iter().map(|(name, version)| (name.as_str(), version.as_str()))
    }

    fn answer(&mut self, kind: ResourceType, nonce: String, error: Option<String>) -> Request {
        let mut request = self.blank(kind);
        request.nonce = nonce;
        request.error = error;
        if self.variant == Variant::StateOfTheWorld {
            let asked = &self.types[kind];
            request.version.clone_from(&asked.version);
            request.subscribe = asked.names.iter().flatten().cloned().collect();
        }
        request
    }

    fn first_request(&mut self, kind: ResourceType) -> Option<Request> {
        let asked = &self.types[kind];
        let names =
            asked.names.as_ref().filter(|names| kind.has_wildcard() || !names.is_empty())?;
        let subscribe = names.iter().cloned().collect();
        let (initial_versions, version) = match self.variant {
            Variant::Delta => (asked.accepted.clone().into_iter().collect(), String::new()),
            Variant::StateOfTheWorld => (Vec::new(), asked.version.clone()),
        };
        let request = self.blank(kind);
        Some(Request { subscribe, initial_versions, version, ..request })
    }

    /// A request that says nothing but its type, and on a new stream who asks.
    fn blank(&mut self, kind: ResourceType) -> Request {
        let node = (!self.introduced).then(|| self.node.clone());
        self.introduced = true;
        Request { type_url: kind.type_url().to_owned(), node, ..Request::default() }
    }
}
