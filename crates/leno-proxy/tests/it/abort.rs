//! A client that goes away in the middle: the endpoint learns it at once, in whatever state the exchange is.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::basic::GET;
use crate::config::{cluster, start, to, with_listener};
use crate::h2::Client;
use crate::http2::over_http2;
use crate::origin::{Peer, origin};

const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint that says `word` once it has received `until`, answers with `answer`, and then reports the end.
fn watching(until: &'static str, answer: &'static str) -> (SocketAddr, Receiver<&'static str>) {
    let (sender, seen) = channel();
    let address = origin(move |mut peer| {
        peer.until(until);
        peer.write(answer);
        sender.send("reached").unwrap();
        peer.rest();
        sender.send("ended").unwrap();
    });
    (address, seen)
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
}

fn leave(client: Peer, how: Leave) {
    if matches!(how, Leave::Reset) {
        let socket = socket2::SockRef::from(client.stream());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(client);
}

#[test]
fn an_http_client_that_leaves_ends_the_exchange_upstream() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart";
    const UPGRADE: &str =
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const SWITCHED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    // (state, request, what the endpoint waits for, what it answers)
    let table = [
        ("waits for a head", GET, "\r\n\r\n", ""),
        ("sends a body", POST, "part", ""),
        (
            "sends a body, has an answer",
            POST,
            "part",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ),
        ("receives a body", GET, "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"),
        (
            "receives chunks",
            GET,
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        ),
        ("has upgraded", UPGRADE, "\r\n\r\n", SWITCHED),
    ];
    for (state, request, until, answer) in table {
        for how in [Leave::Close, Leave::Reset] {
            let (address, seen) = watching(until, answer);
            let (_proxy, address) = start(to(address));
            let mut client = Peer::connect(address);
            client.write(request);
            if !answer.is_empty() {
                client.until("\r\n\r\n").unwrap();
            }
            assert_eq!(seen.recv_timeout(PATIENCE), Ok("reached"), "{state}");
            leave(client, how);
            assert_eq!(seen.recv_timeout(PATIENCE), Ok("ended"), "{state}, {how:?}");
        }
    }
}

#[test]
fn a_tcp_client_that_leaves_ends_the_connection_upstream() {
    for how in [Leave::Close, Leave::Reset] {
        let (endpoint, seen) = watching("hello\n", "answer\n");
        let listener = crate::config::listener(crate::config::tcp("bytes"));
        let (_proxy, address) = start(with_listener(listener, vec![cluster("bytes", &[endpoint])]));
        let mut client = Peer::connect(address);
        client.write("hello\n");
        assert_eq!(client.until("\n").as_deref(), Some("answer\n"));
        assert_eq!(seen.recv_timeout(PATIENCE), Ok("reached"));
        leave(client, how);
        assert_eq!(seen.recv_timeout(PATIENCE), Ok("ended"), "{how:?}");
    }
}

/// An endpoint that takes `until` and then nothing, until it is told to look how the connection ended.
fn stuck(until: &'static str, answer: &'static str) -> (SocketAddr, Receiver<bool>) {
    let (sender, seen) = channel();
    let address = origin(move |mut peer| {
        peer.until(until);
        peer.write(answer);
        // Nothing is read: only the kernel's word tells of a reset.
        let has_broken = || socket2::SockRef::from(peer.stream()).take_error().unwrap().is_some();
        let begun = std::time::Instant::now();
        while !has_broken() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        sender.send(begun.elapsed() < PATIENCE).unwrap();
    });
    (address, seen)
}

/// Writes until nobody takes any more: everything between the client and the endpoint is full.
fn fill(client: &mut Peer) {
    client.stream().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut stream = client.stream();
    while std::io::Write::write(&mut stream, &[7; 64 * 1024]).is_ok() {}
}

#[test]
fn a_client_that_breaks_off_a_blocked_upload_resets_it_upstream() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    const UPGRADE: &str =
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const SWITCHED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    // (how the bytes are carried, what begins, what the endpoint answers)
    let table =
        [("HTTP/1", POST, ""), ("WebSocket", UPGRADE, SWITCHED), ("TCP", "hello\r\n\r\n", "")];
    for (carried, begin, answer) in table {
        let (endpoint, seen) = stuck("\r\n\r\n", answer);
        let resources = if carried == "TCP" {
            let listener = crate::config::listener(crate::config::tcp("bytes"));
            with_listener(listener, vec![cluster("bytes", &[endpoint])])
        } else {
            to(endpoint)
        };
        let (_proxy, address) = start(resources);
        let mut client = Peer::connect(address);
        client.write(begin);
        if !answer.is_empty() {
            client.until("\r\n\r\n").unwrap();
        }
        fill(&mut client);
        leave(client, Leave::Reset);
        assert_eq!(seen.recv_timeout(PATIENCE * 2), Ok(true), "{carried}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_in_a_blocked_upload_is_reset_upstream() {
    // To an endpoint of either version; gRPC's streams are streams like any other.
    let (endpoint, seen) = stuck("\r\n\r\n", "");
    let (_one, to_http1) = start(to(endpoint));
    let (sender, mut streams) = tokio::sync::mpsc::channel(1);
    let held = crate::h2::origin(move |request, _respond| {
        let sender = sender.clone();
        async move {
            // The windows are used up and none is opened again; what is waited for is the stream's end.
            let mut body = request.into_body();
            let mut broken = None;
            while let Some(piece) = body.data().await {
                if let Err(error) = piece {
                    broken = error.reason();
                    break;
                }
            }
            sender.send(broken).await.unwrap();
        }
    })
    .await;
    let (_two, to_http2) = start(over_http2(held));
    for address in [to_http1, to_http2] {
        let mut client = Client::connect(address).await;
        let request = crate::h2::request("POST", "/");
        let (_response, mut stream) = client.begin(request, false).await;
        // As long as anybody takes anything.
        loop {
            stream.reserve_capacity(64 * 1024);
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
            let Ok(Some(Ok(room))) = tokio::time::timeout(Duration::from_millis(300), room).await
            else {
                break;
            };
            stream.send_data(vec![7; room].into(), false).unwrap();
        }
        stream.send_reset(h2::Reason::CANCEL);
    }
    assert_eq!(streams.recv().await.unwrap(), Some(h2::Reason::CANCEL));
    assert!(
        tokio::task::spawn_blocking(move || seen.recv_timeout(PATIENCE * 2))
            .await
            .unwrap()
            .unwrap()
    );
}
