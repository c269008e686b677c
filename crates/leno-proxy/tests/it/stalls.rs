//! HTTP/2 peers that stop in the middle: windows that stay closed, heads that do not end.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use leno_core::snapshot::Resources;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::config::{edited, forward, http_listener, resources, route, start, with_listener};
use crate::h2::{Client, origin, request};
use crate::http2::http2_cluster;
use crate::origin::Peer;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// HEADERS of stream 1 with END_STREAM but not END_HEADERS: GET, http, /.
const HALF_A_HEAD: &[u8] = &[0, 0, 3, 1, 1, 0, 0, 0, 1, 0x82, 0x86, 0x84];
const ENHANCE_YOUR_CALM: u32 = 11;

/// Everything goes to `origin`; an exchange in which nothing moves ends after `idle`.
fn impatient(origin: std::net::SocketAddr, idle: Duration) -> Resources {
    let mut forward = forward("origin");
    forward.idle_timeout = Some(idle);
    resources(vec![route("/", forward)], vec![http2_cluster("origin", origin)])
}

/// An origin that sends 1 MiB as its window allows, and tells how much that was when the stream is reset.
async fn eager() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let (sender, sent) = mpsc::unbounded_channel();
    let address = origin(move |_request, mut respond| {
        let sender = sender.clone();
        async move {
            let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
            let (mut body, mut count) = (Bytes::from(vec![0; 1 << 20]), 0);
            while !body.is_empty() {
                stream.reserve_capacity(body.len());
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { break };
                let piece = body.split_to(room.min(body.len()));
                count += piece.len();
                if stream.send_data(piece, body.is_empty()).is_err() {
                    break;
                }
            }
            let _ = sender.send(count);
        }
    })
    .await;
    (address, sent)
}

/// CVE-2019-9517 and CVE-2019-9511: a client that asks for much and takes nothing. Its endpoint is not read on, and its
/// stream ends.
#[tokio::test]
async fn a_window_that_stays_closed_holds_little_and_ends_the_stream() {
    let (origin, mut sent) = eager().await;
    let (_proxy, address) = start(impatient(origin, Duration::from_millis(300)));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) =
        builder.initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request("GET", "/"), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    let error = body.data().await.expect("the stream does not end well").unwrap_err();
    assert!(error.is_reset(), "{error}");
    let sent = sent.recv().await.unwrap();
    // The stream's first window; nothing was passed on, so nothing more was asked for.
    assert!(sent <= 64 * 1024, "{sent}");
}

/// A client that goes away with its window closed leaves nothing behind: its exchanges end with it, and what they held
/// of the endpoint's is free for others.
#[tokio::test]
async fn a_client_that_leaves_with_a_closed_window_ends_its_exchanges() {
    let (origin, mut sent) = eager().await;
    let (_proxy, address) = start(impatient(origin, Duration::from_secs(3600)));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) =
        builder.initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request("GET", "/"), true).unwrap();
    let body = response.await.unwrap().into_body();
    // Not a reset of the stream: the connection is gone.
    connection.abort();
    let told = tokio::time::timeout(Duration::from_secs(10), sent.recv()).await;
    assert!(told.expect("the endpoint's stream is reset").is_some());
    drop(body);
}

/// The same on the way up: an endpoint that takes nothing of a body bounds what the client may send.
#[tokio::test]
async fn a_body_that_nobody_takes_stays_at_the_client() {
    let origin = origin(|request, _respond| async move {
        // Neither read nor answered.
        let _held = request;
        std::future::pending::<()>().await;
    })
    .await;
    let (_proxy, address) = start(impatient(origin, Duration::from_secs(60)));
    let mut client = Client::connect(address).await;
    let (_response, mut stream) = client.begin(request("POST", "/"), false).await;
    let mut count = 0;
    loop {
        stream.reserve_capacity(1 << 20);
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        // Without room for so long there will be none.
        match tokio::time::timeout(Duration::from_secs(1), room).await {
            Ok(room) => {
                let room = room.unwrap().unwrap();
                count += room;
                stream.send_data(Bytes::from(vec![0; room]), false).unwrap();
            }
            Err(_) => break,
        }
    }
    // What the endpoint's window took, what is held here, and what one window more may have let in.
    assert!((65_535..=65_535 + 2 * 256 * 1024).contains(&count), "{count}");
}

/// A slow kin of CVE-2024-27316: a header block that is begun, and at best dripped, but never ended.
#[test]
fn a_head_that_does_not_end_in_time_ends_the_connection() {
    let listener = edited(http_listener(vec![route("/", forward("nowhere"))]), |manager| {
        manager.request_headers_timeout = Some(Duration::from_millis(100));
    });
    // Nobody ever gets there.
    let nowhere = http2_cluster("nowhere", "127.0.0.1:9".parse().unwrap());
    let (_proxy, address) = start(with_listener(listener, vec![nowhere]));
    // (what, the bytes)
    let table: [(&str, &[u8]); 3] = [
        ("a block without its end", HALF_A_HEAD),
        ("half a frame", &HALF_A_HEAD[..11]),
        ("half a frame's header", &HALF_A_HEAD[..5]),
    ];
    for (what, bytes) in table {
        let mut client = Peer::connect(address);
        client.write([PREFACE, SETTINGS, bytes].concat());
        let mut answer = Vec::new();
        // A reset behind the answer is as good an end.
        let _ = std::io::Read::read_to_end(&mut client.stream(), &mut answer);
        let goaway = answer.windows(9).position(|bytes| bytes[3..] == [7, 0, 0, 0, 0, 0]);
        let at = goaway.unwrap_or_else(|| panic!("{what}: no GOAWAY in {answer:?}")) + 9 + 4;
        let code = u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
        assert_eq!(code, ENHANCE_YOUR_CALM, "{what}");
    }
}
