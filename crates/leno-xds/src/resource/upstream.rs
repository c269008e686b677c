//! What a cluster says about its connections: circuit breaker, passive health, HTTP version.

use std::time::Duration;

use leno_core::config::{
    CircuitLimits, OutlierDetection, RetryBudget, UpstreamHttp, UpstreamProtocol,
};

use super::value;
use crate::read::{Names, Reader};
use crate::wire::Writer;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Statistics, and a limit on pools that are not limited.
const HARMLESS_CIRCUIT: &Names = &[(6, "track_remaining"), (7, "max_connection_pools")];

/// Ejection by success rate and by failure percentage is off; jitter and unejection by active checks do not apply.
const HARMLESS_OUTLIER: &Names = &[
    (6, "enforcing_success_rate"),
    (7, "success_rate_minimum_hosts"),
    (8, "success_rate_request_volume"),
    (9, "success_rate_stdev_factor"),
    (15, "enforcing_local_origin_success_rate"),
    (22, "max_ejection_time_jitter"),
    (23, "successful_active_health_check_uneject_host"),
    (25, "always_eject_one_host"),
];

/// Limits of our own apply to heads and connections; frame sizes and windows are ours.
pub(super) const HARMLESS_HTTP: &Names =
    &[(7, "max_response_headers_kb"), (8, "max_connection_duration_jitter")];

/// `CircuitBreakers`.
pub(crate) fn circuit(r: &mut Reader<'_, '_>) -> CircuitLimits {
    let thresholds = r.message(10, "circuit_breakers", |r| {
        r.messages(1, "thresholds", |r| {
            let high = r.choice(1, "priority", &[(0, "DEFAULT", false), (1, "HIGH", true)]);
            r.harmless(HARMLESS_CIRCUIT);
            let limits = CircuitLimits {
                max_connections: r.wrapped_u32(2, "max_connections"),
                max_pending_requests: r.wrapped_u32(3, "max_pending_requests"),
                max_requests: r.wrapped_u32(4, "max_requests"),
                max_retries: r.wrapped_u32(5, "max_retries"),
                retry_budget: r.message(8, "retry_budget", retry_budget),
            };
            // Nothing is ever sent with high priority: a route that asks for it is refused.
            (!high.unwrap_or(false)).then_some(limits)
        })
    });
    let mut limits = thresholds.unwrap_or_default().into_iter().flatten();
    let first = limits.next().unwrap_or_default();
    if limits.next().is_some() {
        r.problem_at("circuit_breakers.thresholds", "names the default priority twice");
    }
    first
}

fn retry_budget(r: &mut Reader<'_, '_>) -> RetryBudget {
    r.harmless(&[(3, "budget_interval")]);
    RetryBudget {
        per_ten_thousand: r.message(1, "budget_percent", value::percent).unwrap_or(2_000),
        min_concurrency: r.wrapped_u32(2, "min_retry_concurrency").unwrap_or(3),
    }
}

pub(crate) fn write_circuit(w: &mut Writer, limits: &CircuitLimits) {
    if *limits == CircuitLimits::default() {
        return;
    }
    let write = |w: &mut Writer| {
        w.wrapped(2, limits.max_connections);
        w.wrapped(3, limits.max_pending_requests);
        w.wrapped(4, limits.max_requests);
        w.wrapped(5, limits.max_retries);
        if let Some(budget) = &limits.retry_budget {
            w.message(8, |w| {
                value::write_percent(w, 1, budget.per_ten_thousand);
                w.wrapped(2, Some(budget.min_concurrency));
            });
        }
    };
    w.message(10, |w| w.message(1, write));
}

