//! How a proxy leaves: readiness, lame duck, drain.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leno_proxy::Options;
use tokio::net::TcpStream;

use crate::admin::page;
use crate::basic::{GET, OK};
use crate::config::{cluster, forward, route};
use crate::config::{edited, http_listener, options, start, start_as, to, with_listener};
use crate::h2::{Client, request};
use crate::origin::{Peer, answering};

#[test]
fn readiness_goes_first_and_connections_are_still_taken() {
    let (origin, _requests) = answering(OK);
    let lame_duck = Duration::from_secs(3600);
    let (proxy, address) = start_as(Options { lame_duck, ..options(to(origin)) });
    assert!(page(&proxy, "GET /ready").0.contains("200"));
    let mut before = Peer::connect(address);
    assert_eq!(before.call(GET), OK);
    page(&proxy, "POST /drain");
    let (status, body) = page(&proxy, "GET /ready");
    assert!(status.contains("503") && body == "DRAINING\n", "{status} {body}");
    assert!(Peer::connect(address).call(GET).ends_with("hello"));
    // The first connection's turn to end is at once; the others' come later.
    while !before.call(GET).contains("connection: close") {}
    assert_eq!(before.rest(), "");
}

#[tokio::test]
async fn a_preface_is_recognised_in_a_drain() {
    let (origin, _requests) = answering(OK);
    let lame_duck = Duration::from_secs(3600);
    let (proxy, address) = start_as(Options { lame_duck, ..options(to(origin)) });
    // The first connection's turn to end is at once; the others' come later.
    assert_eq!(Peer::connect(address).call(GET), OK);
    let silent = TcpStream::connect(address).await.unwrap();
    page(&proxy, "POST /drain");
    for stream in [silent, TcpStream::connect(address).await.unwrap()] {
        let answer = Client::over(stream).await.call(request("GET", "/"), b"", None).await;
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[test]
fn a_drain_that_stays_can_still_end() {
    let (origin, _requests) = answering(OK);
    let (proxy, address) = start_as(options(to(origin)));
    page(&proxy, "POST /drain");
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    assert!(page(&proxy, "GET /ready").0.contains("503"));
    page(&proxy, "POST /quitquitquit");
    proxy.wait();
}

/// Calls as fast as it is answered until an answer says that it was the last; how many were answered.
fn call_until_told(address: std::net::SocketAddr, begun: &AtomicUsize) -> usize {
    let mut client = Peer::connect(address);
    for answered in 1.. {
        client.write(GET);
        let response = client.message().expect("an answer to every request");
        assert!(response.ends_with("hello"), "{response}");
        if answered == 1 {
            begun.fetch_add(1, Ordering::Relaxed);
        }
        if response.contains("connection: close") {
            return answered;
        }
    }
    unreachable!("only told clients end")
}

#[test]
fn a_drain_under_load_answers_every_request() {
    const CLIENTS: usize = 16;
    let (origin, requests) = answering(OK);
    let (proxy, address) = start_as(Options {
        lame_duck: Duration::from_millis(50),
        drain: Duration::from_secs(1),
        workers: NonZeroUsize::new(2).unwrap(),
        ..options(to(origin))
    });
    let begun = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let begun = Arc::clone(&begun);
            std::thread::spawn(move || call_until_told(address, &begun))
        })
        .collect();
    while begun.load(Ordering::Relaxed) < CLIENTS {
        std::thread::yield_now();
    }
    let mut idle = Peer::connect(address);
    assert_eq!(idle.call(GET), OK);
    proxy.drain();
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(idle.rest(), "", "an idle connection is closed, not broken");
    proxy.wait();
    assert_eq!(requests.try_iter().count(), answered + 1);
}

#[test]
fn a_connection_ends_after_its_requests_and_at_its_age() {
    let (origin, _requests) = answering(OK);
    let listener = |edit: fn(&mut leno_core::config::HttpConnectionManager)| {
        let listener = edited(http_listener(vec![route("/", forward("origin"))]), edit);
        with_listener(listener, vec![cluster("origin", &[origin])])
    };
    let (_proxy, address) =
        start(listener(|manager| manager.max_requests_per_connection = Some(3)));
    let mut client = Peer::connect(address);
    for is_last in [false, false, true] {
        assert_eq!(client.call(GET).contains("connection: close"), is_last);
    }
    assert_eq!(client.rest(), "");

    let (_proxy, address) = start(listener(|manager| {
        manager.max_connection_duration = Some(Duration::from_millis(200));
    }));
    let mut idle = Peer::connect(address);
    let mut busy = Peer::connect(address);
    assert_eq!(idle.call(GET), OK);
    while !busy.call(GET).contains("connection: close") {}
    assert_eq!(busy.rest(), "");
    assert_eq!(idle.rest(), "", "an idle one is closed too");
}
