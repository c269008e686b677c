//! Workloads: one per Pod. A proxy belongs to one; endpoints take labels, identity and name from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use leno_api::spec::Labels;
use leno_api::spec::core::{Metadata, PodSpec, PodStatus};
use leno_core::config::WorkloadRef;

use super::CLUSTER_DOMAIN;

/// The label that says that a sidecar takes mutual TLS for the pod (Istio's injector sets it).
const TLS_MODE_LABEL: &str = "security.istio.io/tlsMode";

/// Where a sidecar that shares its program's network listens for it: `LISTENED=PROGRAM`, by commas.
const PROGRAM_PORTS: &str = "leno.dev/program-ports";

/// One running instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub name: Arc<str>,
    /// What services, subsets and selectors look at.
    pub labels: Labels,
    /// The account it runs as.
    pub service_account: String,
    /// Its address, once it has one.
    pub address: Option<IpAddr>,
    /// Whether it is going away, or over.
    pub is_leaving: bool,
    /// Ports that have a name.
    pub named_ports: Vec<(String, u16)>,
    /// The program's port by the one at which its sidecar listens for it, where the two differ.
    pub program_ports: BTreeMap<u16, u16>,
    /// How it is called in metrics and records.
    pub reference: Arc<WorkloadRef>,
}

impl Workload {
    pub(super) fn new(metadata: &Metadata, spec: &PodSpec, status: &PodStatus) -> Self {
        let labels = &metadata.labels;
        let label = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).cloned();
        let name = label(&["service.istio.io/workload-name"])
            .or_else(|| Some(metadata.owner_references.first()?.name.clone()))
            .unwrap_or_else(|| metadata.name.clone());
        let canonical = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
        let revision =
            ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
        let reference = Arc::new(WorkloadRef {
            canonical_name: label(&canonical).unwrap_or_else(|| name.clone()),
            canonical_revision: label(&revision).unwrap_or_else(|| "latest".to_owned()),
            name,
            namespace: metadata.namespace.clone(),
            cluster_id: "leno".to_owned(),
        });
        let ports = spec.containers.iter().flat_map(|container| &container.ports);
        let account = match spec.service_account_name.as_str() {
            "" => "default",
            account => account,
        };
        Self {
            namespace: metadata.namespace.as_str().into(),
            name: metadata.name.as_str().into(),
            labels: labels.clone(),
            service_account: account.to_owned(),
            address: status.pod_ip.parse().ok(),
            is_leaving: metadata.deletion_timestamp.is_some()
                || matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            named_ports: ports
                .filter(|port| !port.name.is_empty())
                .map(|port| (port.name.clone(), port.container_port))
                .collect(),
            program_ports: metadata
                .annotations
                .get(PROGRAM_PORTS)
                .map(|text| text.split(',').filter_map(port_pair).collect())
                .unwrap_or_default(),
            reference,
        }
    }

    /// The program's port behind a port that endpoints name.
    #[must_use]
    pub fn program_port(&self, listened: u16) -> u16 {
        self.program_ports.get(&listened).copied().unwrap_or(listened)
    }

    /// The port that endpoints name for a port of the program.
    #[must_use]
    pub fn listened_port(&self, program: u16) -> u16 {
        let mut pairs = self.program_ports.iter();
        pairs.find(|(_, port)| **port == program).map_or(program, |(listened, _)| *listened)
    }

    /// Whether a sidecar takes mutual TLS for it.
    #[must_use]
    pub fn is_meshed(&self) -> bool {
        self.labels.get(TLS_MODE_LABEL).is_some_and(|mode| mode == "istio")
    }

    /// Its identity.
    #[must_use]
    pub fn identity(&self) -> String {
        identity(&self.namespace, &self.service_account)
    }
}

fn port_pair(text: &str) -> Option<(u16, u16)> {
    let (listened, program) = text.split_once('=')?;
    Some((listened.trim().parse().ok()?, program.trim().parse().ok()?))
}

/// `spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT`.
pub(super) fn identity(namespace: &str, account: &str) -> String {
    format!("spiffe://{CLUSTER_DOMAIN}/ns/{namespace}/sa/{account}")
}
