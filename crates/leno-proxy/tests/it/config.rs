//! Resources for tests: one listener on a free port, routes in place, static clusters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    Address, CircuitLimits, ClientCertForward, Cluster, ClusterLoadAssignment, ClusterSpecifier,
    Discovery, EndpointHealth, FilterChain, FilterChainMatch, Forward, HeaderMutations,
    HttpConnectionManager, HttpFilter, LbEndpoint, LbPolicy, Listener, LocalityEndpoints,
    NetworkFilter, PathMatch, Route, RouteAction, RouteConfiguration, RouteMatch, RouteSource,
    TcpProxy, TrafficDirection, UpstreamHttp, UpstreamProtocol, UpstreamTransport, VirtualHost,
};
use leno_core::snapshot::Resources;
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
        inbound_dialer: InboundDialer::Host,
        dns: leno_proxy::dns::Sockets::default(),
        log_level: None,
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
    let manager = HttpConnectionManager {
        stat_prefix: "test".into(),
        routes: RouteSource::Inline(Arc::new(table(routes))),
        http_filters: vec![HttpFilter::Fault, HttpFilter::Router],
        access_log: Vec::new(),
        idle_timeout: None,
        request_headers_timeout: None,
        use_remote_address: false,
        generate_request_id: true,
        forward_client_cert: ClientCertForward::Sanitize,
        websocket: true,
    };
    listener(NetworkFilter::Http(Box::new(manager)))
}

/// Bytes to one cluster.
pub(crate) fn tcp(cluster: &str) -> NetworkFilter {
    NetworkFilter::Tcp(TcpProxy {
        stat_prefix: "tcp".into(),
        cluster: ClusterSpecifier::Cluster(cluster.into()),
        idle_timeout: None,
        access_log: Vec::new(),
    })
}

pub(crate) fn listener(filter: NetworkFilter) -> Listener {
    let chain = FilterChain {
        name: "only".into(),
        filter_chain_match: FilterChainMatch::default(),
        tls: None,
        filter,
    };
    Listener {
        name: LISTENER.into(),
        address: "127.0.0.1:0".parse().unwrap(),
        bind_to_port: true,
        use_original_dst: false,
        direction: TrafficDirection::Outbound,
        listener_filters: Vec::new(),
        listener_filters_timeout: Duration::from_secs(15),
        continue_on_listener_filters_timeout: false,
        filter_chains: vec![chain],
        default_filter_chain: None,
    }
}

pub(crate) fn table(routes: Vec<Route>) -> RouteConfiguration {
    let host = VirtualHost {
        name: "all".into(),
        domains: vec!["*".into()],
        routes,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        retry_policy: None,
        include_attempt_count: false,
    };
    RouteConfiguration {
        name: "test".into(),
        virtual_hosts: vec![host],
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: true,
    }
}

pub(crate) fn route(prefix: &str, forward: Forward) -> Route {
    route_to(prefix, RouteAction::Forward(Box::new(forward)))
}

pub(crate) fn route_to(prefix: &str, action: RouteAction) -> Route {
    Route {
        name: String::new(),
        origin: None,
        route_match: RouteMatch {
            path: PathMatch::Prefix(prefix.into()),
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
        },
        action,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        fault: None,
    }
}

pub(crate) fn forward(cluster: &str) -> Forward {
    Forward {
        cluster: ClusterSpecifier::Cluster(cluster.into()),
        timeout: Some(Duration::from_secs(15)),
        idle_timeout: None,
        retry_policy: None,
        path_rewrite: None,
        host_rewrite: None,
        mirrors: Vec::new(),
    }
}

pub(crate) fn cluster(name: &str, endpoints: &[SocketAddr]) -> Cluster {
    let endpoints = endpoints.iter().map(|address| LbEndpoint {
        address: Address::Socket(*address),
        health: EndpointHealth::Unknown,
        weight: 1,
        labels: BTreeMap::new(),
        workload: None,
    });
    let locality = LocalityEndpoints { endpoints: endpoints.collect(), ..Default::default() };
    Cluster {
        name: name.into(),
        discovery: Discovery::Static(ClusterLoadAssignment {
            cluster_name: name.into(),
            localities: vec![locality],
        }),
        connect_timeout: Duration::from_secs(5),
        lb_policy: LbPolicy::RoundRobin,
        transport: UpstreamTransport::Plaintext,
        transport_matches: Vec::new(),
        circuit: CircuitLimits::default(),
        outlier: None,
        http: UpstreamHttp {
            protocol: UpstreamProtocol::Http1,
            idle_timeout: None,
            max_requests_per_connection: None,
        },
        services: Vec::new(),
        origin: None,
        subset: None,
    }
}
