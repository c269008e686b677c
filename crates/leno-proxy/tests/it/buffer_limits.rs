//! `per_connection_buffer_limit_bytes`: however little may be held, everything arrives.

use std::io::{Read as _, Write as _};

use crate::config::{cluster, forward, http_listener, listener, route, start, tcp, with_listener};
use crate::h2::{Client, echo, request};
use crate::http2::http2_cluster;
use crate::origin::{Peer, origin};

const LIMITS: [Option<u32>; 4] = [Some(1), Some(20_000), Some(100_000), None];

/// A body that shows what is missing or twice.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn bytes_pass_whole_both_ways_whatever_may_be_held() {
    let sent = pattern(3_000_000);
    for limit in LIMITS {
        let length = sent.len();
        let echo = origin(move |mut peer| {
            let all = peer.exactly(length).unwrap();
            peer.write(all);
            peer.end();
        });
        let mut listener = listener(tcp("c"));
        listener.buffer_bytes = limit;
        let mut cluster = cluster("c", &[echo]);
        cluster.buffer_bytes = limit;
        let (_proxy, address) = start(with_listener(listener, vec![cluster]));
        let client = Peer::connect(address);
        let mut writer = client.stream().try_clone().unwrap();
        let bytes = sent.clone();
        let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
        let mut received = Vec::new();
        client.stream().read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == sent, "{limit:?}: {} bytes", received.len());
    }
}

#[test]
fn an_answer_over_http1_passes_whole_whatever_may_be_held() {
    // Long enough for its reader to be known as a fast one.
    let body = pattern(6_000_000);
    for limit in LIMITS {
        let sent = body.clone();
        let origin = origin(move |mut peer| {
            peer.until("\r\n\r\n").unwrap();
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
            peer.write(&sent);
        });
        let listener = http_listener(vec![route("/", forward("c"))]);
        let mut cluster = cluster("c", &[origin]);
        cluster.buffer_bytes = limit;
        let (_proxy, address) = start(with_listener(listener, vec![cluster]));
        let mut client = Peer::connect(address);
        client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        client.until("\r\n\r\n").unwrap();
        let received = client.exactly(body.len()).unwrap();
        assert!(received == body, "{limit:?}");
    }
}

#[tokio::test]
async fn bodies_pass_whole_both_ways_whatever_may_be_held() {
    let sent = pattern(600_000);
    for limit in LIMITS {
        let mut listener = http_listener(vec![route("/", forward("c"))]);
        listener.buffer_bytes = limit;
        let mut cluster = http2_cluster("c", echo().await);
        cluster.buffer_bytes = limit;
        let (_proxy, address) = start(with_listener(listener, vec![cluster]));
        let mut client = Client::connect(address).await;
        let answer = client.call(request("POST", "/"), &sent, None).await.unwrap();
        assert!(answer.body == sent, "{limit:?}: {} bytes", answer.body.len());
        let body = sent.clone();
        let over_http1 = tokio::task::spawn_blocking(move || {
            let mut client = Peer::connect(address);
            client.write(format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            ));
            let mut writer = client.stream().try_clone().unwrap();
            let writing = std::thread::spawn(move || writer.write_all(&body).unwrap());
            let head = client.until("\r\n\r\n").unwrap();
            let mut rest = Vec::new();
            if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
                loop {
                    let size = client.until("\r\n").unwrap();
                    let size = usize::from_str_radix(size.trim(), 16).unwrap();
                    rest.extend(client.exactly(size).unwrap());
                    client.until("\r\n").unwrap();
                    if size == 0 {
                        break;
                    }
                }
            } else {
                let length = head.to_ascii_lowercase();
                let (_, length) = length.split_once("content-length: ").unwrap();
                let length = length.split("\r\n").next().unwrap().parse().unwrap();
                rest = client.exactly(length).unwrap();
            }
            writing.join().unwrap();
            rest
        });
        assert!(over_http1.await.unwrap() == sent, "{limit:?} over HTTP/1");
    }
}
