//! Header blocks to lines (RFC 7541 §3). Names are recognised and values checked once, where they enter the table.

use super::ring::{OVERHEAD, Ring};
use super::statics::{self, STATICS};
use super::{Kind, Line, Pseudo, Tag, huffman, integer};
use crate::Known;
use crate::h1::is_authority;
use crate::h2::Violation;
use crate::name::{is_token, is_token_byte};
use crate::request::is_target_byte;

/// Where lines go: an arena they are written into, and whoever indexes it.
pub(in crate::h2) trait Sink {
    /// The arena. Lines are appended to it.
    fn arena(&mut self) -> &mut Vec<u8>;
    /// The line that the arena ends with.
    fn line(&mut self, line: Line);
}

/// How much of a header list is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Bounds {
    /// As RFC 9113 §6.5.2 counts.
    pub(in crate::h2) bytes: usize,
    pub(in crate::h2) fields: usize,
}

/// Whether a header list was within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h2) enum Fit {
    All,
    /// Lines beyond the bounds were decoded, as they must be, and dropped.
    Cut,
}

/// The table that the peer fills.
#[derive(Debug)]
pub(in crate::h2) struct Decoder {
    table: Ring<Kept>,
    /// The largest table the peer may ask for.
    limit: usize,
    /// Whether the next block must begin with a smaller table, since we announced one.
    must_shrink: bool,
}

/// What is kept beside an entry, whose bytes are the line.
#[derive(Clone, Copy, Debug)]
struct Kept {
    name_bytes: u32,
    kind: Kind,
    tag: Tag,
}

/// The table a connection starts with (RFC 9113 §6.5.2).
const TABLE_BYTES: usize = 4096;

/// What is left to fill of the bounds.
struct Room {
    bytes: usize,
    fields: usize,
    fit: Fit,
}

impl Decoder {
    pub(in crate::h2) const fn new() -> Self {
        Self { table: Ring::new(TABLE_BYTES), limit: TABLE_BYTES, must_shrink: false }
    }

    /// The peer has acknowledged this table size.
    pub(in crate::h2) const fn limit(&mut self, bytes: u32) {
        self.limit = bytes as usize;
        self.must_shrink = self.table.max() > self.limit;
    }

    /// Decodes one complete block. An error is one of the connection: the table is not what the peer thinks it is.
    pub(in crate::h2) fn decode(
        &mut self,
        block: &[u8],
        bounds: Bounds,
        sink: &mut impl Sink,
    ) -> Result<Fit, Violation> {
        let mut room = Room { bytes: bounds.bytes, fields: bounds.fields, fit: Fit::All };
        let mut input = block;
        self.updates(&mut input).ok_or(Violation::Compression)?;
        while let Some(&first) = input.first() {
            let done = match first {
                0x80.. => self.indexed(&mut input, &mut room, sink),
                // Size updates come first or not at all (RFC 7541 §4.2).
                0x20..0x40 => None,
                _ => self.literal(first, &mut input, &mut room, sink),
            };
            done.ok_or(Violation::Compression)?;
        }
        Ok(room.fit)
    }

    fn updates(&mut self, input: &mut &[u8]) -> Option<()> {
        while let [0x20..0x40, ..] = input {
            let size = integer::read(input, 5)?;
            if size > self.limit {
                return None;
            }
            self.table.resize(size);
            self.must_shrink = false;
        }
        (!self.must_shrink).then_some(())
    }

    fn indexed(&self, input: &mut &[u8], room: &mut Room, sink: &mut impl Sink) -> Option<()> {
        let index = integer::read(input, 7)?;
        if index > statics::LENGTH {
            let (line, kept) = self.table.get(index - statics::LENGTH - 1)?;
            let name_bytes = kept.name_bytes as usize;
            let value_bytes = line.len() - name_bytes - 4;
            if !room.take(name_bytes, value_bytes, kept.kind) {
                return Some(());
            }
            let arena = sink.arena();
            let start = arena.len();
            arena.extend_from_slice(line);
            sink.line(Line { start, name_bytes, value_bytes, kind: kept.kind, tag: kept.tag });
            return Some(());
        }
        let entry = STATICS.get(index.checked_sub(1)?)?;
        let (name_bytes, value_bytes) = (entry.name.len(), entry.value.len());
        if !room.take(name_bytes, value_bytes, entry.kind) {
            return Some(());
        }
        let arena = sink.arena();
        let start = arena.len();
        arena.extend_from_slice(entry.line());
        // An entry without a value is a name; what has one is right.
        let kind = if entry.value.is_empty() { check(entry.kind, b"") } else { entry.kind };
        sink.line(Line { start, name_bytes, value_bytes, kind, tag: Tag::UNKNOWN });
        Some(())
    }

    fn literal(
        &mut self,
        first: u8,
        input: &mut &[u8],
        room: &mut Room,
        sink: &mut impl Sink,
    ) -> Option<()> {
        let is_kept = first & 0x40 != 0;
        let index = integer::read(input, if is_kept { 6 } else { 4 })?;
        let arena = sink.arena();
        let start = arena.len();
        let name_kind = self.name(index, input, arena)?;
        let name_bytes = arena.len() - start;
        arena.extend_from_slice(b": ");
        let value_start = arena.len();
        string(input, arena)?;
        let value = &arena[value_start..];
        let (value_bytes, kind) = (value.len(), check(name_kind, value));
        let is_never = first & 0xf0 == 0x10;
        let tag = if is_never { Tag::NEVER } else { Tag::LITERAL };
        let seed = super::encoder::seed_of(kind);
        let kept_tag = if is_kept {
            let name = if seed == 0 { &arena[start..start + name_bytes] } else { &[] };
            Tag::of(seed, name, &arena[value_start..])
        } else {
            tag
        };
        arena.extend_from_slice(b"\r\n");
        if is_kept {
            let kept = Kept { name_bytes: name_bytes as u32, kind, tag: kept_tag };
            let charge = name_length(name_bytes, kind) + value_bytes + OVERHEAD;
            self.table.insert([&arena[start..], &[]], charge, kept);
        }
        if room.take(name_bytes, value_bytes, kind) {
            sink.line(Line { start, name_bytes, value_bytes, kind, tag });
        } else {
            sink.arena().truncate(start);
        }
        Some(())
    }

