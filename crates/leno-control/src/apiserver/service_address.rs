//! Gives a Service its virtual address, once: at admission, before the rules look at it.
//!
//! An address stays for as long as its Service does. Nobody holds a lock between choosing and committing: two Services
//! made in the same instant could only meet where their names hash to the same address.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use leno_api::{Cause, Problem};
use serde_json::{Value, json};

use super::path::{Part, Target};
use crate::store::{Range, Store};
use crate::world::vip;

const SERVICES: Range<'static> = Range { group: "", plural: "services", namespace: None };

/// Fills in `spec.clusterIP` and `spec.clusterIPs` of a Service; says what is wrong with one that was asked for.
pub(super) fn assign(
    target: &Target,
    document: &mut Value,
    live: Option<&Value>,
    store: &dyn Store,
) -> Vec<Problem> {
    let is_service = target.kind.group.is_empty() && target.kind.kind == "Service";
    if !is_service || target.part != Part::Whole || document["spec"]["type"] == "ExternalName" {
        return Vec::new();
    }
    let asked = address_of(document).to_owned();
    let kept = live.map(address_of).filter(|address| !address.is_empty());
    if let Some(kept) = kept {
        if !asked.is_empty() && asked != kept {
            return vec![problem(format!("{asked:?}: may not change, is {kept:?}"))];
        }
        let kept = kept.to_owned();
        set(document, &kept);
        return Vec::new();
    }
    if asked == "None" {
        set(document, &asked);
        return Vec::new();
    }
    let taken: HashSet<Ipv4Addr> = store
        .list(SERVICES)
        .documents
        .iter()
        .filter_map(|service| address_of(&service.value).parse().ok())
        .collect();
    if asked.is_empty() {
        let metadata = &document["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or("").to_owned();
        let Some(address) = vip::allocate(&text("namespace"), &text("name"), &taken) else {
            return vec![problem("no address is left in 240.240.0.0/16".to_owned())];
        };
        set(document, &address.to_string());
    } else if let Ok(address) = asked.parse::<Ipv4Addr>() {
        if taken.contains(&address) {
            return vec![problem(format!("{asked:?}: another service has this address"))];
        }
        set(document, &asked);
    }
    Vec::new()
}

fn address_of(document: &Value) -> &str {
    document["spec"]["clusterIP"].as_str().unwrap_or("")
}

fn set(document: &mut Value, address: &str) {
    if let Some(spec) = document["spec"].as_object_mut() {
        spec.insert("clusterIP".to_owned(), address.into());
        spec.insert("clusterIPs".to_owned(), json!([address]));
    }
}

fn problem(message: String) -> Problem {
    Problem::new(Cause::FieldValueInvalid, "spec.clusterIP", message)
}
