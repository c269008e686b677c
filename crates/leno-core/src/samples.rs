//! Small resources for tests: everything at its default, so that a test names only what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    self, Address, CircuitLimits, ClusterLoadAssignment, ClusterSpecifier, Discovery,
    EndpointHealth, HeaderEdit, HeaderMutation, HeaderMutations, HttpFilter, LbEndpoint, LbPolicy,
    Locality, LocalityEndpoints, PathMatch, Route, RouteAction, RouteMatch, UpstreamHttp,
    UpstreamProtocol, UpstreamTransport, VirtualHost, WeightedCluster,
};
use crate::snapshot::Resources;

pub(crate) const ORIGIN: &str =
    "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";

pub(crate) fn cluster(name: &str) -> config::Cluster {
    config::Cluster {
        name: name.to_owned(),
        discovery: Discovery::Eds { service_name: None },
        connect_timeout: Duration::from_secs(5),
        lb_policy: LbPolicy::RoundRobin,
        transport: UpstreamTransport::Plaintext,
        transport_matches: vec![],
        circuit: CircuitLimits::default(),
        outlier: None,
        http: UpstreamHttp {
            protocol: UpstreamProtocol::Http1,
            idle_timeout: None,
            max_requests_per_connection: None,
        },
        services: vec![],
        origin: None,
        subset: None,
    }
}

pub(crate) fn forward(cluster: ClusterSpecifier) -> config::Forward {
    config::Forward {
        cluster,
        timeout: Some(Duration::from_secs(15)),
        idle_timeout: None,
        retry_policy: None,
        path_rewrite: None,
        host_rewrite: None,
        mirrors: vec![],
    }
}

pub(crate) fn route(name: &str, path: PathMatch, action: RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        origin: Some(ORIGIN.to_owned()),
        route_match: RouteMatch { path, case_sensitive: true, headers: vec![], query: vec![] },
        action,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        fault: None,
    }
}

pub(crate) fn weighted(parts: &[(&str, u32)]) -> ClusterSpecifier {
    let part = |&(name, weight): &(&str, u32)| WeightedCluster {
        name: name.to_owned(),
        weight,
        request_headers: HeaderMutations {
            remove: vec![],
            edits: vec![HeaderMutation {
                name: "x-cluster".to_owned(),
                value: name.to_owned(),
                edit: HeaderEdit::Overwrite,
            }],
        },
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
    VirtualHost {
        name: name.to_owned(),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        routes,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        retry_policy: None,
        include_attempt_count: false,
    }
}

pub(crate) fn table(name: &str, virtual_hosts: Vec<VirtualHost>) -> config::RouteConfiguration {
    config::RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    }
}

pub(crate) fn edit(name: &str, value: &str, edit: HeaderEdit) -> HeaderMutation {
    HeaderMutation { name: name.to_owned(), value: value.to_owned(), edit }
}

pub(crate) fn http_chain(name: &str, routes: config::RouteSource) -> config::FilterChain {
    let manager = config::HttpConnectionManager {
        stat_prefix: name.to_owned(),
        routes,
        http_filters: vec![HttpFilter::Fault, HttpFilter::Router],
        access_log: vec![],
        idle_timeout: None,
        request_headers_timeout: None,
        use_remote_address: false,
        generate_request_id: true,
        forward_client_cert: config::ClientCertForward::Sanitize,
        websocket: false,
    };
    config::FilterChain {
        name: name.to_owned(),
        filter_chain_match: config::FilterChainMatch::default(),
        tls: None,
        filter: config::NetworkFilter::Http(Box::new(manager)),
    }
}

pub(crate) fn tcp_chain(name: &str, cluster: &str) -> config::FilterChain {
    let proxy = config::TcpProxy {
        stat_prefix: name.to_owned(),
        cluster: ClusterSpecifier::Cluster(cluster.to_owned()),
        idle_timeout: None,
        access_log: vec![],
    };
    config::FilterChain {
        name: name.to_owned(),
        filter_chain_match: config::FilterChainMatch::default(),
        tls: None,
        filter: config::NetworkFilter::Tcp(proxy),
    }
}

pub(crate) fn listener(
    name: &str,
    address: &str,
    filter_chains: Vec<config::FilterChain>,
) -> config::Listener {
    config::Listener {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        bind_to_port: false,
        use_original_dst: false,
        direction: config::TrafficDirection::Outbound,
        listener_filters: vec![],
        listener_filters_timeout: Duration::from_secs(15),
        continue_on_listener_filters_timeout: false,
        filter_chains,
        default_filter_chain: None,
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
    LocalityEndpoints { locality, priority, weight, endpoints }
}

pub(crate) fn assignment(localities: Vec<LocalityEndpoints>) -> Arc<ClusterLoadAssignment> {
    Arc::new(ClusterLoadAssignment { cluster_name: "c".to_owned(), localities })
}
