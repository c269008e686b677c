//! `envoy.config.route.v3`: virtual hosts, matches and actions.

use std::time::Duration;

use serde::Serialize;

use super::{Fraction, HeaderMutations, StringMatch};

/// A named set of virtual hosts (RDS).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RouteConfiguration {
    /// The RDS name: the port for outbound (`9080`), `inbound|9080||` for inbound.
    pub name: String,
    /// No two may share a domain.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Edits for every request.
    pub request_headers: HeaderMutations,
    /// Edits for every response.
    pub response_headers: HeaderMutations,
    /// Refuse the whole configuration when a route names a cluster that is not there.
    pub validate_clusters: bool,
}

/// Hosts that share routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct VirtualHost {
    /// Unique within the route configuration.
    pub name: String,
    /// Exact `a.b`, suffix `*.b`, prefix `a.*`, or `*`; matched in that order, longest first, case ignored.
    pub domains: Vec<String>,
    /// The first match wins.
    pub routes: Vec<Route>,
    /// Edits for requests to these hosts.
    pub request_headers: HeaderMutations,
    /// Edits for responses from these hosts.
    pub response_headers: HeaderMutations,
    /// For routes that have none of their own.
    pub retry_policy: Option<Box<RetryPolicy>>,
    /// Add `x-envoy-attempt-count` to requests.
    pub include_attempt_count: bool,
}

/// One rule: when, what, and what happens on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Route {
    /// For logs, metrics and explanation; may be empty.
    pub name: String,
    /// The document it was translated from (`metadata.filter_metadata.istio.config`).
    pub origin: Option<String>,
    /// When it applies.
    pub route_match: RouteMatch,
    /// What is done.
    pub action: RouteAction,
    /// Edits for requests.
    pub request_headers: HeaderMutations,
    /// Edits for responses.
    pub response_headers: HeaderMutations,
    /// What takes the place of the fault filter's own settings (`typed_per_filter_config["envoy.filters.http.fault"]`
    /// of the route, else of its virtual host, else of the route configuration).
    pub fault: Option<RouteFault>,
    /// The same for the authorization filter (`typed_per_filter_config["envoy.filters.http.rbac"]`).
    pub authorization: Option<super::RouteAuthorization>,
}

/// Every listed part must match.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RouteMatch {
    /// The path, without query.
    pub path: PathMatch,
    /// Whether path case matters (exact and prefix). Default true.
    pub case_sensitive: bool,
    /// Headers; `:method`, `:authority`, `:path` and `:scheme` are allowed names.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
}

/// `RouteMatch.path_specifier`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum PathMatch {
    /// The path starts with it.
    Prefix(String),
    /// The path is it.
    Exact(String),
    /// The whole path matches (RE2 syntax).
    Regex(String),
    /// The path is it or goes on with `/`.
    PathSeparatedPrefix(String),
    /// The request is a CONNECT, which has no path (`connect_matcher`); nothing else matches one.
    Connect,
}

/// One header condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HeaderMatch {
    /// Lower-case name.
    pub name: String,
    /// What its value must be; several values are joined by `,` first.
    pub kind: HeaderMatchKind,
    /// Turn the answer round.
    pub invert: bool,
    /// Treat an absent header as an empty one.
    pub treat_missing_as_empty: bool,
}

/// `HeaderMatcher.header_match_specifier`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum HeaderMatchKind {
    /// Present (`true`) or absent (`false`).
    Present(bool),
    /// A string condition.
    String(StringMatch),
    /// A decimal integer in `start..end`.
    Range {
        /// First value that matches.
        start: i64,
        /// First value beyond.
        end: i64,
    },
}

/// One query parameter condition; the first value of the name counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct QueryMatch {
    /// The parameter's name, case-sensitive.
    pub name: String,
    /// What is asked of it.
    pub kind: QueryMatchKind,
}

/// `QueryParameterMatcher.query_parameter_match_specifier`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum QueryMatchKind {
    /// Present (`true`) or absent (`false`).
    Present(bool),
    /// A string condition.
    String(StringMatch),
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the variants hold documented types")]
pub enum RouteAction {
    Forward(Box<Forward>),
    Redirect(Box<Redirect>),
    DirectResponse(DirectResponse),
}

/// `RouteAction`: send to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterSpecifier,
    /// From the end of the request to the end of the response; `Some(0)` and `None` mean none
    /// (the decoder turns Envoy's absent field into its default, 15 s).
    pub timeout: Option<Duration>,
    /// No byte either way for this long.
    pub idle_timeout: Option<Duration>,
    /// When to try again.
    pub retry_policy: Option<Box<RetryPolicy>>,
    /// What becomes of the path.
    pub path_rewrite: Option<Box<PathRewrite>>,
    /// What becomes of `Host`.
    pub host_rewrite: Option<String>,
    /// Copies, fire and forget; `Host` gets the suffix `-shadow`.
    pub mirrors: Vec<Mirror>,
    /// Whether `Upgrade: websocket` is accepted; `None` is as the listener says.
    pub websocket: Option<bool>,
    /// What becomes of CONNECT; `None` is as the listener says.
    pub connect: Option<Connect>,
    /// From the beginning of the request to the end of the response, streams included
    /// (`max_stream_duration.max_stream_duration`).
    pub max_stream_duration: Option<Duration>,
    /// How far gRPC's own deadlines go.
    pub grpc_timeout: Option<Box<GrpcTimeout>>,
}

