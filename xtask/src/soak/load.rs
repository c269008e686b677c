//! The clients. Each is a thread that connects where it is told, exchanges as fast as it is answered with pauses now and
//! then, and counts what goes wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::streams;
use super::tally::{PROTOCOLS, Protocol, Tally};

/// No exchange takes longer; a hang is a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Exchanges on one TCP or WebSocket connection at most,
const EXCHANGES: u32 = 20;
/// and how long it lives at most: less than is left of any drain, on a machine that is busy with other things too.
const LIFE: Duration = Duration::from_millis(300);
/// The longest pause between two requests; shorter than an idle connection is kept in a drain.
const PAUSE_MAX_MS: u64 = 50;
/// A connection that was idle for longer is looked at before it is used, as any client does.
const UNWATCHED: Duration = Duration::from_millis(20);

/// A proxy that clients may go to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) http: SocketAddr,
    /// `None`: no bytes are sent there.
    pub(super) tcp: Option<SocketAddr>,
    /// The same for gRPC.
    pub(super) grpc: Option<SocketAddr>,
    /// What a balancer's health checks say.
    pub(super) is_ready: AtomicBool,
}

/// Clients at work.
pub(super) struct Load {
    pub(super) tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What one client knows.
struct Client {
    targets: Arc<Vec<Target>>,
    next: Arc<AtomicUsize>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    random: u64,
}

/// How many clients of each protocol, in its order.
pub(super) type Clients = [usize; PROTOCOLS];

pub(super) fn start(targets: &Arc<Vec<Target>>, clients: Clients) -> Load {
    let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
    let next = Arc::<AtomicUsize>::default();
    let mut threads = Vec::new();
    for (protocol, count) in Protocol::ALL.into_iter().zip(clients) {
        for at in 0..count {
            let client = Client {
                targets: Arc::clone(targets),
                next: Arc::clone(&next),
                tally: Arc::clone(&tally),
                stop: Arc::clone(&stop),
                random: (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) + protocol as u64,
            };
            threads.push(std::thread::spawn(move || client.run(protocol)));
        }
    }
    Load { tally, stop, threads }
}

impl Load {
    /// Lets every client end its connection in order.
    pub(super) fn finish(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                self.tally.failed(Protocol::Http1, "a client panicked");
            }
        }
        self.tally
    }
}

