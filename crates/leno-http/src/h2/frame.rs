//! Frames: nine bytes of header, then a payload (RFC 9113 §4.1).

use super::Violation;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY_FLAG: u8 = 0x20;

/// Length of a frame's header.
pub(super) const HEADER_BYTES: usize = 9;

/// A received frame header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            // The reserved bit is ignored.
            stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
        }
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame header.
pub(super) fn header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, d, e, f, g]);
}

/// Appends a frame header whose length [`finish`] fills in; returns its position.
pub(super) fn begin(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32) -> usize {
    let start = out.len();
    header(out, 0, kind, flags, stream);
    start
}

/// Fills in the length of the frame that began at `start` and ends where the output ends.
pub(super) fn finish(out: &mut [u8], start: usize) {
    let length = (out.len() - start - HEADER_BYTES) as u32;
    out[start..start + 3].copy_from_slice(&length.to_be_bytes()[1..]);
}

/// Fills in the length of the HEADERS frame that began at `start`, cut into CONTINUATION frames where it is longer than
/// the peer takes.
pub(super) fn finish_headers(out: &mut Vec<u8>, start: usize, stream: u32, payload_max: usize) {
    let length = out.len() - start - HEADER_BYTES;
    if length <= payload_max {
        finish(out, start);
        return;
    }
    out[start + 4] &= !END_HEADERS;
    let block = out.split_off(start + HEADER_BYTES + payload_max);
    finish(out, start);
    let mut parts = block.chunks(payload_max).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
        header(out, part.len(), CONTINUATION, flags, stream);
        out.extend_from_slice(part);
    }
}

/// Appends a frame whose payload is one number.
pub(super) fn number(out: &mut Vec<u8>, kind: u8, stream: u32, value: u32) {
    header(out, 4, kind, 0, stream);
    out.extend_from_slice(&value.to_be_bytes());
}

/// The number at the start of a payload that is known to be long enough.
pub(super) fn read_u32(payload: &[u8]) -> u32 {
    let bytes = payload.first_chunk::<4>().expect("the caller checked the frame's length");
    u32::from_be_bytes(*bytes)
}

/// The payload of a HEADERS frame without padding.
pub(super) fn unpad(frame: Header, payload: &[u8]) -> Result<&[u8], Violation> {
    if !frame.has(PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Violation::FrameSize)?;
    let length = rest.len().checked_sub(usize::from(padding)).ok_or(Violation::Padding)?;
    Ok(&rest[..length])
}
