//! Which patches a kind takes, what each makes of a document, and what must hold before it replaces the live one. Pure.

use leno_api::Kind;
use serde_json::Value;

use super::Wish;
use crate::apiserver::managed_fields::Writer;
use crate::apiserver::patch::{merge, strategic};
use crate::apiserver::path::Target;
use crate::apiserver::status::{Failure, MODIFIED};

/// Kinds of Kubernetes itself take strategic merge patches; those of definitions do not.
pub(super) fn is_core(kind: &Kind) -> bool {
    !kind.group.contains(".istio.io") && !kind.group.ends_with("leno.dev")
}

/// The media types of patches that documents of this kind take.
pub(crate) fn patch_types(kind: &Kind) -> Vec<&'static str> {
    let mut types = vec![
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
    ];
    if is_core(kind) {
        types.push("application/strategic-merge-patch+json");
    }
    types
}

pub(super) fn patched(target: &Target, wish: &Wish, live: &Value) -> Result<Value, Failure> {
    let mut document = live.clone();
    document["apiVersion"] = target.api_version().into();
    match wish {
        Wish::Merge(patch) if patch.is_object() => merge::merge(&mut document, patch.clone()),
        Wish::Merge(_) => {
            return Err(Failure::bad_request("a merge patch of a document is an object"));
        }
        Wish::JsonPatch(patch) => merge::json_patch(&mut document, patch.clone())?,
        Wish::Strategic(patch) => {
            strategic::patch(Some(&target.kind.schema), &mut document, patch.clone())?;
        }
        Wish::Replace(parsed) | Wish::Apply(parsed) => document.clone_from(&parsed.value),
    }
    Ok(document)
}

/// A uid or revision in the document must be the live one's.
pub(super) fn check_preconditions(
    target: &Target,
    document: &Value,
    live: &Value,
) -> Result<(), Failure> {
    let name = live["metadata"]["name"].as_str().unwrap_or("");
    let (given, held) = (&document["metadata"], &live["metadata"]);
    if given["uid"].as_str().is_some_and(|uid| !uid.is_empty() && *uid != held["uid"]) {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            given["uid"], held["uid"]
        );
        return Err(Failure::conflict(target.kind, name, why));
    }
    match given["resourceVersion"].as_str() {
        Some(version) if !version.is_empty() && *version != held["resourceVersion"] => {
            Err(Failure::conflict(target.kind, name, MODIFIED))
        }
        _ => Ok(()),
    }
}

/// The prefix to generate a name from, when there is no name.
pub(super) fn generate_name(document: &mut Value) -> Option<String> {
    let metadata = &document["metadata"];
    if metadata["name"].as_str().is_some_and(|name| !name.is_empty()) {
        return None;
    }
    metadata["generateName"].as_str().filter(|prefix| !prefix.is_empty()).map(str::to_owned)
}

/// What `kubectl apply` without `--server-side` compares with next time stays right.
pub(super) fn note_last_applied(writer: &Writer, document: &mut Value, wanted: &Value) {
    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let annotations = document.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(noted) = annotations.and_then(|annotations| annotations.get_mut(ANNOTATION))
        && writer.name == "kubectl"
    {
        *noted = format!("{wanted}\n").into();
    }
}
