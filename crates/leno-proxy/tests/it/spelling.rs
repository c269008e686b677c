//! HTTP/1 through two proxies that speak HTTP/2 over mutual TLS: bytes arrive as they were written, and nobody but another proxy
//! of ours is told how.

use std::net::SocketAddr;

use leno_core::config::{UpstreamProtocol, UpstreamTransport};
use tokio::net::{TcpListener, TcpStream};

use crate::ca::Ca;
use crate::config::{cluster, forward, http_listener, route, start, with_listener};
use crate::h2::{Client, request};
use crate::origin::{Peer, answering};

const ASKED: &str = "GET /a HTTP/1.1\r\nX-One: 1\r\nHOST: svc\r\nx-two: 2\r\nETag: 3\r\n\
                     X-Leno-Spelling: u4\r\nx-request-id: 4\r\nX-Forwarded-Proto: http\r\n\r\n";
const ANSWERED: &str = "HTTP/1.1 200 Okay\r\nSet-Cookie: a\r\nset-cookie: b\r\n\
                        x-leno-spelling: u3\r\nX-Envoy-Upstream-Service-Time: 0\r\n\
                        Content-Length: 5\r\n\r\nhello";

fn without_spelling(text: &str) -> String {
    text.split_inclusive("\r\n").filter(|line| !line.to_lowercase().contains("spelling")).collect()
}

/// The outbound proxy, before what takes HTTP/2 over mutual TLS as `server`.
fn outbound(ca: &Ca, to: SocketAddr) -> (leno_proxy::Running, SocketAddr) {
    let mut cluster = cluster("c", &[to]);
    cluster.http.protocol = UpstreamProtocol::Http2;
    cluster.transport =
        UpstreamTransport::Tls(Box::new(ca.upstream("client", "server", &["istio-h2", "h2"])));
    start(with_listener(http_listener(vec![route("/", forward("c"))]), vec![cluster]))
}

/// The inbound proxy, before `web`.
fn inbound(ca: &Ca, web: SocketAddr) -> (leno_proxy::Running, SocketAddr) {
    let mut listener = http_listener(vec![route("/", forward("c"))]);
    listener.filter_chains[0].tls = Some(ca.downstream("server", true, &["istio-h2", "h2"]));
    start(with_listener(listener, vec![cluster("c", &[web])]))
}

#[test]
fn a_pair_of_sidecars_passes_heads_as_they_were_written() {
    let ca = Ca::new();
    let (web, requests) = answering(ANSWERED);
    let (_inbound, address) = inbound(&ca, web);
    let (_outbound, address) = outbound(&ca, address);
    let mut client = Peer::connect(address);
    for _ in 0..3 {
        let answer = client.call(ASKED);
        assert_eq!(requests.recv().unwrap(), without_spelling(ASKED));
        let service_time = |line: &str| line.starts_with("X-Envoy-Upstream-Service-Time: ");
        let lines = |text: &str| -> Vec<String> {
            text.split("\r\n").filter(|line| !service_time(line)).map(str::to_owned).collect()
        };
        assert!(answer.split("\r\n").any(service_time), "{answer}");
        assert_eq!(lines(&answer), lines(&without_spelling(ANSWERED)));
    }
}

#[tokio::test]
async fn an_upstream_that_is_none_of_ours_is_told_nothing() {
    let ca = Ca::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(ca.rustls_server("server"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, request) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection =
            h2::server::handshake(acceptor.accept(stream).await.unwrap()).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        // Nobody believes what it says of it.
        let response = http::Response::builder().header("x-leno-spelling", "u2").body(()).unwrap();
        respond.send_response(response, true).unwrap();
        told.send(request).unwrap();
        // The connection is served until the test ends.
        while let Some(Ok(_)) = connection.accept().await {}
    });
    let (_outbound, address) = outbound(&ca, address);
    let answer = tokio::task::spawn_blocking(move || Peer::connect(address).call(ASKED)).await;
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("spelling"), "{answer}");
    let request = request.await.unwrap();
    assert!(!request.headers().contains_key("x-leno-spelling"), "{request:?}");
    assert_eq!(request.headers()["x-one"], "1");
}

#[tokio::test]
async fn a_downstream_that_is_none_of_ours_is_neither_believed_nor_told() {
    let ca = Ca::new();
    let (web, requests) = answering(ANSWERED);
    let (_inbound, address) = inbound(&ca, web);
    let connector = tokio_rustls::TlsConnector::from(ca.rustls_client("client"));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut client = Client::over(stream).await;
    let (parts, ()) = request("GET", "/a").into_parts();
    let mut asked = http::Request::from_parts(parts, ());
    asked.headers_mut().insert("x-leno-spelling", "u".parse().unwrap());
    let answer = client.call(asked, b"", None).await.unwrap();
    assert!(!answer.headers.contains_key("x-leno-spelling"), "{answer:?}");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET /a HTTP/1.1\r\nhost: x\r\n"), "{request}");
    assert!(!request.contains("spelling"), "{request}");
}
