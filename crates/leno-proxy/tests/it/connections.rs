//! What happens when a side goes away, and what is refused.

use std::sync::mpsc::channel;
use std::time::Duration;

use crate::basic::{GET, OK};
use crate::config::{cluster, forward, resources, route, start, to};
use crate::origin::{Peer, answering, origin};

#[test]
fn a_client_that_leaves_is_gone_for_the_endpoint_too() {
    let (sender, ended) = channel();
    let origin = origin(move |mut peer| {
        peer.message();
        sender.send("arrived").unwrap();
        // No answer: only the end of the connection frees this thread.
        peer.rest();
        sender.send("ended").unwrap();
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(GET);
    let seen = || ended.recv_timeout(Duration::from_secs(5)).expect("the endpoint saw it");
    assert_eq!(seen(), "arrived");
    drop(client);
    assert_eq!(seen(), "ended");
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_unseen() {
    let origin = origin(|mut peer| {
        peer.message();
        peer.write(OK);
        // Closes without a word about it in the answer.
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    for _ in 0..20 {
        assert_eq!(client.call(GET), OK);
    }
}

#[test]
fn a_post_that_may_have_been_processed_is_not_sent_again() {
    let (sender, requests) = channel();
    let origin = origin(move |mut peer| {
        let first = peer.message().unwrap();
        peer.write(OK);
        sender.send(first).unwrap();
        if let Some(second) = peer.message() {
            sender.send(second).unwrap();
        }
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1";
    assert_eq!(client.call(post), OK);
    let second = client.call(post);
    assert!(second.starts_with("HTTP/1.1 503 "), "{second}");
    assert!(second.contains("\r\nx-leno-blame: server-proxy\r\n"), "{second}");
    assert_eq!(requests.iter().take(2).count(), 2);
    assert!(requests.try_recv().is_err(), "sent twice");
}

#[test]
fn an_endpoint_that_refuses_is_answered_with_503() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_proxy, address) = start(to(closed));
    let response = Peer::connect(address).call(GET);
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("\r\nx-leno-blame: network\r\n"), "{response}");
}

#[test]
fn a_cluster_without_endpoints_is_answered_with_503() {
    let routes = vec![route("/", forward("empty"))];
    let (_proxy, address) = start(resources(routes, vec![cluster("empty", &[])]));
    let response = Peer::connect(address).call(GET);
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.ends_with("no healthy upstream"), "{response}");
}

#[test]
fn an_answer_that_breaks_off_ends_the_clients_connection() {
    let origin = origin(|mut peer| {
        peer.message();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(GET);
    let response = client.rest();
    assert!(response.ends_with("\r\n\r\npart"), "{response}");
}

#[test]
fn an_answer_that_is_not_http_is_a_bad_gateway() {
    let (origin, _requests) = answering("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let (_proxy, address) = start(to(origin));
    let response = Peer::connect(address).call(GET);
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
}

#[test]
fn ambiguous_requests_are_refused_and_nothing_of_them_is_forwarded() {
    let (origin, requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    // (case, bytes, status)
    let table = [
        (
            "both framings",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "400",
        ),
        ("two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"),
        ("no host", "GET / HTTP/1.1\r\n\r\n", "400"),
        ("folded", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "400"),
        ("space before colon", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "400"),
        ("bare LF", "GET / HTTP/1.1\nHost: x\n\n", "400"),
        ("version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", "505"),
        ("garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400"),
    ];
    for (case, bytes, status) in table {
        let mut client = Peer::connect(address);
        client.write(bytes);
        let response = client.rest();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{case}: {response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{case}: {response}");
    }
    let chunk = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = Peer::connect(address);
    client.write(format!("{chunk}zz\r\n"));
    assert!(client.rest().starts_with("HTTP/1.1 400 "), "bad chunk size");
    assert!(requests.try_iter().all(|request| !request.contains("zz")), "forwarded");
}

#[test]
fn a_head_beyond_the_limit_is_refused() {
    let (origin, _requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(70_000)));
    assert!(client.rest().starts_with("HTTP/1.1 431 "));
}

#[test]
fn many_clients_are_served_at_once() {
    let (origin, requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Peer::connect(address);
                (0..100).filter(|_| client.call(GET) == OK).count()
            })
        })
        .collect();
    let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(served, 1600);
    assert_eq!(requests.try_iter().count(), 1600);
}
