//! A server that closes its connections after idle times of their own, so that requests and ends meet on the way, and that
//! writes down what it saw of every POST: none may be processed twice.
//!
//! It needs the standard library alone: the build system compiles it in by path, and depends on none of our crates.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the server made of a request that must not be processed twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// How often it was read.
    pub times: u32,
    /// It was read when its connection was being closed: whoever sent it cannot know whether it was processed.
    pub is_in_doubt: bool,
}

/// What the server saw so far.
#[derive(Debug, Default)]
pub struct AllSeen {
    posts: Mutex<BTreeMap<String, Seen>>,
    closed: AtomicU64,
}

impl AllSeen {
    /// Every POST, by its path. The server waits while this is held.
    pub fn posts(&self) -> MutexGuard<'_, BTreeMap<String, Seen>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections it closed because they were idle.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
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
            let mut posts = self.posts();
            let seen = posts.entry(path.to_owned()).or_default();
            seen.times += 1;
            seen.is_in_doubt |= is_in_doubt;
        }
        count
    }
}

/// Answers requests without a body, a thread for each connection, until the process ends; `idle` is asked for the idle time
/// of each connection.
///
/// # Errors
/// No port could be bound.
pub fn start(
    mut idle: impl FnMut() -> Duration + Send + 'static,
) -> std::io::Result<(SocketAddr, Arc<AllSeen>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let all = Arc::<AllSeen>::default();
    let seen = Arc::clone(&all);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, idle) = (Arc::clone(&seen), idle());
            // A connection that breaks is its client's to tell.
            std::thread::spawn(move || answer(stream, &seen, idle));
        }
    });
    Ok((address, all))
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