    /// Appends a literal's name and says what it is.
    fn name(&self, index: usize, input: &mut &[u8], arena: &mut Vec<u8>) -> Option<Kind> {
        let start = arena.len();
        if index > statics::LENGTH {
            let (line, kept) = self.table.get(index - statics::LENGTH - 1)?;
            let name = &line[..kept.name_bytes as usize];
            arena.extend_from_slice(name);
            // A value that was wrong says nothing about the next one.
            return Some(match kept.kind {
                Kind::Malformed(_) => classify(name),
                Kind::Field(_) | Kind::Pseudo(_) => kept.kind,
            });
        }
        if index > 0 {
            let entry = &STATICS[index - 1];
            arena.extend_from_slice(entry.name.as_bytes());
            return Some(entry.kind);
        }
        string(input, arena)?;
        let kind = classify(&arena[start..]);
        if kind == Kind::Pseudo(Pseudo::Authority) {
            arena.truncate(start);
            arena.extend_from_slice(b"host");
        }
        Some(kind)
    }
}

impl Room {
    /// Makes room for a field, or says that there is none. After the first that does not fit none is let in: a list with
    /// a hole would be another list.
    fn take(&mut self, name_bytes: usize, value_bytes: usize, kind: Kind) -> bool {
        let charge = name_length(name_bytes, kind) + value_bytes + OVERHEAD;
        if self.fit == Fit::Cut || charge > self.bytes || self.fields == 0 {
            self.fit = Fit::Cut;
            return false;
        }
        self.bytes -= charge;
        self.fields -= 1;
        true
    }
}

/// The name's length on the wire.
fn name_length(written: usize, kind: Kind) -> usize {
    if kind == Kind::Pseudo(Pseudo::Authority) { ":authority".len() } else { written }
}

fn string(input: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let is_huffman = *input.first()? & 0x80 != 0;
    let length = integer::read(input, 7)?;
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    if is_huffman {
        huffman::decode(text, out)
    } else {
        out.extend_from_slice(text);
        Some(())
    }
}

/// What a name is. HTTP/2 knows no upper case (RFC 9113 §8.2).
fn classify(name: &[u8]) -> Kind {
    if name.first() == Some(&b':') {
        let found = Pseudo::ALL.iter().find(|(_, text)| text.as_bytes() == name);
        return found
            .map_or(Kind::Malformed(Violation::PseudoField), |(pseudo, _)| Kind::Pseudo(*pseudo));
    }
    let is_wrong =
        name.iter().fold(false, |found, &byte| found | WRONG_IN_NAMES[usize::from(byte)]);
    if name.is_empty() || is_wrong {
        return Kind::Malformed(Violation::FieldName);
    }
    Kind::Field(Known::recognize(name))
}

/// All but lower-case token characters.
static WRONG_IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = !is_token_byte(byte as u8) || (byte as u8).is_ascii_uppercase();
        byte += 1;
    }
    table
};

/// What a name is together with its value.
fn check(kind: Kind, value: &[u8]) -> Kind {
    let (holds, why) = match kind {
        Kind::Field(Known::Te) => (value.eq_ignore_ascii_case(b"trailers"), Violation::Te),
        Kind::Field(known) if is_connections(known) => (false, Violation::ConnectionField),
        Kind::Field(Known::Host) | Kind::Pseudo(Pseudo::Authority) => {
            (!value.is_empty() && is_authority(value), Violation::Authority)
        }
        Kind::Field(_) => (is_value(value), Violation::FieldValue),
        Kind::Pseudo(Pseudo::Method) => (is_token(value), Violation::Method),
        Kind::Pseudo(Pseudo::Path) => (is_target(value), Violation::Path),
        Kind::Pseudo(Pseudo::Protocol) => (is_token(value), Violation::Protocol),
        Kind::Pseudo(Pseudo::Scheme) => (matches!(value, b"http" | b"https"), Violation::Scheme),
        Kind::Pseudo(Pseudo::Status) => {
            (matches!(value, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']), Violation::Status)
        }
        Kind::Malformed(why) => (false, why),
    };
    if holds { kind } else { Kind::Malformed(why) }
}

/// RFC 9113 §8.2.2.
const fn is_connections(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

/// RFC 9113 §8.2.1, and no other control character either, as in HTTP/1.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !any_byte(value, |byte| (byte < b' ') & (byte != b'\t') | (byte == 0x7f))
        && !is_blank(value.first())
        && !is_blank(value.last())
}

fn is_target(value: &[u8]) -> bool {
    !value.is_empty() && !any_byte(value, |byte| !is_target_byte(byte))
}

/// Whether a byte is such a one: sixteen at a time without an early exit, the last sixteen partly twice.
fn any_byte(text: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    let Some(last) = text.last_chunk::<16>() else {
        return text.iter().fold(false, |found, &byte| found | is_such(byte));
    };
    let mut found = [0_u8; 16];
    for chunk in text.as_chunks::<16>().0.iter().chain([last]) {
        for (found, &byte) in found.iter_mut().zip(chunk) {
            *found |= u8::from(is_such(byte));
        }
    }
    u128::from_ne_bytes(found) != 0
}
