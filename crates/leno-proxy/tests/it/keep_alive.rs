//! Endpoints that close idle connections when they like: nobody but them notices.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leno_core::random::{Random as _, SplitMix64};
use leno_proxy::limits::REFUSAL;
use leno_testkit::restless;

use crate::config::{start, to};
use crate::origin::Peer;

/// What became of one client's requests: the paths that were not answered, and how long a POST among them waited.
#[derive(Debug, Default)]
struct Outcome {
    gets: Vec<String>,
    posts: Vec<(String, Duration)>,
}

/// Asks with pauses in which connections grow old, every second time with a request that must not happen twice.
fn ask(address: SocketAddr, client: u64, requests: u32) -> Outcome {
    let mut random = SplitMix64::new(client);
    let mut outcome = Outcome::default();
    let mut peer = Peer::connect(address);
    for n in 0..requests {
        std::thread::sleep(Duration::from_millis(random.next_u64() % 30));
        let is_post = n % 2 == 0;
        let method = if is_post { "POST" } else { "GET" };
        let path = format!("/{client}/{n}");
        let length = if is_post { "Content-Length: 0\r\n" } else { "" };
        let asked = Instant::now();
        let response = peer.call(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n"));
        match response.starts_with("HTTP/1.1 200 ") {
            true => {}
            false if is_post => outcome.posts.push((path, asked.elapsed())),
            false => outcome.gets.push(path),
        }
    }
    outcome
}

#[test]
fn idle_closes_at_random_times_fail_nothing_but_what_may_have_been_processed() {
    const CLIENTS: u64 = 32;
    const REQUESTS: u32 = 120;
    let mut random = SplitMix64::new(7);
    // One to sixty seconds, a thousand times as fast.
    let idle = move || Duration::from_millis(1 + random.next_u64() % 60);
    let (origin, seen) = restless::start(idle).unwrap();
    let (_proxy, address) = start(to(origin));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| std::thread::spawn(move || ask(address, client, REQUESTS)))
        .collect();
    let outcomes: Vec<Outcome> = clients.into_iter().map(|c| c.join().unwrap()).collect();
    let gets: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.gets).collect();
    assert!(gets.is_empty(), "not answered: {gets:?}");
    let posts = seen.posts();
    let twice: Vec<_> = posts.iter().filter(|(_, seen)| seen.times > 1).collect();
    assert!(twice.is_empty(), "processed twice: {twice:?}");
    for (path, waited) in outcomes.iter().flat_map(|outcome| &outcome.posts) {
        // On a machine that is busy enough the proof of a refusal comes later than it is waited for.
        let is_in_doubt = posts.get(path).is_some_and(|seen| seen.is_in_doubt);
        assert!(is_in_doubt || *waited >= REFUSAL, "{path} was refused and not sent again");
    }
}

/// What an endpoint does with a kept connection around the moment in which a request comes on it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Close {
    /// Takes the request, and ends without an answer.
    AfterReading,
    /// The same with a reset, before anything acknowledged the request.
    ResetAfterReading,
    /// Reads what comes and answers nothing any more.
    OnlyAnswering,
}

#[test]
fn a_request_that_somebody_may_have_read_is_never_sent_again() {
    let table = [Close::AfterReading, Close::ResetAfterReading, Close::OnlyAnswering];
    for close in table {
        let (sender, requests) = std::sync::mpsc::channel();
        let origin = crate::origin::origin(move |mut peer| {
            peer.message().unwrap();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let Some(request) = peer.message() else { return };
            sender.send(request).unwrap();
            match close {
                Close::AfterReading => {}
                Close::ResetAfterReading => {
                    let socket = socket2::SockRef::from(peer.stream());
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
                Close::OnlyAnswering => {
                    peer.end();
                    peer.rest();
                }
            }
        });
        let (_proxy, address) = start(to(origin));
        let mut client = Peer::connect(address);
        assert!(client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n").contains(" 200 "));
        let answer = client.call("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{close:?}: {answer}");
        assert_eq!(requests.try_iter().count(), 1, "{close:?}");
    }
}

#[test]
fn an_announced_time_is_kept() {
    let (sender, connections) = std::sync::mpsc::channel();
    let origin = crate::origin::origin(move |mut peer| {
        while peer.message().is_some() {
            let _ = sender.send(peer.stream().peer_addr().unwrap());
            peer.write("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = client.call(get);
    assert!(
        !answer.to_lowercase().contains("keep-alive"),
        "it concerns the first hop alone: {answer}"
    );
    // Time that passes is what this tests: the announced one is over at once.
    std::thread::sleep(Duration::from_millis(20));
    client.call(get);
    let first = connections.recv().unwrap();
    assert_ne!(connections.recv().unwrap(), first, "nothing is kept that long");
}
