//! What gRPC needs beyond HTTP/2: statuses in trailers, answers in its own words, messages counted.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use leno_core::config::{OutlierDetection, RetryCondition, RetryPolicy};

use crate::config::{cluster, forward, resources, route, start};
use crate::h2::{Client, origin, read, send};
use crate::http2::over_http2;

fn call(path: &str) -> Request<()> {
    Request::builder()
        .method("POST")
        .uri(format!("http://x{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
}

/// Two messages.
const BODY: &[u8] = b"\0\0\0\0\x03abc\0\0\0\0\0";

/// Echoes the body and ends as the path says: `/echo/5` is NOT_FOUND in trailers, `/only/14` UNAVAILABLE without a body.
async fn service() -> SocketAddr {
    origin(|request, mut respond| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let path = request.uri().path().to_owned();
        let (kind, code) = path[1..].split_once('/').unwrap();
        let code: &'static str = code.to_owned().leak();
        let Ok((body, _)) = read(request.into_body()).await else { return };
        let response = Response::builder().header("content-type", "application/grpc");
        if kind == "only" {
            let response = response.header("grpc-status", code).body(()).unwrap();
            respond.send_response(response, true).unwrap();
        } else {
            let stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            send(stream, body, Some(status(code))).await;
        }
    })
    .await
}

fn metrics(admin: SocketAddr) -> String {
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    stream
        .write_all(b"GET /stats/prometheus HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test]
async fn a_call_is_passed_counted_and_its_status_seen() {
    let (proxy, address) = start(over_http2(service().await));
    let mut client = Client::connect(address).await;
    for (path, code) in [("/echo/0", "0"), ("/echo/5", "5")] {
        let answer = client.call(call(path), BODY, None).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, BODY), "{path}");
        assert_eq!(answer.trailers.unwrap()["grpc-status"], code);
    }
    let only = client.call(call("/only/14"), BODY, None).await.unwrap();
    assert_eq!(
        (only.body.len(), &only.headers["grpc-status"]),
        (0, &HeaderValue::from_static("14"))
    );
    let admin = proxy.admin().unwrap();
    let page = tokio::task::spawn_blocking(move || metrics(admin)).await.unwrap();
    let sample = |name: &str, label: &str| {
        let line = page.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    for code in ["0", "5", "14"] {
        let label = format!("grpc_response_status=\"{code}\"");
        assert_eq!(sample("istio_requests_total{", &label).as_deref(), Some("1"), "{page}");
        assert_eq!(sample("istio_request_messages_total{", &label).as_deref(), Some("2"), "{page}");
    }
    let label = "grpc_response_status=\"5\"";
    assert_eq!(sample("istio_response_messages_total{", label).as_deref(), Some("2"), "{page}");
}

#[tokio::test]
async fn failures_are_answered_in_its_own_words() {
    let mut slow = forward("slow");
    slow.timeout = Some(Duration::from_secs(60));
    let never = origin(|request, respond| async move {
        let _held = (request, respond);
        std::future::pending().await
    })
    .await;
    let mut clusters = vec![cluster("none", &[]), cluster("slow", &[never])];
    clusters[1].http.protocol = leno_core::config::UpstreamProtocol::Http2;
    let routes = vec![route("/none", forward("none")), route("/slow", slow)];
    let (_proxy, address) = start(resources(routes, clusters));
    let mut client = Client::connect(address).await;
    // (path, its deadline, status, message)
    let table = [
        ("/none/A", None, "14", "no healthy upstream"),
        ("/slow/A", Some("50m"), "4", "upstream request timeout"),
        ("/nowhere/A", None, "12", ""),
    ];
    for (path, deadline, code, message) in table {
        let mut request = call(path);
        if let Some(deadline) = deadline {
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(deadline));
        }
        let answer = client.call(request, BODY, None).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(answer.headers["grpc-status"], code, "{path}");
        let said = answer.headers.get("grpc-message").map_or("", |said| said.to_str().unwrap());
        assert_eq!(said, message, "{path}");
    }
}

/// The endpoint has the same deadline, and may be the first to act on it.
#[tokio::test]
async fn a_reset_behind_the_deadline_is_the_deadline() {
    let quick = origin(|request, mut respond| async move {
        assert_eq!(request.headers()["grpc-timeout"], "5m");
        // As long as the deadline: which of the two ends the call first is what this is about.
        tokio::time::sleep(Duration::from_millis(5)).await;
        respond.send_reset(h2::Reason::CANCEL);
    })
    .await;
    let (_proxy, address) = start(over_http2(quick));
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        let mut request = call("/slow/A");
        request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("5m"));
        let answer = client.call(request, BODY, None).await.unwrap();
        assert_eq!(answer.headers["grpc-status"], "4");
    }
}

#[tokio::test]
async fn a_status_that_the_policy_names_is_tried_again() {
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = attempts.clone();
    let origin = origin(move |request, mut respond| {
        let count = count.clone();
        async move {
            let Ok((body, _)) = read(request.into_body()).await else { return };
            let response = Response::builder().header("content-type", "application/grpc");
            if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                let response = response.header("grpc-status", "14").body(()).unwrap();
                respond.send_response(response, true).unwrap();
                return;
            }
            let stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            send(stream, body, Some(status("0"))).await;
        }
    })
    .await;
    let mut forward = forward("origin");
    forward.retry_policy = Some(Box::new(RetryPolicy {
        retry_on: vec![RetryCondition::GrpcUnavailable],
        retriable_status_codes: Vec::new(),
        num_retries: 2,
        per_try_timeout: None,
        back_off_base: Duration::from_millis(1),
        back_off_max: Duration::from_millis(2),
        avoid_previous_hosts: false,
    }));
    let clusters = vec![crate::http2::http2_cluster("origin", origin)];
    let (_proxy, address) = start(resources(vec![route("/", forward)], clusters));
    let mut client = Client::connect(address).await;
    let answer = client.call(call("/a/A"), BODY, None).await.unwrap();
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_endpoint_that_answers_with_failures_is_set_aside() {
    let answering = |code: &'static str| {
        origin(move |request, mut respond| async move {
            let Ok((body, _)) = read(request.into_body()).await else { return };
            let response = Response::builder().header("content-type", "application/grpc");
            let stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            send(stream, body, Some(status(code))).await;
        })
    };
    let (good, bad) = (answering("0").await, answering("14").await);
    let mut watched = crate::http2::http2_cluster("origin", good);
    watched.discovery = cluster("origin", &[good, bad]).discovery;
    watched.outlier = Some(Box::new(OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway_failure: 0,
        interval: Duration::from_secs(60),
        base_ejection_time: Duration::from_secs(600),
        max_ejection_time: Duration::from_secs(600),
        max_ejection_percent: 100,
        min_health_percent: 0,
    }));
    let (_proxy, address) = start(resources(vec![route("/", forward("origin"))], vec![watched]));
    let mut client = Client::connect(address).await;
    let mut failed = 0;
    for _ in 0..20 {
        // The HTTP status is 200 all the same.
        let answer = client.call(call("/a/A"), BODY, None).await.unwrap();
        assert_eq!(answer.status, 200);
        failed += usize::from(answer.trailers.unwrap()["grpc-status"] == "14");
    }
    assert_eq!(failed, 3, "after three failures only the other one is asked");
}
