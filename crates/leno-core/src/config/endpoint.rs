//! `envoy.config.endpoint.v3.ClusterLoadAssignment`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use serde::Serialize;

use super::Address;

/// The endpoints of one cluster (EDS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ClusterLoadAssignment {
    /// The name that was asked for.
    pub cluster_name: String,
    /// Groups by place and priority.
    pub localities: Vec<LocalityEndpoints>,
}

/// Endpoints of one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LocalityEndpoints {
    /// The place; shared with what is compiled from it.
    pub locality: Arc<Locality>,
    /// 0 is used first.
    pub priority: u32,
    /// Weight among localities of one priority; `None` does not weigh.
    pub weight: Option<u32>,
    /// The endpoints.
    pub endpoints: Vec<LbEndpoint>,
}

impl Default for LocalityEndpoints {
    fn default() -> Self {
        Self { locality: Locality::unknown(), priority: 0, weight: None, endpoints: Vec::new() }
    }
}

/// Region, zone and sub-zone; empty strings are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the fields are the words")]
pub struct Locality {
    pub region: String,
    pub zone: String,
    pub sub_zone: String,
}

impl Locality {
    /// Where endpoints are whose place nobody knows: one value for all of them.
    #[must_use]
    pub fn unknown() -> Arc<Self> {
        static UNKNOWN: LazyLock<Arc<Locality>> = LazyLock::new(Arc::default);
        Arc::clone(&UNKNOWN)
    }
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct LbEndpoint {
    /// Where it is.
    pub address: Address,
    /// Where it is too (`additional_addresses`: the other family of a dual-stack endpoint). Connections are tried in this
    /// order, one a little after the other, and the first to stand is used (RFC 8305).
    pub additional_addresses: Vec<SocketAddr>,
    /// What the control plane says of it.
    pub health: EndpointHealth,
    /// At least 1; absent is 1.
    pub weight: u32,
    /// What transport matches look at (`filter_metadata["envoy.transport_socket_match"]`).
    pub labels: BTreeMap<String, String>,
    /// Which workload it is (`filter_metadata.istio.workload`); shared with what is compiled from it.
    pub workload: Option<Arc<WorkloadRef>>,
}

/// `HealthStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "Envoy's words")]
pub enum EndpointHealth {
    Unknown,
    Healthy,
    Unhealthy,
    Draining,
    Timeout,
    Degraded,
}

impl EndpointHealth {
    /// Whether new requests may go there.
    #[must_use]
    pub fn is_available(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy | Self::Degraded)
    }
}

/// The workload behind an endpoint: Istio's `name;namespace;canonical-name;canonical-revision;cluster-id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct WorkloadRef {
    /// Workload's name (a Deployment's, or what `leno run` was told).
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `service.istio.io/canonical-name`.
    pub canonical_name: String,
    /// `service.istio.io/canonical-revision`.
    pub canonical_revision: String,
    /// The mesh cluster it runs in.
    pub cluster_id: String,
}
