//! `ServiceEntry.spec`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ExportTo, Labels, or_default};

/// A service that is not in the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct ServiceEntry {
    pub hosts: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    pub location: Location,
    pub resolution: Resolution,
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "or_default")]
    pub export_to: ExportTo,
    #[serde(deserialize_with = "or_default")]
    pub subject_alt_names: Vec<String>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Port {
    pub number: u16,
    pub name: String,
    pub protocol: String,
    pub target_port: Option<u16>,
}

/// Whether its workloads are of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum Location {
    #[default]
    MeshExternal,
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "Istio's words")]
pub enum Resolution {
    #[default]
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "Istio's fields, described in the kind's schema")]
pub struct Endpoint {
    pub address: String,
    #[serde(deserialize_with = "or_default")]
    pub ports: BTreeMap<String, u16>,
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    pub locality: String,
    pub weight: u32,
    pub service_account: String,
}