/// `RouteAction.upgrade_configs` for CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Connect {
    /// 403.
    Refuse,
    /// The request goes to the endpoint as it is, and the tunnel through it.
    Forward,
    /// The tunnel ends here, and its bytes go to the endpoint (`connect_config`).
    Terminate,
}

/// `RouteAction.max_stream_duration.grpc_timeout_header_max` and `grpc_timeout_header_offset`, or their older spellings
/// `max_grpc_timeout` and `grpc_timeout_offset`: the deadline that a gRPC client sets takes the place of the route's
/// `timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct GrpcTimeout {
    /// The longest that is granted; zero grants any.
    pub max: Duration,
    /// What is taken off the client's, so that our answer comes before the client gives up.
    pub offset: Duration,
}

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ClusterSpecifier {
    /// Always this one.
    Cluster(String),
    /// By weight; the sum of weights is the whole.
    Weighted(Vec<WeightedCluster>),
}

/// One part of a weighted choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct WeightedCluster {
    /// The cluster's name.
    pub name: String,
    /// Zero never gets traffic.
    pub weight: u32,
    /// Edits for requests that go there.
    pub request_headers: HeaderMutations,
    /// Edits for responses that come from there.
    pub response_headers: HeaderMutations,
}

/// `prefix_rewrite` or `regex_rewrite`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum PathRewrite {
    /// What the match consumed (prefix or exact path) is replaced.
    Prefix(String),
    /// Every match of `pattern` is replaced; `\1` in `substitution` is the first group.
    Regex {
        /// RE2 syntax.
        pattern: String,
        /// With `\0`..`\9`.
        substitution: String,
    },
}

/// `request_mirror_policies`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Mirror {
    /// The cluster that gets copies.
    pub cluster: String,
    /// The share of requests copied.
    pub fraction: Fraction,
}

/// `RedirectAction`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Redirect {
    /// New scheme, or the request's.
    pub scheme: Option<String>,
    /// New host, or the request's.
    pub host: Option<String>,
    /// New port, or the request's.
    pub port: Option<u16>,
    /// New path, or the request's.
    pub path: Option<RedirectPath>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Drop the query.
    pub strip_query: bool,
}

/// What a redirect makes of the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RedirectPath {
    /// The whole path is replaced.
    Full(String),
    /// What the match consumed is replaced.
    Prefix(String),
}

/// `DirectResponseAction`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DirectResponse {
    /// 100–599.
    pub status: u16,
    /// Sent as is.
    pub body: Vec<u8>,
}

/// `RetryPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RetryPolicy {
    /// Any of these makes a failed attempt retriable.
    pub retry_on: Vec<RetryCondition>,
    /// For [`RetryCondition::RetriableStatusCodes`].
    pub retriable_status_codes: Vec<u16>,
    /// Retries after the first attempt.
    pub num_retries: u32,
    /// For each attempt; `None` has only the route's.
    pub per_try_timeout: Option<Duration>,
    /// Base of the fully jittered exponential back-off. Default 25 ms.
    pub back_off_base: Duration,
    /// Its upper bound. Default ten times the base.
    pub back_off_max: Duration,
    /// Do not pick an endpoint that was tried already (`previous_hosts`).
    pub avoid_previous_hosts: bool,
}

/// Envoy's `x-envoy-retry-on` words (and gRPC's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "Envoy's words")]
pub enum RetryCondition {
    ServerError5xx,
    GatewayError,
    Reset,
    ResetBeforeRequest,
    ConnectFailure,
    Retriable4xx,
    RefusedStream,
    RetriableStatusCodes,
    EnvoyRatelimited,
    GrpcCancelled,
    GrpcDeadlineExceeded,
    GrpcInternal,
    GrpcResourceExhausted,
    GrpcUnavailable,
}

/// What a route says to the fault filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum RouteFault {
    /// Nothing is injected (`FilterConfig.disabled`).
    Disabled,
    /// This, in place of the filter's own settings.
    Inject(Box<FaultInjection>),
}

/// `envoy.extensions.filters.http.fault.v3.HTTPFault`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FaultInjection {
    /// Wait before going on.
    pub delay: Option<FaultDelay>,
    /// Answer instead of going on.
    pub abort: Option<FaultAbort>,
}

/// A fixed delay for a share of requests (flag `DI`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FaultDelay {
    /// How long.
    pub fixed: Duration,
    /// For how many.
    pub fraction: Fraction,
}

/// An answer of our own for a share of requests (flag `FI`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FaultAbort {
    /// 200–599.
    pub status: u16,
    /// For how many.
    pub fraction: Fraction,
}