impl Client {
    fn run(mut self, protocol: Protocol) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(address) = self.pick(protocol) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let connected = TcpStream::connect_timeout(&address, PATIENCE);
            let begun = Instant::now();
            let outcome = connected.and_then(|stream| {
                self.tally.connected(protocol);
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                match protocol {
                    Protocol::Http1 => self.http1(stream),
                    Protocol::Tcp => self.tcp(stream),
                    Protocol::WebSocket => self.websocket(stream),
                    Protocol::Http2 | Protocol::Grpc => {
                        let seed = self.draw();
                        streams::run(stream, protocol, seed, (&self.tally, &self.stop))
                    }
                }
            });
            if let Err(error) = outcome {
                let (age, at) = (begun.elapsed(), self.tally.elapsed());
                let told =
                    format_args!("{address}: {error}; {age:?} after it connected, at {at:?}");
                self.tally.failed(protocol, told);
            }
        }
    }

    /// The next proxy that is ready.
    fn pick(&self, protocol: Protocol) -> Option<SocketAddr> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.targets.len();
        let mut targets = (0..count).map(|at| &self.targets[(first + at) % count]);
        let target = targets.find(|target| target.is_ready.load(Ordering::Relaxed))?;
        match protocol {
            Protocol::Http1 | Protocol::WebSocket | Protocol::Http2 => Some(target.http),
            Protocol::Grpc => target.grpc,
            Protocol::Tcp => target.tcp,
        }
    }

    fn http1(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let (mut received, mut last) = (Vec::new(), Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            if self.draw().is_multiple_of(16) {
                self.pause();
            }
            // The machine may have paused us as well.
            if last.elapsed() > UNWATCHED && is_closed(&stream)? {
                return Ok(());
            }
            stream.write_all(b"GET / HTTP/1.1\r\nHost: soak-app:9080\r\n\r\n")?;
            let head = head(&mut stream, &mut received)?;
            let body = exactly(&mut stream, &mut received, 5)?;
            if !head.starts_with("http/1.1 200 ") || body != b"hello" {
                return Err(wrong(&head));
            }
            self.tally.exchanged(Protocol::Http1);
            last = Instant::now();
            if head.contains("connection: close\r\n") {
                return Ok(());
            }
        }
        Ok(())
    }

    fn tcp(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let (mut received, begun) = (Vec::new(), Instant::now());
        for _ in 0..EXCHANGES {
            if begun.elapsed() > LIFE {
                break;
            }
            let sent = self.draw().to_be_bytes().repeat(8);
            stream.write_all(&sent)?;
            if exactly(&mut stream, &mut received, sent.len())? != sent {
                return Err(wrong("other bytes came back"));
            }
            self.tally.exchanged(Protocol::Tcp);
            std::thread::sleep(Duration::from_millis(self.draw() % 4));
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        if rest.is_empty() { Ok(()) } else { Err(wrong("bytes after the end")) }
    }

    fn websocket(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let (mut received, begun) = (Vec::new(), Instant::now());
        stream.write_all(
            b"GET /ws HTTP/1.1\r\nHost: soak-app:9080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let head = head(&mut stream, &mut received)?;
        if !head.starts_with("http/1.1 101 ") {
            return Err(wrong(&head));
        }
        for at in 0..=EXCHANGES {
            let is_close = at == EXCHANGES || begun.elapsed() > LIFE;
            let (kind, payload) = if is_close {
                // Close, 1000.
                (0x88, vec![0x03, 0xe8])
            } else {
                (0x82, self.draw().to_be_bytes().to_vec())
            };
            let mask = [1, 2, 3, 4];
            let length = u8::try_from(payload.len()).unwrap_or(0);
            let mut frame = vec![kind, 0x80 | length];
            frame.extend(mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            stream.write_all(&frame)?;
            let mut answer = exactly(&mut stream, &mut received, 4)?;
            // Going away: it is answered, and the end follows.
            if answer == [0x88, 2, 0x03, 0xe9] {
                if !is_close {
                    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])?;
                }
                stream.read_to_end(&mut received)?;
                return if received.is_empty() {
                    Ok(())
                } else {
                    Err(wrong("bytes after the end"))
                };
            }
            answer.extend(exactly(&mut stream, &mut received, payload.len() - 2)?);
            if answer[..2] != [kind, length] || answer[2..] != payload {
                return Err(wrong("another frame came back"));
            }
            self.tally.exchanged(Protocol::WebSocket);
            if is_close {
                break;
            }
            std::thread::sleep(Duration::from_millis(self.draw() % 4));
        }
        Ok(())
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.draw() % PAUSE_MAX_MS));
    }

    fn draw(&mut self) -> u64 {
        super::draw(&mut self.random)
    }
}

/// Whether the other side ended a connection while nothing was asked of it, which it may.
fn is_closed(stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_nonblocking(true)?;
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Ok(true),
        Ok(_) => Err(wrong("bytes that nobody asked for")),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// The next head, in lower case.
pub(super) fn head(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<String> {
    loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            return Ok(String::from_utf8_lossy(&head).to_ascii_lowercase());
        }
        fill(stream, received)?;
    }
}

pub(super) fn exactly(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    count: usize,
) -> std::io::Result<Vec<u8>> {
    while received.len() < count {
        fill(stream, received)?;
    }
    Ok(received.drain(..count).collect())
}

fn fill(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        count => {
            received.extend_from_slice(&buffer[..count]);
            Ok(())
        }
    }
}

pub(super) fn wrong(what: &str) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, what.lines().next().unwrap_or_default())
}
