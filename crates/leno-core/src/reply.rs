//! Everything that can go wrong with one request, and the one table that says what follows from it.
//!
//! Status, Envoy's response flag and detail, whether a second attempt is safe, and who is to blame are decided here and
//! nowhere else. The sets are closed: a new failure does not compile without its line in the table.
#![deny(clippy::wildcard_enum_match_arm)]

mod blame;

use std::fmt;

pub use blame::{Blame, Side};

/// Why a request did not get its answer from an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The route configuration was not delivered yet.
    RouteConfigurationNotFound,
    /// No virtual host or no route matches.
    RouteNotFound,
    /// No filter chain takes the connection.
    FilterChainNotFound,
    /// The route names a cluster that is not there.
    ClusterNotFound,
    /// No endpoint may be used.
    NoHealthyUpstream,
    /// The endpoint refused the connection or cannot be reached.
    ConnectFailure,
    /// The endpoint did not answer the connect in time.
    ConnectTimeout,
    /// The TLS handshake failed, or the peer is not who it should be.
    TlsFailure,
    /// The connection broke before any byte of the request was sent.
    ResetBeforeRequest,
    /// The endpoint closed the connection before it answered.
    ConnectionTermination,
    /// The endpoint closed the connection in the middle of its answer.
    ConnectionTerminationInResponse,
    /// The endpoint reset the stream.
    RemoteReset,
    /// The endpoint refused the stream.
    RefusedStream,
    /// We reset the stream.
    LocalReset,
    /// The endpoint's answer is not HTTP.
    UpstreamProtocolError,
    /// The route's timeout ran out.
    ResponseTimeout,
    /// The whole exchange took longer than it may, whatever moved.
    DurationTimeout,
    /// The attempt's timeout ran out, and there is no further attempt.
    PerTryTimeout,
    /// Nothing moved for too long.
    StreamIdleTimeout,
    /// A circuit limit of the cluster is reached.
    Overflow,
    /// Fault injection answered.
    FaultAbort,
    /// The downstream went away.
    DownstreamDisconnect,
    /// What the downstream sent is not HTTP.
    DownstreamProtocolError,
    /// The downstream's headers are too large.
    HeadersTooLarge,
    /// The downstream's body is larger than the proxy may hold.
    PayloadTooLarge,
    /// The downstream's head did not arrive in time.
    RequestHeaderTimeout,
    /// The downstream's body did not arrive in time.
    RequestTimeout,
    /// There is no `Host` or `:authority`.
    MissingHost,
    /// A path that the listener refuses to read.
    PathRefused,
    /// An upgrade that is not allowed here.
    UpgradeNotAllowed,
    /// Authorization denied it.
    AuthorizationDenied,
    /// A rate limit denied it.
    RateLimited,
    /// The proxy itself is at one of its limits.
    Overload,
    /// The cluster's name does not resolve.
    DnsResolution,
    /// The TLS handshake with the downstream failed, or it is not who it should be.
    DownstreamTlsFailure,
    /// The downstream did not begin with the PROXY protocol header that is expected.
    ProxyProtocolError,
    /// The downstream did not say in time what the listener filters ask for.
    InspectionTimeout,
}

/// Every failure, for tables and documentation.
pub const ALL: [Failure; 37] = [
    Failure::RouteConfigurationNotFound,
    Failure::RouteNotFound,
    Failure::FilterChainNotFound,
    Failure::ClusterNotFound,
    Failure::NoHealthyUpstream,
    Failure::ConnectFailure,
    Failure::ConnectTimeout,
    Failure::TlsFailure,
    Failure::ResetBeforeRequest,
    Failure::ConnectionTermination,
    Failure::ConnectionTerminationInResponse,
    Failure::RemoteReset,
    Failure::RefusedStream,
    Failure::LocalReset,
    Failure::UpstreamProtocolError,
    Failure::ResponseTimeout,
    Failure::DurationTimeout,
    Failure::PerTryTimeout,
    Failure::StreamIdleTimeout,
    Failure::Overflow,
    Failure::FaultAbort,
    Failure::DownstreamDisconnect,
    Failure::DownstreamProtocolError,
    Failure::HeadersTooLarge,
    Failure::PayloadTooLarge,
    Failure::RequestHeaderTimeout,
    Failure::RequestTimeout,
    Failure::MissingHost,
    Failure::PathRefused,
    Failure::UpgradeNotAllowed,
    Failure::AuthorizationDenied,
    Failure::RateLimited,
    Failure::Overload,
    Failure::DnsResolution,
    Failure::DownstreamTlsFailure,
    Failure::ProxyProtocolError,
    Failure::InspectionTimeout,
];

