//! Numbers and addresses as text, appended without the formatter: a line of a log has a dozen of them, and the formatter
//! costs several times what writing them does.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// The digits of every number below a hundred.
static PAIRS: [[u8; 2]; 100] = pairs();

const fn pairs() -> [[u8; 2]; 100] {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
}

/// The two digits of a number below a hundred; of a larger one the last two.
pub(super) const fn pair(number: u64) -> [u8; 2] {
    PAIRS[(number % 100) as usize]
}

/// Appends the digits of a number.
pub fn decimal(value: u64, out: &mut Vec<u8>) {
    padded(value, 1, out);
}

/// The same with zeros in front, `least` digits in all; at most twenty are written.
pub(super) fn padded(mut value: u64, least: usize, out: &mut Vec<u8>) {
    if least <= 1 && value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value >= 100 {
        at -= 2;
        [text[at], text[at + 1]] = pair(value);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        [text[at], text[at + 1]] = pair(value);
    } else {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&text[at.min(text.len().saturating_sub(least))..]);
}

/// Appends an address and its port: `10.0.0.1:80`, `[::1]:80`.
pub fn address(address: SocketAddr, out: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(address) => {
            out.extend_from_slice(Text::of(address).as_bytes());
        }
        SocketAddr::V6(_) => {
            write!(out, "{address}").expect("writing to a Vec cannot fail");
        }
    }
}

/// Appends an address without a port.
pub fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let mut text = Text::default();
            text.octets(address);
            out.extend_from_slice(text.as_bytes());
        }
        IpAddr::V6(_) => {
            write!(out, "{address}").expect("writing to a Vec cannot fail");
        }
    }
}

/// Each number of a byte with a full stop behind it, and then anything.
static OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[b'.'; 4]; 256];
    let mut number = 0;
    while number < octets.len() {
        let digits = [number / 100, number / 10 % 10, number % 10];
        let (mut from, mut to) = (3 - octet_digits(number as u8), 0);
        while from < 3 {
            octets[number][to] = b'0' + digits[from] as u8;
            (from, to) = (from + 1, to + 1);
        }
        number += 1;
    }
    octets
};

const fn octet_digits(octet: u8) -> usize {
    1 + (octet >= 10) as usize + (octet >= 100) as usize
}

/// The text of an IPv4 address and a port (`255.255.255.255:65535`), put together here and appended at once.
#[derive(Default)]
pub(super) struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    pub(super) fn of(address: SocketAddrV4) -> Self {
        let mut text = Self::default();
        text.octets(*address.ip());
        text.put(b':');
        text.number(address.port());
        text
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The text, and zeros behind it.
    pub(super) const fn word(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    fn put(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn octets(&mut self, address: Ipv4Addr) {
        for octet in address.octets() {
            let place = &mut self.bytes[self.length..self.length + 4];
            place.copy_from_slice(&OCTETS[usize::from(octet)]);
            self.length += octet_digits(octet) + 1;
        }
        // Without the last full stop.
        self.length -= 1;
    }

    pub(super) fn number(&mut self, value: u16) {
        match value {
            0..10 => self.put(b'0' + value as u8),
            10..100 => self.pair(value),
            100..1000 => {
                self.put(b'0' + (value / 100) as u8);
                self.pair(value);
            }
            1000..10_000 => {
                self.pair(value / 100);
                self.pair(value);
            }
            10_000.. => {
                self.put(b'0' + (value / 10_000) as u8);
                self.pair(value / 100);
                self.pair(value);
            }
        }
    }

    fn pair(&mut self, value: u16) {
        self.bytes[self.length..self.length + 2].copy_from_slice(&pair(value.into()));
        self.length += 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(append: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut out = b"before".to_vec();
        append(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
    }

    proptest! {
        #[test]
        fn all_of_it_is_what_the_formatter_writes(
            value: u64, small in 0..200_u64, least in 0..12_usize, socket: SocketAddr,
        ) {
            for value in [value, small, value >> 40] {
                check(|out| decimal(value, out), &value.to_string());
                check(|out| padded(value, least, out), &format!("{value:0least$}"));
            }
            check(|out| address(socket, out), &socket.to_string());
            check(|out| ip(socket.ip(), out), &socket.ip().to_string());
        }
    }
}
