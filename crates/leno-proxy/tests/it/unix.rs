//! Listeners and endpoints at Unix sockets, with and without TLS.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::Response;
use leno_core::config::{Address, Discovery, ListenerAddress, UpstreamProtocol, UpstreamTransport};
use leno_proxy::Running;

use crate::basic::OK;
use crate::ca::Ca;
use crate::config::{cluster, forward, http_listener, options, route, start, with_listener};
use crate::origin::{Peer, answering};

/// What `curl` gets through the socket: body, status, version.
fn curl(socket: &Path, more: &[&str], url: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(["--write-out", " %{http_code} %{http_version}", "--unix-socket"])
        .arg(socket)
        .args(more)
        .arg(url)
        .output()
        .expect("curl is installed");
    format!(
        "{}{}",
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap()
    )
}

fn listen(path: &Path, ca: Option<&Ca>) -> (Running, std::sync::mpsc::Receiver<String>) {
    let (web, requests) = answering(OK);
    let mut listener = http_listener(vec![route("/", forward("c"))]);
    listener.address = ListenerAddress::Pipe { path: path.to_str().unwrap().into(), mode: 0o600 };
    listener.filter_chains[0].tls =
        ca.map(|ca| ca.downstream("server", false, &["h2", "http/1.1"]));
    let resources = with_listener(listener, vec![cluster("c", &[web])]);
    (leno_proxy::start(options(resources)).unwrap(), requests)
}

#[test]
fn a_listener_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.socket");
    let (_proxy, requests) = listen(&path, None);
    assert_eq!(curl(&path, &[], "http://shop/a"), "hello 200 1.1");
    assert!(requests.recv().unwrap().starts_with("GET /a HTTP/1.1\r\nHost: shop\r\n"));
    assert_eq!(curl(&path, &["--http2-prior-knowledge"], "http://shop/a"), "hello 200 2");
    // A second proxy takes the path over; the first one's connections are its own.
    let (_second, second_requests) = listen(&path, None);
    assert_eq!(curl(&path, &[], "http://shop/b"), "hello 200 1.1");
    assert!(second_requests.recv().unwrap().starts_with("GET /b "));
}

#[test]
fn tls_is_spoken_at_a_unix_socket() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.socket");
    let (_proxy, _requests) = listen(&path, Some(&ca));
    let root = ca.root();
    let root = root.to_str().unwrap();
    assert_eq!(curl(&path, &["--cacert", root], "https://localhost/"), "hello 200 2");
    let http1 = ["--cacert", root, "--http1.1"];
    assert_eq!(curl(&path, &http1, "https://localhost/"), "hello 200 1.1");
}

#[tokio::test]
async fn an_endpoint_at_a_unix_socket_may_speak_tls() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("origin.socket");
    let socket = tokio::net::UnixListener::bind(&path).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(ca.rustls_server("server"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut sent = respond.send_response(Response::new(()), false).unwrap();
                    sent.send_data(Bytes::from_static(b"hello"), true).unwrap();
                }
            });
        }
    });
    let mut piped = cluster("c", &[([127, 0, 0, 1], 1).into()]);
    let Discovery::Static(assignment) = &mut piped.discovery else { panic!("static") };
    let address = Address::Pipe(path.to_str().unwrap().into());
    std::sync::Arc::make_mut(assignment).localities[0].endpoints[0].address = address;
    piped.http.protocol = UpstreamProtocol::Http2;
    let tls = ca.upstream("client", "server", &["h2"]);
    piped.transport = UpstreamTransport::Tls(Box::new(tls));
    let listener = http_listener(vec![route("/", forward("c"))]);
    let (_proxy, address) = start(with_listener(listener, vec![piped]));
    let answer = tokio::task::spawn_blocking(move || {
        Peer::connect(address).call("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("hello"), "{answer}");
}
