//! Resources for tests: one listener on a free port, routes in place, static clusters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    Address, Cluster, ClusterLoadAssignment, ClusterSpecifier, Discovery, EndpointHealth,
    FilterChain, Forward, HttpConnectionManager, HttpFilter, LbEndpoint, Listener,
    LocalityEndpoints, NetworkFilter, PathMatch, Route, RouteAction, RouteConfiguration,
    RouteSource, ServerHeader, TcpProxy, TrafficDirection, VirtualHost,
};
use leno_core::snapshot::Resources;
use leno_proxy::limits::ProcessLimits;
use leno_proxy::upstream::dial::InboundDialer;
use leno_proxy::{Admin, ConfigSource, Options, Running};

pub(crate) const LISTENER: &str = "http";

/// A proxy with one worker and these resources.
pub(crate) fn start(resources: Resources) -> (Running, SocketAddr) {
    start_as(options(resources))
}

pub(crate) fn start_as(options: Options) -> (Running, SocketAddr) {
    let running = leno_proxy::start(options).unwrap();
    let address = running.address(LISTENER).unwrap();
    (running, address)
}

pub(crate) fn options(resources: Resources) -> Options {
    Options {
        config: ConfigSource::Resources(resources),
        workers: NonZeroUsize::MIN,
        admin: Admin::At("127.0.0.1:0".parse().unwrap()),
        metrics: Vec::new(),
        inherited: Vec::new(),
        inbound_addresses: Vec::new(),
        limits: ProcessLimits::of_machine(NonZeroUsize::MIN),
        inbound_dialer: InboundDialer::Host,
        dns: leno_proxy::dns::Sockets::default(),
        log_level: None,
        handover: None,
        tls_key_log: None,
        lame_duck: Duration::ZERO,
        drain: Duration::from_secs(5),
    }
}

/// One listener whose every request goes to the cluster `origin`.
pub(crate) fn to(origin: SocketAddr) -> Resources {
    resources(vec![route("/", forward("origin"))], vec![cluster("origin", &[origin])])
}

pub(crate) fn resources(routes: Vec<Route>, clusters: Vec<Cluster>) -> Resources {
    with_listener(http_listener(routes), clusters)
}

pub(crate) fn with_listener(listener: Listener, clusters: Vec<Cluster>) -> Resources {
    Resources {
        listeners: BTreeMap::from([(listener.name.clone(), Arc::new(listener))]),
        routes: BTreeMap::new(),
        clusters: clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    }
}

pub(crate) fn with_table(table: RouteConfiguration, clusters: Vec<Cluster>) -> Resources {
    let listener = edited(http_listener(Vec::new()), |manager| {
        manager.routes = RouteSource::Inline(Arc::new(table));
    });
    with_listener(listener, clusters)
}

/// The same listener with other HTTP settings.
pub(crate) fn edited(
    mut listener: Listener,
    edit: impl FnOnce(&mut HttpConnectionManager),
) -> Listener {
    let NetworkFilter::Http(manager) = &mut listener.filter_chains[0].filter else {
        panic!("not HTTP")
    };
    edit(manager);
    listener
}

pub(crate) fn http_listener(routes: Vec<Route>) -> Listener {
    let routes = RouteSource::Inline(Arc::new(table(routes)));
    let manager = HttpConnectionManager {
        http_filters: vec![HttpFilter::Fault(None), HttpFilter::Router],
        websocket: true,
        server_header: ServerHeader::PassThrough,
        suppress_envoy_headers: true,
        ..HttpConnectionManager::minimal("test", routes)
    };
    listener(NetworkFilter::Http(Box::new(manager)))
}

/// Bytes to one cluster.
pub(crate) fn tcp(cluster: &str) -> NetworkFilter {
    NetworkFilter::Tcp(TcpProxy::minimal("tcp", cluster))
}

pub(crate) fn listener(filter: NetworkFilter) -> Listener {
    let chain = FilterChain::minimal("only", filter);
    Listener {
        direction: TrafficDirection::Outbound,
        ..Listener::minimal(LISTENER, "127.0.0.1:0".parse().unwrap(), vec![chain])
    }
}

pub(crate) fn table(routes: Vec<Route>) -> RouteConfiguration {
    let host = VirtualHost::minimal("all", &["*"], routes);
    RouteConfiguration {
        validate_clusters: true,
        ..RouteConfiguration::minimal("test", vec![host])
    }
}

pub(crate) fn route(prefix: &str, forward: Forward) -> Route {
    route_to(prefix, RouteAction::Forward(Box::new(forward)))
}

pub(crate) fn route_to(prefix: &str, action: RouteAction) -> Route {
    Route::minimal(PathMatch::Prefix(prefix.into()), action)
}

pub(crate) fn forward(cluster: &str) -> Forward {
    Forward::minimal(ClusterSpecifier::Cluster(cluster.into()))
}

pub(crate) fn cluster(name: &str, endpoints: &[SocketAddr]) -> Cluster {
    let endpoints = endpoints.iter().map(|address| LbEndpoint {
        additional_addresses: Vec::new(),
        address: Address::Socket(*address),
        health: EndpointHealth::Unknown,
        weight: 1,
        labels: BTreeMap::new(),
        workload: None,
    });
    let locality = LocalityEndpoints { endpoints: endpoints.collect(), ..Default::default() };
    let assignment =
        ClusterLoadAssignment { cluster_name: name.into(), localities: vec![locality] };
    Cluster::minimal(name, Discovery::Static(Arc::new(assignment)))
}
