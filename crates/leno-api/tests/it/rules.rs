//! Documents and what is said about them: every problem with its place, and what is taken without effect.

use leno_api::{Cause, kind_of};
use serde_json::{Value, json};

mod destination_rule;
mod kubernetes;
mod service_entry;
mod shape;
mod virtual_service;

/// A document of this kind with this spec, in YAML.
pub(crate) fn document(kind: &str, spec: &str) -> Value {
    let group = match kind {
        "PeerAuthentication" => "security.istio.io/v1",
        "VirtualService" | "DestinationRule" | "ServiceEntry" => "networking.istio.io/v1",
        "EndpointSlice" => "discovery.k8s.io/v1",
        _ => "v1",
    };
    let body: Value =
        serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let mut document = json!({
        "apiVersion": group, "kind": kind, "metadata": {"name": "x", "namespace": "default"},
    });
    if group.contains("istio") || matches!(kind, "Service" | "Pod") {
        document["spec"] = body;
    } else {
        for (name, value) in body.as_object().unwrap() {
            document[name] = value.clone();
        }
    }
    document
}

fn problems(kind: &str, spec: &str) -> Vec<String> {
    let document = document(kind, spec);
    let group = document["apiVersion"].as_str().unwrap();
    let group = group.split_once('/').map_or("", |(group, _)| group);
    let found = kind_of(group, kind).unwrap().problems(&document);
    let word = |cause: Cause| cause.as_str().trim_start_matches("FieldValue");
    found.iter().map(|p| format!("{} {}: {}", p.field, word(p.cause), p.message)).collect()
}

/// Each expected line is the start of one problem (place and cause), with `~` before words its message has.
pub(crate) fn check(kind: &str, spec: &str, expected: &[&str]) {
    let found = problems(kind, spec);
    let fits = |line: &&str| {
        let (start, words) = line.split_once(" ~ ").unwrap_or((line, ""));
        found.iter().any(|f| f.starts_with(&format!("{start}:")) && f.contains(words))
    };
    assert!(
        found.len() == expected.len() && expected.iter().all(fits),
        "{spec}\nfound {found:#?}\nexpected {expected:#?}"
    );
}

/// Fields with a warning.
pub(crate) fn check_warnings(kind: &str, spec: &str, expected: &[&str]) {
    let document = document(kind, spec);
    let group = document["apiVersion"].as_str().unwrap();
    let group = group.split_once('/').map_or("", |(group, _)| group);
    let found = kind_of(group, kind).unwrap().warnings(&document);
    let fields: Vec<&str> = found.iter().map(|warning| &*warning.field).collect();
    assert_eq!(fields, expected, "{spec}");
}
