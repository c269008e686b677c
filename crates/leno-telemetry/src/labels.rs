//! Who and what a metric is about: parties and services interned to small ids, and the key of one series.
//!
//! Interning takes a lock and happens once per endpoint, cluster or connection; the request path only copies ids.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Blame, ResponseFlags};

/// What `source_*` and `destination_*` labels say of one workload; an empty string is written `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Workload's name (a Deployment's, or what `leno run` was told).
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// Label `service.istio.io/canonical-name`.
    pub canonical_name: String,
    /// Label `service.istio.io/canonical-revision`.
    pub canonical_revision: String,
    /// The mesh cluster it runs in.
    pub cluster_id: String,
}

/// A workload as one connection proved it: the principal is its SPIFFE id, empty without mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// What it says of itself, or what the control plane says of it.
    pub workload: Workload,
    /// `spiffe://…`
    pub principal: String,
}

/// The service that was called, as `destination_service*` labels name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// Fully qualified host.
    pub host: String,
    /// Short name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
}

impl Party {
    fn other() -> Self {
        let other = || OTHER.to_owned();
        let workload = Workload {
            name: other(),
            namespace: other(),
            app: other(),
            version: other(),
            canonical_name: other(),
            canonical_revision: other(),
            cluster_id: other(),
        };
        Self { workload, principal: other() }
    }
}

impl From<&leno_core::config::WorkloadRef> for Workload {
    fn from(workload: &leno_core::config::WorkloadRef) -> Self {
        Self {
            name: workload.name.clone(),
            namespace: workload.namespace.clone(),
            // Istio derives both from the canonical service where the labels themselves are not known.
            app: workload.canonical_name.clone(),
            version: workload.canonical_revision.clone(),
            canonical_name: workload.canonical_name.clone(),
            canonical_revision: workload.canonical_revision.clone(),
            cluster_id: workload.cluster_id.clone(),
        }
    }
}

impl From<&leno_core::config::ServiceRef> for Service {
    fn from(service: &leno_core::config::ServiceRef) -> Self {
        Self {
            host: service.host.clone(),
            name: service.name.clone(),
            namespace: service.namespace.clone(),
        }
    }
}

/// What labels hold once a limit is reached.
pub(crate) const OTHER: &str = "other";

/// An interned [`Party`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartyId(u32);

/// An interned [`Service`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(u32);

impl PartyId {
    /// A peer that said nothing of itself.
    pub const UNKNOWN: Self = Self(0);
    /// One more than can be told apart.
    pub const OTHER: Self = Self(1);
}

impl ServiceId {
    /// A service nobody named.
    pub const UNKNOWN: Self = Self(0);
    /// One more than can be told apart.
    pub const OTHER: Self = Self(1);
}

/// Which side of the hop counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reporter {
    /// The caller's proxy (outbound).
    Source,
    /// The callee's proxy (inbound).
    Destination,
}

/// `request_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "protocol names")]
pub enum Protocol {
    Http,
    Grpc,
    Tcp,
}

