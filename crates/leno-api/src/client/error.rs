//! Why a call to the API did not do what was asked.

use std::io;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::KubeconfigError;

/// Why a call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The server's address cannot be used.
    #[error("server {server:?}: {what}")]
    BadServer {
        /// As written.
        server: String,
        /// What is wrong with it.
        what: String,
    },
    /// No connection.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{server} did not answer within {waited:?}")]
    Timeout {
        /// The server.
        server: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection ended, or what came was not the protocol.
    #[error("the conversation with {server} broke")]
    Broken {
        /// The server.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The path is not one.
    #[error("cannot ask for {path:?}")]
    BadRequest {
        /// The path.
        path: String,
        /// Why.
        source: http::Error,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
}

impl ClientError {
    /// What the server said, if it answered.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the document is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND)
    }

    /// Whether somebody else wrote the document in between, or made it first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == StatusCode::CONFLICT)
    }
}

/// A Kubernetes `Status` that is a failure.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// One word: `NotFound`, `Invalid`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// Field and message of each single problem.
    pub causes: Vec<(String, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, answer: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(answer).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let mut message = text(&document["message"]);
        if message.is_empty() {
            let rest: String = String::from_utf8_lossy(answer).chars().take(200).collect();
            message = format!("{status} {}", rest.trim()).trim().to_owned();
        }
        let causes = document["details"]["causes"].as_array().into_iter().flatten();
        let causes = causes.map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect();
        Self { status, reason: text(&document["reason"]), message, causes }
    }
}
