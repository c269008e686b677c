//! What peers cannot make the proxy hold: connections and memory, with real connections on both sides of each limit.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leno_core::config::HttpLimits;
use leno_proxy::Running;
use leno_proxy::limits::{ProcessLimits, table};

use crate::admin::page;
use crate::basic::{GET, OK};
use crate::config::{
    cluster, edited, forward, http_listener, options, route, start as start_resources, start_as,
    to, with_listener,
};
use crate::origin::{Peer, answering};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(edit: impl FnOnce(&mut ProcessLimits)) -> (Running, SocketAddr) {
    let (origin, _requests) = answering(OK);
    let mut options = options(to(origin));
    edit(&mut options.limits);
    start_as(options)
}

fn metric(proxy: &Running, name: &str) -> u64 {
    let (_, body) = page(proxy, "GET /stats/prometheus");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn reached(proxy: &Running, limit: &str) -> u64 {
    metric(proxy, &format!("leno_limits_reached_total{{limit=\"{limit}\"}}"))
}

/// Waits until something that is on its way has happened.
fn eventually(what: &str, mut has_happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !has_happened() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// Whether a new connection is served.
fn gets_in(address: SocketAddr) -> bool {
    let mut client = Peer::connect(address);
    client.write(GET);
    client.message().is_some()
}

#[test]
fn a_peer_has_so_many_connections_and_no_more() {
    check_connections("peer_connections", |limits| limits.connections_per_peer = 3);
}

#[test]
fn a_listener_has_so_many_connections_and_no_more() {
    check_connections("listener_connections", |limits| limits.connections_per_listener = 3);
}

fn check_connections(limit: &str, edit: impl FnOnce(&mut ProcessLimits)) {
    let (proxy, address) = start(edit);
    let mut clients: Vec<Peer> = (0..3).map(|_| Peer::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.call(GET), OK);
    }
    assert_eq!(Peer::connect(address).rest(), "", "one too many");
    assert_eq!(reached(&proxy, limit), 1);
    assert_eq!(metric(&proxy, "leno_downstream_connections_refused_total"), 1);
    for client in &mut clients {
        assert_eq!(client.call(GET), OK, "the others go on");
    }
    clients.pop();
    eventually("the place is free again", || gets_in(address));
}

/// Frames of HTTP/2 by hand (RFC 9113 §4.1), since clients hide what refuses them.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0, length[0], length[1], kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The code of the first RST_STREAM.
fn reset_code(client: &mut Peer) -> u32 {
    loop {
        let head = client.exactly(9).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = client.exactly(length as usize).expect("its payload");
        if head[3] == 3 {
            return u32::from_be_bytes(payload.try_into().unwrap());
        }
    }
}

/// A connection that holds a whole buffer, and never says the rest.
fn hoarder(address: SocketAddr) -> Peer {
    let mut peer = Peer::connect(address);
    peer.write(format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(12_000)));
    peer
}

