//! Trace context on its way through, and spans at their collector.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response};
use leno_core::config::{Cluster, Fraction, Otlp, TraceProvider, Tracing};
use leno_core::snapshot::Resources;

use crate::admin::page;
use crate::basic::OK;
use crate::config::{cluster, edited, forward, http_listener, route, start, with_listener};
use crate::h2;
use crate::http2::http2_cluster;
use crate::origin::{Peer, answering, origin};

const PATIENCE: Duration = Duration::from_secs(10);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// What a collector got: path, content type, body.
type Posted = (String, String, Vec<u8>);

fn tracing(protocol: Otlp, share: Fraction) -> Arc<Tracing> {
    Arc::new(Tracing {
        provider: TraceProvider {
            cluster: "collector".into(),
            protocol,
            service_name: "shop".into(),
            timeout: None,
        },
        random_sampling: share,
        overall_sampling: Fraction::ALWAYS,
        max_path_bytes: 256,
    })
}

fn over_http() -> Otlp {
    Otlp::Http { uri: "http://collector:4318/v1/traces".into() }
}

/// Everything goes to `origin`, and leaves spans.
fn traced(origin: SocketAddr, collector: Cluster, tracing: Arc<Tracing>) -> Resources {
    let listener = edited(http_listener(vec![route("/", forward("origin"))]), |manager| {
        manager.tracing = Some(tracing);
    });
    with_listener(listener, vec![cluster("origin", &[origin]), collector])
}

/// Takes OTLP over HTTP/1.1 with a status.
fn collector(status: &'static str) -> (SocketAddr, Receiver<Posted>) {
    let (sender, posted): (Sender<Posted>, _) = channel();
    let address = origin(move |mut peer| {
        while let Some(head) = peer.until("\r\n\r\n") {
            let field = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                line.and_then(|line| line.split(": ").nth(1)).unwrap().to_owned()
            };
            let Some(body) = peer.exactly(field("content-length").parse().unwrap()) else { return };
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let _ = sender.send((path, field("content-type"), body));
            peer.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    (address, posted)
}

fn header(request: &str, name: &str) -> Option<String> {
    let line = request.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split(": ").nth(1)).map(str::to_owned)
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn a_trace_begins_here_and_its_span_reaches_the_collector() {
    let (origin, requests) = answering(OK);
    let (at, posted) = collector("200 OK");
    let (proxy, address) =
        start(traced(origin, cluster("collector", &[at]), tracing(over_http(), Fraction::ALWAYS)));
    let mut client = Peer::connect(address);
    client.call("GET /a?b HTTP/1.1\r\nHost: reviews\r\nTracestate: x=y\r\nUser-Agent: t\r\n\r\n");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    let traceparent = header(&request, "traceparent").unwrap();
    let parts: Vec<&str> = traceparent.split('-').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len(), parts[3]), ("00", 32, 16, "01"));
    assert!(header(&request, "Tracestate").is_none(), "the state of no trace is not passed on");
    let (path, content_type, body) = posted.recv_timeout(PATIENCE).unwrap();
    assert_eq!((path.as_str(), content_type.as_str()), ("/v1/traces", "application/x-protobuf"));
    let id = header(&request, "x-request-id").unwrap();
    let expected = ["shop", "egress reviews", "http://reviews/a?b", "http.status_code", &id];
    for part in expected {
        assert!(holds(&body, part.as_bytes()), "{part}: {}", body.escape_ascii());
    }
    assert!(holds(&body, &bytes_of(parts[1])) && holds(&body, &bytes_of(parts[2])));
    drop(client);
    drop(proxy);
}

