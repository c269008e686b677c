//! The smallest resource of each kind: what is not an argument has Envoy's default. Callers change what they want
//! otherwise by struct update or assignment.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    CircuitLimits, ClientCertForward, Cluster, ClusterSpecifier, Codec, Discovery, FilterChain,
    FilterChainMatch, Forward, HeaderMutations, HttpConnectionManager, HttpFilter, HttpLimits,
    LbPolicy, Listener, NetworkFilter, PathMatch, PathNormalization, Route, RouteAction,
    RouteConfiguration, RouteMatch, RouteSource, SchemeRewrite, ServerHeader, TcpProxy,
    TrafficDirection, UpstreamHttp, UpstreamProtocol, UpstreamTransport, VirtualHost,
};

/// Envoy's default for the time a request may take and for what listener filters may wait.
const FIFTEEN_SECONDS: Duration = Duration::from_secs(15);

impl Listener {
    /// Bound to `address`, with these chains.
    #[must_use]
    pub fn minimal(name: &str, address: SocketAddr, filter_chains: Vec<FilterChain>) -> Self {
        Self {
            name: name.to_owned(),
            address: address.into(),
            additional_addresses: Vec::new(),
            buffer_bytes: None,
            bind_to_port: true,
            use_original_dst: false,
            direction: TrafficDirection::Unspecified,
            listener_filters: Vec::new(),
            listener_filters_timeout: FIFTEEN_SECONDS,
            continue_on_listener_filters_timeout: false,
            filter_chains,
            default_filter_chain: None,
            access_log: Vec::new(),
        }
    }
}

impl FilterChain {
    /// Plaintext, for every connection.
    #[must_use]
    pub fn minimal(name: &str, filter: NetworkFilter) -> Self {
        Self {
            name: name.to_owned(),
            filter_chain_match: FilterChainMatch::default(),
            tls: None,
            connection_limits: Vec::new(),
            authorization: Vec::new(),
            filter,
        }
    }
}

impl HttpConnectionManager {
    /// With the router alone, and no access log.
    #[must_use]
    pub fn minimal(stat_prefix: &str, routes: RouteSource) -> Self {
        Self {
            codec: Codec::Auto,
            stat_prefix: stat_prefix.to_owned(),
            routes,
            http_filters: vec![HttpFilter::Router],
            access_log: Vec::new(),
            idle_timeout: None,
            max_connection_duration: None,
            max_requests_per_connection: None,
            request_headers_timeout: None,
            limits: HttpLimits::default(),
            use_remote_address: false,
            generate_request_id: true,
            forward_client_cert: ClientCertForward::Sanitize,
            websocket: false,
            connect: false,
            scheme: SchemeRewrite::Keep,
            path: PathNormalization::default(),
            server_header: ServerHeader::Overwrite,
            server_name: String::new(),
            via: String::new(),
            suppress_envoy_headers: false,
            tracing: None,
        }
    }
}

impl TcpProxy {
    /// To one cluster.
    #[must_use]
    pub fn minimal(stat_prefix: &str, cluster: &str) -> Self {
        Self {
            stat_prefix: stat_prefix.to_owned(),
            cluster: ClusterSpecifier::Cluster(cluster.to_owned()),
            idle_timeout: None,
            max_connection_duration: None,
            max_connect_attempts: 1,
            tunneling: None,
            access_log: Vec::new(),
        }
    }
}

impl Cluster {
    /// Plaintext HTTP/1.1, in turn.
    #[must_use]
    pub fn minimal(name: &str, discovery: Discovery) -> Self {
        Self {
            name: name.to_owned(),
            discovery,
            connect_timeout: Duration::from_secs(5),
            lb_policy: LbPolicy::RoundRobin,
            transport: UpstreamTransport::Plaintext,
            transport_matches: Vec::new(),
            circuit: CircuitLimits::default(),
            outlier: None,
            buffer_bytes: None,
            http: UpstreamHttp {
                protocol: UpstreamProtocol::Http1,
                idle_timeout: None,
                max_connection_duration: None,
                max_requests_per_connection: None,
                max_concurrent_streams: None,
            },
            services: Vec::new(),
            origin: None,
            subset: None,
        }
    }
}

impl RouteConfiguration {
    /// With these virtual hosts.
    #[must_use]
    pub fn minimal(name: &str, virtual_hosts: Vec<VirtualHost>) -> Self {
        Self {
            name: name.to_owned(),
            virtual_hosts,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            validate_clusters: false,
        }
    }
}

impl VirtualHost {
    /// For these domains.
    #[must_use]
    pub fn minimal(name: &str, domains: &[&str], routes: Vec<Route>) -> Self {
        Self {
            name: name.to_owned(),
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            routes,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            retry_policy: None,
            include_attempt_count: false,
        }
    }
}

impl Route {
    /// For every request with such a path.
    #[must_use]
    pub fn minimal(path: PathMatch, action: RouteAction) -> Self {
        Self {
            name: String::new(),
            origin: None,
            route_match: RouteMatch {
                path,
                case_sensitive: true,
                headers: Vec::new(),
                query: Vec::new(),
            },
            action,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            fault: None,
            authorization: None,
        }
    }
}

impl Forward {
    /// Within 15 seconds, without retries.
    #[must_use]
    pub fn minimal(cluster: ClusterSpecifier) -> Self {
        Self {
            cluster,
            timeout: Some(FIFTEEN_SECONDS),
            idle_timeout: None,
            retry_policy: None,
            path_rewrite: None,
            host_rewrite: None,
            mirrors: Vec::new(),
            websocket: None,
            connect: None,
            max_stream_duration: None,
            grpc_timeout: None,
        }
    }
}
