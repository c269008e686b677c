//! The PROXY protocol (haproxy's `proxy-protocol.txt`), versions 1 and 2: who really connected, told in front of the
//! connection's first byte.
//!
//! Pure, and of nothing but its input. Read by the listener filter, written in front of an upstream connection; the fuzz
//! target `proxy_protocol` includes this file as it stands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, its end included (section 2.1).
const LINE_MAX: usize = 107;

/// Bytes in front of the addresses of version 2.
const V2_FIXED: usize = 16;

/// The most that addresses and type-length-values may take here: 216 bytes are addresses of Unix sockets, and a load
/// balancer adds some hundred of its own. Nobody is authenticated yet, so the 64 KiB that could be said are refused.
pub const V2_REST_MAX: usize = 4096;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_SIGNATURE: &[u8; 6] = b"PROXY ";

/// What is at the start of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes so far could still become a header.
    More,
    /// Something else: not a byte of it is a header's.
    Absent,
    /// It begins as a header and is none.
    Invalid(Fault),
    /// A header of `length` bytes; what follows belongs to the connection.
    Header {
        /// Whose connection it is; `None` is the sender's own (`LOCAL`, `UNKNOWN`, a family other than IP).
        ends: Option<Ends>,
        /// Bytes of the header.
        length: usize,
    },
}

/// Both ends of the connection that the header speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who connected.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line of version 1 does not end, or is not as it should be.
    Line,
    /// Version, command, family or length of version 2 are not as they should be.
    Binary,
    /// More type-length-values than are looked at.
    TooLong,
}

/// Which version is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// Looks for a header at the start of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins = |signature: &[u8]| {
        let seen = bytes.len().min(signature.len());
        (bytes[..seen] == signature[..seen]).then_some(seen == signature.len())
    };
    match (begins(V1_SIGNATURE), begins(V2_SIGNATURE)) {
        (Some(true), _) => v1(bytes),
        (_, Some(true)) => v2(bytes),
        (None, None) => Parsed::Absent,
        _ => Parsed::More,
    }
}

fn v1(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return if line.len() == LINE_MAX { Parsed::Invalid(Fault::Line) } else { Parsed::More };
    };
    let length = end + 2;
    let line = std::str::from_utf8(&line[V1_SIGNATURE.len()..end]).ok();
    match line.and_then(ends_of_line) {
        Some(ends) => Parsed::Header { ends, length },
        None => Parsed::Invalid(Fault::Line),
    }
}

/// What the line says behind `PROXY `; `None` outside is malformed.
#[expect(clippy::option_option, reason = "malformed and unknown are different answers")]
fn ends_of_line(line: &str) -> Option<Option<Ends>> {
    // Whatever follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = line.split(' ');
    let mut next = || words.next();
    let (family, source, destination) = (next()?, next()?, next()?);
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse().ok().map(IpAddr::V4),
            "TCP6" => text.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    Some(Some(Ends {
        source: SocketAddr::new(address(source)?, source_port),
        destination: SocketAddr::new(address(destination)?, destination_port),
    }))
}

/// A decimal number without sign or leading zero.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = digits && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn v2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED) else { return v2_so_far(bytes) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let (command, family) = (fixed[12], fixed[13]);
    let Some(addresses) = addresses(command, family, length) else {
        return Parsed::Invalid(Fault::Binary);
    };
    if length > V2_REST_MAX {
        return Parsed::Invalid(Fault::TooLong);
    }
    let Some(body) = rest.get(..length) else { return Parsed::More };
    let length = V2_FIXED + length;
    let ends = match addresses {
        Addresses::None => None,
        Addresses::V4 => body.first_chunk().map(ends_v4),
        Addresses::V6 => body.first_chunk().map(ends_v6),
    };
    Parsed::Header { ends, length }
}

/// An answer before all 16 bytes are there: what is wrong already, and is not waited for.
fn v2_so_far(bytes: &[u8]) -> Parsed {
    let version = bytes.get(12).is_none_or(|command| matches!(command, 0x20 | 0x21));
    let family = bytes.get(13).is_none_or(|family| is_family(*family));
    if version && family { Parsed::More } else { Parsed::Invalid(Fault::Binary) }
}

fn is_family(byte: u8) -> bool {
    byte >> 4 <= 3 && byte & 15 <= 2
}

enum Addresses {
    None,
    V4,
    V6,
}

/// Which addresses follow; `None` is malformed.
fn addresses(command: u8, family: u8, length: usize) -> Option<Addresses> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    if !is_family(family) {
        return None;
    }
    let (addresses, least) = match (command, family) {
        // A receiver must take the connection as it is.
        (LOCAL, _) => (Addresses::None, 0),
        (PROXY, 0x11) => (Addresses::V4, 12),
        (PROXY, 0x21) => (Addresses::V6, 36),
        (PROXY, 0x31 | 0x32) => (Addresses::None, 216),
        // Datagrams do not come over a stream; nothing is known of the rest.
        (PROXY, _) => (Addresses::None, 0),
        _ => return None,
    };
    (length >= least).then_some(addresses)
}

fn ends_v4(bytes: &[u8; 12]) -> Ends {
    let address = |at: usize| {
        IpAddr::V4(Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]))
    };
    ends(address(0), address(4), &bytes[8..])
}

fn ends_v6(bytes: &[u8; 36]) -> Ends {
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    ends(address(0), address(16), &bytes[32..])
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Ends {
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Ends {
        source: SocketAddr::new(source, port(0)),
        destination: SocketAddr::new(destination, port(2)),
    }
}

/// Appends a header to `out`. Ends of two families are written as IPv6, the IPv4 one mapped; `None` is our own
/// connection.
pub fn write(version: Version, ends: Option<Ends>, out: &mut Vec<u8>) {
    let ends = ends.map(of_one_family);
    match version {
        Version::V1 => write_v1(ends, out),
        Version::V2 => write_v2(ends, out),
    }
}

fn of_one_family(ends: Ends) -> Ends {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let Ends { source, destination } =
        Ends { source: canonical(ends.source), destination: canonical(ends.destination) };
    if source.is_ipv4() == destination.is_ipv4() {
        return Ends { source, destination };
    }
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), end.port()),
        IpAddr::V6(_) => end,
    };
    Ends { source: mapped(source), destination: mapped(destination) }
}

fn write_v1(ends: Option<Ends>, out: &mut Vec<u8>) {
    let line = match ends {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Ends { source, destination }) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip())
        }
    };
    out.extend_from_slice(line.as_bytes());
}

fn write_v2(ends: Option<Ends>, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_SIGNATURE);
    let Some(Ends { source, destination }) = ends else {
        return out.extend_from_slice(&[0x20, 0, 0, 0]);
    };
    out.extend_from_slice(if source.is_ipv4() {
        &[0x21, 0x11, 0, 12]
    } else {
        &[0x21, 0x21, 0, 36]
    });
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    for port in [source.port(), destination.port()] {
        out.extend_from_slice(&port.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
