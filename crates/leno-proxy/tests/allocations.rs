//! What a request on a warm connection costs in heap allocations, and what connections, routes and clusters hold: counted by
//! an allocator that counts, in a process in which the client and the origin allocate nothing themselves.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

#[path = "it/config.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod config;

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leno_core::config::{
    Authorization, AuthorizationAction, AuthorizationRules, HeaderMatch, HeaderMatchKind,
    HttpFilter, Permission, Policy, Principal, RouteConfiguration, StringMatch, StringPattern,
    VirtualHost,
};
use leno_core::snapshot::Resources;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are allocated now.
fn held() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

const REQUESTS: usize = 2_000;
const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: svc7\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Answers whatever arrives in one piece with [`ANSWER`].
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                while stream.read(&mut head).is_ok_and(|count| count > 0) {
                    stream.write_all(ANSWER).unwrap();
                }
            });
        }
    });
    address
}

/// Sends a request and reads to the end of its answer.
fn call(client: &mut TcpStream) {
    client.write_all(GET).unwrap();
    let mut answer = [0; 4096];
    let mut length = 0;
    while !answer[..length].ends_with(b"hello") {
        let count = client.read(&mut answer[length..]).unwrap();
        assert!(count > 0, "the proxy closed the connection");
        length += count;
    }
}

/// One allocation per request is documented (ARCHITECTURE.md, "What a request costs"): the attempt, boxed so that it is
/// handed on by pointer. Timers and background work of the process allocate now and then, so the bound is a mean.
#[test]
fn a_request_on_a_warm_connection_allocates_once() {
    let _alone = alone();
    let origin = origin();
    count(config::to(origin));
    let listener = config::http_listener(vec![config::route("/", config::forward("origin"))]);
    let authorized = config::edited(listener, |manager| {
        manager.http_filters.insert(0, HttpFilter::Authorization(Box::new(hundred_policies())));
    });
    count(config::with_listener(authorized, vec![config::cluster("origin", &[origin])]));
}

/// One of them applies, and all are looked at.
fn hundred_policies() -> Authorization {
    let text =
        |text: String| StringMatch { pattern: StringPattern::Suffix(text), ignore_case: false };
    let policy = |number: usize| Policy {
        permissions: vec![
            Permission::UrlPath(text(format!("/{number}"))),
            Permission::UrlPath(text("/a".into())),
        ],
        principals: vec![Principal::Header(HeaderMatch {
            name: "host".to_owned(),
            kind: HeaderMatchKind::String(text(if number == 50 { "svc7" } else { "svc8" }.into())),
            invert: false,
            treat_missing_as_empty: false,
        })],
    };
    let policies = (0..100).map(|number| (format!("p{number}"), policy(number))).collect();
    let rules = AuthorizationRules { action: AuthorizationAction::Allow, policies };
    Authorization {
        shadow_rules: Some(rules.clone()),
        rules: Some(rules),
        ..Authorization::default()
    }
}

fn count(resources: Resources) {
    let (_proxy, address) = config::start(resources);
    let mut client = TcpStream::connect(address).unwrap();
    for _ in 0..100 {
        call(&mut client);
    }
    let before = HEAP.stats();
    for _ in 0..REQUESTS {
        call(&mut client);
    }
    let used = HEAP.stats() - before;
    let made = (used.allocations + used.reallocations) as f64 / REQUESTS as f64;
    let leaked = used.bytes_allocated.saturating_sub(used.bytes_deallocated);
    assert!(made < 1.5, "{made} allocations per request: {used:?}");
    assert!(leaked < 64 * 1024, "{leaked} bytes more after {REQUESTS} requests");
}

/// Its task, its session with the heads of its last exchange, its registration with the reactor and its timer.
#[test]
fn an_idle_connection_holds_less_than_five_kilobytes() {
    const CONNECTIONS: usize = 200;
    let _alone = alone();
    let (_proxy, address) = config::start(config::to(origin()));
    let open = || {
        let mut client = TcpStream::connect(address).unwrap();
        call(&mut client);
        client
    };
    let _warm: Vec<TcpStream> = (0..20).map(|_| open()).collect();
    let before = held();
    let mut clients = Vec::with_capacity(CONNECTIONS);
    clients.extend((0..CONNECTIONS).map(|_| open()));
    let each = (held() - before) / CONNECTIONS;
    assert!(each < 5 * 1024, "{each} bytes");
}

/// What is written down, what is compiled from it, and what is kept of the cluster besides.
#[test]
fn a_route_and_its_cluster_hold_less_than_three_kilobytes() {
    const CLUSTERS: usize = 1000;
    let _alone = alone();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let before = held();
    let host = |n| {
        let routes = vec![config::route("/", config::forward(&format!("c{n}")))];
        VirtualHost::minimal(&format!("s{n}"), &[&format!("s{n}.ns.svc.cluster.local")], routes)
    };
    let table = RouteConfiguration::minimal("test", (0..CLUSTERS).map(host).collect());
    let clusters = (0..CLUSTERS).map(|n| config::cluster(&format!("c{n}"), &[address])).collect();
    let (_proxy, _) = config::start(config::with_table(table, clusters));
    let each = (held() - before) / CLUSTERS;
    assert!(each < 3 * 1024, "{each} bytes");
}