#[test]
fn memory_is_given_by_grades_and_taken_back() {
    let (proxy, address) = start(|limits| limits.memory_bytes = 1 << 20);
    let grade = || metric(&proxy, "leno_memory_grade");
    let held = || metric(&proxy, "leno_memory_held_bytes");
    let mut good = Peer::connect(address);
    assert_eq!(good.call(GET), OK);
    let mut streams = Peer::connect(address);
    streams.write([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat());
    assert_eq!((grade(), metric(&proxy, "leno_memory_budget_bytes")), (0, 1 << 20));
    let mut hoarders = Vec::new();
    let mut fill = |until: u64| {
        while grade() < until {
            let before = held();
            hoarders.push(hoarder(address));
            eventually("its bytes are on the books", || held() > before);
        }
    };

    fill(1);
    assert_eq!(good.call(GET), OK, "whoever holds little does not wait");
    let mut greedy = hoarder(address);
    greedy.write("a".repeat(30_000));
    eventually("the greedy one waits", || reached(&proxy, "memory_reading") > 0);

    fill(2);
    let refused = good.call(GET);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\r\nx-leno-blame: client-proxy\r\n"), "{refused}");
    streams.write(frame(1, 5, 1, &[0x82, 0x86, 0x84, 0x41, 0x01, b'x']));
    assert_eq!(reset_code(&mut streams), 7, "REFUSED_STREAM");
    assert!(reached(&proxy, "memory_streams") >= 2);

    let mut flood: Vec<Peer> = (0..40).map(|_| hoarder(address)).collect();
    eventually("some are cut", || reached(&proxy, "memory_shed") > 0);
    assert_eq!(greedy.rest(), "", "the one that holds the most is among them");
    eventually("that was enough", || grade() < 3);

    flood.clear();
    hoarders.clear();
    eventually("all is as before", || grade() == 0);
    assert_eq!(good.call(GET), OK, "on the same connection");
    assert!(gets_in(address));
    eventually("nothing is left on the books", || held() < 200_000);
}

/// CVE-2019-9511 and its kind: streams whose answers may not be sent cost what a task costs.
#[test]
fn streams_that_stay_open_are_on_the_books() {
    let (proxy, address) = start(|limits| limits.memory_bytes = 1 << 20);
    let grade = || metric(&proxy, "leno_memory_grade");
    let held = || metric(&proxy, "leno_memory_held_bytes");
    let mut good = Peer::connect(address);
    assert_eq!(good.call(GET), OK);
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..];
    let request = |stream: u8| frame(1, 5, stream, &[0x82, 0x86, 0x84, 0x41, 0x01, b'x']);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0, and ten requests.
    let shut = || {
        let mut peer = Peer::connect(address);
        let requests: Vec<u8> = (0..10).flat_map(|at| request(2 * at + 1)).collect();
        peer.write([preface, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]), &requests].concat());
        peer
    };
    let refused = || reached(&proxy, "memory_streams") > 0;
    let mut open = Vec::new();
    while !refused() {
        let before = held();
        open.push(shut());
        eventually("its streams are on the books", || held() >= before + 30_000 || refused());
    }
    assert!(open.len() < 25, "{}: more than the budget allows", open.len());
    open.clear();
    eventually("all is as before", || grade() == 0);
    assert_eq!(good.call(GET), OK);
    eventually("nothing is left on the books", || held() < 200_000);
}

/// Over one listener with these limits.
fn limited(limits: HttpLimits) -> (Running, SocketAddr) {
    let (origin, _requests) = answering(OK);
    let listener = http_listener(vec![route("/", forward("origin"))]);
    let listener = edited(listener, |manager| manager.limits = limits);
    start_resources(with_listener(listener, vec![cluster("origin", &[origin])]))
}

#[test]
fn a_listeners_own_limits_on_heads_hold() {
    let limits = HttpLimits {
        max_request_headers_kb: Some(1),
        max_headers_count: Some(5),
        ..HttpLimits::default()
    };
    let (proxy, address) = limited(limits);
    // (fields, status)
    let table = [
        (format!("a: {}\r\n", "a".repeat(500)), "200"),
        (format!("a: {}\r\n", "a".repeat(2000)), "431"),
        ("a: b\r\n".repeat(4), "200"),
        ("a: b\r\n".repeat(5), "431"),
    ];
    for (fields, status) in table {
        let mut client = Peer::connect(address);
        let answer = client.call(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {answer}");
    }
    assert_eq!(reached(&proxy, "request_head"), 2);
}

#[test]
fn a_request_that_does_not_arrive_in_time_is_answered_408() {
    let request_timeout = Some(Duration::from_millis(50));
    let (_proxy, address) = limited(HttpLimits { request_timeout, ..HttpLimits::default() });
    let mut client = Peer::connect(address);
    assert_eq!(client.call(GET), OK, "what is there needs no time");
    let answer = client.call("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn the_page_on_limits_says_what_is_in_force() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/limits.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = table();
    assert!(page.contains(&table), "docs/limits.md should have:\n{table}");
}
