//! Listeners that look at the first bytes, and servers that speak before their clients: nobody waits for a time-out.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use leno_core::config::{FilterChain, FilterChainMatch, Listener, ListenerFilter};
use leno_proxy::Running;
use serde_json::Value;

use crate::admin::page;
use crate::basic::{GET, OK};
use crate::config::{cluster, forward, http_listener, route, start, tcp, with_listener};
use crate::origin::{Peer, answering, origin};

/// Longer than any test may take: whoever waits for it fails.
const NEVER: Duration = Duration::from_secs(60);

/// HTTP where it is seen, bytes otherwise; everything to one cluster.
fn listener(limit: Duration) -> Listener {
    let mut http = http_listener(vec![route("/", forward("c"))]);
    http.filter_chains[0].filter_chain_match = FilterChainMatch {
        application_protocols: ["http/1.0", "http/1.1", "h2c"].map(str::to_owned).to_vec(),
        ..FilterChainMatch::default()
    };
    Listener {
        listener_filters: vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector],
        listener_filters_timeout: limit,
        continue_on_listener_filters_timeout: true,
        default_filter_chain: Some(FilterChain::minimal("bytes", tcp("c"))),
        ..http
    }
}

fn sniffing(endpoint: SocketAddr, limit: Duration) -> (Running, SocketAddr) {
    start(with_listener(listener(limit), vec![cluster("c", &[endpoint])]))
}

/// What the proxy says of its one destination.
fn learned(proxy: &Running) -> Option<String> {
    let (_, body) = page(proxy, "GET /protocols");
    let all: Value = serde_json::from_str(&body).unwrap();
    assert!(all.as_array().unwrap().len() <= 1, "{body}");
    Some(all[0]["protocol"].as_str()?.to_owned())
}

fn metric(proxy: &Running, name: &str) -> u64 {
    let (_, body) = page(proxy, "GET /stats/prometheus");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

/// Counts the connections that a server sees.
fn counted(serve: impl Fn(Peer) + Send + Sync + Clone + 'static) -> (SocketAddr, Receiver<()>) {
    let (sender, seen) = channel();
    let address = origin(move |peer| {
        // The test may be over.
        let _ = sender.send(());
        serve(peer);
    });
    (address, seen)
}

fn smtp(mut peer: Peer) {
    peer.write("220 mail.example.com ESMTP\r\n");
    while let Some(line) = peer.until("\r\n") {
        peer.write(format!("250 {line}"));
    }
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let (server, seen) = counted(smtp);
    let (proxy, address) = sniffing(server, NEVER);
    for _ in 0..5 {
        let mut client = Peer::connect(address);
        assert_eq!(client.until("\r\n").unwrap(), "220 mail.example.com ESMTP\r\n");
        // What looks like HTTP on such a connection is none.
        client.write("GET / HTTP/1.1\r\n");
        assert_eq!(client.until("\r\n").unwrap(), "250 GET / HTTP/1.1\r\n");
        assert_eq!(learned(&proxy).as_deref(), Some("server-first"));
    }
    assert_eq!(metric(&proxy, "leno_protocol_server_first_total"), 5);
    assert_eq!(metric(&proxy, "leno_protocol_detection_timeouts_total"), 0);
    assert_eq!(metric(&proxy, "leno_protocol_destinations"), 1);
    assert_eq!(seen.try_iter().count(), 5, "one connection each, opened ahead or not");
}

#[test]
fn a_client_that_speaks_first_decides_what_it_is() {
    let (server, seen) = counted(|mut peer| {
        while peer.message().is_some() {
            peer.write(OK);
        }
    });
    let (proxy, address) = sniffing(server, NEVER);
    for _ in 0..3 {
        assert_eq!(Peer::connect(address).call(GET), OK);
        assert_eq!(learned(&proxy).as_deref(), Some("http"));
    }
    assert_eq!(metric(&proxy, "leno_protocol_server_first_total"), 0);
    assert!(seen.try_iter().count() <= 2, "kept, but for what was opened ahead");
}

#[test]
fn a_silent_client_of_http_is_served_when_it_speaks() {
    let (server, seen) = counted(|mut peer| {
        while peer.message().is_some() {
            peer.write(OK);
        }
    });
    let (_proxy, address) = sniffing(server, NEVER);
    let mut client = Peer::connect(address);
    // Until the server was asked too, and has nothing to say.
    seen.recv_timeout(NEVER).unwrap();
    assert_eq!(client.call(GET), OK);
}

#[test]
fn settings_of_an_http2_server_are_not_its_first_word() {
    let (server, seen) = counted(|mut peer| {
        peer.write(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64");
        if peer.message().is_some() {
            peer.write(OK);
        }
    });
    let (proxy, address) = sniffing(server, NEVER);
    let mut client = Peer::connect(address);
    seen.recv_timeout(NEVER).unwrap();
    // It is not what an HTTP/1 server says: only what the client is taken for is of interest here.
    client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.message().unwrap().starts_with("HTTP/1.1 502 "));
    assert_eq!(learned(&proxy).as_deref(), Some("http"));
}

#[test]
fn bytes_that_could_become_http_are_waited_for_once() {
    // Neither side ends its first word, so the first connection takes its time; it is the last that does.
    let (server, _seen) = counted(|mut peer| {
        while peer.exactly(4).is_some() {
            peer.write("pong");
        }
    });
    let limit = Duration::from_millis(300);
    let (proxy, address) = sniffing(server, limit);
    let mut took = Vec::new();
    for _ in 0..4 {
        let mut client = Peer::connect(address);
        let start = Instant::now();
        client.write("ping");
        assert_eq!(client.exactly(4).unwrap(), b"pong");
        took.push(start.elapsed());
        assert_eq!(learned(&proxy).as_deref(), Some("bytes"));
    }
    assert!(took[0] >= limit, "{took:?}");
    assert_eq!(metric(&proxy, "leno_protocol_detection_timeouts_total"), 1, "{took:?}");
}

#[test]
fn what_a_destination_speaks_may_change() {
    let (server, _seen) = counted(|mut peer| {
        peer.write("hello\r\n");
        peer.rest();
    });
    let (proxy, address) = sniffing(server, NEVER);
    assert_eq!(Peer::connect(address).until("\r\n").unwrap(), "hello\r\n");
    assert_eq!(learned(&proxy).as_deref(), Some("server-first"));
    // The same destination, and now HTTP behind it.
    let (web, _requests) = answering(OK);
    proxy.publish(with_listener(listener(NEVER), vec![cluster("c", &[web])])).unwrap();
    assert_eq!(Peer::connect(address).call(GET), OK);
    assert_eq!(learned(&proxy).as_deref(), Some("http"));
}
