//! The one table of everything this proxy counts: name, kind and what it means.
//!
//! `istio_*` are Istio's contract (dashboards, Kiali and canary tools query exactly these), `envoy_cluster_*` are
//! Envoy's own names, `leno_*` are ours. A new metric is one line here.

mod authorization;

pub use authorization::{AuthorizationScope, AuthorizationStat};

/// What kind of value a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Envoy's names that break the format's rule (`_total` on counters and nowhere else), so they carry no kind.
    Untyped,
}

impl Kind {
    /// The word after `# TYPE name`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the words")]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// Upper bounds of every histogram: Envoy's defaults (milliseconds for durations, bytes for sizes), as Istio's
/// dashboards assume.
pub const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

macro_rules! metric {
    ($name:ident, $text:literal, $kind:ident, $help:literal) => {
        #[doc = $help]
        pub const $name: Metric = Metric { name: $text, kind: Kind::$kind, help: $help };
    };
}

metric!(
    REQUESTS,
    "istio_requests_total",
    Counter,
    "Requests, by who called whom and how it ended."
);
metric!(
    REQUEST_DURATION,
    "istio_request_duration_milliseconds",
    Histogram,
    "Duration of requests in milliseconds."
);
metric!(REQUEST_BYTES, "istio_request_bytes", Histogram, "Size of requests, heads included.");
metric!(RESPONSE_BYTES, "istio_response_bytes", Histogram, "Size of responses, heads included.");
metric!(
    REQUEST_MESSAGES,
    "istio_request_messages_total",
    Counter,
    "gRPC messages that clients sent."
);
metric!(
    RESPONSE_MESSAGES,
    "istio_response_messages_total",
    Counter,
    "gRPC messages that servers sent."
);
metric!(
    TCP_OPENED,
    "istio_tcp_connections_opened_total",
    Counter,
    "TCP connections that were opened."
);
metric!(
    TCP_CLOSED,
    "istio_tcp_connections_closed_total",
    Counter,
    "TCP connections that were closed."
);
metric!(TCP_SENT, "istio_tcp_sent_bytes_total", Counter, "Bytes sent to the caller over TCP.");
metric!(
    TCP_RECEIVED,
    "istio_tcp_received_bytes_total",
    Counter,
    "Bytes received from the caller over TCP."
);
metric!(BUILD, "istio_build", Gauge, "The component and its version; always 1.");
metric!(
    BLAME,
    "leno_request_blame_total",
    Counter,
    "Failed requests, by whose fault it was and which service was called."
);
metric!(
    SERIES,
    "leno_proxy_series",
    Gauge,
    "Label sets in use, by kind; more than the limit share one."
);

metric!(
    LIMITS_REACHED,
    "leno_limits_reached_total",
    Counter,
    "What was refused, ended or made to wait because a limit was reached, by limit."
);

macro_rules! limits {
    ($($variant:ident = $label:literal, $help:literal;)*) => {
        /// Which limit was reached: the label `limit` of [`LIMITS_REACHED`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum LimitReached {
            $(#[doc = $help] $variant,)*
        }

        impl LimitReached {
            /// Every variant in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The label.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// What was done.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

limits! {
    ProcessConnections = "process_connections", "Accepting waited because the process has all the connections it may have.";
    ListenerConnections = "listener_connections", "A connection was closed because its listener has all it may have.";
    PeerConnections = "peer_connections", "A connection was closed because its peer has all it may have.";
    MemoryReading = "memory_reading", "A connection was not read from for a while because of the memory budget.";
    MemoryStreams = "memory_streams", "A request was refused because of the memory budget.";
    MemoryConnections = "memory_connections", "A connection was refused because of the memory budget.";
    MemoryShed = "memory_shed", "A connection was cut because of the memory budget.";
    RequestHead = "request_head", "A request was refused because its head is too large or has too many fields.";
    SlowHead = "slow_head", "A request was refused because its head took too long.";
    SlowBody = "slow_body", "A request was ended because its body came too slowly.";
    SlowReader = "slow_reader", "A response was ended because nobody took it.";
    Http2 = "http2", "An HTTP/2 connection was ended because its peer went beyond a limit.";
}

macro_rules! stats {
    ($(#[doc = $doc:literal])* $name:ident { $($variant:ident = $text:literal, $kind:ident, $help:literal;)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = $help] $variant,)*
        }

        impl $name {
            /// Every variant in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Their lines of the table, in the order of the variants.
            pub const TABLE: &[Metric] =
                &[$(Metric { name: $text, kind: Kind::$kind, help: $help },)*];
        }
    };
}

stats! {
    /// What is counted per cluster (label `cluster_name`), under Envoy's names.
    ClusterStat {
        CxTotal = "envoy_cluster_upstream_cx_total", Counter, "Connections that were opened.";
        CxHttp2Total = "envoy_cluster_upstream_cx_http2_total", Counter, "Connections that were opened and carry HTTP/2.";
        CxActive = "envoy_cluster_upstream_cx_active", Gauge, "Connections that are open.";
        CxConnectFail = "envoy_cluster_upstream_cx_connect_fail", Untyped, "Connections that could not be opened.";
        CxConnectTimeout = "envoy_cluster_upstream_cx_connect_timeout", Untyped, "Connections that took too long to open.";
        CxMaxDurationReached = "envoy_cluster_upstream_cx_max_duration_reached", Untyped, "Connections that ended because of their age.";
        CxOverflow = "envoy_cluster_upstream_cx_overflow", Untyped, "Connections refused by the circuit limit.";
        RqTotal = "envoy_cluster_upstream_rq_total", Counter, "Tries that were sent, retries included.";
        RqActive = "envoy_cluster_upstream_rq_active", Gauge, "Requests in flight.";
        RqPendingActive = "envoy_cluster_upstream_rq_pending_active", Gauge, "Requests that wait for a connection.";
        RqPendingOverflow = "envoy_cluster_upstream_rq_pending_overflow", Untyped, "Requests refused by a circuit limit.";
        RqTimeout = "envoy_cluster_upstream_rq_timeout", Untyped, "Requests whose timeout passed.";
        RqPerTryTimeout = "envoy_cluster_upstream_rq_per_try_timeout", Untyped, "Tries whose timeout passed.";
        RqRetry = "envoy_cluster_upstream_rq_retry", Untyped, "Retries.";
        RqRetrySuccess = "envoy_cluster_upstream_rq_retry_success", Untyped, "Retries that succeeded.";
        RqRetryOverflow = "envoy_cluster_upstream_rq_retry_overflow", Untyped, "Retries refused by the retry budget or limit.";
        RqRetryLimitExceeded = "envoy_cluster_upstream_rq_retry_limit_exceeded", Untyped, "Requests that used up their attempts.";
        EjectionsActive = "envoy_cluster_outlier_detection_ejections_active", Gauge, "Endpoints that are ejected.";
        EjectionsTotal = "envoy_cluster_outlier_detection_ejections_enforced_total", Counter, "Ejections.";
        EjectionsConsecutive5xx = "envoy_cluster_outlier_detection_ejections_enforced_consecutive_5xx", Untyped, "Ejections after consecutive failures.";
        EjectionsGateway = "envoy_cluster_outlier_detection_ejections_enforced_consecutive_gateway_failure", Untyped, "Ejections after consecutive gateway failures.";
        EjectionsOverflow = "envoy_cluster_outlier_detection_ejections_overflow", Untyped, "Ejections not done because too many are ejected.";
        MembershipTotal = "envoy_cluster_membership_total", Untyped, "Endpoints, ejected ones included.";
        MembershipHealthy = "envoy_cluster_membership_healthy", Gauge, "Endpoints that may be picked.";
    }
}

stats! {
    /// What is counted once per process.
    ProcessStat {
        SnapshotRevision = "leno_snapshot_revision", Gauge, "The revision in force.";
        SnapshotUpdates = "leno_snapshot_updates_total", Counter, "Snapshots that were put in force.";
        SnapshotRejections = "leno_snapshot_rejections_total", Counter, "Updates that were refused; the last good one stayed in force.";
        ControlConnected = "leno_control_connected", Gauge, "Whether the control plane is reached: 1 or 0.";
        CertificateExpiry = "leno_certificate_expiry_timestamp_seconds", Gauge, "When our certificate expires, in Unix time; 0 without one.";
        CertificateRenewals = "leno_certificate_renewals_total", Counter, "Certificates received.";
        CertificateRenewalFailures = "leno_certificate_renewal_failures_total", Counter, "Renewals that did not succeed and were tried again.";
        TlsHandshakeFailures = "leno_tls_handshake_failures_total", Counter, "TLS handshakes that failed, on either side.";
        DownstreamConnections = "leno_downstream_connections", Gauge, "Downstream connections that are open.";
        DownstreamRefused = "leno_downstream_connections_refused_total", Counter, "Downstream connections closed because of a limit.";
        MemoryHeld = "leno_memory_held_bytes", Gauge, "What connections make this process hold, as its memory budget counts it.";
        MemoryBudget = "leno_memory_budget_bytes", Gauge, "What they may make it hold.";
        MemoryGrade = "leno_memory_grade", Gauge, "What is done about it: 0 nothing, 1 reading stops, 2 new streams are refused, 3 connections are shed.";
        DownstreamUnmatched = "leno_downstream_unmatched_total", Counter, "Downstream connections that no filter chain took.";
        ProxyProtocolErrors = "leno_proxy_protocol_errors_total", Counter, "Downstream connections without the PROXY protocol header that is expected.";
        Detections = "leno_protocol_detections_total", Counter, "Connections whose protocol was told from their first bytes.";
        DetectedServerFirst = "leno_protocol_server_first_total", Counter, "Connections on which the server spoke first.";
        DetectionTimeouts = "leno_protocol_detection_timeouts_total", Counter, "Connections on which neither side said enough in time.";
        LearnedDestinations = "leno_protocol_destinations", Gauge, "Destinations of which is known what they speak.";
        AccessLogDropped = "leno_access_log_dropped_total", Counter, "Access records dropped because the sink stalled.";
        SpansExported = "leno_spans_exported_total", Counter, "Spans that a collector took.";
        SpansDropped = "leno_spans_dropped_total", Counter, "Spans dropped because the queue was full or the collector did not take them.";
        MisspeltHeads = "leno_http2_misspelt_heads_total", Counter, "Heads of other proxies that said to be spelt in a way that they could not be.";
        ExchangePanics = "leno_exchange_panics_total", Counter, "Connections closed because of a defect of ours.";
    }
}

/// Connections that a connection limit filter sees, those it is about to close included.
pub(crate) static LIMITED_ACTIVE: Metric = Metric {
    name: "envoy_connection_limit_active_connections",
    kind: Kind::Gauge,
    help: "Connections at a connection limit, those that are held beyond it included.",
};

/// Connections that such a filter closes.
pub(crate) static LIMITED: Metric = Metric {
    name: "envoy_connection_limit_limited_connections",
    kind: Kind::Untyped,
    help: "Connections closed because a connection limit was reached.",
};

/// Every metric, in the order of exposition.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    const OWN: &[Metric] = &[
        REQUESTS,
        REQUEST_DURATION,
        REQUEST_BYTES,
        RESPONSE_BYTES,
        REQUEST_MESSAGES,
        RESPONSE_MESSAGES,
        TCP_OPENED,
        TCP_CLOSED,
        TCP_SENT,
        TCP_RECEIVED,
        BUILD,
        BLAME,
        SERIES,
        LIMITS_REACHED,
    ];
    let scopes = [AuthorizationScope::Requests, AuthorizationScope::Connections];
    let authorized = scopes.into_iter().flat_map(AuthorizationScope::table);
    let filters = authorized.chain([&LIMITED_ACTIVE, &LIMITED]);
    OWN.iter().chain(ClusterStat::TABLE).chain(filters).chain(ProcessStat::TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_their_kind() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in all() {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            let is_total = metric.name.ends_with("_total");
            if metric.kind != Kind::Untyped {
                assert_eq!(is_total, metric.kind == Kind::Counter, "{}", metric.name);
            }
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
