//! `envoy.filters.network.http_connection_manager`: how a listener reads, routes and answers HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{AccessLog, FaultInjection, RouteConfiguration};

/// `envoy.filters.network.http_connection_manager`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HttpConnectionManager {
    /// Prefix in statistics.
    pub stat_prefix: String,
    /// Which HTTP version is spoken.
    pub codec: Codec,
    /// The route table.
    pub routes: RouteSource,
    /// In order; the last is the router.
    pub http_filters: Vec<HttpFilter>,
    /// Where records go.
    pub access_log: Vec<AccessLog>,
    /// Close a connection without requests after this; `None` is one hour.
    pub idle_timeout: Option<Duration>,
    /// A connection this old ends after the answer that is due (`max_connection_duration`); `None` never.
    pub max_connection_duration: Option<Duration>,
    /// A connection that has carried this many requests ends with the last one's answer; `None` never.
    pub max_requests_per_connection: Option<u32>,
    /// How long a request's head may take to arrive; `None` is the limit of `limits.rs`.
    pub request_headers_timeout: Option<Duration>,
    /// What it sets of the limits on requests and streams.
    pub limits: super::HttpLimits,
    /// Take the connection's address as the client's and set `x-forwarded-for`.
    pub use_remote_address: bool,
    /// Make an `x-request-id` where there is none. Default true.
    pub generate_request_id: bool,
    /// What is done with `x-forwarded-client-cert`.
    pub forward_client_cert: ClientCertForward,
    /// Accept `Upgrade: websocket`, where a route does not say otherwise.
    pub websocket: bool,
    /// Accept CONNECT and pass it on, where a route does not say otherwise (`upgrade_configs`).
    pub connect: bool,
    /// What becomes of `:scheme` (`scheme_header_transformation`).
    pub scheme: SchemeRewrite,
    /// How paths are read, before anything looks at them.
    pub path: super::PathNormalization,
    /// What becomes of a response's `server` header (`server_header_transformation`).
    pub server_header: ServerHeader,
    /// The name that `server` gets where it is written; empty stands for `leno`.
    pub server_name: String,
    /// Appended to `via` of requests and responses; empty appends nothing.
    pub via: String,
    /// Add no `x-envoy-` headers of our own (`Router.suppress_envoy_headers`).
    pub suppress_envoy_headers: bool,
    /// Whether requests leave spans.
    pub tracing: Option<Arc<super::Tracing>>,
}

/// `HttpConnectionManager.scheme_header_transformation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum SchemeRewrite {
    /// What the request says, else whether downstream came with TLS.
    #[default]
    Keep,
    /// Always `http`.
    Http,
    /// Always `https`.
    Https,
    /// Whether the connection to the endpoint has TLS (`match_upstream`).
    MatchUpstream,
}

/// `HttpConnectionManager.server_header_transformation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ServerHeader {
    /// Always ours (Envoy's default).
    Overwrite,
    /// Ours where the upstream sent none.
    AppendIfAbsent,
    /// What the upstream sent, or none.
    PassThrough,
}

/// `HttpConnectionManager.codec_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum Codec {
    /// What ALPN agreed on, else what the first bytes show.
    #[default]
    Auto,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Where the routes of a connection manager come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RouteSource {
    /// A route configuration fetched by name over ADS.
    Rds(String),
    /// Written in place.
    Inline(Arc<RouteConfiguration>),
}

/// One HTTP filter; the filters run in the order of their list, and settings that differ by route are on the route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum HttpFilter {
    /// Delay and abort (`envoy.filters.http.fault`): these, for routes that say nothing of their own. A filter that is
    /// `disabled` has none.
    Fault(Option<FaultInjection>),
    /// Who may do what (`envoy.filters.http.rbac`): this, for routes that say nothing of their own. A filter that is
    /// `disabled` checks nothing.
    Authorization(Box<super::Authorization>),
    /// Istio's metrics (`istio.stats`).
    IstioStats,
    /// Istio's peer metadata exchange over headers (`istio.peer_metadata`).
    PeerMetadata,
    /// Resolves authorities for clusters that go where these say (`envoy.filters.http.dynamic_forward_proxy`).
    DynamicForwardProxy,
    /// Terminal (`envoy.filters.http.router`).
    Router,
}

/// `forward_client_cert_details`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ClientCertForward {
    /// Drop what came, add nothing (default).
    Sanitize,
    /// Drop what came, add the peer's (what Istio's inbound listeners do is `AppendForward`).
    SanitizeSet,
    /// Keep what came and append the peer's.
    AppendForward,
    /// Keep what came.
    ForwardOnly,
}
