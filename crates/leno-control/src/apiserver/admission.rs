//! What a document goes through before it is stored: shape, defaults, rules. Every problem is reported at once.

use leno_api::kind::StatusWrites;
use leno_api::{Cause, Problem};
use serde_json::{Value, json};

use super::metadata::{drop_nulls, unset};
use super::path::{Part, Target};
use super::query::FieldValidation;
use super::service_address;
use super::status::Failure;
use crate::store::Store;

/// Warnings in one answer; more would not fit into its headers.
const WARNINGS_MAX: usize = 32;

/// Kubernetes' limit on what is stored of one document.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Checks that `document` is what the path names, and gives it the storage version's `apiVersion`.
pub(crate) fn identify(target: &Target, document: &mut Value) -> Result<(), Failure> {
    let kind = target.kind;
    if !document.is_object() {
        return Err(Failure::bad_request("the body must be one object"));
    }
    let wanted = target.api_version();
    let text = |name: &str| document[name].as_str().unwrap_or("");
    let (version, name) = (text("apiVersion"), text("kind"));
    if version.is_empty() || name.is_empty() {
        let why =
            format!("Object 'Kind' or 'apiVersion' is missing: this is for {wanted} {}", kind.kind);
        return Err(Failure::bad_request(why));
    }
    if (version, name) != (wanted.as_str(), kind.kind) {
        let why = format!("{version} {name} is not what this path is for: {wanted} {}", kind.kind);
        return Err(Failure::bad_request(why));
    }
    if !document["metadata"].is_object() {
        if !document["metadata"].is_null() {
            return Err(Failure::bad_request("metadata: must be an object"));
        }
        document["metadata"] = json!({});
    }
    place(target, document)?;
    document["apiVersion"] = kind.api_version(kind.storage_version()).into();
    Ok(())
}

/// Name and namespace of the document and of the path are the same.
fn place(target: &Target, document: &mut Value) -> Result<(), Failure> {
    let metadata = &mut document["metadata"];
    if target.kind.is_namespaced() {
        let namespace = metadata["namespace"].as_str().unwrap_or("");
        if !namespace.is_empty() && namespace != target.namespace {
            return Err(Failure::bad_request(format!(
                "the namespace of the object ({namespace}) does not match the namespace of the request ({})",
                target.namespace
            )));
        }
        metadata["namespace"] = target.namespace.clone().into();
    } else if metadata["namespace"] == "" {
        unset(metadata, "namespace");
    }
    if let Some(wanted) = &target.name {
        let name = metadata["name"].as_str().unwrap_or("");
        if !name.is_empty() && name != wanted {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({wanted})"
            )));
        }
        metadata["name"] = wanted.clone().into();
    }
    Ok(())
}

/// Deals with fields the kind does not have and keys that are there twice: refused, or warned of and dropped.
pub(crate) fn prune(
    target: &Target,
    document: &mut Value,
    duplicates: &[String],
    (validation, warnings): (FieldValidation, &mut Vec<String>),
) -> Result<(), Failure> {
    drop_nulls(document);
    if validation != FieldValidation::Ignore {
        let unknown = target.kind.unknown_fields(document);
        let unknown = unknown.iter().map(|path| format!("unknown field {path:?}"));
        let repeated = duplicates.iter().map(|path| format!("duplicate field {path:?}"));
        let found: Vec<String> = repeated.chain(unknown).collect();
        if validation == FieldValidation::Strict && !found.is_empty() {
            let kind = target.kind.kind;
            return Err(Failure::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
                target.version,
                found.join(", ")
            )));
        }
        warnings.extend(found);
    }
    target.kind.schema.prune(document);
    Ok(())
}

/// The parts of `document` that this path does not write are as they were in `live`.
pub(crate) fn keep_other_part(target: &Target, document: &mut Value, live: Option<&Value>) {
    match (target.part, live) {
        (Part::Status, Some(live)) => {
            let status = document.get("status").cloned();
            let managed = document["metadata"].get("managedFields").cloned();
            document.clone_from(live);
            match status {
                Some(status) => document["status"] = status,
                None => unset(document, "status"),
            }
            if let Some(managed) = managed {
                document["metadata"]["managedFields"] = managed;
            }
        }
        (Part::Whole, live) if target.kind.status == StatusWrites::Subresource => {
            match live.and_then(|live| live.get("status")) {
                Some(status) => document["status"] = status.clone(),
                None => unset(document, "status"),
            }
        }
        (Part::Whole | Part::Status, _) => {}
    }
}

/// Defaults, then every rule; warnings are for whoever wrote it.
pub(crate) fn check(
    target: &Target,
    document: &mut Value,
    live: Option<&Value>,
    warnings: &mut Vec<String>,
    store: &dyn Store,
) -> Result<(), Failure> {
    let kind = target.kind;
    (kind.default)(document);
    let mut problems = service_address::assign(target, document, live, store);
    problems.extend(kind.problems(document));
    if let Some(live) = live {
        problems.extend(frozen(document, live));
    }
    let size = document.to_string().len();
    if size > DOCUMENT_BYTES_MAX {
        let message = format!("{size} bytes: may have at most {DOCUMENT_BYTES_MAX}");
        problems.push(Problem::new(Cause::FieldValueTooLong, "", message));
    }
    if !problems.is_empty() {
        let metadata = &document["metadata"];
        let name = metadata["name"].as_str().or(metadata["generateName"].as_str());
        return Err(Failure::invalid(kind, name.unwrap_or(""), &problems));
    }
    warnings.extend(kind.warnings(document).iter().map(ToString::to_string));
    if warnings.len() > WARNINGS_MAX {
        let more = warnings.len() - WARNINGS_MAX;
        warnings.truncate(WARNINGS_MAX);
        warnings.push(format!("and {more} more warnings"));
    }
    Ok(())
}

/// What may not change once it is there.
fn frozen(document: &Value, live: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut forbid = |field: &str, why: &str| {
        problems.push(Problem::new(Cause::FieldValueForbidden, field, why));
    };
    if live["immutable"] == true {
        if document["immutable"] != true {
            forbid("immutable", "field is immutable when `immutable` is set");
        }
        for field in ["data", "binaryData", "stringData"] {
            if document[field] != live[field] {
                forbid(field, "field is immutable when `immutable` is set");
            }
        }
    }
    if live["kind"] == "Secret" && document["type"] != live["type"] {
        forbid("type", "field is immutable");
    }
    problems
}
