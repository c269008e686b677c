//! `HttpConnectionManager.Tracing` with the OpenTelemetry provider.

use leno_core::config::{Fraction, Otlp, TraceProvider, Tracing};

use super::value;
use crate::read::{Names, Reader};
use crate::wire::Writer;

const OPEN_TELEMETRY: &str = "envoy.config.trace.v3.OpenTelemetryConfig";

/// Envoy's `max_path_tag_length`.
const MAX_PATH_BYTES: u32 = 256;

/// How much Envoy says in a span.
const HARMLESS: &Names = &[(6, "verbose")];

/// `None` without a provider that is supported.
pub(crate) fn decode(r: &mut Reader<'_, '_>) -> Option<Tracing> {
    r.harmless(HARMLESS);
    let mut share = |number, name| {
        let percent = r.message(number, name, value::percent);
        percent.map_or(Fraction::ALWAYS, |hundredths| Fraction { per_million: hundredths * 100 })
    };
    let (random_sampling, overall_sampling) =
        (share(4, "random_sampling"), share(5, "overall_sampling"));
    let max_path_bytes = r.wrapped_u32(7, "max_path_tag_length").unwrap_or(MAX_PATH_BYTES);
    let provider = r.message(9, "provider", |r| {
        r.string(1, "name");
        r.any(3, "typed_config", |kind, r| match kind {
            OPEN_TELEMETRY => open_telemetry(r),
            other => {
                r.leave_out(&format!("{other} is not a supported tracer"));
                None
            }
        })
    });
    let provider = provider.flatten().flatten()?;
    Some(Tracing { provider, random_sampling, overall_sampling, max_path_bytes })
}

fn open_telemetry(r: &mut Reader<'_, '_>) -> Option<TraceProvider> {
    let service_name = r.string(2, "service_name");
    let grpc = r.message(1, "grpc_service", |r| {
        let timeout = r.duration(3, "timeout");
        let target = r.message(1, "envoy_grpc", |r| {
            (r.required_string(1, "cluster_name"), r.string(2, "authority"))
        });
        (target, timeout)
    });
    let http = r.message(3, "http_service", |r| {
        r.message(1, "http_uri", |r| {
            let (uri, cluster) = (r.required_string(1, "uri"), r.required_string(2, "cluster"));
            (uri, cluster, r.duration(3, "timeout"))
        })
    });
    let (cluster, protocol, timeout) = match (grpc, http.flatten()) {
        (Some((Some((cluster, authority)), timeout)), None) => {
            (cluster, Otlp::Grpc { authority }, timeout)
        }
        (None, Some((uri, cluster, timeout))) => (cluster, Otlp::Http { uri }, timeout),
        _ => {
            r.problem(
                "exactly one of grpc_service.envoy_grpc and http_service.http_uri is expected",
            );
            return None;
        }
    };
    if protocol.target(&cluster).is_none() {
        r.problem_at("http_service", "needs a URI with authority and path");
    }
    let timeout = timeout.filter(|timeout| !timeout.is_zero());
    Some(TraceProvider { cluster, protocol, service_name, timeout })
}

pub(crate) fn encode(w: &mut Writer, tracing: &Tracing) {
    value::write_percent(w, 4, tracing.random_sampling.per_million / 100);
    value::write_percent(w, 5, tracing.overall_sampling.per_million / 100);
    w.wrapped(7, Some(tracing.max_path_bytes));
    w.message(9, |w| {
        w.string(1, "envoy.tracers.opentelemetry");
        w.any(3, OPEN_TELEMETRY, |w| write_open_telemetry(w, &tracing.provider));
    });
}

fn write_open_telemetry(w: &mut Writer, provider: &TraceProvider) {
    let timeout = provider.timeout;
    match &provider.protocol {
        Otlp::Grpc { authority } => w.message(1, |w| {
            w.message(1, |w| {
                w.string(1, &provider.cluster);
                w.string(2, authority);
            });
            if let Some(timeout) = timeout {
                w.duration(3, timeout);
            }
        }),
        Otlp::Http { uri } => w.message(3, |w| {
            w.message(1, |w| {
                w.string(1, uri);
                w.string(2, &provider.cluster);
                if let Some(timeout) = timeout {
                    w.duration(3, timeout);
                }
            });
        }),
    }
    w.string(2, &provider.service_name);
}
