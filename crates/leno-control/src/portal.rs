//! The live page, embedded in the binary: what `portal/` builds, served at the front door's `/`.
//!
//! Assets carry a hash in their name and may be kept for ever; the page itself is asked for again each time.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

/// What `make portal` left behind; empty when it was not run.
#[derive(RustEmbed)]
#[folder = "../../portal/dist"]
#[allow_missing = true]
struct Dist;

/// Nothing from elsewhere, no inline script: the page is its own files and one stream.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// Shown by a binary that was built without the page.
const NOT_BUILT: &str = "<!doctype html><title>Leno</title><p>This binary was built without its page: \
    run <code>make build</code>. The API is at <code>/leno/v1/frame</code>.";

/// `/` and `/assets/…`.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(index)).route("/assets/{*path}", get(asset))
}

async fn index() -> Response {
    match Dist::get("index.html") {
        Some(file) => page(file.data.into_owned()),
        None => page(NOT_BUILT.as_bytes().to_vec()),
    }
}

fn page(html: Vec<u8>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, html).into_response()
}

async fn asset(Path(path): Path<String>, request: HeaderMap) -> Response {
    let Some(file) = Dist::get(&format!("assets/{path}")) else {
        return (StatusCode::NOT_FOUND, "no such asset\n").into_response();
    };
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..8]));
    if request.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let headers = [
        (CONTENT_TYPE, content_type(&path).to_owned()),
        (CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (ETAG, tag),
    ];
    (headers, file.data.into_owned()).into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str) -> Response {
        router().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_is_there_with_a_policy_and_is_not_kept() {
        let answer = ask("/").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert!(answer.headers().contains_key(CONTENT_SECURITY_POLICY));
    }

    #[tokio::test]
    async fn an_unknown_asset_is_not_found() {
        assert_eq!(ask("/assets/../Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn assets_are_served_as_what_they_are() {
        // (file, type)
        let table = [
            ("a-1.js", "text/javascript; charset=utf-8"),
            ("b.css", "text/css; charset=utf-8"),
            ("c", "application/octet-stream"),
        ];
        for (file, expected) in table {
            assert_eq!(content_type(file), expected, "{file}");
        }
    }
}
