//! Bodies: both framings, both directions, large, interleaved, early, late.

use crate::basic::{GET, OK};
use crate::config::{start, to};
use crate::origin::{Peer, answering, origin};

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let (origin, requests) = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
         5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    );
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    assert_eq!(client.until("X-T: 1\r\n\r\n").unwrap(), "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n");
    let request = requests.recv().unwrap();
    assert!(request.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{request}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = origin(|mut peer| {
        while let Some(request) = peer.message() {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let length = path.len();
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"));
        }
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    let requests: Vec<String> = (0..50)
        .map(|n| {
            format!("POST /{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{:02}", n % 100)
        })
        .collect();
    client.write(requests.concat());
    for n in 0..50 {
        let response = client.message().unwrap();
        assert!(response.ends_with(&format!("\r\n\r\n/{n}")), "{response}");
    }
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    const BYTES: usize = 5_000_000;
    let origin = origin(|mut peer| {
        while peer.until("\r\n\r\n").is_some() {
            let Some(body) = peer.exactly(BYTES) else { return };
            assert!(body.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
            peer.write(body);
        }
    });
    let (_proxy, address) = start(to(origin));
    let body: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    let mut client = Peer::connect(address);
    for _ in 0..2 {
        client.write(format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {BYTES}\r\n\r\n"));
        client.write(&body);
        client.until("\r\n\r\n").unwrap();
        assert!(client.exactly(BYTES).unwrap() == body);
    }
}

/// The first of it is kept for another attempt, and framed anew; the rest is passed on as it comes, from a place inside
/// a chunk.
#[test]
fn a_chunked_body_longer_than_what_is_kept_passes_whole() {
    const CHUNK: usize = 10_000;
    let (seen, bodies) = std::sync::mpsc::channel();
    let origin = origin(move |mut peer| {
        while peer.until("\r\n\r\n").is_some() {
            let mut body = Vec::new();
            while let Some(line) = peer.until("\r\n") {
                let size = usize::from_str_radix(line.trim(), 16);
                let Ok(size) = size else { panic!("no size of a chunk: {line:?}") };
                body.extend(peer.exactly(size).unwrap());
                assert_eq!(peer.until("\r\n").unwrap(), "\r\n");
                if size == 0 {
                    break;
                }
            }
            seen.send(body).unwrap();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (_proxy, address) = start(to(origin));
    let body: Vec<u8> = (0..20 * CHUNK).map(|at| (at % 251) as u8).collect();
    let mut client = Peer::connect(address);
    for piece_bytes in [7_001, 16_384, 20 * CHUNK] {
        let mut framed = Vec::new();
        for chunk in body.chunks(CHUNK) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        client.write("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in framed.chunks(piece_bytes) {
            client.write(piece);
        }
        let response = client.message().unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(bodies.recv().unwrap() == body, "pieces of {piece_bytes}");
    }
}

#[test]
fn a_response_without_length_lasts_until_the_endpoint_closes() {
    let origin = origin(|mut peer| {
        peer.message();
        peer.write("HTTP/1.1 200 OK\r\n\r\nall of it");
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    let response = client.call(GET);
    assert!(response.contains("\r\ntransfer-encoding: chunked\r\n"), "{response}");
    assert!(response.ends_with("9\r\nall of it\r\n0\r\n\r\n"), "{response}");
}

#[test]
fn the_client_is_told_to_continue_by_the_endpoint() {
    let origin = origin(|mut peer| {
        let head = peer.until("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
        peer.write("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(peer.exactly(4).unwrap(), b"body");
        peer.write(OK);
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("body");
    assert_eq!(client.message().unwrap(), OK);
}

#[test]
fn an_answer_may_come_before_the_body_is_complete() {
    let origin = origin(|mut peer| {
        peer.until("\r\n\r\n").unwrap();
        peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        // The rest of the body is still welcome.
        peer.rest();
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nonly a part");
    let response = client.message().unwrap();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    assert!(response.ends_with("big"), "{response}");
    // Or the next request would be lost with a connection whose body nobody reads to its end.
    assert!(response.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{response}");
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let origin = origin(|mut peer| {
        let head = peer.until("\r\n\r\n").unwrap();
        assert!(head.to_ascii_lowercase().contains("\r\nconnection: upgrade\r\n"), "{head}");
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        peer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\
             early",
        );
        let ping = peer.exactly(4).unwrap();
        peer.write(ping);
        peer.rest();
        peer.write("bye");
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    );
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.exactly(5).unwrap(), b"early");
    client.write("ping");
    assert_eq!(client.exactly(4).unwrap(), b"ping");
    client.end();
    assert_eq!(client.rest(), "bye", "half-close travels through the tunnel");
}

#[test]
fn early_hints_come_before_the_answer() {
    let (origin, _requests) = answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Origin: yes\r\n\r\nhello",
    );
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(GET);
    let hints = client.until("\r\n\r\n").unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    assert_eq!(client.message().unwrap(), OK);
}