/// `OutlierDetection`; `panic` is the cluster's panic threshold in percent.
pub(crate) fn outlier(r: &mut Reader<'_, '_>, panic: u32) -> OutlierDetection {
    r.harmless(HARMLESS_OUTLIER);
    let seconds = Duration::from_secs;
    // Envoy counts gateway failures but does not act on them unless told to; zero is how the model says off.
    let enforced = |r: &mut Reader<'_, '_>, number, name| match r.wrapped_u32(number, name) {
        None => None,
        Some(0) => Some(false),
        Some(100) => Some(true),
        Some(_) => {
            r.problem_at(name, "is a share; only 0 and 100 are supported");
            None
        }
    };
    let by_5xx = enforced(r, 5, "enforcing_consecutive_5xx").unwrap_or(true);
    let by_gateway = enforced(r, 11, "enforcing_consecutive_gateway_failure").unwrap_or(false);
    let consecutive_5xx = r.wrapped_u32(1, "consecutive_5xx").unwrap_or(5);
    let gateway = r.wrapped_u32(10, "consecutive_gateway_failure").unwrap_or(5);
    let base_ejection_time = r.duration(3, "base_ejection_time").unwrap_or(seconds(30));
    let max_ejection_time = r.duration(21, "max_ejection_time");
    OutlierDetection {
        consecutive_5xx: if by_5xx { consecutive_5xx } else { 0 },
        consecutive_gateway_failure: if by_gateway { gateway } else { 0 },
        interval: r.duration(2, "interval").unwrap_or(seconds(10)),
        base_ejection_time,
        max_ejection_time: max_ejection_time.unwrap_or(seconds(300).max(base_ejection_time)),
        max_ejection_percent: r.wrapped_u32(4, "max_ejection_percent").unwrap_or(10),
        min_health_percent: panic,
    }
}

pub(crate) fn write_outlier(w: &mut Writer, outlier: &OutlierDetection) {
    let share = |count| Some(if count == 0 { 0 } else { 100 });
    w.message(19, |w| {
        w.wrapped(1, Some(outlier.consecutive_5xx));
        w.duration(2, outlier.interval);
        w.duration(3, outlier.base_ejection_time);
        w.wrapped(4, Some(outlier.max_ejection_percent));
        w.wrapped(5, share(outlier.consecutive_5xx));
        w.wrapped(6, Some(0));
        w.wrapped(10, Some(outlier.consecutive_gateway_failure));
        w.wrapped(11, share(outlier.consecutive_gateway_failure));
        w.duration(21, outlier.max_ejection_time);
        w.wrapped_bool(25, true);
    });
}

/// `typed_extension_protocol_options` and the older fields that say the same.
pub(crate) fn http(r: &mut Reader<'_, '_>) -> UpstreamHttp {
    let old_requests = r.wrapped_u32(9, "max_requests_per_connection");
    let old = r.message(29, "common_http_protocol_options", common).unwrap_or_default();
    let old_http2 = r.message(14, "http2_protocol_options", http2);
    let mut options = r.entries(36, "typed_extension_protocol_options", |key, field| {
        if key != HTTP_OPTIONS {
            field.problem(&format!("is not supported; {HTTP_OPTIONS} is"));
            return None;
        }
        field.any(|kind, r| {
            if kind != HTTP_OPTIONS {
                r.problem(&format!("is a {kind}; a {HTTP_OPTIONS} is expected"));
                r.skip();
                return None;
            }
            Some(http_options(r))
        })?
    });
    let old = UpstreamHttp {
        protocol: if old_http2.is_some() {
            UpstreamProtocol::Http2
        } else {
            UpstreamProtocol::Http1
        },
        idle_timeout: old.idle_timeout,
        max_connection_duration: old.max_connection_duration,
        max_requests_per_connection: old.max_requests_per_connection,
        max_concurrent_streams: old_http2.flatten(),
    };
    let mut http = options.pop().unwrap_or(old);
    http.max_requests_per_connection = http.max_requests_per_connection.or(old_requests);
    http
}

