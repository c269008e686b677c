//! `DestinationRule.spec`.

use std::time::Duration;

use serde::Deserialize;

use super::virtual_service::PortSelector;
use super::{ExportTo, Labels, duration, or_default, per_ten_thousand};

/// How a service is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct DestinationRule {
    pub host: String,
    #[serde(deserialize_with = "or_default")]
    pub export_to: ExportTo,
    #[serde(deserialize_with = "or_default")]
    pub traffic_policy: TrafficPolicy,
    #[serde(deserialize_with = "or_default")]
    pub subsets: Vec<Subset>,
    pub workload_selector: Option<WorkloadSelector>,
}

/// Workloads by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's field")]
pub struct WorkloadSelector {
    #[serde(deserialize_with = "or_default")]
    pub match_labels: Labels,
}

/// A named part of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Subset {
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Settings of one service, subset or port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct TrafficPolicy {
    #[serde(flatten)]
    pub settings: Settings,
    #[serde(deserialize_with = "or_default")]
    pub port_level_settings: Vec<PortSettings>,
    pub retry_budget: Option<RetryBudget>,
}

/// What a port may have of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Settings {
    pub load_balancer: Option<LoadBalancer>,
    pub connection_pool: Option<ConnectionPool>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<Tls>,
}

/// Settings of one port; they replace the service's as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct PortSettings {
    pub port: PortSelector,
    #[serde(flatten)]
    pub settings: Settings,
}

/// How an endpoint is picked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's field")]
pub struct LoadBalancer {
    pub simple: SimpleBalancer,
}

/// `loadBalancer.simple`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum SimpleBalancer {
    #[default]
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}

/// How many connections and requests at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct ConnectionPool {
    #[serde(deserialize_with = "or_default")]
    pub tcp: TcpPool,
    #[serde(deserialize_with = "or_default")]
    pub http: HttpPool,
}

/// For every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct TcpPool {
    pub max_connections: u32,
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
}

/// For HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct HttpPool {
    #[serde(rename = "http1MaxPendingRequests")]
    pub http1_max_pending_requests: u32,
    #[serde(rename = "http2MaxRequests")]
    pub http2_max_requests: u32,
    pub max_requests_per_connection: u32,
    pub max_retries: u32,
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Option<Duration>,
}

/// When a failing endpoint is ejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct OutlierDetection {
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    pub consecutive_gateway_errors: Option<u32>,
    pub consecutive_errors: u32,
    #[serde(deserialize_with = "duration")]
    pub interval: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    pub base_ejection_time: Option<Duration>,
    pub max_ejection_percent: u32,
    pub min_health_percent: u32,
}

/// How connections are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Tls {
    pub mode: TlsMode,
    pub sni: String,
    #[serde(deserialize_with = "or_default")]
    pub subject_alt_names: Vec<String>,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum TlsMode {
    #[default]
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// Retries as a share of the requests in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct RetryBudget {
    /// Hundredths of a percent.
    #[serde(rename = "percent", deserialize_with = "per_ten_thousand")]
    pub per_ten_thousand: Option<u32>,
    pub min_retry_concurrency: Option<u32>,
}