/// `connection_security_policy` of the hop between the proxies. Istio leaves it `unknown` at the source; Leno's
/// source knows what it dialled and says so, which existing queries accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Security {
    /// Both sides proved who they are.
    MutualTls,
    /// Plaintext, or TLS without a client's certificate.
    None,
    /// No connection was made.
    Unknown,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),* }) => {
        impl $name {
            /// The label's value.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}
words!(Reporter { Source = "source", Destination = "destination" });
words!(Protocol { Http = "http", Grpc = "grpc", Tcp = "tcp" });
words!(Security { MutualTls = "mutual_tls", None = "none", Unknown = "unknown" });

/// Everything that tells one series from another; small, `Copy`, hashed as three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Which side we are.
    pub reporter: Reporter,
    /// The workload on the other side.
    pub peer: PartyId,
    /// The service that was called.
    pub service: ServiceId,
    /// What was spoken.
    pub protocol: Protocol,
    /// How the hop was secured.
    pub security: Security,
    /// Status code; 0 when the caller left before there was one, and for TCP.
    pub response_code: u16,
    /// Envoy's flags.
    pub flags: ResponseFlags,
    /// `grpc-status`, for gRPC.
    pub grpc_status: Option<u8>,
    /// Whose fault, for failures.
    pub blame: Option<Blame>,
}

impl SeriesKey {
    /// The one series that takes what is beyond the limit.
    pub(crate) fn overflow(self) -> Self {
        Self {
            peer: PartyId::OTHER,
            service: ServiceId::OTHER,
            protocol: if self.protocol == Protocol::Tcp { Protocol::Tcp } else { Protocol::Http },
            security: Security::Unknown,
            response_code: 0,
            flags: ResponseFlags::NONE,
            grpc_status: None,
            blame: None,
            ..self
        }
    }
}

impl Hash for SeriesKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let small = u64::from(self.reporter as u8)
            | u64::from(self.protocol as u8) << 8
            | u64::from(self.security as u8) << 16
            | u64::from(self.grpc_status.map_or(0, |s| u16::from(s) + 1)) << 24
            | u64::from(self.blame.map_or(0, |b| b as u8 + 1)) << 40
            | u64::from(self.response_code) << 48;
        state.write_u64(small);
        state.write_u64(u64::from(self.peer.0) << 32 | u64::from(self.service.0));
        state.write_u64(u64::from(self.flags.bits()));
    }
}

/// Values with small ids, never forgotten, at most `max`; the first two are "unknown" and "other".
#[derive(Debug)]
struct Interner<T> {
    ids: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
    max: usize,
}

impl<T: Default + Eq + Hash> Interner<T> {
    fn new(other: T, max: usize) -> Self {
        let values = vec![Arc::new(T::default()), Arc::new(other)];
        let ids = values.iter().cloned().zip(0..).collect();
        Self { ids, values, max }
    }

    fn intern(&mut self, value: T) -> u32 {
        if let Some(id) = self.ids.get(&value) {
            return *id;
        }
        if self.values.len() >= self.max {
            return 1;
        }
        let id = u32::try_from(self.values.len()).expect("max is far below 2^32");
        let value = Arc::new(value);
        self.values.push(value.clone());
        self.ids.insert(value, id);
        id
    }

    fn value(&self, id: u32) -> Arc<T> {
        self.values[id as usize].clone()
    }
}

/// The two interners of a process.
#[derive(Debug)]
pub(crate) struct Names {
    parties: Mutex<Interner<Party>>,
    services: Mutex<Interner<Service>>,
}

impl Names {
    pub(crate) fn new(max: usize) -> Self {
        let other = || OTHER.to_owned();
        let service = Service { host: other(), name: other(), namespace: other() };
        Self {
            parties: Mutex::new(Interner::new(Party::other(), max)),
            services: Mutex::new(Interner::new(service, max)),
        }
    }

    pub(crate) fn party_id(&self, party: Party) -> PartyId {
        PartyId(lock(&self.parties).intern(party))
    }

    pub(crate) fn service_id(&self, service: Service) -> ServiceId {
        ServiceId(lock(&self.services).intern(service))
    }

    pub(crate) fn party(&self, id: PartyId) -> Arc<Party> {
        lock(&self.parties).value(id.0)
    }

    pub(crate) fn service(&self, id: ServiceId) -> Arc<Service> {
        lock(&self.services).value(id.0)
    }
}

/// A panic elsewhere cannot leave these maps half changed, so poison is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_an_id_and_the_limit_ends_in_other() {
        let names = Names::new(4);
        let service = |name: &str| Service { name: name.into(), ..Service::default() };
        let a = names.service_id(service("a"));
        assert_eq!(names.service_id(service("a")), a);
        assert_ne!(names.service_id(service("b")), a);
        assert_eq!(names.service_id(service("c")), ServiceId::OTHER);
        assert_eq!(names.service_id(Service::default()), ServiceId::UNKNOWN);
        assert_eq!(names.service(a).name, "a");
        assert_eq!(names.service(ServiceId::OTHER).host, "other");
    }
}
