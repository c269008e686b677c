//! HTTP/2 on both sides, and every change of version in between.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use leno_core::config::{
    Cluster, DirectResponse, RetryCondition, RetryPolicy, RouteAction, UpstreamProtocol,
};
use leno_core::snapshot::Resources;
use tokio::sync::mpsc;

use crate::basic::OK;
use crate::config::{cluster, forward, resources, route, route_to, start, to};
use crate::h2::{Client, echo, origin, read, request, send};
use crate::origin::{Peer, answering, origin as http1_origin};

/// Everything goes to `origin`, over HTTP/2.
pub(crate) fn over_http2(origin: std::net::SocketAddr) -> Resources {
    resources(vec![route("/", forward("origin"))], vec![http2_cluster("origin", origin)])
}

pub(crate) fn http2_cluster(name: &str, origin: std::net::SocketAddr) -> Cluster {
    let mut cluster = cluster(name, &[origin]);
    cluster.http.protocol = UpstreamProtocol::Http2;
    cluster
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))])
}

#[tokio::test]
async fn a_stream_becomes_a_request_of_http_1() {
    let (origin, requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        let request = Request::builder()
            .uri("http://shop.example:81/a?b=c")
            .header("te", "trailers")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-plain", "kept")
            .body(())
            .unwrap();
        let answer = client.call(request, b"", None).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, b"hello".as_slice()));
        assert_eq!(answer.headers["x-origin"], "yes");
        assert_eq!(answer.headers["content-length"], "5");
        let request = requests.recv().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /a?b=c http/1.1\r\n"), "{request}");
        for line in ["host: shop.example:81", "cookie: a=1; b=2", "x-plain: kept"] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
        }
        for name in ["\r\nte:", "\r\nconnection:", "\r\n:", "transfer-encoding", "content-length"] {
            assert!(!request.contains(name), "{name}: {request}");
        }
    }
}

#[tokio::test]
async fn bodies_of_any_size_pass_between_the_versions() {
    let http1 = http1_origin(|mut peer| {
        while let Some(head) = peer.until("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let at = lower.find("content-length: ").expect("a length") + 16;
            let length = lower[at..lower.len() - 4].split("\r\n").next().unwrap().parse().unwrap();
            let body = peer.exactly(length).unwrap();
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            peer.write(body);
        }
    });
    let (_one, to_http1) = start(to(http1));
    let (_two, to_http2) = start(over_http2(echo().await));
    for address in [to_http1, to_http2] {
        let mut client = Client::connect(address).await;
        for size in [1, 1000, 65_535, 65_536, 3 << 20] {
            let body: Vec<u8> = (0..size).map(|at| (at * 7 + at / 251) as u8).collect();
            let request = Request::builder()
                .method("POST")
                .uri("http://x/")
                .header("content-length", size)
                .body(())
                .unwrap();
            let answer = client.call(request, &body, None).await.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == body, "{size} bytes");
        }
    }
}