/// Everything the proxy does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// What the downstream gets; 0 where nobody is left to get it. A fault's own status replaces it.
    pub status: u16,
    /// Envoy's response flag in the access log; empty is none.
    pub flag: &'static str,
    /// Envoy's response code detail.
    pub detail: &'static str,
    /// Whether the request may be sent again.
    pub replay: Replay,
    blame_outbound: Blame,
    blame_inbound: Blame,
}

/// Whether a second attempt can repeat an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Another attempt would end the same way, or nobody waits for it.
    Never,
    /// Nothing was processed: any request may be sent again.
    Safe,
    /// It may have been processed: only idempotent requests may be sent again.
    IfIdempotent,
}

impl Reaction {
    /// Who is to blame, seen from one side: what breaks behind an inbound proxy is the workload itself.
    #[must_use]
    pub fn blame(&self, side: Side) -> Blame {
        match side {
            Side::Outbound => self.blame_outbound,
            Side::Inbound => self.blame_inbound,
        }
    }
}

/// Response code details of answers that are no failure.
pub mod details {
    /// The answer came from an endpoint.
    pub const VIA_UPSTREAM: &str = "via_upstream";
    /// The route answered.
    pub const DIRECT_RESPONSE: &str = "direct_response";
    /// The client was sent to its path without escaped slashes.
    pub const PATH_REDIRECT: &str = "path_normalization_redirect";
}

impl Failure {
    /// The table.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each failure")]
    pub fn reaction(self) -> Reaction {
        use Blame::{App, ClientProxy, Config, Network, Policy, ServerProxy};
        use Replay::{IfIdempotent, Never, Safe};
        // status, flag, detail, replay, blame outbound, blame inbound
        let (status, flag, detail, replay, blame_outbound, blame_inbound) = match self {
            Self::RouteConfigurationNotFound => {
                (404, "NR", "route_configuration_not_found", Never, Config, Config)
            }
            Self::RouteNotFound => (404, "NR", "route_not_found", Never, Config, Config),
            Self::FilterChainNotFound => (0, "NR", "filter_chain_not_found", Never, Config, Config),
            Self::ClusterNotFound => (503, "NC", "cluster_not_found", Never, Config, Config),
            Self::NoHealthyUpstream => (503, "UH", "no_healthy_upstream", Never, App, App),
            Self::ConnectFailure => (
                503,
                "UF",
                "upstream_reset_before_response_started{remote_connection_failure}",
                Safe,
                Network,
                App,
            ),
            Self::ConnectTimeout => (
                503,
                "UF",
                "upstream_reset_before_response_started{connection_timeout}",
                Safe,
                Network,
                App,
            ),
            Self::TlsFailure => (
                503,
                "UF",
                "upstream_reset_before_response_started{remote_connection_failure|TLS_error}",
                Safe,
                Policy,
                Policy,
            ),
            Self::ResetBeforeRequest => (
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
                Safe,
                Network,
                App,
            ),
            Self::ConnectionTermination => (
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}",
                IfIdempotent,
                ServerProxy,
                App,
            ),
            Self::ConnectionTerminationInResponse => (
                0,
                "UC",
                "upstream_reset_after_response_started{connection_termination}",
                Never,
                ServerProxy,
                App,
            ),
            Self::RemoteReset => (
                503,
                "UR",
                "upstream_reset_before_response_started{remote_reset}",
                IfIdempotent,
                ServerProxy,
                App,
            ),
            Self::RefusedStream => (
                503,
                "UR",
                "upstream_reset_before_response_started{remote_refused_stream_reset}",
                Safe,
                ServerProxy,
                App,
            ),
            Self::LocalReset => (
                503,
                "LR",
                "upstream_reset_before_response_started{local_reset}",
                IfIdempotent,
                ClientProxy,
                ServerProxy,
            ),
            Self::UpstreamProtocolError => (
                502,
                "UPE",
                "upstream_reset_before_response_started{protocol_error}",
                IfIdempotent,
                App,
                App,
            ),
            Self::ResponseTimeout => (504, "UT", "response_timeout", Never, App, App),
            Self::DurationTimeout => (504, "", "max_duration_timeout", Never, App, App),
            Self::PerTryTimeout => (504, "UT", "upstream_per_try_timeout", IfIdempotent, App, App),
            Self::StreamIdleTimeout => (504, "SI", "stream_idle_timeout", Never, App, App),
            Self::Overflow => (
                503,
                "UO",
                "upstream_reset_before_response_started{overflow}",
                Never,
                Policy,
                Policy,
            ),
            Self::FaultAbort => (503, "FI", "fault_filter_abort", Never, Config, Config),
            Self::DownstreamDisconnect => {
                (0, "DC", "downstream_remote_disconnect", Never, App, ClientProxy)
            }
            Self::DownstreamProtocolError => {
                (400, "DPE", "http1.codec_error", Never, App, ClientProxy)
            }
            Self::HeadersTooLarge => (431, "DPE", "request_headers_too_large", Never, App, App),
            Self::PayloadTooLarge => (413, "", "request_payload_too_large", Never, App, App),
            Self::RequestTimeout => (408, "", "request_overall_timeout", Never, App, Network),
            Self::RequestHeaderTimeout => {
                (408, "", "request_header_timeout", Never, App, ClientProxy)
            }
            Self::MissingHost => (400, "", "missing_host_header", Never, App, App),
            Self::PathRefused => (400, "", "path_normalization_failed", Never, App, ClientProxy),
            Self::UpgradeNotAllowed => (403, "", "upgrade_failed", Never, Config, Config),
            Self::AuthorizationDenied => (403, "", "rbac_access_denied", Never, Policy, Policy),
            Self::RateLimited => (429, "RL", "request_rate_limited", Never, Policy, Policy),
            Self::Overload => (503, "OM", "overload", Never, ClientProxy, ServerProxy),
            Self::DnsResolution => (503, "DF", "dns_resolution_failure", Safe, Config, Config),
            Self::DownstreamTlsFailure => (0, "DPE", "downstream_tls_error", Never, Policy, Policy),
            Self::ProxyProtocolError => {
                (0, "DPE", "downstream_proxy_protocol_error", Never, Config, Config)
            }
            Self::InspectionTimeout => (0, "", "listener_filters_timeout", Never, App, ClientProxy),
        };
        Reaction { status, flag, detail, replay, blame_outbound, blame_inbound }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reaction { status, flag, detail, .. } = self.reaction();
        write!(f, "{detail} ({status} {flag})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_of_all_names_each_failure_once() {
        assert_eq!(ALL.iter().collect::<HashSet<_>>().len(), ALL.len());
    }

