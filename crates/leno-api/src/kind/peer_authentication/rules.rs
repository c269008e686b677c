//! Istio's rules for a PeerAuthentication.

use serde_json::Value;

use super::super::shared_rules::selector;
use crate::field::{Field, Findings};
use crate::problem::Problem;

pub(in crate::kind) fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let spec = Field::document(document).at("spec");
    let labels = spec.below("selector.matchLabels");
    selector(&labels, &mut findings);
    let ports = spec.at("portLevelMtls");
    if ports.is_set() && !ports.has_content() {
        findings.required(&ports, "at least one port");
    }
    if ports.has_content() && !labels.has_content() {
        findings.forbidden(
            &ports,
            "ports differ from workload to workload: choose workloads by selector.matchLabels",
        );
    }
    for (port, mtls) in ports.entries() {
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            findings.invalid(&mtls, format!("{port:?}: must be a port between 1 and 65535"));
        }
    }
    findings.into_problems()
}
