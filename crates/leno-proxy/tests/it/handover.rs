//! One proxy takes over from another; both run in this process, and meet as two processes would.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use leno_core::snapshot::Resources;
use leno_proxy::{Admin, ConfigSource, Error, HandoverError, Options, Running};

use crate::admin::page;
use crate::basic::{GET, OK};
use crate::config::{options, to};
use crate::origin::{Peer, answering};

/// A proxy that meets others at `path`.
fn proxy(
    path: &Path,
    config: ConfigSource,
    admin: SocketAddr,
    workers: usize,
) -> Result<Running, Error> {
    leno_proxy::start(Options {
        config,
        admin: Admin::At(admin),
        handover: Some(path.to_owned()),
        workers: NonZeroUsize::new(workers).unwrap(),
        drain: Duration::from_secs(1),
        ..options(Resources::default())
    })
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Calls until told to stop, on a connection for as long as that lasts; nothing may be refused, reset or lost.
fn call(address: SocketAddr, done: &AtomicBool, is_lasting: bool) -> usize {
    let mut answered = 0;
    while !done.load(Ordering::Relaxed) {
        let mut client = Peer::connect(address);
        loop {
            client.write(GET);
            let response = client.message().expect("an answer to every request");
            assert!(response.ends_with("hello"), "{response}");
            answered += 1;
            if !is_lasting || response.contains("connection: close") || done.load(Ordering::Relaxed)
            {
                break;
            }
        }
    }
    answered
}

#[test]
fn no_connection_is_lost_however_often_and_with_however_many_workers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    let (origin, requests) = answering(OK);
    let (admin, address, second) = (free_port(), free_port(), free_port());
    let config = || {
        let mut resources = to(origin);
        let listener = Arc::make_mut(resources.listeners.values_mut().next().unwrap());
        listener.address = address.into();
        listener.additional_addresses = vec![second.into()];
        ConfigSource::Resources(resources)
    };
    let mut running = proxy(&path, config(), admin, 2).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let (done, served) = (Arc::clone(&done), Arc::clone(&served));
            std::thread::spawn(move || {
                let address = if n < 4 { address } else { second };
                let answered = call(address, &done, n % 2 == 0);
                served.fetch_add(answered, Ordering::Relaxed);
                answered
            })
        })
        .collect();
    for workers in [3, 1, 2, 4, 1, 2] {
        let next = proxy(&path, config(), admin, workers).unwrap();
        // The former one ends by itself.
        running.wait();
        running = next;
        assert!(page(&running, "GET /ready").0.contains("200"));
    }
    done.store(true, Ordering::Relaxed);
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 100, "{answered}");
    assert!(requests.try_iter().count() >= answered);
    running.drain();
    running.wait();
    assert!(!path.exists(), "who ends without a successor clears the place");
}

#[test]
fn a_new_process_that_cannot_start_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    let (origin, _requests) = answering(OK);
    let running = proxy(&path, ConfigSource::Resources(to(origin)), free_port(), 1).unwrap();
    let address = running.address(crate::config::LISTENER).unwrap();
    let mut client = Peer::connect(address);
    assert_eq!(client.call(GET), OK);
    let nowhere = ConfigSource::Static(folder.path().join("nothing.yaml"));
    let error = proxy(&path, nowhere, running.admin().unwrap(), 1).unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    assert_eq!(client.call(GET), OK, "the connection stays");
    assert_eq!(Peer::connect(address).call(GET), OK);
}

#[test]
fn strangers_are_sent_away_with_a_reason_and_serving_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    let (origin, _requests) = answering(OK);
    let running = proxy(&path, ConfigSource::Resources(to(origin)), free_port(), 1).unwrap();
    let address = running.address(crate::config::LISTENER).unwrap();
    // (what is said, what is answered)
    let table: [(&[u8], &str); 3] = [
        (b"GET / HTTP/1.1\r\n\r\n", "version 1 of the protocol is spoken here"),
        (b"LENO\x02H\0\0\0\x01", "version 1 of the protocol is spoken here"),
        (b"LENO\x01R", "a handover begins with a hello"),
    ];
    for (said, answered) in table {
        let line = leno_sys::meeting::visit(&path).unwrap().unwrap();
        leno_sys::meeting::set_patience(&line, Duration::from_secs(10)).unwrap();
        leno_sys::passing::send(&line, said, &[]).unwrap();
        let answer = leno_sys::passing::receive(&line, 4096).unwrap();
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(text.ends_with(answered) && answer.descriptors.is_empty(), "{text}");
    }
    assert_eq!(Peer::connect(address).call(GET), OK);
}

/// A new process that says so much of its part and then dies.
fn die_after(path: &Path, words: &[&[u8]]) {
    let line = leno_sys::meeting::visit(path).unwrap().unwrap();
    leno_sys::meeting::set_patience(&line, Duration::from_secs(10)).unwrap();
    for word in words {
        leno_sys::passing::send(&line, word, &[]).unwrap();
        let answer = leno_sys::passing::receive(&line, 64 * 1024).unwrap();
        assert!(!answer.bytes.is_empty());
    }
}

#[test]
fn a_new_process_that_dies_in_the_middle_leaves_the_running_one_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meeting");
    let (origin, _requests) = answering(OK);
    let running = proxy(&path, ConfigSource::Resources(to(origin)), free_port(), 2).unwrap();
    let address = running.address(crate::config::LISTENER).unwrap();
    let mut client = Peer::connect(address);
    assert_eq!(client.call(GET), OK);
    let (hello, ready): (&[u8], &[u8]) = (b"LENO\x01H\0\0\0\x01", b"LENO\x01R");
    for words in [&[][..], &[hello], &[hello, ready]] {
        die_after(&path, words);
        assert_eq!(client.call(GET), OK);
        // After `Ready` nothing is accepted until the end of the other is noticed.
        assert_eq!(Peer::connect(address).call(GET), OK);
    }
    let refused = HandoverError::Refused("x".into()).to_string();
    assert_eq!(refused, "the other process refuses: x");
}