#[tokio::test]
async fn trailers_pass_in_every_pair_of_versions() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    let (sender, requests) = std::sync::mpsc::channel();
    let http1 = http1_origin(move |mut peer| {
        let (_head, body) = (peer.until("\r\n\r\n"), peer.until("\r\n\r\n"));
        let _ = sender.send(body.unwrap());
        peer.write(chunked);
    });
    let (_one, to_http1) = start(to(http1));
    let (_two, to_http2) = start(over_http2(echo().await));
    for address in [to_http1, to_http2] {
        let mut client = Client::connect(address).await;
        let answer = client.call(request("POST", "/"), b"abc", Some(trailers())).await.unwrap();
        assert_eq!((&answer.body[..], answer.trailers), (b"abc".as_slice(), Some(trailers())));
    }
    assert!(requests.recv().unwrap().ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"));
    let answer = tokio::task::spawn_blocking(move || {
        let mut client = Peer::connect(to_http2);
        client.write(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n",
        );
        client.until("\r\n\r\n").unwrap();
        client.until("\r\n\r\n").unwrap()
    });
    let answer = answer.await.unwrap();
    assert!(answer.ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_of_http_1_becomes_a_stream() {
    let (_proxy, address) = start(over_http2(echo().await));
    let calls = tokio::task::spawn_blocking(move || {
        let mut client = Peer::connect(address);
        let request = "POST /p HTTP/1.1\r\nHost: shop:81\r\nConnection: x-mine\r\nX-Mine: 1\r\n\
             Keep-Alive: 5\r\nX-Plain: kept\r\nContent-Length: 3\r\n\r\nabc";
        [client.call(request), client.call("GET / HTTP/1.1\r\nHost: y\r\n\r\n")]
    });
    let [posted, got] = calls.await.unwrap();
    assert!(posted.starts_with("HTTP/1.1 200 OK\r\n"), "{posted}");
    for line in ["got-authority: shop:81", "got-x-plain: kept", "got-content-length: 3"] {
        assert!(posted.contains(&format!("\r\n{line}\r\n")), "{line}: {posted}");
    }
    for name in ["got-connection", "got-x-mine", "got-keep-alive", "got-host"] {
        assert!(!posted.contains(name), "{name}: {posted}");
    }
    assert!(posted.contains("abc"), "{posted}");
    assert!(got.contains("\r\ngot-authority: y\r\n"), "{got}");
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let origin = http1_origin(|mut peer| {
        while let Some(request) = peer.message() {
            peer.write(match request.split(' ').nth(1).unwrap() {
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            });
        }
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Client::connect(address).await;
    for (method, path, status) in
        [("HEAD", "/head", 200), ("GET", "/204", 204), ("GET", "/304", 304), ("GET", "/0", 200)]
    {
        let answer = client.call(request(method, path), b"", None).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
    }
    let head = client.call(request("HEAD", "/head"), b"", None).await.unwrap();
    assert_eq!(head.headers["content-length"], "99");
}

#[tokio::test]
async fn many_streams_share_one_connection_on_each_side() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut waiting = Vec::new();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, respond))) = connection.accept().await {
                    let _ = sender.send(peer);
                    waiting.push(respond);
                    // Nobody is answered until all are here.
                    if waiting.len() == 50 {
                        for mut respond in waiting.drain(..) {
                            let response = Response::new(());
                            respond.send_response(response, true).unwrap();
                        }
                    }
                }
            });
        }
    });
    let (_proxy, address) = start(over_http2(origin));
    let client = Client::connect(address).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.get("/").await.unwrap().status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    let mut peers = Vec::new();
    while let Ok(peer) = seen.try_recv() {
        peers.push(peer);
    }
    assert_eq!(peers.len(), 50);
    peers.dedup();
    assert_eq!(peers.len(), 1, "one upstream connection");
}

/// Everything goes to `origin`, over one connection at a time.
fn one_at_a_time(origin: std::net::SocketAddr, edit: impl FnOnce(&mut Cluster)) -> Resources {
    let mut cluster = http2_cluster("origin", origin);
    cluster.circuit.max_connections = Some(1);
    edit(&mut cluster);
    resources(vec![route("/", forward("origin"))], vec![cluster])
}

#[tokio::test]
async fn who_waits_at_the_connection_limit_gets_the_next_place() {
    let one_stream = |cluster: &mut Cluster| cluster.http.max_concurrent_streams = Some(1);
    let one_request = |cluster: &mut Cluster| cluster.http.max_requests_per_connection = Some(1);
    let origin = echo().await;
    for resources in [one_at_a_time(origin, one_stream), one_at_a_time(origin, one_request)] {
        let (_proxy, address) = start(resources);
        let client = Client::connect(address).await;
        let calls: Vec<_> = (0..30)
            .map(|_| {
                let mut client = client.clone();
                tokio::spawn(async move { client.get("/").await.unwrap().status })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn a_connection_that_carried_all_it_may_ends_by_itself() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
        sender.send(()).unwrap();
    });
    let (_proxy, address) =
        start(one_at_a_time(origin, |cluster| cluster.http.max_requests_per_connection = Some(1)));
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.unwrap().status, 200);
    ended.recv().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_reaches_the_endpoint() {
    let (sender, mut resets) = mpsc::unbounded_channel();
    let origin = origin(move |_request, mut respond| {
        let sender = sender.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"first"), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            let _ = sender.send(reason.unwrap());
        }
    })
    .await;
    let (_proxy, address) = start(over_http2(origin));
    let mut client = Client::connect(address).await;
    let (response, mut stream) = client.begin(request("POST", "/"), false).await;
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "first");
    stream.send_reset(h2::Reason::CANCEL);
    let reason = tokio::time::timeout(Duration::from_secs(5), resets.recv()).await;
    assert_eq!(reason.unwrap(), Some(h2::Reason::CANCEL));
    assert!(client.begin(request("GET", "/"), true).await.0.await.is_ok(), "the others go on");
}

