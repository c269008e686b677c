//! Endpoints of one cluster: those of the service's port that carry the subset's labels, grouped by place.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::spec::{Labels, is_subset};
use leno_core::config::{Address, ClusterLoadAssignment, LbEndpoint, Locality, LocalityEndpoints};

use super::cluster::{ClusterInputs, OutboundInputs};
use super::mtls::{MutualTlsMode, mode_of};
use crate::scope::Scope;
use crate::world::{Discovery, Endpoint, Endpoints, World};

/// Everything that may influence a cluster's endpoints, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EndpointInputs {
    cluster_name: String,
    port: u16,
    labels: Labels,
    endpoints: Arc<Endpoints>,
}

impl EndpointInputs {
    pub(super) fn new(cluster: &OutboundInputs, endpoints: Arc<Endpoints>) -> Self {
        Self {
            cluster_name: cluster.cluster_name(),
            port: cluster.port.number,
            labels: cluster.subset.as_ref().map(|subset| subset.labels.clone()).unwrap_or_default(),
            endpoints,
        }
    }
}

/// Inputs for a cluster whose endpoints are sent apart.
pub(super) fn inputs(scope: &Scope<'_>, cluster: &ClusterInputs) -> Option<EndpointInputs> {
    let ClusterInputs::Outbound(cluster) = cluster else { return None };
    if cluster.service.discovery != Discovery::Registry {
        return None;
    }
    let endpoints = scope.world().endpoints(&cluster.service).cloned().unwrap_or_default();
    Some(EndpointInputs::new(cluster, without_refused_tls(scope.world(), endpoints)))
}

/// A sidecar whose port was told to take plain text only does not count as meshed there.
fn without_refused_tls(world: &World, endpoints: Arc<Endpoints>) -> Arc<Endpoints> {
    let refuses = |endpoint: &Endpoint| {
        let (Some((namespace, name)), Address::Socket(address)) =
            (&endpoint.pod, &endpoint.address)
        else {
            return false;
        };
        let workload = world.workload(namespace, name);
        let port =
            workload.map_or(address.port(), |workload| workload.program_port(address.port()));
        let mode = mode_of(world, namespace, &endpoint.labels, Some(port));
        endpoint.is_meshed && mode == MutualTlsMode::Disable
    };
    if world.peer_authentications().is_empty() || !endpoints.by_port.values().flatten().any(refuses)
    {
        return endpoints;
    }
    let mut changed = Endpoints::clone(&endpoints);
    for endpoint in changed.by_port.values_mut().flatten() {
        if refuses(endpoint) {
            endpoint.is_meshed = false;
        }
    }
    Arc::new(changed)
}

pub(super) fn translate(inputs: &EndpointInputs) -> ClusterLoadAssignment {
    let mut places: BTreeMap<&Locality, Vec<LbEndpoint>> = BTreeMap::new();
    for endpoint in inputs.endpoints.by_port.get(&inputs.port).into_iter().flatten() {
        if is_subset(&inputs.labels, &endpoint.labels) {
            places.entry(&endpoint.locality).or_default().push(lb_endpoint(endpoint));
        }
    }
    let localities = places.into_iter().map(|(locality, endpoints)| LocalityEndpoints {
        locality: Arc::new(locality.clone()),
        priority: 0,
        weight: Some(endpoints.iter().map(|endpoint| endpoint.weight).sum()),
        endpoints,
    });
    ClusterLoadAssignment {
        cluster_name: inputs.cluster_name.clone(),
        localities: localities.collect(),
    }
}

fn lb_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let mode = endpoint.is_meshed.then(|| ("tlsMode".to_owned(), "istio".to_owned()));
    LbEndpoint {
        additional_addresses: Vec::new(),
        address: endpoint.address.clone(),
        health: endpoint.health,
        weight: endpoint.weight,
        labels: mode.into_iter().collect(),
        workload: endpoint.workload.clone(),
    }
}
