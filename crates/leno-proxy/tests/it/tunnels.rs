//! Exchanges that become tunnels, in every pair of versions (RFC 9110 §7.8, RFC 8441).

use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request, Response};
use leno_proxy::Options;
use tokio::net::TcpStream;

use crate::config::{options, start, start_as, to};
use crate::http2::over_http2;
use crate::origin::{Peer, origin as http1_origin};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Agrees to any upgrade and sends everything back, with a word first.
fn http1_echo() -> std::net::SocketAddr {
    http1_origin(|mut peer| {
        let request = peer.until("\r\n\r\n").unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /chat http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nupgrade: websocket\r\n"), "{request}");
        assert!(request.contains("\r\nsec-websocket-key: "), "{request}");
        peer.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi",
        );
        while let Some(line) = peer.until("\n") {
            peer.write(line);
        }
    })
}

/// The same over extended CONNECT.
async fn http2_echo() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                let mut connection =
                    builder.enable_connect_protocol().handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        assert_eq!(request.method(), Method::CONNECT);
                        let protocol = request.extensions().get::<Protocol>().unwrap();
                        assert_eq!(
                            (protocol.as_str(), request.uri().path()),
                            ("websocket", "/chat")
                        );
                        assert!(!request.headers().contains_key("upgrade"));
                        let mut sent = respond.send_response(Response::new(()), false).unwrap();
                        sent.send_data(Bytes::from_static(b"hi"), false).unwrap();
                        let mut body = request.into_body();
                        while let Some(Ok(piece)) = body.data().await {
                            sent.send_data(piece, false).unwrap();
                        }
                        sent.send_data(Bytes::new(), true).unwrap();
                    });
                }
            });
        }
    });
    address
}

fn http1_client(address: std::net::SocketAddr) {
    let mut client = Peer::connect(address);
    client.write(UPGRADE);
    let head = client.until("\r\n\r\n").unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    let accept = "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n";
    assert!(head.contains(accept), "{head}");
    assert_eq!(client.exactly(2).unwrap(), b"hi");
    for line in ["one\n", "two\n"] {
        client.write(line);
        assert_eq!(client.until("\n").unwrap(), line);
    }
    client.end();
    assert_eq!(client.rest(), "");
}

async fn http2_client(address: std::net::SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    // What the server allows comes with its settings.
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://x/chat")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    let (response, mut sent) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("upgrade"));
    let mut body = response.into_body();
    let mut seen = Vec::new();
    for (line, expected) in [("one\n", &b"hione\n"[..]), ("two\n", b"hione\ntwo\n")] {
        sent.send_data(Bytes::from(line), false).unwrap();
        while seen.len() < expected.len() {
            seen.extend_from_slice(&body.data().await.unwrap().unwrap());
        }
        assert_eq!(seen, expected);
    }
    sent.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none_or(|piece| piece.unwrap().is_empty()), "an orderly end");
}

#[tokio::test]
async fn web_sockets_pass_in_every_pair_of_versions() {
    let (_one, to_http1) = start(to(http1_echo()));
    let (_two, to_http2) = start(over_http2(http2_echo().await));
    for address in [to_http1, to_http2] {
        tokio::task::spawn_blocking(move || http1_client(address)).await.unwrap();
        http2_client(address).await;
    }
}

/// Agrees to a WebSocket and tells how it ended: what came after the agreement.
fn http1_listening() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let (sender, ends) = std::sync::mpsc::channel();
    let address = http1_origin(move |mut peer| {
        peer.until("\r\n\r\n").unwrap();
        peer.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        // A frame of four bytes, in two parts: nothing may come in between.
        peer.write(b"\x82\x04ab");
        let mut said = peer.exactly(6).unwrap();
        peer.write(b"cd");
        said.extend(peer.exactly(8).unwrap_or_default());
        sender.send(said).unwrap();
    });
    (address, ends)
}

/// A close frame as a client sends it, and what it says.
fn code_of_masked(frame: &[u8]) -> u16 {
    assert_eq!(frame[..2], [0x88, 0x82], "{frame:?}");
    u16::from_be_bytes([frame[6] ^ frame[2], frame[7] ^ frame[3]])
}

#[test]
fn a_drain_tells_both_ends_of_a_web_socket_between_two_frames() {
    for does_answer in [true, false] {
        let (endpoint, ends) = http1_listening();
        let drain = if does_answer { Duration::from_secs(60) } else { Duration::from_millis(200) };
        let (proxy, address) = start_as(Options { drain, ..options(to(endpoint)) });
        let mut client = Peer::connect(address);
        client.write(UPGRADE);
        client.until("\r\n\r\n").unwrap();
        assert_eq!(client.exactly(4).unwrap(), b"\x82\x04ab");
        proxy.drain();
        // An empty masked frame: the endpoint goes on with its own only then.
        client.write(b"\x82\x80\0\0\0\0");
        assert_eq!(client.exactly(2).unwrap(), b"cd");
        assert_eq!(client.exactly(4).unwrap(), b"\x88\x02\x03\xe9", "going away");
        if does_answer {
            client.write(b"\x88\x82\0\0\0\0\x03\xe9");
        }
        let said = ends.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(code_of_masked(&said[6..]), 1001);
        assert_eq!(client.rest(), "", "an orderly end");
    }
}

#[tokio::test]
async fn a_drain_tells_a_web_socket_that_is_a_stream() {
    let (endpoint, ends) = http1_listening();
    // A stream has a turn of its own, within the first half.
    let drain = Duration::from_secs(8);
    let (proxy, address) = start_as(Options { drain, ..options(to(endpoint)) });
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://x/chat")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (response, mut sent) = sender.send_request(request, false).unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut seen = Vec::new();
    for (said, expected) in [
        (&b"\x82\x80\0\0\0\0"[..], &b"\x82\x04abcd"[..]),
        (b"\x88\x82\0\0\0\0\x03\xe9", b"\x82\x04abcd\x88\x02\x03\xe9"),
    ] {
        if said[0] == 0x88 {
            proxy.drain();
        }
        if said[0] != 0x88 {
            sent.send_data(Bytes::copy_from_slice(said), false).unwrap();
        }
        while seen.len() < expected.len() {
            seen.extend_from_slice(&body.data().await.unwrap().unwrap());
        }
        assert_eq!(seen, expected);
        if said[0] == 0x88 {
            sent.send_data(Bytes::copy_from_slice(said), true).unwrap();
        }
    }
    let end = tokio::task::spawn_blocking(move || ends.recv_timeout(Duration::from_secs(10)));
    assert_eq!(code_of_masked(&end.await.unwrap().unwrap()[6..]), 1001);
    assert!(body.data().await.is_none_or(|piece| piece.unwrap().is_empty()), "an orderly end");
}
