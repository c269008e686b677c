//! Rules for names, labels and annotations, which every kind shares.

use serde_json::Value;

use super::{Kind, Scope};
use crate::field::{Field, Findings, is_dns_label, is_dns_name, is_label_key};
use crate::problem::Problem;

/// Kubernetes' limit on all annotations together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

pub(super) fn problems(kind: &Kind, document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let metadata = Field::document(document).at("metadata");
    check_name(kind, &metadata, &mut findings);
    let namespace = metadata.at("namespace");
    match kind.scope {
        Scope::Cluster if namespace.has_content() => {
            findings.forbidden(&namespace, format!("a {} has no namespace", kind.kind));
        }
        Scope::Namespaced if namespace.has_content() && !is_dns_label(namespace.text()) => {
            findings.invalid(&namespace, format!("{:?}: {LABEL}", namespace.text()));
        }
        Scope::Cluster | Scope::Namespaced => {}
    }
    findings.labels(&metadata.at("labels"));
    let annotations = metadata.at("annotations");
    for (key, value) in annotations.entries() {
        if !is_label_key(&key.to_ascii_lowercase()) {
            findings.invalid(&value, format!("{key:?}: an annotation's key is [prefix/]name"));
        }
    }
    let size: usize = annotations.entries().iter().map(|(k, v)| k.len() + v.text().len()).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        findings.invalid(
            &annotations,
            format!("{size} bytes: may have {ANNOTATIONS_BYTES_MAX} together"),
        );
    }
    findings.into_problems()
}

const LABEL: &str =
    "must be lower-case letters, digits and '-', with a letter or digit at both ends, at most 63";
const NAME: &str = "must be lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part, at most 253";

fn check_name(kind: &Kind, metadata: &Field<'_>, findings: &mut Findings) {
    let name = metadata.at("name");
    let text = name.text();
    if text.is_empty() {
        if !metadata.at("generateName").has_content() {
            findings.required(&name, "name or generateName is required");
        }
        return;
    }
    // Their names become DNS labels.
    if matches!(kind.kind, "Namespace" | "Service") && kind.group.is_empty() {
        if !is_dns_label(text) {
            findings.invalid(&name, format!("{text:?}: {LABEL}"));
        } else if kind.kind == "Service" && !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            findings.invalid(&name, format!("{text:?}: a service's name starts with a letter"));
        }
    } else if !is_dns_name(text) {
        findings.invalid(&name, format!("{text:?}: {NAME}"));
    }
}
