//! What goes wrong, as the `Status` document that kubectl prints; and the plain success of a deletion.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use leno_api::{Kind, Problem};
use serde_json::{Map, Value, json};

use crate::store::CommitError;

/// A refused request. Cheap to pass along; becomes the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    code: StatusCode,
    status: Box<Value>,
}

impl Failure {
    fn new(code: StatusCode, reason: &str, message: impl Into<String>, details: Value) -> Self {
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message.into(),
            "reason": reason,
            "details": details,
            "code": code.as_u16(),
        });
        Self { code, status: Box::new(status) }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message, json!({}))
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "Unauthorized: send the token of DIR/kubeconfig as a bearer token";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message, json!({}))
    }

    /// Who asks, or how, is not let in.
    pub(crate) fn refused(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", format!("Forbidden: {why}"), json!({}))
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource_of(kind));
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message, details(kind, name))
    }

    pub(crate) fn no_such_page() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message, json!({}))
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource_of(kind));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message, details(kind, name))
    }

    pub(crate) fn exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource_of(kind));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message, details(kind, name))
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: impl std::fmt::Display) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource_of(kind));
        Self::new(StatusCode::CONFLICT, "Conflict", message, details(kind, name))
    }

    /// Fields that another manager owns with another value: `(field, manager)`.
    pub(crate) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let cause = |(field, manager): &(String, String)| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {manager}"),
                "field": field,
            })
        };
        let causes: Vec<Value> = conflicts.iter().map(cause).collect();
        let mut managers: Vec<&str> =
            conflicts.iter().map(|(_, manager)| manager.as_str()).collect();
        managers.dedup();
        let fields: Vec<&str> = conflicts.iter().map(|(field, _)| field.as_str()).collect();
        let (s, with) = (if causes.len() == 1 { "" } else { "s" }, managers.join(" and "));
        let message = format!(
            "Apply failed with {} conflict{s}: conflict{s} with {with}: {}",
            causes.len(),
            fields.join(", ")
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message, json!({"causes": causes}))
    }

    /// Everything that is wrong with a document.
    pub(crate) fn invalid(kind: &Kind, name: &str, problems: &[Problem]) -> Self {
        let cause = |problem: &Problem| {
            json!({
                "reason": problem.cause.as_str(),
                "message": problem.cause_message(),
                "field": problem.field,
            })
        };
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let texts = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {texts}", qualified_kind(kind));
        let details = json!({
            "name": name,
            "group": kind.group,
            "kind": kind.kind,
            "causes": problems.iter().map(cause).collect::<Vec<_>>(),
        });
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, details)
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, json!({}))
    }

    pub(crate) fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, json!({}))
    }

    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, json!({}))
    }

    pub(crate) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message, json!({}))
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("limit is {limit_bytes} bytes");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(code, "RequestEntityTooLarge", message, json!({}))
    }

    /// The revision asked for is no longer known; `resume` continues a list from where it was, if one can.
    pub(crate) fn expired(message: impl Into<String>, resume: Option<String>) -> Self {
        let mut failure = Self::new(StatusCode::GONE, "Expired", message, json!({}));
        if let Some(resume) = resume {
            failure.status["metadata"]["continue"] = resume.into();
        }
        failure
    }

    /// A revision that is not there yet.
    pub(crate) fn too_new(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let details = json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        });
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message, details)
    }

    /// What the store said, about a write of `kind` `name`.
    pub(crate) fn commit(kind: &Kind, name: &str, error: &CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::conflict(kind, name, MODIFIED),
            CommitError::Exists { .. } => Self::exists(kind, name),
            CommitError::Missing { .. } => Self::not_found(kind, name),
            CommitError::Busy => {
                let details = json!({"retryAfterSeconds": 1});
                let code = StatusCode::TOO_MANY_REQUESTS;
                Self::new(code, "TooManyRequests", error.to_string(), details)
            }
            CommitError::Full { .. } => {
                let code = StatusCode::INSUFFICIENT_STORAGE;
                Self::new(code, "InternalError", error.to_string(), details(kind, name))
            }
            CommitError::Storage { .. } | CommitError::Closed => {
                let code = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(code, "ServiceUnavailable", error.to_string(), details(kind, name))
            }
        }
    }

    /// The `Status` document.
    pub(crate) fn status(&self) -> &Value {
        &self.status
    }

    /// Whether another attempt with the newest state may go through.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status["reason"] == "Conflict"
    }
}

/// As Kubernetes puts it.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retry = self.status["details"]["retryAfterSeconds"].as_u64();
        let mut response = json_response(self.code, &self.status);
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// One JSON document.
pub(crate) fn json_response(code: StatusCode, document: &Value) -> Response {
    let mut text = document.to_string();
    text.push('\n');
    ([(header::CONTENT_TYPE, "application/json")], Body::from(text)).into_response().with_code(code)
}

trait WithCode {
    fn with_code(self, code: StatusCode) -> Self;
}

impl WithCode for Response {
    fn with_code(mut self, code: StatusCode) -> Self {
        *self.status_mut() = code;
        self
    }
}

/// What a finished deletion answers.
pub(crate) fn deleted(kind: &Kind, name: &str, uid: &Value) -> Value {
    let mut details = details(kind, name);
    details["kind"] = kind.plural.into();
    details["uid"] = uid.clone();
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}

fn details(kind: &Kind, name: &str) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), name.into());
    if !kind.group.is_empty() {
        details.insert("group".into(), kind.group.into());
    }
    details.insert("kind".into(), kind.plural.into());
    Value::Object(details)
}

/// `virtualservices.networking.istio.io`.
pub(crate) fn resource_of(kind: &Kind) -> String {
    if kind.group.is_empty() {
        kind.plural.to_owned()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    }
}

fn qualified_kind(kind: &Kind) -> String {
    if kind.group.is_empty() {
        kind.kind.to_owned()
    } else {
        format!("{}.{}", kind.kind, kind.group)
    }
}
