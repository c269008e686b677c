//! The attacker's connections: what they send is counted, and none blocks on a proxy that stops reading.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::harm::Sent;

/// Connections that the slow attacks keep open.
const SLOW_CONNECTIONS: usize = 500;

/// One connection.
pub(super) struct Line(TcpStream);

impl Line {
    pub(super) fn open(address: SocketAddr, sent: &mut Sent) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
        sent.connections += 1;
        stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
        Some(Self(stream))
    }

    /// Writes everything, unless the proxy takes nothing more for a while.
    pub(super) fn write(&mut self, mut bytes: &[u8], sent: &mut Sent) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.0.write(bytes)?;
            sent.wrote(count);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Reads what is there, and tells whether the proxy hung up.
    pub(super) fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0; 65536]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    /// Whether it still stands, without reading what was sent to it.
    fn stands(&self) -> bool {
        let waits =
            |error: io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        self.0.peek(&mut [0]).map_or_else(waits, |count| count > 0)
    }
}

/// Keeps many connections open: each says what opens it, and then a little every now and then.
pub(super) fn keep(
    (address, end): (SocketAddr, Instant),
    sent: &mut Sent,
    opening: &[u8],
    little: impl Fn(u32) -> Vec<u8>,
) {
    let (mut held, mut turn): (Vec<Line>, u32) = (Vec::new(), 0);
    while Instant::now() < end {
        let bytes = little(turn);
        turn += 1;
        held.retain_mut(|line| {
            if bytes.is_empty() { line.stands() } else { line.write(&bytes, sent).is_ok() }
        });
        while held.len() < SLOW_CONNECTIONS && Instant::now() < end {
            let Some(mut line) = Line::open(address, sent) else { break };
            if line.write(opening, sent).is_ok() {
                held.push(line);
            }
        }
        sent.open = sent.open.max(held.len() as u64);
        std::thread::sleep(Duration::from_millis(200));
    }
}
