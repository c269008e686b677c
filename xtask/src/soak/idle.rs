//! Servers that close connections after idle times of their own: a request with an idempotent method never fails for it, and
//! none of the others is processed twice.
//!
//! One to sixty seconds, a thousand times as fast, and clients whose pauses lie in the same range, so that requests and ends
//! meet on the way all the time.

#[path = "../../../crates/leno-testkit/src/restless.rs"]
#[allow(
    unreachable_pub,
    reason = "compiled in by path: the build system depends on none of our crates"
)]
mod restless;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::load::{exactly, head};
use super::origin::{self, Origin};
use super::process::Place;
use super::tally::{Protocol, Report, Tally};
use super::{Plan, draw};

const CLIENTS: u64 = 48;
/// The longest idle time of a server, and the longest pause of a client.
const IDLE_MAX_MS: u64 = 60;
/// Exchanges of the short form.
const FEW: u64 = 3_000;

pub(super) fn closes(plan: &Plan<'_>) -> Result<Report> {
    let mut random = 7;
    let idle = move || Duration::from_millis(1 + draw(&mut random) % IDLE_MAX_MS);
    let (http, seen) = restless::start(idle)?;
    let origin = Origin { http, ..origin::start()? };
    let place = Place::new(plan.folder, "idle", origin)?;
    let mut proxy = place.start(&plan.leno, 2, None)?;
    proxy.wait_ready(&place)?;
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let refused = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (tally, stop, refused) = (&tally, &stop, &refused);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = ask(place.http, client, tally, stop, refused) {
                        tally.failed(Protocol::Http1, error);
                    }
                }
            });
        }
        while tally.exchanges() < plan.exchanges.max(FEW) {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let refused: Vec<String> = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (closed, posts) = (seen.closed(), seen.posts());
    for (path, twice) in posts.iter().filter(|(_, seen)| seen.times > 1) {
        tally.failed(
            Protocol::Http1,
            format_args!("POST {path} was processed {} times", twice.times),
        );
    }
    for path in refused.iter().filter(|path| !posts.get(*path).is_some_and(|seen| seen.is_in_doubt))
    {
        tally.failed(Protocol::Http1, format_args!("POST {path} was refused without a need"));
    }
    let (posts, in_doubt) = (posts.len(), refused.len());
    Ok(tally
        .report(format!("{closed} idle connections closed, {in_doubt} of {posts} POSTs in doubt")))
}

/// One connection of a client, which asks with pauses: every second time with a method that is not idempotent.
fn ask(
    proxy: SocketAddr,
    client: u64,
    tally: &Tally,
    stop: &AtomicBool,
    refused: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut stream = TcpStream::connect(proxy)?;
    tally.connected(Protocol::Http1);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(super::load::PATIENCE))?;
    let (mut received, mut random) = (Vec::new(), client + 1);
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(draw(&mut random) % (IDLE_MAX_MS / 2)));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let is_post = number.is_multiple_of(2);
        let (method, length) =
            if is_post { ("POST", "Content-Length: 0\r\n") } else { ("GET", "") };
        let path = format!("/{number}");
        stream
            .write_all(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n").as_bytes())?;
        let answer = head(&mut stream, &mut received)?;
        let length =
            answer.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        exactly(&mut stream, &mut received, length)?;
        tally.exchanged(Protocol::Http1);
        match (answer.get(9..12), is_post) {
            (Some("200"), _) => {}
            (Some("503"), true) => {
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(path);
            }
            _ => {
                let line = answer.lines().next().unwrap_or_default();
                tally.failed(Protocol::Http1, format_args!("{method} {path}: {line}"));
            }
        }
        if answer.contains("connection: close\r\n") {
            return Ok(());
        }
    }
    Ok(())
}
