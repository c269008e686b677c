//! Servers that close connections after idle times of their own: a request with an idempotent method never fails for it, and
//! none of the others is processed twice.
//!
//! One to sixty seconds, a thousand times as fast, and clients whose pauses lie in the same range, so that requests and ends
//! meet on the way all the time.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// What a server made of a request that must not be processed twice.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How often it was read.
    times: u32,
    /// It was read when its connection was being closed: whoever sent it cannot know whether it was processed.
    is_in_doubt: bool,
}

#[derive(Debug, Default)]
struct AllSeen {
    /// By path.
    posts: Mutex<BTreeMap<String, Seen>>,
    /// Connections that a server closed because they were idle.
    closed: AtomicU64,
}

pub(super) fn closes(plan: &Plan<'_>) -> Result<Report> {
    let seen = Arc::<AllSeen>::default();
    let origin = Origin { http: serve(Arc::clone(&seen))?, ..origin::start()? };
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
    let closed = seen.closed.load(Ordering::Relaxed);
    let seen = seen.lock();
    for (path, twice) in seen.iter().filter(|(_, seen)| seen.times > 1) {
        tally.failed(
            Protocol::Http1,
            format_args!("POST {path} was processed {} times", twice.times),
        );
    }
    for path in refused.iter().filter(|path| !seen.get(*path).is_some_and(|seen| seen.is_in_doubt))
    {
        tally.failed(Protocol::Http1, format_args!("POST {path} was refused without a need"));
    }
    let (posts, in_doubt) = (seen.len(), refused.len());
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

impl AllSeen {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the whole heads of what was received; a POST is written down. Returns how many there were.
    fn take(&self, received: &mut Vec<u8>, is_in_doubt: bool) -> usize {
        let mut count = 0;
        while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            count += 1;
            let head = String::from_utf8_lossy(&head);
            let Some(path) = head.strip_prefix("POST ").and_then(|rest| rest.split(' ').next())
            else {
                continue;
            };
            let mut all = self.lock();
            let seen = all.entry(path.to_owned()).or_default();
            seen.times += 1;
            seen.is_in_doubt |= is_in_doubt;
        }
        count
    }
}

/// Serves until the process ends.
fn serve(seen: Arc<AllSeen>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut random = 7;
        for stream in listener.incoming().flatten() {
            let idle = Duration::from_millis(1 + draw(&mut random) % IDLE_MAX_MS);
            let seen = Arc::clone(&seen);
            // A connection that breaks is its client's to tell.
            std::thread::spawn(move || answer(stream, &seen, idle));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, seen: &AllSeen, idle: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut received, mut bytes) = (Vec::new(), [0; 4096]);
    // The first request may take its time.
    let mut count = stream.read(&mut bytes)?;
    while count > 0 {
        received.extend_from_slice(&bytes[..count]);
        for _ in 0..seen.take(&mut received, false) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
        }
        stream.set_read_timeout(Some(idle))?;
        let Ok(more) = stream.read(&mut bytes) else {
            seen.closed.fetch_add(1, Ordering::Relaxed);
            break;
        };
        count = more;
    }
    // From here on the kernel refuses whatever comes; what came before is taken for processed, which nobody can know.
    stream.shutdown(Shutdown::Both)?;
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        received.extend_from_slice(&bytes[..count]);
    }
    seen.take(&mut received, true);
    Ok(())
}
