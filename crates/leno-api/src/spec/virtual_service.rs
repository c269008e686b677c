//! `VirtualService.spec`.

use std::collections::BTreeMap;
use std::time::Duration;

use leno_core::config::{Fraction, StringMatch};
use serde::Deserialize;

use super::{ExportTo, Labels, duration, or_default, percent, string_match, string_matches};

/// Where calls to some hosts go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct VirtualService {
    pub hosts: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub gateways: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub export_to: ExportTo,
    #[serde(deserialize_with = "or_default")]
    pub http: Vec<HttpRoute>,
    #[serde(deserialize_with = "or_default")]
    pub tcp: Vec<TcpRoute>,
}

/// One rule for HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct HttpRoute {
    pub name: String,
    #[serde(rename = "match", deserialize_with = "or_default")]
    pub matches: Vec<HttpMatch>,
    #[serde(deserialize_with = "or_default")]
    pub route: Vec<RouteDestination>,
    pub redirect: Option<Redirect>,
    pub direct_response: Option<DirectResponse>,
    pub rewrite: Option<Rewrite>,
    #[serde(deserialize_with = "duration")]
    pub timeout: Option<Duration>,
    pub retries: Option<Retries>,
    pub fault: Option<Fault>,
    pub mirror: Option<Destination>,
    #[serde(deserialize_with = "or_default")]
    pub mirrors: Vec<Mirror>,
    #[serde(deserialize_with = "percent")]
    pub mirror_percentage: Option<Fraction>,
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    pub headers: Headers,
}

/// Every part must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct HttpMatch {
    pub name: String,
    #[serde(deserialize_with = "string_match")]
    pub uri: Option<StringMatch>,
    pub ignore_uri_case: bool,
    #[serde(deserialize_with = "string_match")]
    pub scheme: Option<StringMatch>,
    #[serde(deserialize_with = "string_match")]
    pub method: Option<StringMatch>,
    #[serde(deserialize_with = "string_match")]
    pub authority: Option<StringMatch>,
    /// `None` asks that the header is there.
    #[serde(deserialize_with = "string_matches")]
    pub headers: BTreeMap<String, Option<StringMatch>>,
    #[serde(deserialize_with = "string_matches")]
    pub without_headers: BTreeMap<String, Option<StringMatch>>,
    #[serde(deserialize_with = "string_matches")]
    pub query_params: BTreeMap<String, Option<StringMatch>>,
    #[serde(flatten)]
    pub caller: CallerMatch,
}

/// What is asked of the caller, known before any request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct CallerMatch {
    pub port: Option<u16>,
    #[serde(deserialize_with = "or_default")]
    pub source_labels: Labels,
    pub source_namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub gateways: Vec<String>,
}

/// One part of a weighted choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct RouteDestination {
    pub destination: Destination,
    pub weight: u32,
    #[serde(deserialize_with = "or_default")]
    pub headers: Headers,
}

/// A service, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Destination {
    pub host: String,
    pub subset: String,
    pub port: Option<PortSelector>,
}

/// A port by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's field")]
pub struct PortSelector {
    pub number: u16,
}

/// Edits of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Headers {
    #[serde(deserialize_with = "or_default")]
    pub request: HeaderEdits,
    #[serde(deserialize_with = "or_default")]
    pub response: HeaderEdits,
}

/// Edits of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct HeaderEdits {
    #[serde(deserialize_with = "or_default")]
    pub set: Labels,
    #[serde(deserialize_with = "or_default")]
    pub add: Labels,
    #[serde(deserialize_with = "or_default")]
    pub remove: Vec<String>,
}

/// Answer with a redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Redirect {
    pub uri: String,
    pub prefix_rewrite: String,
    pub authority: String,
    pub port: Option<u16>,
    pub derive_port: Option<DerivePort>,
    pub scheme: String,
    pub redirect_code: u16,
}

/// Where a redirect's port comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

/// Answer without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct DirectResponse {
    pub status: u16,
    pub body: Option<ResponseBody>,
}

/// `bytes` is base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct ResponseBody {
    pub string: Option<String>,
    pub bytes: Option<String>,
}

/// What becomes of path and host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Rewrite {
    pub uri: String,
    pub authority: String,
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// Replace by a regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct RegexRewrite {
    #[serde(rename = "match")]
    pub pattern: String,
    pub rewrite: String,
}

/// When to try again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Retries {
    pub attempts: u32,
    #[serde(deserialize_with = "duration")]
    pub per_try_timeout: Option<Duration>,
    pub retry_on: String,
    #[serde(deserialize_with = "duration")]
    pub backoff: Option<Duration>,
    pub retry_ignore_previous_hosts: Option<bool>,
}

/// Make a service worse on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Fault {
    pub delay: Option<Delay>,
    pub abort: Option<Abort>,
}

/// Wait before going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Delay {
    #[serde(deserialize_with = "duration")]
    pub fixed_delay: Option<Duration>,
    pub percent: u32,
    #[serde(deserialize_with = "percent")]
    pub percentage: Option<Fraction>,
}

/// Answer instead of going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Abort {
    pub http_status: Option<u16>,
    #[serde(deserialize_with = "percent")]
    pub percentage: Option<Fraction>,
}

/// A service that gets copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Mirror {
    pub destination: Destination,
    #[serde(deserialize_with = "percent")]
    pub percentage: Option<Fraction>,
}

/// One rule for TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct TcpRoute {
    #[serde(rename = "match", deserialize_with = "or_default")]
    pub matches: Vec<CallerMatch>,
    #[serde(deserialize_with = "or_default")]
    pub route: Vec<RouteDestination>,
}
