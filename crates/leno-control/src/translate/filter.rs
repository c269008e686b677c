//! Filters of listeners, the same everywhere.

use std::time::Duration;

use leno_core::config::{
    AccessLog, ClientCertForward, ClusterSpecifier, Codec, HttpConnectionManager, HttpFilter,
    HttpLimits, LogFormat, NetworkFilter, PathNormalization, RouteSource, SchemeRewrite,
    ServerHeader, TcpProxy, TrafficDirection,
};

pub(super) fn http(
    stat_prefix: String,
    routes: RouteSource,
    direction: TrafficDirection,
) -> NetworkFilter {
    NetworkFilter::Http(Box::new(HttpConnectionManager {
        codec: Codec::Auto,
        stat_prefix,
        routes,
        http_filters: vec![
            HttpFilter::PeerMetadata,
            HttpFilter::Fault(None),
            HttpFilter::IstioStats,
            HttpFilter::Router,
        ],
        access_log: access_log(),
        idle_timeout: None,
        request_headers_timeout: None,
        limits: HttpLimits::default(),
        use_remote_address: false,
        generate_request_id: true,
        forward_client_cert: match direction {
            TrafficDirection::Inbound => ClientCertForward::AppendForward,
            TrafficDirection::Outbound | TrafficDirection::Unspecified => {
                ClientCertForward::Sanitize
            }
        },
        websocket: true,
        connect: false,
        scheme: SchemeRewrite::Keep,
        path: PathNormalization::BASE,
        // What a workload says of itself is its own.
        server_header: ServerHeader::PassThrough,
        server_name: String::new(),
        via: String::new(),
        suppress_envoy_headers: false,
        max_connection_duration: None,
        max_requests_per_connection: None,
        tracing: None,
    }))
}

/// The same, for requests that may go where their authority says.
pub(super) fn http_by_authority(stat_prefix: String, routes: RouteSource) -> NetworkFilter {
    let mut filter = http(stat_prefix, routes, TrafficDirection::Outbound);
    if let NetworkFilter::Http(manager) = &mut filter {
        let router = manager.http_filters.len() - 1;
        manager.http_filters.insert(router, HttpFilter::DynamicForwardProxy);
    }
    filter
}

pub(super) fn tcp(
    stat_prefix: String,
    cluster: ClusterSpecifier,
    idle: Option<Duration>,
) -> NetworkFilter {
    NetworkFilter::Tcp(TcpProxy {
        max_connect_attempts: 1,
        tunneling: None,
        stat_prefix,
        cluster,
        idle_timeout: idle,
        max_connection_duration: None,
        access_log: access_log(),
    })
}

/// To one cluster, which is also the prefix of its statistics.
pub(super) fn tcp_to(cluster: &str) -> NetworkFilter {
    tcp(cluster.to_owned(), ClusterSpecifier::Cluster(cluster.to_owned()), None)
}

fn access_log() -> Vec<AccessLog> {
    vec![AccessLog { path: "/dev/stdout".to_owned(), format: LogFormat::Default }]
}
