//! Header compression (RFC 7541), shaped by what heads are here: lines of an arena, with names as integers.
//!
//! A table entry is kept as the line it becomes, with its name recognised and its value checked, so that a field which
//! the peer sends by index costs one copy. What is worth a place in the table that we fill at the next peer is what the
//! peer behind us sends by index, and a few names whose values repeat.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod ring;
mod statics;
#[cfg(test)]
mod tests;

pub(super) use decoder::{Bounds, Decoder, Fit, Sink};
pub(super) use encoder::{Encoder, Item, Text};

use super::Violation;
use crate::Known;

/// What a field line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An ordinary field.
    Field(Known),
    Pseudo(Pseudo),
    /// Not allowed in HTTP/2, whatever the message.
    Malformed(Violation),
}

/// Pseudo-header fields (RFC 9113 §8.3, RFC 8441 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pseudo {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    Status,
}

impl Pseudo {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Authority, ":authority"),
        (Self::Method, ":method"),
        (Self::Path, ":path"),
        (Self::Protocol, ":protocol"),
        (Self::Scheme, ":scheme"),
        (Self::Status, ":status"),
    ];

    const fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A decoded line at the end of the arena: `name: value CRLF`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    /// As written in the arena, where `:authority` reads `host`.
    pub(super) name_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) kind: Kind,
    pub(super) tag: Tag,
}

impl Line {
    pub(super) const fn value(&self) -> std::ops::Range<usize> {
        let start = self.start + self.name_bytes + 2;
        start..start + self.value_bytes
    }
}

/// How a field is to be compressed when it is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// Nobody said: it came by HTTP/1, or is ours.
    pub(crate) const UNKNOWN: Self = Self(0);
    /// The peer sent it as a literal.
    pub(super) const LITERAL: Self = Self(1);
    /// The peer demands that nobody compresses it (RFC 7541 §7.1.3).
    pub(crate) const NEVER: Self = Self(2);
    /// Cookie crumbs, put together (RFC 9113 §8.2.3).
    pub(crate) const CRUMBS: Self = Self(3);

    /// The peer keeps it in its table; this is the hash by which ours finds it.
    const fn hashed(hash: u32) -> Self {
        Self(if hash < 4 { hash + 4 } else { hash })
    }

    /// Hash of a field: multiply and fold, eight bytes at a time. Collisions cost a compare, never a wrong field.
    fn of(seed: u8, name: &[u8], value: &[u8]) -> Self {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut state = u64::from(seed) ^ ((value.len() as u64) << 8);
        let mut mix = |word: u64| {
            state = (state ^ word).wrapping_mul(FACTOR);
            state ^= state >> 29;
        };
        let (words, rest) = value.as_chunks::<8>();
        for word in words {
            mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            mix(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        // Names are folded to lower case: HTTP/1 peers write them as they like.
        for part in name.chunks(8) {
            mix(part.iter().fold(0, |word, byte| word << 8 | u64::from(byte | 0x20)));
        }
        Self::hashed((state >> 7) as u32)
    }
}
