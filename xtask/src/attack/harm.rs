//! What an attack cost, in units that mean something.
//!
//! An attacker pays with bytes on the wire, and with what its own kernel holds for each connection. Its processor time says
//! little: a loop over a buffer of requests costs it nothing, and every proxy that serves requests "amplifies" that a
//! hundredfold. So processor time is told per byte, in multiples of what a byte of an ordinary client costs the same proxy
//! (one request after the other on one connection): 1 is a client that could as well have asked politely.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result};

/// TCP's and IP's header in each packet, with time stamps.
const HEADER_BYTES: f64 = 52.0;
const SEGMENT_BYTES: usize = 1448;
/// Opening and closing takes three packets of the one who opens.
const CONNECTION_BYTES: f64 = 3.0 * HEADER_BYTES;
/// What the kernel of a client holds for a connection that does nothing.
const SOCKET_BYTES: f64 = 4096.0;

/// What was sent, counted by the one who sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sent {
    pub(super) processor_us: f64,
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) connections: u64,
    /// Connections open at a time, at most.
    pub(super) open: u64,
}

impl Sent {
    /// One write of so many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.packets += bytes.div_ceil(SEGMENT_BYTES) as u64;
    }

    /// The same again, by the same attacker.
    pub(super) fn add(&mut self, more: &Self) {
        self.processor_us += more.processor_us;
        self.bytes += more.bytes;
        self.packets += more.packets;
        self.connections += more.connections;
        self.open = self.open.max(more.open);
    }

    /// What went over the wire for it, in one direction.
    pub(super) fn wire_bytes(&self) -> f64 {
        self.bytes as f64
            + self.packets as f64 * HEADER_BYTES
            + self.connections as f64 * CONNECTION_BYTES
    }

    /// What the attacker needs for the same: what it sent, and its sockets.
    pub(super) fn held_bytes(&self) -> f64 {
        self.wire_bytes() + self.open as f64 * SOCKET_BYTES
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor_us, bytes, packets, connections, open } = self;
        write!(f, "{processor_us} {bytes} {packets} {connections} {open}")
    }
}

impl FromStr for Sent {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let processor_us = words.next().context("no processor time")?.parse()?;
        let mut number = || -> Result<u64> { Ok(words.next().context("a short line")?.parse()?) };
        let (bytes, packets) = (number()?, number()?);
        Ok(Self { processor_us, bytes, packets, connections: number()?, open: number()? })
    }
}

/// What one attack did to one proxy.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Harm {
    /// Processor time of the proxy over that of the attacker.
    pub(super) raw: f64,
    /// Processor time for each byte on the wire, in multiples of an ordinary client's byte.
    pub(super) processor: f64,
    /// What the proxy holds more than before at the worst moment, in KiB.
    pub(super) held_kib: i64,
    /// The same over what the attacker sends and holds, where that is most.
    pub(super) memory: f64,
    /// Connections that the attacker had open at a time, at most.
    pub(super) open: u64,
    /// A good client's slowest of a hundred in each second without the attacker, in microseconds.
    pub(super) calm_us: Vec<f64>,
    /// The same in each time with it.
    pub(super) attacked_us: Vec<f64>,
    /// Answers it got, without and with.
    pub(super) answers: (usize, usize),
    /// Requests of it that got none.
    pub(super) unanswered: usize,
}

impl Harm {
    /// The medians of both.
    pub(super) fn p99_us(&self) -> (f64, f64) {
        (median(&self.calm_us), median(&self.attacked_us))
    }
}

/// The one in the middle; of an even number the larger.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Sent, median};

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        for (values, middle) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[7.0], 7.0), (&[1.0, 2.0], 2.0)] {
            assert_eq!(median(values), middle);
        }
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn bytes_on_the_wire_count_packets_and_connections() {
        let mut sent = Sent { connections: 1, open: 2, ..Sent::default() };
        sent.wrote(1);
        sent.wrote(1449);
        assert_eq!((sent.bytes, sent.packets), (1450, 3));
        assert_eq!(sent.wire_bytes(), 1450.0 + 3.0 * 52.0 + 3.0 * 52.0);
        assert_eq!(sent.held_bytes(), sent.wire_bytes() + 8192.0);
        assert_eq!(sent.to_string().parse::<Sent>().unwrap(), sent);
        let again = Sent { open: 1, ..sent };
        sent.add(&again);
        assert_eq!((sent.bytes, sent.connections, sent.open), (2900, 2, 2));
    }
}
