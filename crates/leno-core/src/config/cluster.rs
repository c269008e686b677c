//! `envoy.config.cluster.v3.Cluster`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{ClusterLoadAssignment, StringMatch, TlsVersions};

/// A named set of endpoints and how to talk to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Cluster {
    /// Unique per proxy; Istio's form is `outbound|PORT|SUBSET|HOST`.
    pub name: String,
    /// Where endpoints come from.
    pub discovery: Discovery,
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How an endpoint is picked.
    pub lb_policy: LbPolicy,
    /// Plaintext or TLS, for endpoints that no `transport_matches` entry fits.
    pub transport: UpstreamTransport,
    /// The first entry whose labels an endpoint carries decides its transport (auto mTLS: `tlsMode: istio`).
    pub transport_matches: Vec<TransportMatch>,
    /// Default-priority circuit breaker.
    pub circuit: CircuitLimits,
    /// Passive health.
    pub outlier: Option<Box<OutlierDetection>>,
    /// How many bytes are held of what an upstream connection brings, softly (`per_connection_buffer_limit_bytes`). `None`
    /// leaves it to the proxy's own limits, which hold anyway.
    pub buffer_bytes: Option<u32>,
    /// HTTP settings.
    pub http: UpstreamHttp,
    /// The services it stands for (`metadata.filter_metadata.istio.services`).
    pub services: Vec<ServiceRef>,
    /// The document its settings came from (`metadata.filter_metadata.istio.config`).
    pub origin: Option<String>,
    /// The subset's name (`metadata.filter_metadata.istio.subset`).
    pub subset: Option<String>,
}

/// `Cluster.type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Discovery {
    /// By EDS; `None` asks for the cluster's own name.
    Eds {
        /// The name asked for.
        service_name: Option<String>,
    },
    /// Written in place. Shared with what is compiled from it.
    Static(Arc<ClusterLoadAssignment>),
    /// Every address of every name is an endpoint.
    StrictDns(Arc<ClusterLoadAssignment>),
    /// The first address of the one name.
    LogicalDns(Arc<ClusterLoadAssignment>),
    /// The connection's original destination (passthrough).
    OriginalDst {
        /// The port that takes the place of the destination's (`original_dst_lb_config.upstream_port_override`).
        port: Option<u16>,
    },
    /// Where the request's own authority says, resolved by the proxy (`envoy.clusters.dynamic_forward_proxy`).
    DynamicForwardProxy,
}

/// `Cluster.lb_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum LbPolicy {
    /// Weighted, one after another.
    RoundRobin,
    /// The least busy of `choices` picked at random (P2C with two).
    LeastRequest {
        /// At least two.
        choices: u32,
    },
    /// Weighted, at random.
    Random,
    /// The original destination decides (`CLUSTER_PROVIDED`).
    ClusterProvided,
}

/// `Cluster.transport_socket`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the variants hold documented types")]
pub enum UpstreamTransport {
    Plaintext,
    /// To a listener of the same proxy, which is told where the connection goes
    /// (`envoy.transport_sockets.internal_upstream` over plaintext).
    Internal,
    Tls(Box<UpstreamTls>),
    /// A PROXY protocol header names the downstream connection's ends, before TLS and everything else
    /// (`envoy.transport_sockets.upstream_proxy_protocol`). Such a connection serves one downstream connection only.
    ProxyProtocol {
        version: ProxyProtocolVersion,
        /// `None` is plaintext.
        tls: Option<Box<UpstreamTls>>,
    },
}

impl UpstreamTransport {
    /// The TLS settings, if there is TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&UpstreamTls> {
        match self {
            Self::Plaintext | Self::Internal => None,
            Self::Tls(tls) => Some(tls),
            Self::ProxyProtocol { tls, .. } => tls.as_deref(),
        }
    }
}

/// `ProxyProtocolConfig.Version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ProxyProtocolVersion {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// `Cluster.transport_socket_matches`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TransportMatch {
    /// For explanation.
    pub name: String,
    /// All must be on the endpoint (`filter_metadata["envoy.transport_socket_match"]`); empty fits all.
    pub labels: BTreeMap<String, String>,
    /// What is then used.
    pub transport: UpstreamTransport,
}

/// `UpstreamTlsContext`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// Server name sent; `None` sends none.
    pub sni: Option<String>,
    /// ALPN offered; Istio's mesh values are `istio`, `istio-http/1.1`.
    pub alpn: Vec<String>,
    /// Secret with our certificate; `None` is one-way TLS.
    pub certificate: Option<String>,
    /// Secret with the bundle the peer is verified with; `None` uses the system's roots.
    pub trust_bundle: Option<String>,
    /// SANs, one of which the peer must have (`spiffe://…` or DNS names); empty accepts any of the bundle.
    pub peer_sans: Vec<StringMatch>,
    /// Which versions are spoken.
    pub versions: TlsVersions,
}

/// `CircuitBreakers.Thresholds`; `None` is Envoy's default (1024; retries 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CircuitLimits {
    /// Connections to the cluster.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests in flight.
    pub max_requests: Option<u32>,
    /// Retries in flight; ignored where a budget is set.
    pub max_retries: Option<u32>,
    /// Retries as a share of what is in flight.
    pub retry_budget: Option<RetryBudget>,
}

/// `RetryBudget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RetryBudget {
    /// Hundredths of a percent of active and pending requests; Envoy's 20 % is 2000.
    pub per_ten_thousand: u32,
    /// Retries that are always allowed at once.
    pub min_concurrency: u32,
}

/// `OutlierDetection`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct OutlierDetection {
    /// 5xx (and connect failures, time-outs, resets) in a row; 0 turns it off. Default 5.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 in a row; 0 turns it off. Default 0 (off).
    pub consecutive_gateway_failure: u32,
    /// How often ejections are looked at. Default 10 s.
    pub interval: Duration,
    /// First ejection's length; the n-th is n times as long. Default 30 s.
    pub base_ejection_time: Duration,
    /// Upper bound of an ejection. Default 300 s.
    pub max_ejection_time: Duration,
    /// At most this share ejected at once, but always at least one. Default 10.
    pub max_ejection_percent: u32,
    /// Below this share of healthy endpoints nothing is ejected and all are used. Default 0.
    pub min_health_percent: u32,
}

/// `HttpProtocolOptions` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamHttp {
    /// Which version is spoken.
    pub protocol: UpstreamProtocol,
    /// An idle connection is closed after this; `None` is one hour.
    pub idle_timeout: Option<Duration>,
    /// A connection this old carries no further request and ends after those it carries; `None` never.
    pub max_connection_duration: Option<Duration>,
    /// A connection is retired after so many requests; `None` never.
    pub max_requests_per_connection: Option<u32>,
    /// Requests one HTTP/2 connection carries at once, where the endpoint would take more; `None` is what it takes.
    pub max_concurrent_streams: Option<u32>,
}

/// Which HTTP version an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "protocol names")]
pub enum UpstreamProtocol {
    Http1,
    Http2,
    /// The downstream's version (`use_downstream_protocol_config`).
    Downstream,
    /// What the TLS handshake agrees on by ALPN, HTTP/1.1 without (`auto_config`).
    Negotiated,
}

/// A service as the user named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ServiceRef {
    /// Fully qualified host.
    pub host: String,
    /// Short name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
}
