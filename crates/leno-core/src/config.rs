//! What one proxy was told, before it is compiled: a plain model of Envoy's v3 resources.
//!
//! xDS bytes, the static file and the control plane's translation all become these values; [`crate`]'s compile step
//! turns them into what a request sees. Names and meanings are Envoy's. Values may still be wrong (an unknown
//! cluster, a bad regex): nothing here is checked, everything can be compared, hashed and printed.

mod access_log;
mod authorization;
mod cluster;
mod connection_manager;
mod endpoint;
mod http_limits;
mod listener;
mod minimal;
mod path;
mod route;
mod tracing;
mod value;

pub use access_log::{AccessLog, JsonTemplate, LogFormat};
pub use authorization::{
    Authorization, AuthorizationAction, AuthorizationRules, ConnectionAuthorization, Enforcement,
    Permission, Policy, Principal, RouteAuthorization,
};
pub use cluster::{
    CircuitLimits, Cluster, Discovery, LbPolicy, OutlierDetection, ProxyProtocolVersion,
    RetryBudget, ServiceRef, TransportMatch, UpstreamHttp, UpstreamProtocol, UpstreamTls,
    UpstreamTransport,
};
pub use connection_manager::{
    ClientCertForward, Codec, HttpConnectionManager, HttpFilter, RouteSource, SchemeRewrite,
    ServerHeader,
};
pub use endpoint::{
    ClusterLoadAssignment, EndpointHealth, LbEndpoint, Locality, LocalityEndpoints, WorkloadRef,
};
pub use http_limits::HttpLimits;
pub use listener::{
    ConnectionLimit, DownstreamTls, FilterChain, FilterChainMatch, Listener, ListenerAddress,
    ListenerFilter, NetworkFilter, TcpProxy, TlsVersion, TlsVersions, TrafficDirection,
    TransportProtocol, Tunneling,
};
pub use path::{EscapedSlashes, PathNormalization};
pub use route::{
    ClusterSpecifier, Connect, DirectResponse, FaultAbort, FaultDelay, FaultInjection, Forward,
    GrpcTimeout, HeaderMatch, HeaderMatchKind, Mirror, PathMatch, PathRewrite, QueryMatch,
    QueryMatchKind, Redirect, RedirectPath, RetryCondition, RetryPolicy, Route, RouteAction,
    RouteConfiguration, RouteFault, RouteMatch, VirtualHost, WeightedCluster,
};
pub use tracing::{Otlp, TraceProvider, Tracing};
pub use value::{
    Address, Fraction, HeaderEdit, HeaderMutation, HeaderMutationLists, HeaderMutations,
    InternalAddress, StringMatch, StringPattern,
};
