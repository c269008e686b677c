//! Looks into a proxy through its admin port: the pages that say what is in force, nothing that changes anything.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Admin pages that only read.
const PAGES: [&str; 5] = ["config_dump", "clusters", "listeners", "certs", "stats"];

/// Istio's admin port.
const PORT: u16 = 15000;

/// How long a proxy may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than this is no dump we ever made.
const BODY_BYTES_MAX: usize = 64 << 20;

/// The page as the proxy at `address` (its workload's IP) gives it.
pub(super) async fn page(address: &str, page: &str) -> Response {
    if !PAGES.contains(&page) {
        let known = PAGES.join(", ");
        return (StatusCode::NOT_FOUND, format!("no page {page}; there are {known}\n"))
            .into_response();
    }
    match tokio::time::timeout(PATIENCE, fetch(address, page)).await {
        Ok(Some((kind, body))) => ([(header::CONTENT_TYPE, kind)], body).into_response(),
        Ok(None) => {
            (StatusCode::BAD_GATEWAY, format!("no answer from {address}:{PORT}\n")).into_response()
        }
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, format!("{address}:{PORT} took too long\n"))
            .into_response(),
    }
}

async fn fetch(address: &str, page: &str) -> Option<(String, Bytes)> {
    let uri = format!("http://{address}:{PORT}/{page}").parse().ok()?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client.get(uri).await.ok()?;
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("text/plain").to_owned();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.ok()?;
    Some((kind, body.to_bytes()))
}