#[tokio::test]
async fn what_an_endpoint_resets_is_told_and_what_it_refused_is_sent_again() {
    let refusals = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = refusals.clone();
    let origin = origin(move |request, mut respond| {
        let count = count.clone();
        async move {
            if request.uri().path() == "/refused"
                && count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0
            {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            if request.uri().path() == "/reset" {
                return respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            let Ok((body, _)) = read(request.into_body()).await else { return };
            let stream = respond.send_response(Response::new(()), false).unwrap();
            send(stream, body, None).await;
        }
    })
    .await;
    let (_proxy, address) = start(over_http2(origin));
    let mut client = Client::connect(address).await;
    let reset = client.get("/reset").await.unwrap();
    assert_eq!(reset.status, 503);
    let again = client.call(request("POST", "/refused"), b"abc", None).await.unwrap();
    assert_eq!((again.status, &again.body[..]), (200, b"abc".as_slice()));
    assert_eq!(refusals.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_body_is_sent_again_with_the_next_attempt() {
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = attempts.clone();
    let origin = origin(move |request, mut respond| {
        let count = count.clone();
        async move {
            let Ok((body, _)) = read(request.into_body()).await else { return };
            let attempt = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let status = if attempt < 2 { 503 } else { 200 };
            let response = Response::builder().status(status).body(()).unwrap();
            let stream = respond.send_response(response, false).unwrap();
            send(stream, body, None).await;
        }
    })
    .await;
    let mut forward = forward("origin");
    forward.retry_policy = Some(Box::new(RetryPolicy {
        retry_on: vec![RetryCondition::ServerError5xx],
        retriable_status_codes: Vec::new(),
        num_retries: 3,
        per_try_timeout: None,
        back_off_base: Duration::from_millis(1),
        back_off_max: Duration::from_millis(2),
        avoid_previous_hosts: false,
    }));
    let resources = resources(vec![route("/", forward)], vec![http2_cluster("origin", origin)]);
    let (_proxy, address) = start(resources);
    let mut client = Client::connect(address).await;
    let body = vec![7; 40_000];
    let answer = client.call(request("PUT", "/"), &body, None).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 40_000));
}

#[tokio::test]
async fn a_going_endpoint_loses_no_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut served = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let _ = respond.send_response(Response::new(()), true);
                    served += 1;
                    if served == 3 {
                        connection.graceful_shutdown();
                    }
                }
            });
        }
    });
    let (_proxy, address) = start(over_http2(origin));
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        let answer = client.call(request("POST", "/"), b"", None).await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_drain_finishes_the_streams_and_takes_no_other() {
    let origin = origin(|request, mut respond| async move {
        let Ok((body, _)) = read(request.into_body()).await else { return };
        let stream = respond.send_response(Response::new(()), false).unwrap();
        send(stream, body, None).await;
    })
    .await;
    let (proxy, address) = start(over_http2(origin));
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    let (response, stream) = sender.send_request(request("POST", "/"), false).unwrap();
    // The first stream is under way for sure once a second one was answered.
    let (second, _) = sender.send_request(request("GET", "/"), true).unwrap();
    assert_eq!(second.await.unwrap().status(), 200);
    proxy.drain();
    send(stream, Bytes::from_static(b"late"), None).await;
    let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, "late");
    ended.await.unwrap().expect("an orderly end");
    tokio::task::spawn_blocking(move || proxy.wait()).await.unwrap();
}

/// Sends so many bytes of a request that was answered already; what ended it before it was whole.
async fn send_late(client: &mut Client, bytes: usize) -> Option<h2::Reason> {
    let (response, mut stream) = client.begin(request("POST", "/"), false).await;
    let response = response.await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(read(response.into_body()).await.unwrap().0, "no");
    let mut left = bytes;
    while left > 0 {
        stream.reserve_capacity(left);
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Some(std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap());
        };
        let piece = Bytes::from(vec![7; room.min(left)]);
        left -= piece.len();
        stream.send_data(piece, left == 0).unwrap();
    }
    None
}

#[tokio::test]
async fn what_is_left_of_a_request_is_taken_after_an_early_answer() {
    let direct = DirectResponse { status: 403, body: b"no".to_vec() };
    let refused = route_to("/", RouteAction::DirectResponse(direct));
    let early = http1_origin(|mut peer| {
        while peer.until("\r\n\r\n").is_some() {
            peer.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    for resources in [resources(vec![refused], Vec::new()), to(early)] {
        let (_proxy, address) = start(resources);
        let mut client = Client::connect(address).await;
        for bytes in [1, 100_000, 200_000] {
            assert_eq!(send_late(&mut client, bytes).await, None, "{bytes}");
        }
        assert_eq!(send_late(&mut client, 16 << 20).await, Some(h2::Reason::NO_ERROR));
        assert_eq!(send_late(&mut client, 1).await, None);
    }
}