#[test]
fn a_trace_is_continued_as_it_was_decided() {
    let (origin, requests) = answering(OK);
    let (at, posted) = collector("200 OK");
    let (proxy, address) =
        start(traced(origin, cluster("collector", &[at]), tracing(over_http(), Fraction::NEVER)));
    let mut client = Peer::connect(address);
    // (what comes, its flags when it leaves); the last is sampled, so a batch that holds it would hold the others.
    let table = [
        (format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n"), Some("00")),
        ("traceparent: 00-nonsense\r\n".to_owned(), None),
        (String::new(), None),
        (format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: x=y\r\n"), Some("01")),
    ];
    let mut spans = Vec::new();
    for (fields, flags) in table {
        client.call(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        let request = requests.recv_timeout(PATIENCE).unwrap();
        let traceparent = header(&request, "traceparent").unwrap();
        let parts: Vec<&str> = traceparent.split('-').collect();
        assert_eq!(parts[1] == TRACE, flags.is_some(), "{fields}");
        assert_ne!(parts[2], PARENT, "a hop is a span of its own");
        assert_eq!(parts[3], flags.unwrap_or("00"), "{fields}");
        spans.push(bytes_of(parts[2]));
        assert_eq!(header(&request, "tracestate"), fields.contains("x=y").then(|| "x=y".into()));
    }
    let (.., body) = posted.recv_timeout(PATIENCE).unwrap();
    let found: Vec<bool> = spans.iter().map(|span| holds(&body, span)).collect();
    assert_eq!(found, [false, false, false, true]);
    assert!(holds(&body, &bytes_of(PARENT)), "the parent is told");
    drop(client);
    drop(proxy);
}

#[test]
fn a_collector_that_refuses_costs_a_counter_and_nothing_else() {
    let (origin, _requests) = answering(OK);
    let (at, posted) = collector("503 Service Unavailable");
    let (proxy, address) =
        start(traced(origin, cluster("collector", &[at]), tracing(over_http(), Fraction::ALWAYS)));
    let mut client = Peer::connect(address);
    assert_eq!(client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), OK);
    posted.recv_timeout(PATIENCE).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let (_, metrics) = page(&proxy, "GET /stats/prometheus");
        assert!(metrics.contains("leno_spans_exported_total 0"), "{metrics}");
        if metrics.contains("leno_spans_dropped_total 1") {
            break;
        }
        assert!(std::time::Instant::now() < end, "{metrics}");
    }
    assert_eq!(client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), OK);
}

#[tokio::test]
async fn spans_go_out_over_grpc() {
    let (sender, mut posted) = tokio::sync::mpsc::unbounded_channel();
    let at = h2::origin(move |request, mut respond| {
        let sender = sender.clone();
        async move {
            let (head, body) = request.into_parts();
            let Ok((body, _)) = h2::read(body).await else { return };
            let _ = sender.send((head, body));
            let response =
                Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let stream = respond.send_response(response, false).unwrap();
            let status = HeaderMap::from_iter([(
                "grpc-status".parse().unwrap(),
                HeaderValue::from_static("0"),
            )]);
            h2::send(stream, b"\0\0\0\0\0"[..].into(), Some(status)).await;
        }
    })
    .await;
    let (origin, _requests) = answering(OK);
    let grpc = tracing(Otlp::Grpc { authority: String::new() }, Fraction::ALWAYS);
    let (proxy, address) = start(traced(origin, http2_cluster("collector", at), grpc));
    let call = move || Peer::connect(address).call("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(tokio::task::spawn_blocking(call).await.unwrap(), OK);
    let (head, body) = tokio::time::timeout(PATIENCE, posted.recv()).await.unwrap().unwrap();
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", export));
    assert_eq!(head.headers["content-type"], "application/grpc");
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!((body[0], length), (0, body.len() - 5));
    assert!(holds(&body, b"egress x"), "{}", body.escape_ascii());
    let end = std::time::Instant::now() + PATIENCE;
    let proxy = Arc::new(proxy);
    loop {
        let asked = Arc::clone(&proxy);
        let metrics = tokio::task::spawn_blocking(move || page(&asked, "GET /stats/prometheus").1);
        if metrics.await.unwrap().contains("leno_spans_exported_total 1") {
            break;
        }
        assert!(std::time::Instant::now() < end, "the span was never counted");
    }
}
