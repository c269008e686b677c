//! A client that goes away in the middle: the endpoint learns it at once, in whatever state the exchange is.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::basic::GET;
use crate::config::{cluster, start, to, with_listener};
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