    #[test]
    fn statuses_flags_and_details_are_well_formed() {
        // Envoy's flags: docs "Access logging", %RESPONSE_FLAGS%.
        let known = ["", "NR", "NC", "UH", "UF", "UC", "UR", "LR", "UPE", "UT", "SI", "UO", "FI"];
        let known: HashSet<&str> =
            known.into_iter().chain(["DC", "DPE", "RL", "OM", "DF"]).collect();
        for failure in ALL {
            let reaction = failure.reaction();
            assert!(reaction.status == 0 || (400..600).contains(&reaction.status), "{failure:?}");
            assert!(known.contains(reaction.flag), "{failure:?}");
            assert!(!reaction.detail.contains(char::is_whitespace), "{failure:?}");
        }
    }

    #[test]
    fn what_users_read_in_records() {
        // (failure, status, flag, blame outbound, blame inbound)
        let table = [
            (Failure::RouteNotFound, 404, "NR", "config", "config"),
            (Failure::ClusterNotFound, 503, "NC", "config", "config"),
            (Failure::NoHealthyUpstream, 503, "UH", "app", "app"),
            (Failure::ConnectFailure, 503, "UF", "network", "app"),
            (Failure::Overflow, 503, "UO", "policy", "policy"),
            (Failure::ResponseTimeout, 504, "UT", "app", "app"),
            (Failure::FaultAbort, 503, "FI", "config", "config"),
            (Failure::DownstreamDisconnect, 0, "DC", "app", "client-proxy"),
            (Failure::Overload, 503, "OM", "client-proxy", "server-proxy"),
        ];
        for (failure, status, flag, outbound, inbound) in table {
            let reaction = failure.reaction();
            assert_eq!((reaction.status, reaction.flag), (status, flag), "{failure:?}");
            assert_eq!(reaction.blame(Side::Outbound).as_str(), outbound, "{failure:?}");
            assert_eq!(reaction.blame(Side::Inbound).as_str(), inbound, "{failure:?}");
        }
    }
}
