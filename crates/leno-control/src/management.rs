//! The management API under `/leno/v1`: one picture of the mesh, once or as a stream, and a look into proxies.
//!
//! Read-only. Who may ask is `guard`'s.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};

mod admin;
mod changes;
mod frame;
mod mesh;

pub(crate) use changes::Changes;
pub(crate) use mesh::{mesh, targets};

use frame::{Mesh, ProxyView};

use crate::telemetry::{Latest, Picture};

/// What the API reads.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The last seconds of traffic.
    pub(crate) traffic: Latest,
    /// Services, proxies and changes at this moment.
    pub(crate) mesh: Arc<dyn Fn() -> Mesh + Send + Sync>,
    /// Where proxies on this host join: xDS and certificates, `HOST:PORT`.
    pub(crate) discovery: Arc<str>,
}

impl Sources {
    fn frame(&self, traffic: &Picture) -> frame::Frame {
        let now = OffsetDateTime::now_utc();
        // Formatting a valid time by a fixed rule cannot fail; an empty time is still a frame.
        let at = now.format(&Rfc3339).unwrap_or_default();
        frame::frame(at, (self.mesh)(), traffic)
    }
}

/// Everything under `/leno/v1`.
pub(crate) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/leno/v1/frame", get(one))
        .route("/leno/v1/stream", get(stream))
        .route("/leno/v1/discovery", get(discovery))
        .route("/leno/v1/proxies", get(proxies))
        .route("/leno/v1/proxies/{name}/{page}", get(proxy_page))
        .with_state(sources)
}

async fn one(State(sources): State<Sources>) -> Response {
    let traffic = sources.traffic.borrow().clone();
    Json(sources.frame(&traffic)).into_response()
}

async fn stream(
    State(sources): State<Sources>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // The scraper publishes once a second, with or without traffic: that is the stream's beat.
    let frames = WatchStream::new(sources.traffic.clone()).map(move |traffic| {
        let frame = serde_json::to_string(&sources.frame(&traffic)).unwrap_or_default();
        Ok(Event::default().event("frame").data(frame))
    });
    Sse::new(frames).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn discovery(State(sources): State<Sources>) -> Response {
    Json(serde_json::json!({ "address": &*sources.discovery })).into_response()
}

async fn proxies(State(sources): State<Sources>) -> Response {
    Json((sources.mesh)().proxies).into_response()
}

async fn proxy_page(
    State(sources): State<Sources>,
    Path((name, page)): Path<(String, String)>,
) -> Response {
    let proxies = (sources.mesh)().proxies;
    let named = |proxy: &&ProxyView| is_called(&proxy.name, &name);
    match proxies.iter().filter(named).collect::<Vec<_>>().as_slice() {
        [proxy] => admin::page(&proxy.address, &page).await,
        [] => (StatusCode::NOT_FOUND, format!("no connected proxy {name}\n")).into_response(),
        several => {
            let names: Vec<&str> = several.iter().map(|proxy| proxy.name.as_str()).collect();
            (StatusCode::CONFLICT, format!("{name} is not unique: {}\n", names.join(", ")))
                .into_response()
        }
    }
}

/// Whether `NAME.NAMESPACE` is meant: in full, by its pod, or by the workload that the pod's name begins with.
fn is_called(proxy: &str, asked: &str) -> bool {
    let pod = proxy.split('.').next().unwrap_or_default();
    let of_workload = pod.strip_prefix(asked).is_some_and(|rest| rest.starts_with('-'));
    proxy == asked || pod == asked || of_workload
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    fn router() -> (Router, tokio::sync::watch::Sender<Arc<Picture>>) {
        let (publish, traffic) = tokio::sync::watch::channel(Arc::default());
        let mesh = || Mesh { revision: 3, ..Mesh::default() };
        (
            super::router(Sources {
                traffic,
                mesh: Arc::new(mesh),
                discovery: "127.0.0.1:15010".into(),
            }),
            publish,
        )
    }

    async fn ask(path: &str) -> Response {
        let (router, _publish) = router();
        router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    #[test]
    fn a_proxy_is_called_in_full_by_its_pod_or_by_its_workload() {
        // (asked, meant)
        let table = [
            ("ratings-v1-x2k9q.default", true),
            ("ratings-v1-x2k9q", true),
            ("ratings-v1", true),
            ("ratings", true),
            ("rating", false),
            ("reviews", false),
        ];
        for (asked, meant) in table {
            assert_eq!(is_called("ratings-v1-x2k9q.default", asked), meant, "{asked}");
        }
    }

    #[tokio::test]
    async fn the_stream_begins_with_a_frame() {
        let (router, _publish) = router();
        let request = Request::get("/leno/v1/stream").body(Body::empty()).unwrap();
        let mut body = router.oneshot(request).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(first.to_vec()).unwrap();
        assert!(text.contains("event: frame") && text.contains("\"revision\":3"), "{text}");
    }

    #[tokio::test]
    async fn an_unknown_proxy_is_not_found() {
        assert_eq!(ask("/leno/v1/proxies/nope/config_dump").await.status(), 404);
    }
}
