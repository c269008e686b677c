//! A server that keeps what it gets, and a plain reading of what well-formed HTTP/1 it got.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Records and answers 200 to everything, whatever it means; one connection is one answer.
pub(super) struct Recorder {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Connections that are being recorded.
    open: Arc<AtomicUsize>,
}

/// The end of a message is known to its reader only, and this is none: what comes within this time belongs to it.
const LULL: Duration = Duration::from_millis(30);

impl Recorder {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::new(AtomicUsize::new(0));
        let (kept, counted) = (Arc::clone(&bytes), Arc::clone(&open));
        // It ends with the process: nobody is left then to ask it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, counted) = (Arc::clone(&kept), Arc::clone(&counted));
                counted.fetch_add(1, SeqCst);
                std::thread::spawn(move || {
                    record(stream, &kept);
                    counted.fetch_sub(1, SeqCst);
                });
            }
        });
        Ok(Self { address, bytes, open })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since the last time, once nobody sends any more.
    pub(super) fn take(&self) -> Vec<u8> {
        std::thread::sleep(LULL / 2);
        for _ in 0..50 {
            if self.open.load(SeqCst) == 0 {
                break;
            }
            std::thread::sleep(LULL / 2);
        }
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn record(mut stream: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 65536];
    let (mut is_begun, mut is_answered) = (false, false);
    loop {
        let lull = if is_begun { LULL } else { LULL * 30 };
        if stream.set_read_timeout(Some(lull)).is_err() {
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                is_begun = true;
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..length]);
            }
            Err(_) if is_begun && !is_answered => {
                is_answered = true;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                if stream.write_all(answer).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Method, target and body of each message in bytes that a proxy wrote, which are plain: one length, or chunks.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let line = head.lines().next().unwrap_or_default();
        let start: Vec<_> = line.split(' ').take(2).collect();
        let field = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let body = if field("transfer-encoding").is_some() {
            chunked(&mut bytes)
        } else {
            let length = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            let (body, rest) = bytes.split_at(bytes.len().min(length));
            bytes = rest;
            body.to_vec()
        };
        // A target in absolute form and its path are the same.
        messages.push((start.join(" ").replace("http://y", ""), body));
    }
    messages
}

fn chunked(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        *bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailers up to the empty line.
            while let Some(end) = find(bytes, b"\r\n") {
                *bytes = &bytes[end + 2..];
                if end == 0 {
                    break;
                }
            }
            break;
        }
        let taken = bytes.len().min(size);
        body.extend_from_slice(&bytes[..taken]);
        *bytes = &bytes[bytes.len().min(size + 2)..];
    }
    body
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::messages;

    #[test]
    fn plain_messages_are_read() {
        let bytes = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n\
                      POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: 1\r\n\r\n";
        let seen = messages(bytes);
        let expected = [("POST /a", &b"hi"[..]), ("GET /b", b""), ("POST /c", b"hi")];
        assert_eq!(seen.len(), 3);
        for ((line, body), (expected_line, expected_body)) in seen.iter().zip(expected) {
            assert_eq!((line.as_str(), body.as_slice()), (expected_line, expected_body));
        }
    }
}
