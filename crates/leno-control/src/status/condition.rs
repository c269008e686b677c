//! From a verdict to the status on the document: conditions in Kubernetes' form, and the numbers for programs.

use std::collections::BTreeSet;

use leno_api::Kind;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::text;
use super::verdict::{Refused, Verdict};
use crate::store::Document;
use crate::world::World;

/// Refusals are listed up to this many; the numbers count all.
const REFUSALS_MAX: usize = 5;

/// The whole status; times are kept where nothing changed, and what others wrote stays.
pub(super) fn status(kind: &Kind, document: &Document, world: &World, verdict: &Verdict) -> Value {
    let before = &document.value["status"];
    let generation = &document.value["metadata"]["generation"];
    let mut conditions = vec![accepted(kind, document, world)];
    conditions.extend(enforced(verdict));
    conditions.extend(not_enforced(kind, document));
    let own: Vec<String> = OWN_TYPES.iter().map(|&own| own.to_owned()).collect();
    let foreign = before["conditions"].as_array().into_iter().flatten();
    let foreign = foreign.filter(|condition| !own.iter().any(|own| own == text(condition, "type")));
    let conditions: Vec<Value> = conditions
        .into_iter()
        .map(|condition| dated(condition, generation, before))
        .chain(foreign.cloned())
        .collect();
    let mut status = before.as_object().cloned().unwrap_or_default();
    status.insert("conditions".to_owned(), conditions.into());
    if !generation.is_null() {
        status.insert("observedGeneration".to_owned(), generation.clone());
    }
    let refused: Vec<Value> = verdict
        .refused
        .iter()
        .take(REFUSALS_MAX)
        .map(|refused| json!({"proxy": refused.proxy, "problems": refused.problems}))
        .collect();
    let mut enforcement = Map::new();
    enforcement.insert("revision".to_owned(), verdict.since.into());
    enforcement.insert("proxies".to_owned(), verdict.proxies.into());
    enforcement.insert("enforcedBy".to_owned(), verdict.enforced.into());
    if !refused.is_empty() {
        enforcement.insert("refusedBy".to_owned(), refused.into());
    }
    status.insert("enforcement".to_owned(), enforcement.into());
    Value::Object(status)
}

const OWN_TYPES: [&str; 4] = ["Accepted", "Enforced", "Reconciled", "NotEnforced"];

/// Whether two statuses differ in nothing but when.
pub(super) fn says_the_same(a: &Value, b: &Value) -> bool {
    let timeless = |status: &Value| {
        let mut status = status.clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if let Some(condition) = condition.as_object_mut() {
                condition.remove("lastTransitionTime");
            }
        }
        status
    };
    a.is_object() && timeless(a) == timeless(b)
}

fn accepted(kind: &Kind, document: &Document, world: &World) -> Value {
    let key = &document.key;
    let unreadable = world.unreadable().iter().find(|(place, _)| {
        place.kind == kind.kind && *place.namespace == *key.namespace && *place.name == *key.name
    });
    match unreadable {
        Some((_, reason)) => condition("Accepted", "False", "Unreadable", reason.clone()),
        None => condition("Accepted", "True", "Valid", "the document is valid".to_owned()),
    }
}

/// `Enforced`, and Istio's name for the same.
fn enforced(verdict: &Verdict) -> [Value; 2] {
    let Verdict { proxies, enforced, refused, held_up, since } = verdict;
    let count =
        format!("enforced by {enforced} of {proxies} {}", plural(*proxies, "proxy", "proxies"));
    let (status, reason, message) = if *proxies == 0 {
        ("Unknown", "NoProxies", "no connected proxy is concerned".to_owned())
    } else if !refused.is_empty() {
        ("False", "Refused", format!("{count}; {}", told(refused)))
    } else if !held_up.is_empty() {
        let others: BTreeSet<&str> =
            held_up.iter().flat_map(|one| &one.blamed).map(String::as_str).collect();
        let others: Vec<&str> = others.into_iter().collect();
        let others = match others.as_slice() {
            [] => "what is no document's".to_owned(),
            some => some.join(", "),
        };
        let message = format!("{count}; held up by {others}: {}", told(held_up));
        ("False", "HeldUp", message)
    } else if enforced < proxies {
        let waiting = proxies - enforced;
        ("Unknown", "Pending", format!("{count}; {waiting} did not answer yet"))
    } else {
        ("True", "AllProxies", format!("{count} at revision {since}"))
    };
    ["Enforced", "Reconciled"].map(|name| condition(name, status, reason, message.clone()))
}

/// `reviews-v1.default refused routes[9080]…: why`.
fn told(refusals: &[Refused]) -> String {
    let lines: Vec<String> = refusals
        .iter()
        .take(REFUSALS_MAX)
        .map(|refused| format!("{} refused {}", refused.proxy, refused.problems.join("; ")))
        .collect();
    match refusals.len().saturating_sub(REFUSALS_MAX) {
        0 => lines.join("; "),
        more => format!("{}; and {more} more", lines.join("; ")),
    }
}

fn not_enforced(kind: &Kind, document: &Document) -> Option<Value> {
    let warnings = kind.warnings(&document.value);
    if warnings.is_empty() {
        return None;
    }
    let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    Some(condition("NotEnforced", "True", "FieldsWithoutEffect", lines.join("; ")))
}

fn condition(name: &str, status: &str, reason: &str, message: String) -> Value {
    json!({"type": name, "status": status, "reason": reason, "message": message})
}

/// With the generation it speaks about and the time of its last change.
fn dated(mut condition: Value, generation: &Value, before: &Value) -> Value {
    let old = before["conditions"].as_array().into_iter().flatten();
    let old = old.into_iter().find(|old| old["type"] == condition["type"]);
    let kept = old.filter(|old| old["status"] == condition["status"]);
    let time = kept.map(|old| old["lastTransitionTime"].clone()).filter(Value::is_string);
    condition["lastTransitionTime"] = time.unwrap_or_else(|| now().into());
    if !generation.is_null() {
        condition["observedGeneration"] = generation.clone();
    }
    condition
}

/// To the second, as Kubernetes writes times.
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    now.format(&Rfc3339).unwrap_or_default()
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}
