//! SETTINGS: ours as configured, the peer's as received (RFC 9113 §6.5).

use super::frame;
use crate::Http2Limits;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The largest flow-control window.
pub(super) const WINDOW_MAX: i64 = 0x7fff_ffff;
/// What every window starts with until settings say otherwise.
pub(super) const WINDOW_DEFAULT: u32 = 65_535;
/// The largest frame payload we take; never announced, since it is the default.
pub(super) const FRAME_BYTES_MAX: usize = 16_384;

/// Whether clients may open tunnels for other protocols over a stream (RFC 8441).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedConnect {
    /// They may.
    Allowed,
    /// `:protocol` is malformed.
    Refused,
}

/// Whether heads say how they were spelt in HTTP/1, see [`Fields::spell`](crate::Fields::spell).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Both ends of the connection told each other that they know it, and who they are.
    Told,
    /// What the peer says of it is dropped, and nothing is said to it.
    Untold,
}

/// What we announce and enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Everything with a bound.
    pub limits: Http2Limits,
    /// Servers only.
    pub extended_connect: ExtendedConnect,
    /// Agreed on before the connection began, never announced.
    pub spelling: Spelling,
}

impl Settings {
    /// The default limits, with extended CONNECT.
    pub const DEFAULT: Self = Self {
        limits: Http2Limits::DEFAULT,
        extended_connect: ExtendedConnect::Allowed,
        spelling: Spelling::Untold,
    };

    /// Appends our SETTINGS frame.
    pub(super) fn write(&self, is_server: bool, out: &mut Vec<u8>) {
        let limits = &self.limits;
        let start = frame::begin(out, frame::SETTINGS, 0, 0);
        let mut put = |id: u16, value: u32| {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if limits.table_bytes != 4096 {
            put(HEADER_TABLE_SIZE, limits.table_bytes);
        }
        if is_server {
            put(MAX_CONCURRENT_STREAMS, limits.streams);
        } else {
            put(ENABLE_PUSH, 0);
        }
        put(INITIAL_WINDOW_SIZE, limits.stream_window_bytes);
        put(MAX_HEADER_LIST_SIZE, limits.header_list_bytes);
        if is_server && self.extended_connect == ExtendedConnect::Allowed {
            put(ENABLE_CONNECT_PROTOCOL, 1);
        }
        frame::finish(out, start);
    }
}

/// What the peer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Streams we may have open at a time. Until the first SETTINGS come, a cautious 100.
    pub streams_max: u32,
    /// Window each stream of ours starts with, in bytes.
    pub initial_window_bytes: u32,
    /// Largest frame payload it takes.
    pub frame_bytes_max: u32,
    /// The header list it wishes not to be exceeded, as RFC 9113 §6.5.2 counts.
    pub header_list_bytes_max: u32,
    /// Whether it takes extended CONNECT.
    pub extended_connect: ExtendedConnect,
}

impl PeerSettings {
    pub(super) const INITIAL: Self = Self {
        streams_max: 100,
        initial_window_bytes: WINDOW_DEFAULT,
        frame_bytes_max: FRAME_BYTES_MAX as u32,
        header_list_bytes_max: u32::MAX,
        extended_connect: ExtendedConnect::Refused,
    };
}

/// The payload of a SETTINGS frame out of an HTTP2-Settings field (RFC 7540 §3.2.1).
pub(super) fn decode_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bits, mut have, mut bytes) = (0_u32, 0, Vec::new());
    for &byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    (have < 6 && bits == 0 && bytes.len().is_multiple_of(6)).then_some(bytes)
}
