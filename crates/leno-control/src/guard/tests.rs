use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt as _;

use super::*;

const LOCAL: Arrival = Arrival { is_local: true, is_tls: false };
const LOCAL_TLS: Arrival = Arrival { is_local: true, is_tls: true };
const AWAY: Arrival = Arrival { is_local: false, is_tls: false };
const AWAY_TLS: Arrival = Arrival { is_local: false, is_tls: true };

#[test]
fn every_place_is_open_to_whom_it_should_be() {
    use Credentials::{None as Nothing, Session, Token, Wrong};
    use Place::{Kubernetes, Management, Open, Page};
    use Verdict::{Forbidden, Form, Pass, Secure, Unauthorized};
    // (place, how it came, host, origin, what was shown, what is done)
    let table = [
        (Open, AWAY, "x", Some("http://evil"), Wrong, Pass),
        (Kubernetes, LOCAL_TLS, "127.0.0.1:1", None, Token, Pass),
        (Kubernetes, LOCAL_TLS, "127.0.0.1:1", None, Nothing, Unauthorized),
        (Kubernetes, LOCAL_TLS, "127.0.0.1:1", None, Wrong, Unauthorized),
        (Kubernetes, LOCAL_TLS, "127.0.0.1:1", None, Session, Unauthorized),
        (Kubernetes, AWAY_TLS, "mesh.example", None, Token, Pass),
        (Kubernetes, AWAY, "mesh.example", None, Token, Forbidden(PLAINTEXT)),
        (Kubernetes, LOCAL, "127.0.0.1", Some("http://evil.example"), Token, Forbidden(OTHER_SITE)),
        (Management, LOCAL, "127.0.0.1:15080", None, Nothing, Pass),
        (Management, LOCAL, "localhost", None, Nothing, Pass),
        (Management, LOCAL, "[::1]:15080", None, Nothing, Pass),
        (Management, LOCAL, "127.64.0.9", None, Nothing, Pass),
        (Management, LOCAL, "evil.example", None, Nothing, Forbidden(OTHER_NAME)),
        (Management, LOCAL, "127.0.0.1.evil.example", None, Nothing, Forbidden(OTHER_NAME)),
        (Management, LOCAL, "", None, Nothing, Forbidden(OTHER_NAME)),
        (Management, LOCAL, "evil.example", None, Token, Pass),
        (Management, LOCAL, "127.0.0.1", None, Wrong, Unauthorized),
        (Management, LOCAL, "127.0.0.1:9", Some("http://127.0.0.1:9"), Nothing, Pass),
        (Management, LOCAL_TLS, "LOCALHOST:9", Some("https://localhost:9"), Nothing, Pass),
        (
            Management,
            LOCAL,
            "127.0.0.1:9",
            Some("http://127.0.0.1:8"),
            Nothing,
            Forbidden(OTHER_SITE),
        ),
        (Management, LOCAL, "127.0.0.1:9", Some("null"), Nothing, Forbidden(OTHER_SITE)),
        (Management, AWAY_TLS, "127.0.0.1", None, Nothing, Unauthorized),
        (Management, AWAY_TLS, "mesh.example", None, Session, Pass),
        (Management, AWAY, "mesh.example", None, Session, Forbidden(PLAINTEXT)),
        (Page, LOCAL, "127.0.0.1", None, Nothing, Pass),
        (Page, AWAY, "mesh.example", None, Nothing, Secure),
        (Page, AWAY_TLS, "mesh.example", None, Nothing, Form),
        (Page, AWAY_TLS, "mesh.example", None, Session, Pass),
        (Page, AWAY_TLS, "mesh.example", Some("https://mesh.example"), Nothing, Form),
    ];
    for (place, arrival, host, origin, shown, expected) in table {
        let found = judge(place, arrival, (host, origin), shown);
        assert_eq!(found, expected, "{place:?} {arrival:?} {host} {origin:?} {shown:?}");
    }
}

#[test]
fn every_path_has_its_place() {
    // (path, place)
    let table = [
        ("/readyz", Place::Open),
        ("/version", Place::Open),
        ("/", Place::Page),
        ("/assets/a.js", Place::Page),
        ("/login", Place::Page),
        ("/leno/v1/frame", Place::Management),
        ("/api/v1/namespaces", Place::Kubernetes),
        ("/openapi/v3", Place::Kubernetes),
        ("/leno/v2", Place::Kubernetes),
        ("//leno/v1/frame", Place::Kubernetes),
    ];
    for (path, place) in table {
        assert_eq!(Place::of(path), place, "{path}");
    }
}

async fn ask(arrival: Arrival, request: Request) -> Response {
    let inner = Router::new().route("/", get(|| async { "page" }));
    let inner = inner.route("/leno/v1/frame", get(|| async { "frame" }));
    let mut request = request;
    request.extensions_mut().insert(arrival);
    Guard::new("secret".to_owned()).before(inner).oneshot(request).await.unwrap()
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Request {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "mesh.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn a_browser_from_elsewhere_gets_a_cookie_for_the_token_and_reads_with_it() {
    let first = ask(AWAY_TLS, request("GET", "/", &[], "")).await;
    assert_eq!(first.status(), 401);
    assert_eq!(first.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let refused = ask(AWAY_TLS, request("POST", "/login", &[], "token=guess")).await;
    assert_eq!((refused.status().as_u16(), refused.headers().get(SET_COOKIE)), (401, None));
    let taken = ask(AWAY_TLS, request("POST", "/login", &[], "token=secret")).await;
    assert_eq!(taken.status(), 303);
    let cookie = taken.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("secret"), "{cookie}");
    let session = cookie.split(';').next().unwrap();
    for path in ["/", "/leno/v1/frame"] {
        let read = ask(AWAY_TLS, request("GET", path, &[("cookie", session)], "")).await;
        assert_eq!(read.status(), 200, "{path}");
        let forged = format!("{session}0");
        let forged = ask(AWAY_TLS, request("GET", path, &[("cookie", &forged)], "")).await;
        assert_eq!(forged.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn refusals_are_statuses_that_kubectl_prints() {
    // (how it came, origin, code, reason)
    let table = [
        (AWAY_TLS, None, 401, "Unauthorized"),
        (AWAY, None, 403, "Forbidden"),
        (LOCAL, None, 403, "Forbidden"),
        (LOCAL, Some("http://evil.example"), 403, "Forbidden"),
    ];
    for (arrival, origin, code, reason) in table {
        let headers: Vec<(&str, &str)> =
            origin.map(|origin| ("origin", origin)).into_iter().collect();
        let answer = ask(arrival, request("GET", "/leno/v1/frame", &headers, "")).await;
        assert_eq!(answer.status(), code);
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&status["kind"], &status["reason"]), (&"Status".into(), &reason.into()));
    }
    let moved = ask(AWAY, request("GET", "/", &[], "")).await;
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()[LOCATION]),
        (308, &HeaderValue::from_static("https://mesh.example/"))
    );
}
