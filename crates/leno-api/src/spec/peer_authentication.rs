//! `PeerAuthentication.spec`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::destination_rule::WorkloadSelector;
use super::or_default;

/// Which connections workloads take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct PeerAuthentication {
    pub selector: Option<WorkloadSelector>,
    #[serde(deserialize_with = "or_default")]
    pub mtls: MutualTls,
    /// By the workloads' port, as text (JSON has no other keys).
    #[serde(deserialize_with = "or_default")]
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// One mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "Istio's field")]
pub struct MutualTls {
    pub mode: Mode,
}

/// Plain text, both, or only mutual TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum Mode {
    #[default]
    Unset,
    Disable,
    Permissive,
    Strict,
}
