//! Listeners that change while connections are on them; what is accepted as what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use leno_core::config::{FilterChain, ListenerFilter};

use crate::basic::{GET, OK};
use crate::config::{
    cluster, forward, http_listener, listener, resources, route, start, tcp, to, with_listener,
};
use crate::origin::{Peer, answering, origin};

const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";

#[test]
fn bytes_that_are_not_http_are_relayed() {
    let echo = origin(|mut peer| {
        let line = peer.until("\n").unwrap();
        peer.write(line.to_uppercase());
        assert_eq!(peer.rest(), "rest");
        peer.write("done");
    });
    let (_proxy, address) =
        start(with_listener(listener(tcp("echo")), vec![cluster("echo", &[echo])]));
    let mut client = Peer::connect(address);
    client.write("hello\n");
    assert_eq!(client.until("\n").unwrap(), "HELLO\n");
    client.write("rest");
    client.end();
    assert_eq!(client.rest(), "done", "half-close is kept");
}

#[test]
fn the_inspectors_tell_http_from_other_bytes() {
    let (web, _requests) = answering(OK);
    let echo = origin(|mut peer| {
        let line = peer.until("\n").unwrap();
        peer.write(line);
    });
    let mut both = http_listener(vec![route("/", forward("web"))]);
    both.listener_filters = vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector];
    both.filter_chains[0].filter_chain_match.application_protocols =
        vec!["http/1.0".into(), "http/1.1".into()];
    both.filter_chains.push(FilterChain::minimal("bytes", tcp("echo")));
    let clusters = vec![cluster("web", &[web]), cluster("echo", &[echo])];
    let (_proxy, address) = start(with_listener(both, clusters));
    let mut client = Peer::connect(address);
    client.write("GE");
    client.write("T / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.message().unwrap(), OK);
    let mut client = Peer::connect(address);
    client.write("PING\r\n");
    assert_eq!(client.until("\n").unwrap(), "PING\r\n");
}

#[test]
fn a_failing_tcp_endpoint_is_shown_as_a_reset() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_proxy, address) =
        start(with_listener(listener(tcp("closed")), vec![cluster("closed", &[closed])]));
    assert_eq!(Peer::connect(address).rest(), "");
}

#[test]
fn routes_change_under_load_and_no_request_fails() {
    let (first, _) = answering(OK);
    let (second, _) = answering(OTHER);
    let clusters = || vec![cluster("first", &[first]), cluster("second", &[second])];
    let table = |name: &str| resources(vec![route("/", forward(name))], clusters());
    let (proxy, address) = start(table("first"));
    let done = Arc::new(AtomicBool::new(false));
    let (answered, answers) = channel();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (done, answered) = (Arc::clone(&done), answered.clone());
            std::thread::spawn(move || {
                let (mut ours, mut others) = (0, 0);
                while !done.load(Ordering::Relaxed) {
                    // A drained chain closes after an answer that says so.
                    let mut client = Peer::connect(address);
                    loop {
                        client.write(GET);
                        let response = client.message().expect("an answer, always");
                        let (head, body) = response.split_once("\r\n\r\n").unwrap();
                        match body {
                            "hello" => ours += 1,
                            "other" => others += 1,
                            _ => panic!("{response}"),
                        }
                        answered.send(()).unwrap();
                        if head.contains("connection: close") || done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                }
                (ours, others)
            })
        })
        .collect();
    for n in 0..40 {
        proxy.publish(table(if n % 2 == 0 { "second" } else { "first" })).unwrap();
        // Requests meet this table before the next one comes.
        answers.try_iter().count();
        for _ in 0..8 {
            answers.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }
    done.store(true, Ordering::Relaxed);
    let counts = clients.into_iter().map(|client| client.join().unwrap());
    let (ours, others) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(ours > 0 && others > 0, "{ours} {others}");
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let (origin, _requests) = answering(OK);
    let (proxy, address) = start(to(origin));
    let wrong = resources(vec![route("/", forward("nowhere"))], Vec::new());
    let refused = proxy.publish(wrong).unwrap_err().to_string();
    assert!(refused.contains("nowhere"), "{refused}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut occupied = http_listener(vec![route("/", forward("origin"))]);
    occupied.name = "other".into();
    occupied.address = taken.local_addr().unwrap().into();
    let refused = proxy.publish(with_listener(occupied, vec![cluster("origin", &[origin])]));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("listeners[other].address: "), "{refused}");
    assert_eq!(Peer::connect(address).call(GET), OK);
}

#[test]
fn a_removed_listener_lets_its_connections_finish() {
    let (origin, _requests) = answering(OK);
    let (proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    assert_eq!(client.call(GET), OK);
    proxy.publish(leno_core::snapshot::Resources::default()).unwrap();
    assert_eq!(client.rest(), "", "an idle connection is closed");
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_drain_finishes_what_is_in_flight() {
    let (sender, arrived) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let origin = origin(move |mut peer| {
        peer.message();
        let _ = sender.send(());
        let _ = released.lock().unwrap().recv();
        peer.write(OK);
    });
    let (proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write(GET);
    arrived.recv().unwrap();
    proxy.drain();
    let ended = std::thread::spawn(move || proxy.wait());
    release.send(()).unwrap();
    let response = client.rest();
    assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
    assert!(response.ends_with("hello"), "{response}");
    ended.join().unwrap();
}
