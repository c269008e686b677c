//! The mesh as the store's documents describe it: typed, indexed, immutable. Translation, scope and status read it.
//!
//! [`World::apply`] makes the next world from changed documents and shares whatever they did not touch: a service, rule
//! or set of endpoints that is equal to the one before is the same `Arc`. It depends on nothing but the documents; the
//! order in which they came leaves no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_api::spec::destination_rule::DestinationRule;
use leno_api::spec::peer_authentication::PeerAuthentication;
use leno_api::spec::service_entry::ServiceEntry;
use leno_api::spec::virtual_service::VirtualService;
use serde_json::Value;

mod endpoint;
mod index;
mod read;
mod rule;
mod service;
pub mod vip;
mod workload;

pub use endpoint::{Endpoint, Endpoints};
pub use rule::{DocumentRef, Rule};
pub use service::{Discovery, Location, Port, Protocol, Service};
pub use workload::Workload;

use read::Slice;
use service::KubernetesService;

/// The mesh's trust domain and DNS suffix.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Rules of this namespace hold for the whole mesh.
pub const ROOT_NAMESPACE: &str = "istio-system";

/// One document that was written or removed.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// `virtualservices`.
    pub plural: &'a str,
    /// Empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// The document's name.
    pub name: &'a str,
    /// The document now; `None` when it is gone.
    pub document: Option<&'a Value>,
}

/// Namespace and name.
type Place = (Arc<str>, Arc<str>);
type Documents<T> = Arc<BTreeMap<Place, Arc<T>>>;

/// The mesh at one revision. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct World {
    revision: u64,
    kubernetes_services: Documents<KubernetesService>,
    service_entries: Documents<Rule<ServiceEntry>>,
    slices: Documents<Slice>,
    workloads: Documents<Workload>,
    virtual_services: Documents<Rule<VirtualService>>,
    destination_rules: Documents<Rule<DestinationRule>>,
    peer_authentications: Documents<Rule<PeerAuthentication>>,
    unreadable: Arc<BTreeMap<DocumentRef, String>>,
    index: index::Index,
}

impl World {
    /// The next world. `revision` is the store's after these changes; a world that they do not change keeps its own.
    #[must_use]
    pub fn apply<'a>(&self, revision: u64, changes: impl IntoIterator<Item = Changed<'a>>) -> Self {
        let mut next = self.clone();
        let mut touched = BTreeSet::new();
        for change in changes {
            if let Some(kind) = next.take(change) {
                touched.insert(kind);
            }
        }
        if !touched.is_empty() {
            next.revision = revision;
            next.index = next.index.update(&next, &touched);
        }
        next
    }

    /// The store's revision that last changed this world.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Services by host; several documents may describe one host.
    #[must_use]
    pub fn services(&self) -> &BTreeMap<Arc<str>, Vec<Arc<Service>>> {
        &self.index.services
    }

    /// The endpoints of a service.
    #[must_use]
    pub fn endpoints(&self, service: &Service) -> Option<&Arc<Endpoints>> {
        self.index.endpoints.get(&service.key())
    }

    /// Every set of endpoints with the service it belongs to (host, then namespace).
    #[must_use]
    pub fn all_endpoints(&self) -> &BTreeMap<Place, Arc<Endpoints>> {
        &self.index.endpoints
    }

    /// Oldest first.
    #[must_use]
    pub fn virtual_services(&self) -> &[Arc<Rule<VirtualService>>] {
        &self.index.virtual_services
    }

    /// Oldest first.
    #[must_use]
    pub fn destination_rules(&self) -> &[Arc<Rule<DestinationRule>>] {
        &self.index.destination_rules
    }

    /// Oldest first.
    #[must_use]
    pub fn peer_authentications(&self) -> &[Arc<Rule<PeerAuthentication>>] {
        &self.index.peer_authentications
    }

    /// The workload of this namespace and name.
    #[must_use]
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.workloads.get(&(namespace.into(), name.into()))
    }

    /// Every workload.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// Documents that could not be read, and why. They passed admission once, or were written around it.
    #[must_use]
    pub fn unreadable(&self) -> &BTreeMap<DocumentRef, String> {
        &self.unreadable
    }
}