fn http_options(r: &mut Reader<'_, '_>) -> UpstreamHttp {
    let Common { idle_timeout, max_connection_duration, max_requests_per_connection } =
        r.message(1, "common_http_protocol_options", common).unwrap_or_default();
    let explicit = r.message(3, "explicit_http_config", |r| {
        let http1 = r.message(1, "http_protocol_options", http1).is_some();
        let http2 = r.message(2, "http2_protocol_options", http2);
        if http1 == http2.is_some() {
            r.problem(
                "exactly one of http_protocol_options and http2_protocol_options is expected",
            );
        }
        match http2 {
            Some(streams) => (UpstreamProtocol::Http2, streams),
            None => (UpstreamProtocol::Http1, None),
        }
    });
    let downstream = r.message(4, "use_downstream_protocol_config", |r| {
        r.message(1, "http_protocol_options", http1);
        let streams = r.message(2, "http2_protocol_options", http2);
        (UpstreamProtocol::Downstream, streams.flatten())
    });
    let negotiated = r.message(5, "auto_config", |r| {
        r.message(1, "http_protocol_options", http1);
        let streams = r.message(2, "http2_protocol_options", http2);
        (UpstreamProtocol::Negotiated, streams.flatten())
    });
    let (protocol, max_concurrent_streams) = match (explicit, downstream, negotiated) {
        (Some(one), None, None) | (None, Some(one), None) | (None, None, Some(one)) => one,
        _ => {
            r.problem(
                "exactly one of explicit_http_config, use_downstream_protocol_config and auto_config \
                 is expected",
            );
            (UpstreamProtocol::Http1, None)
        }
    };
    UpstreamHttp {
        protocol,
        idle_timeout,
        max_connection_duration,
        max_requests_per_connection,
        max_concurrent_streams,
    }
}

/// What is said of connections of either version.
#[derive(Default)]
struct Common {
    idle_timeout: Option<Duration>,
    max_connection_duration: Option<Duration>,
    max_requests_per_connection: Option<u32>,
}

fn common(r: &mut Reader<'_, '_>) -> Common {
    r.harmless(HARMLESS_HTTP);
    r.harmless(&[(2, "max_headers_count")]);
    let age = r.duration(3, "max_connection_duration");
    let requests = r.wrapped_u32(6, "max_requests_per_connection");
    Common {
        idle_timeout: r.duration(1, "idle_timeout"),
        max_connection_duration: age.filter(|age| !age.is_zero()),
        max_requests_per_connection: requests.filter(|max| *max > 0),
    }
}

/// `Http1ProtocolOptions`: case is always preserved, trailers always passed on.
pub(super) fn http1(r: &mut Reader<'_, '_>) {
    r.harmless(&[(1, "allow_absolute_url"), (4, "header_key_format"), (5, "enable_trailers")]);
}

/// `Http2ProtocolOptions`, of which streams at once are read: frames, windows and flood protection are our own, and
/// whether CONNECT is allowed is for routes to say.
fn http2(r: &mut Reader<'_, '_>) -> Option<u32> {
    const NAMES: &Names = &[
        (1, "hpack_table_size"),
        (3, "initial_stream_window_size"),
        (4, "initial_connection_window_size"),
        (5, "allow_connect"),
        (7, "max_outbound_frames"),
        (8, "max_outbound_control_frames"),
        (15, "connection_keepalive"),
    ];
    r.harmless(NAMES);
    r.wrapped_u32(2, "max_concurrent_streams").filter(|max| *max > 0)
}

pub(crate) fn write_http(w: &mut Writer, http: &UpstreamHttp) {
    w.message(36, |w| {
        w.string(1, HTTP_OPTIONS);
        w.any(2, HTTP_OPTIONS, |w| {
            let (idle, age) = (http.idle_timeout, http.max_connection_duration);
            let requests = http.max_requests_per_connection;
            if idle.is_some() || age.is_some() || requests.is_some() {
                w.message(1, |w| {
                    if let Some(idle) = idle {
                        w.duration(1, idle);
                    }
                    if let Some(age) = age {
                        w.duration(3, age);
                    }
                    w.wrapped(6, requests);
                });
            }
            let http2 =
                |w: &mut Writer| w.message(2, |w| w.wrapped(2, http.max_concurrent_streams));
            let both = |w: &mut Writer| {
                w.message(1, |_| ());
                http2(w);
            };
            match http.protocol {
                UpstreamProtocol::Http1 => w.message(3, |w| w.message(1, |_| ())),
                UpstreamProtocol::Http2 => w.message(3, http2),
                UpstreamProtocol::Downstream => w.message(4, both),
                UpstreamProtocol::Negotiated => w.message(5, both),
            }
        });
    });
}
