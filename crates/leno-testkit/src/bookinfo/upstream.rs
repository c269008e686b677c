//! Calls from one service to another, by name, over kept connections.
//!
//! An ordinary client: it resolves names through the system, keeps connections
//! open, and honours `HTTP_PROXY` as curl does.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::client::Connector;

/// The answers are small; anything longer is not one of ours.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where the other services are: `name` or `name:port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstreams {
    /// Facts about a book.
    pub details: String,
    /// What readers wrote.
    pub reviews: String,
    /// The stars.
    pub ratings: String,
}

impl Default for Upstreams {
    fn default() -> Self {
        let at = |name: &str| format!("{name}:9080");
        Self { details: at("details"), reviews: at("reviews"), ratings: at("ratings") }
    }
}

/// A client with its pool of kept connections.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    client: Client<Connector, Empty<Bytes>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0} is not a usable address")]
    Address(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("connecting or reading: {0}")]
    Exchange(String),
}

impl Caller {
    pub(super) fn new(proxy: Option<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(Connector::new(proxy));
        Self { client }
    }

    /// One GET, given up after `limit`.
    pub(super) async fn get(
        &self,
        authority: &str,
        path: &str,
        headers: HeaderMap,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let wrong = || CallError::Address(format!("http://{authority}{path}"));
        let uri: Uri = format!("http://{authority}{path}").parse().map_err(|_| wrong())?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| describe(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|e| CallError::Exchange(e.to_string()))?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Timeout(limit)),
        }
    }
}

fn describe(error: &dyn std::error::Error) -> CallError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    CallError::Exchange(text)
}
