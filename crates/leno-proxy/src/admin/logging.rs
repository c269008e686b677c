//! The log level, shown and changed while the process runs.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::process::Process;

/// Puts a filter in force, or says what is wrong with it.
pub type ChangeLevel = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// How the process's log level is read and changed; made by whoever set the log up.
#[derive(Clone)]
pub struct LogLevel {
    /// The filter in force.
    pub show: Arc<dyn Fn() -> String + Send + Sync>,
    /// Takes a filter (`info`, `leno_proxy=debug`), or says what is wrong with it.
    pub change: Arc<ChangeLevel>,
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogLevel")
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Change {
    level: Option<String>,
}

pub(super) async fn show(State(process): State<Arc<Process>>) -> Response {
    match &process.log_level {
        Some(level) => format!("{}\n", (level.show)()).into_response(),
        None => (StatusCode::NOT_IMPLEMENTED, "the log level is fixed\n").into_response(),
    }
}

pub(super) async fn change(
    State(process): State<Arc<Process>>,
    Query(change): Query<Change>,
) -> Response {
    let Some(wanted) = change.level else {
        return (StatusCode::BAD_REQUEST, "say ?level=info, or ?level=leno_proxy=debug\n")
            .into_response();
    };
    let Some(level) = &process.log_level else {
        return (StatusCode::NOT_IMPLEMENTED, "the log level is fixed\n").into_response();
    };
    match (level.change)(&wanted) {
        Ok(()) => format!("{}\n", (level.show)()).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}
