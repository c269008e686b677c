//! Small resources for tests: everything at its default, so that a test names only what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{
    self, Address, ClusterLoadAssignment, ClusterSpecifier, Discovery, EndpointHealth, HeaderEdit,
    HeaderMutation, HeaderMutations, HttpFilter, LbEndpoint, Locality, LocalityEndpoints,
    PathMatch, Route, RouteAction, VirtualHost, WeightedCluster,
};
use crate::snapshot::Resources;

pub(crate) const ORIGIN: &str =
    "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";

pub(crate) fn cluster(name: &str) -> config::Cluster {
    config::Cluster::minimal(name, Discovery::Eds { service_name: None })
}

pub(crate) fn forward(cluster: ClusterSpecifier) -> config::Forward {
    config::Forward::minimal(cluster)
}

pub(crate) fn route(name: &str, path: PathMatch, action: RouteAction) -> Route {
    let origin = Some(ORIGIN.to_owned());
    Route { name: name.to_owned(), origin, ..Route::minimal(path, action) }
}

pub(crate) fn weighted(parts: &[(&str, u32)]) -> ClusterSpecifier {
    let part = |&(name, weight): &(&str, u32)| WeightedCluster {
        name: name.to_owned(),
        weight,
        request_headers: HeaderMutations::new(
            vec![],
            vec![HeaderMutation {
                name: "x-cluster".to_owned(),
                value: name.to_owned(),
                edit: HeaderEdit::Overwrite,
            }],
        ),
        response_headers: HeaderMutations::default(),
    };
    ClusterSpecifier::Weighted(parts.iter().map(part).collect())
}

pub(crate) fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

/// A route that forwards everything under a prefix.
pub(crate) fn route_to(path: PathMatch, cluster: &str) -> Route {
    let to = forward(ClusterSpecifier::Cluster(cluster.to_owned()));
    route(cluster, path, RouteAction::Forward(Box::new(to)))
}

pub(crate) fn virtual_host(name: &str, domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    VirtualHost::minimal(name, domains, routes)
}

pub(crate) fn table(name: &str, virtual_hosts: Vec<VirtualHost>) -> config::RouteConfiguration {
    config::RouteConfiguration::minimal(name, virtual_hosts)
}

pub(crate) fn edit(name: &str, value: &str, edit: HeaderEdit) -> HeaderMutation {
    HeaderMutation { name: name.to_owned(), value: value.to_owned(), edit }
}

pub(crate) fn http_chain(name: &str, routes: config::RouteSource) -> config::FilterChain {
    let manager = config::HttpConnectionManager {
        http_filters: vec![HttpFilter::Fault(None), HttpFilter::Router],
        ..config::HttpConnectionManager::minimal(name, routes)
    };
    config::FilterChain::minimal(name, config::NetworkFilter::Http(Box::new(manager)))
}

pub(crate) fn tcp_chain(name: &str, cluster: &str) -> config::FilterChain {
    let proxy = config::TcpProxy::minimal(name, cluster);
    config::FilterChain::minimal(name, config::NetworkFilter::Tcp(proxy))
}

pub(crate) fn listener(
    name: &str,
    address: &str,
    filter_chains: Vec<config::FilterChain>,
) -> config::Listener {
    config::Listener {
        bind_to_port: false,
        direction: config::TrafficDirection::Outbound,
        ..config::Listener::minimal(name, address.parse().unwrap(), filter_chains)
    }
}

pub(crate) fn resources(
    listeners: Vec<config::Listener>,
    routes: Vec<config::RouteConfiguration>,
    clusters: Vec<config::Cluster>,
) -> Resources {
    Resources {
        listeners: listeners.into_iter().map(|l| (l.name.clone(), Arc::new(l))).collect(),
        routes: routes.into_iter().map(|r| (r.name.clone(), Arc::new(r))).collect(),
        clusters: clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    }
}

/// An endpoint `10.0.0.N:80`.
pub(crate) fn endpoint(number: u8, weight: u32) -> LbEndpoint {
    LbEndpoint {
        additional_addresses: Vec::new(),
        address: Address::Socket(([10, 0, 0, number], 80).into()),
        health: EndpointHealth::Healthy,
        weight,
        labels: BTreeMap::new(),
        workload: None,
    }
}

pub(crate) fn locality(
    zone: &str,
    priority: u32,
    weight: Option<u32>,
    endpoints: Vec<LbEndpoint>,
) -> LocalityEndpoints {
    let locality = Locality { zone: zone.to_owned(), ..Locality::default() };
    LocalityEndpoints { locality: Arc::new(locality), priority, weight, endpoints }
}

pub(crate) fn assignment(localities: Vec<LocalityEndpoints>) -> Arc<ClusterLoadAssignment> {
    Arc::new(ClusterLoadAssignment { cluster_name: "c".to_owned(), localities })
}
