//! Timeouts, retries, budgets: what is done when an endpoint fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use leno_core::config::{Forward, RetryCondition, RetryPolicy};

use crate::basic::{GET, OK};
use crate::config::{cluster, forward, resources, route, start};
use crate::origin::{Peer, origin};

const ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

fn retrying(retry_on: Vec<RetryCondition>, num_retries: u32) -> Forward {
    let policy = RetryPolicy {
        retry_on,
        retriable_status_codes: Vec::new(),
        num_retries,
        per_try_timeout: None,
        back_off_base: Duration::from_millis(1),
        back_off_max: Duration::from_millis(10),
        avoid_previous_hosts: false,
    };
    Forward { retry_policy: Some(Box::new(policy)), ..forward("origin") }
}

/// An endpoint that answers with `replies` one after the other, then with the last for ever.
fn scripted(replies: &'static [&'static str]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let address = origin(move |mut peer| {
        while peer.message().is_some() {
            let at = count.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1);
            peer.write(replies[at]);
        }
    });
    (address, served)
}

#[test]
fn a_failing_answer_is_tried_again_and_the_body_is_sent_again() {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let origin = origin(move |mut peer| {
        while let Some(request) = peer.message() {
            let body = request.split("\r\n\r\n").nth(1).unwrap().to_owned();
            let mut seen = seen.lock().unwrap();
            seen.push(body);
            peer.write(if seen.len() == 1 { ERROR } else { OK });
        }
    });
    let routes = vec![route("/", retrying(vec![RetryCondition::ServerError5xx], 2))];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    let mut client = Peer::connect(address);
    assert_eq!(client.call("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ndata"), OK);
    assert_eq!(*bodies.lock().unwrap(), ["data", "data"]);
    assert_eq!(client.call(GET), OK);
}

#[test]
fn a_post_is_not_repeated_for_a_class_of_answers() {
    let (origin, served) = scripted(&[ERROR, OK]);
    let routes = vec![route("/", retrying(vec![RetryCondition::ServerError5xx], 2))];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    let response =
        Peer::connect(address).call("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1");
    assert_eq!(response, ERROR);
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

#[test]
fn attempts_end_with_the_policys_number_and_the_last_answer_is_passed_on() {
    let (origin, served) = scripted(&[ERROR]);
    let routes = vec![route("/", retrying(vec![RetryCondition::ServerError5xx], 2))];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    assert_eq!(Peer::connect(address).call(GET), ERROR);
    assert_eq!(served.load(Ordering::SeqCst), 3);
}

#[test]
fn an_outage_is_not_multiplied_by_retries() {
    let (origin, served) = scripted(&[ERROR]);
    let routes = vec![route("/", retrying(vec![RetryCondition::ServerError5xx], 3))];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    let mut client = Peer::connect(address);
    for _ in 0..200 {
        assert_eq!(client.call(GET), ERROR);
    }
    let served = served.load(Ordering::SeqCst);
    assert!((200..=240).contains(&served), "{served} attempts for 200 requests");
}

#[test]
fn a_slow_endpoint_is_given_up_at_the_routes_timeout() {
    let origin = origin(|mut peer| {
        peer.message();
        peer.rest();
    });
    let mut forward = forward("origin");
    forward.timeout = Some(Duration::from_millis(100));
    let routes = vec![route("/", forward)];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    let mut client = Peer::connect(address);
    for _ in 0..2 {
        let began = Instant::now();
        let response = client.call(GET);
        assert!(response.starts_with("HTTP/1.1 504 "), "{response}");
        assert!(response.ends_with("upstream request timeout"), "{response}");
        assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[test]
fn an_attempts_own_timeout_leads_to_another_attempt() {
    let served = Arc::new(AtomicUsize::new(0));
    let origin = origin(move |mut peer| {
        while peer.message().is_some() {
            if served.fetch_add(1, Ordering::SeqCst) == 0 {
                peer.rest();
                return;
            }
            peer.write(OK);
        }
    });
    let mut forward = retrying(vec![RetryCondition::ServerError5xx], 1);
    forward.retry_policy.as_mut().unwrap().per_try_timeout = Some(Duration::from_millis(80));
    let routes = vec![route("/", forward)];
    let (_proxy, address) = start(resources(routes, vec![cluster("origin", &[origin])]));
    assert_eq!(Peer::connect(address).call(GET), OK);
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_avoided_by_the_retry() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (open, _served) = scripted(&[OK]);
    let mut forward = retrying(vec![RetryCondition::ConnectFailure], 2);
    forward.retry_policy.as_mut().unwrap().avoid_previous_hosts = true;
    let routes = vec![route("/", forward)];
    let clusters = vec![cluster("origin", &[closed, open])];
    let (_proxy, address) = start(resources(routes, clusters));
    let mut client = Peer::connect(address);
    for _ in 0..4 {
        assert_eq!(client.call(GET), OK);
    }
}
