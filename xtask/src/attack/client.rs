//! The good client, the server it wants, and what a process has cost so far.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::harm::Sent;
use super::send;

/// What slow readers want: more than sockets hold.
pub(super) const LARGE: &str = "/large";
const LARGE_BYTES: usize = 4 << 20;
const SMALL_BYTES: usize = 2;

/// Answers every read with 200, in a thread that ends with the process. It makes nothing anew for an answer, and so needs
/// little of the core that it shares; what it sends to slow readers waits like they do.
pub(super) fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let aside = idly()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let aside = aside.clone();
            std::thread::spawn(move || answer(stream, &aside));
        }
    });
    Ok(address)
}

/// Where connections go on in threads that run only while nobody else wants to.
fn idly() -> Result<Sender<TcpStream>> {
    let (aside, streams) = channel::<TcpStream>();
    let (told, tell) = channel();
    std::thread::spawn(move || {
        let _ = told.send(rustix::thread::gettid());
        for stream in streams {
            // Threads inherit it.
            std::thread::spawn(move || send_large(stream));
        }
    });
    let thread = tell.recv()?.as_raw_nonzero().to_string();
    let made = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status()?;
    ensure!(made.success(), "chrt ended with {made}");
    Ok(aside)
}

static BODY: [u8; LARGE_BYTES] = [b'k'; LARGE_BYTES];

fn head_of(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn answer(mut stream: TcpStream, aside: &Sender<TcpStream>) {
    let small = [&head_of(SMALL_BYTES)[..], &BODY[..SMALL_BYTES]].concat();
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if buffer[..count].windows(LARGE.len()).any(|at| at == LARGE.as_bytes()) {
            let _ = aside.send(stream);
            return;
        }
        if stream.write_all(&small).is_err() {
            return;
        }
    }
}

/// What is written at a time of it: a kernel may not let others have the core before a call is over.
const PIECE_BYTES: usize = 16 * 1024;

/// One large answer, and the end: nobody asks twice for it.
fn send_large(mut stream: TcpStream) {
    let mut sent = stream.write_all(&head_of(LARGE_BYTES));
    for piece in BODY.chunks(PIECE_BYTES) {
        sent = sent.and_then(|()| stream.write_all(piece));
    }
}

/// What a good client saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) p99_us: f64,
    pub(super) answers: usize,
    pub(super) unanswered: usize,
    pub(super) peak_kib: u64,
}

/// A client that asks now and then, each time on a new connection as a stranger would.
pub(super) struct Watch {
    address: SocketAddr,
    is_http2: bool,
}

/// How long it rests between an answer and the next question: short, so that its slowest of a hundred is one of several.
const PAUSE: Duration = Duration::from_millis(2);

/// A client waits so long for an answer; what takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watch {
    pub(super) fn new(address: SocketAddr, is_http2: bool) -> Self {
        Self { address, is_http2 }
    }

    /// Asks for so long, once at least, and looks each time at what is held.
    pub(super) fn run(&mut self, time: Duration, held: impl Fn() -> Result<u64>) -> Result<Seen> {
        let end = Instant::now() + time;
        let (mut took, mut seen) = (Vec::new(), Seen::default());
        while took.is_empty() && seen.unanswered == 0 || Instant::now() < end {
            let begun = Instant::now();
            match self.ask() {
                Ok(()) => took.push(begun.elapsed().as_secs_f64() * 1e6),
                Err(_) => seen.unanswered += 1,
            }
            seen.peak_kib = seen.peak_kib.max(held()?);
            std::thread::sleep(PAUSE);
        }
        took.sort_by(f64::total_cmp);
        seen.answers = took.len();
        seen.p99_us =
            took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(f64::INFINITY);
        Ok(seen)
    }

    fn ask(&self) -> Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let plain = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let request = if self.is_http2 { send::one_request() } else { plain.to_vec() };
        stream.write_all(&request)?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while !is_answer(&answer, self.is_http2) {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "closed without an answer");
            answer.extend_from_slice(&buffer[..length]);
        }
        Ok(())
    }
}

/// One request after the other on one connection, for so long.
pub(super) fn converse(address: SocketAddr, is_http2: bool, time: Duration) -> Result<Sent> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let (mut sent, end) = (Sent::default(), Instant::now() + time);
    let (mut id, mut buffer, mut received) = (1, vec![0; 65536], Vec::new());
    if is_http2 {
        stream.write_all(&[send::opening(), send::wide_window()].concat())?;
    }
    while Instant::now() < end {
        let request = if is_http2 { send::request(id) } else { send::PIPELINED.to_vec() };
        id += 2;
        stream.write_all(&request)?;
        sent.wrote(request.len());
        while !take_answer(&mut received, is_http2) {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "closed without an answer");
            received.extend_from_slice(&buffer[..length]);
        }
    }
    Ok(sent)
}

/// Takes what was received off up to the end of one answer; `false` while that has not come.
fn take_answer(received: &mut Vec<u8>, is_http2: bool) -> bool {
    if !is_http2 {
        let head = received.windows(4).position(|end| end == b"\r\n\r\n");
        let end = head.map(|at| at + 4 + SMALL_BYTES).filter(|end| received.len() >= *end);
        received.drain(..end.unwrap_or(0));
        return end.is_some();
    }
    while let [high, middle, low, kind, flags, ..] = received[..] {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if received.len() < 9 + length {
            return false;
        }
        received.drain(..9 + length);
        // HEADERS or DATA with END_STREAM.
        if kind <= 1 && flags & 1 == 1 {
            return true;
        }
    }
    false
}

/// Whether the head of an answer came: a status line, or a HEADERS frame.
fn is_answer(mut bytes: &[u8], is_http2: bool) -> bool {
    if !is_http2 {
        return bytes.starts_with(b"HTTP/1.1 ");
    }
    while let [high, middle, low, kind, ..] = *bytes {
        if kind == 1 {
            return true;
        }
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    false
}

/// Time on a core of this process.
pub(super) fn own_processor_us() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().context("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::take_answer;

    #[test]
    fn answers_are_taken_whole_however_they_arrive() {
        let one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nkk".to_vec();
        let mut received = one[..one.len() - 1].to_vec();
        assert!(!take_answer(&mut received, false));
        received.push(b'k');
        received.extend_from_slice(&one);
        assert!(take_answer(&mut received, false) && take_answer(&mut received, false));
        assert!(received.is_empty() && !take_answer(&mut received, false));
        // HEADERS, then DATA with END_STREAM, in pieces.
        let mut received = vec![0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88, 0, 0, 2, 0, 1, 0, 0, 0, 1, b'o'];
        assert!(!take_answer(&mut received, true));
        received.push(b'k');
        assert!(take_answer(&mut received, true) && received.is_empty());
    }
}
