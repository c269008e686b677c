//! `HttpConnectionManager.tracing`: whether requests leave spans, and where these go.

use std::time::Duration;

use serde::Serialize;

use super::Fraction;

/// Spans of one connection manager. Trace context is W3C's (`traceparent`, `tracestate`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tracing {
    /// Who receives them.
    pub provider: TraceProvider,
    /// The share of requests without a `traceparent` that begin a recorded trace. Default all.
    pub random_sampling: Fraction,
    /// The share of those that stays. Default all.
    pub overall_sampling: Fraction,
    /// Bytes of path in `http.url`. Default 256.
    pub max_path_bytes: u32,
}

/// `envoy.config.trace.v3.OpenTelemetryConfig`: a collector that speaks OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TraceProvider {
    /// The cluster of the collector.
    pub cluster: String,
    /// How it is spoken to.
    pub protocol: Otlp,
    /// `service.name` of the spans; empty is the proxy's own workload.
    pub service_name: String,
    /// How long one batch may take; `None` is the limit of `limits.rs`.
    pub timeout: Option<Duration>,
}

/// The two ways to send OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Otlp {
    /// `TraceService/Export` over gRPC; the cluster has to speak HTTP/2.
    Grpc {
        /// `:authority`; empty is the cluster's name.
        authority: String,
    },
    /// `POST` of protobuf over HTTP (`http_service.http_uri`).
    Http {
        /// Scheme, authority and path: `http://collector:4318/v1/traces`.
        uri: String,
    },
}

impl Otlp {
    /// The authority and the path of a request that carries a batch; `None` for a URI that is none.
    #[must_use]
    pub fn target<'a>(&'a self, cluster: &'a str) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Grpc { authority } => {
                const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                Some((if authority.is_empty() { cluster } else { authority }, EXPORT))
            }
            Self::Http { uri } => {
                let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
                let (authority, path) = rest.split_at(rest.find('/')?);
                (!authority.is_empty()).then_some((authority, path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Otlp;

    #[test]
    fn a_batch_goes_where_the_provider_says() {
        let grpc = |authority: &str| Otlp::Grpc { authority: authority.into() };
        let http = |uri: &str| Otlp::Http { uri: uri.into() };
        let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        // (protocol, authority and path)
        let table = [
            (grpc(""), Some(("otel", export))),
            (grpc("collector"), Some(("collector", export))),
            (http("http://collector:4318/v1/traces"), Some(("collector:4318", "/v1/traces"))),
            (http("https://collector/"), Some(("collector", "/"))),
            (http("http://collector"), None),
            (http("http:///v1/traces"), None),
            (http("/v1/traces"), None),
        ];
        for (protocol, expected) in table {
            assert_eq!(protocol.target("otel"), expected, "{protocol:?}");
        }
    }
}
