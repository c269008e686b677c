//! What a question says, and what its answer says, as tables pin it and the portal reads it.

use std::net::SocketAddr;

use serde::Serialize;

/// Where the call enters the proxy.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// At a route configuration, whatever listener uses it.
    RouteConfiguration(&'a str),
    /// As a captured outbound connection to this destination.
    Destination(SocketAddr),
    /// At a listener, as a connection to this destination (`virtualInbound`, gateways).
    Listener(&'a str, SocketAddr),
}

/// What the proxy does with a call, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The listener that takes the connection.
    pub listener: Option<String>,
    /// Its filter chain.
    pub filter_chain: Option<String>,
    /// The route configuration asked.
    pub route_configuration: Option<String>,
    /// The virtual host that owns the authority.
    pub virtual_host: Option<String>,
    /// Routes before the one that matched, and what they missed.
    pub passed_over: Vec<PassedOver>,
    /// The route that matched.
    pub route: Option<RouteRef>,
    /// Fault injection on the way.
    pub fault: Option<FaultShares>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// A route, as a person finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRef {
    /// In its virtual host, from 0.
    pub position: usize,
    /// May be empty.
    pub name: String,
    /// The document it was translated from.
    pub origin: Option<String>,
}

/// A route that did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassedOver {
    /// Which one.
    pub route: RouteRef,
    /// The first condition that does not hold.
    pub missed: String,
}

/// Shares in parts per million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultShares {
    /// Length in milliseconds and share.
    pub delay: Option<(u64, u32)>,
    /// Status and share.
    pub abort: Option<(u16, u32)>,
}

/// What comes of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Sent to a cluster.
    Forward(Box<ForwardOutcome>),
    /// Bytes are passed on as they are.
    Tcp {
        /// One of these.
        clusters: Vec<ClusterShare>,
    },
    /// Answered with a redirect.
    Redirect {
        /// 301 to 308.
        status: u16,
        /// The `location` header.
        location: String,
    },
    /// Answered by the route.
    DirectResponse {
        /// As configured.
        status: u16,
        /// The body's length.
        body_bytes: usize,
    },
    /// Refused.
    Failure {
        /// What the downstream gets.
        status: u16,
        /// Envoy's response flag.
        flag: String,
        /// Envoy's response code detail.
        detail: String,
        /// Who is to blame.
        blame: String,
    },
}

/// A call that is sent on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardOutcome {
    /// One of these.
    pub clusters: Vec<ClusterShare>,
    /// The path sent.
    pub path: String,
    /// The authority sent.
    pub authority: String,
    /// The route's timeout.
    pub timeout_ms: Option<u64>,
    /// The route's idle timeout.
    pub idle_timeout_ms: Option<u64>,
    /// Retries after the first attempt; 0 without a policy.
    pub retries: u32,
    /// Each attempt's timeout.
    pub per_try_timeout_ms: Option<u64>,
    /// Whether a request that may have been processed is ever sent again.
    pub is_idempotent: bool,
    /// Clusters that get copies, with their share in parts per million.
    pub mirrors: Vec<(String, u32)>,
}

/// A cluster and the share of calls it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterShare {
    /// The cluster's name.
    pub name: String,
    /// Its share in parts per million.
    pub per_million: u32,
    /// Whether the proxy knows it; if not, these calls end with 503 and flag `NC`.
    pub is_known: bool,
    /// The document its settings came from.
    pub origin: Option<String>,
    /// Header edits of a request that goes there, in the order they are made.
    pub request_edits: Vec<String>,
}
