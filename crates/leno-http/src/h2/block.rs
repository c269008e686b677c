//! Heads to header blocks: pseudo-header fields first, then the fields that may leave, framing made sure of.

use super::hpack::{Encoder, Item, Pseudo, Text};
use super::{Spelling, Tag};
use crate::fields::{Compressible, Speller};
use crate::h1::decimal;
use crate::{BodyLength, Fields, Known, Method, RequestHead, ResponseHead, Scheme};

/// What becomes of content-length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Whatever the head has.
    AsIs,
    /// No such field.
    Absent,
    /// One, with this value.
    Exactly(u64),
}

impl Length {
    /// For a final response. `as_is`: it has no body, but says how long one would be.
    pub(super) const fn of(head: &ResponseHead, as_is: bool, is_tunnel: bool) -> Self {
        if head.status() < 200 || head.status() == 204 || is_tunnel {
            return Self::Absent;
        }
        if as_is {
            return Self::AsIs;
        }
        match head.body() {
            BodyLength::Empty if head.fields().has(Known::ContentLength) => Self::Exactly(0),
            // END_STREAM says it.
            BodyLength::Empty | BodyLength::Unknown => Self::Absent,
            BodyLength::Exactly(length) => Self::Exactly(length),
        }
    }
}

/// Appends a request's block.
pub(super) fn request(
    encoder: &mut Encoder,
    head: &RequestHead,
    spelling: Spelling,
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    let protocol = head.upgrade();
    let is_connect = head.method() == Method::Connect;
    let method = if protocol.is_some() { "CONNECT" } else { head.method_str() };
    match method {
        "GET" => out.push(0x82),
        "POST" => out.push(0x83),
        _ => pseudo(encoder, Pseudo::Method, method.as_bytes(), Tag::UNKNOWN, out),
    }
    if let Some(protocol) = protocol {
        pseudo(encoder, Pseudo::Protocol, protocol.as_bytes(), Tag::UNKNOWN, out);
    }
    if !is_connect {
        out.push(if head.scheme() == Some(Scheme::Https) { 0x87 } else { 0x86 });
    }
    if is_connect {
        pseudo(encoder, Pseudo::Authority, head.target().as_bytes(), Tag::UNKNOWN, out);
    } else if let Some(host) = head.fields().compressible_of(Known::Host) {
        pseudo(encoder, Pseudo::Authority, host.value, host.tag, out);
    }
    match head.target() {
        _ if is_connect => {}
        "/" => out.push(0x84),
        target => pseudo(encoder, Pseudo::Path, target.as_bytes(), head.target_tag, out),
    }
    let length = match head.body() {
        BodyLength::Exactly(length) => Length::Exactly(length),
        // `content-length: 0` is said again if it was said, not otherwise: a GET has none.
        BodyLength::Empty if head.fields().has(Known::ContentLength) => Length::Exactly(0),
        BodyLength::Empty | BodyLength::Unknown => Length::Absent,
    };
    fields(encoder, head.fields(), (length, spelling, None), out);
    if head.fields().has(Known::Te) && wants_trailers(head.fields()) {
        let te = Item { name: Text::Known(Known::Te), value: b"trailers", tag: Tag::UNKNOWN };
        encoder.field(te, out);
    }
}

/// Appends a response's block. 101 is how a tunnel is shown that HTTP/2 opens with 200.
pub(super) fn response(
    encoder: &mut Encoder,
    head: &ResponseHead,
    (length, spelling): (Length, Spelling),
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    match head.status() {
        101 | 200 => out.push(0x88),
        204 => out.push(0x89),
        206 => out.push(0x8a),
        304 => out.push(0x8b),
        400 => out.push(0x8c),
        404 => out.push(0x8d),
        500 => out.push(0x8e),
        status => {
            let digit = |value: u16| b'0' + (value % 10) as u8;
            let digits = [digit(status / 100), digit(status / 10), digit(status)];
            pseudo(encoder, Pseudo::Status, &digits, Tag::UNKNOWN, out);
        }
    }
    fields(encoder, head.fields(), (length, spelling, Some(head.reason())), out);
}

/// Appends a trailer section's block.
pub(super) fn trailers(
    encoder: &mut Encoder,
    trailers: &Fields,
    spelling: Spelling,
    out: &mut Vec<u8>,
) {
    encoder.begin(out);
    if spelling == Spelling::Told && trailers.is_spelt() {
        spell(encoder, trailers.compressible(), (None, None), out);
    }
    for field in trailers.compressible() {
        encoder.field(item(&field), out);
    }
}

fn fields(
    encoder: &mut Encoder,
    fields: &Fields,
    (length, spelling, reason): (Length, Spelling, Option<&[u8]>),
    out: &mut Vec<u8>,
) {
    let keeps_length = match length {
        Length::AsIs => true,
        Length::Absent => false,
        Length::Exactly(length) => {
            fields.get(Known::ContentLength).and_then(decimal) == Some(length)
                && fields.count(Known::ContentLength) == 1
        }
    };
    if spelling == Spelling::Told && fields.is_spelt() {
        let lasts = |field: &Compressible<'_>| keeps_length || field.known != Known::ContentLength;
        let added = matches!(length, Length::Exactly(_)) && !keeps_length;
        let added = added.then_some(Known::ContentLength);
        spell(encoder, fields.compressible().filter(lasts), (added, reason), out);
    }
    for field in fields.compressible() {
        match field.known {
            Known::Host => {}
            Known::ContentLength if !keeps_length => {}
            Known::Cookie if field.tag == Tag::CRUMBS => crumbs(encoder, field.value, out),
            _ => encoder.field(item(&field), out),
        }
    }
    if let (Length::Exactly(length), false) = (length, keeps_length) {
        let (digits, start) = decimal_digits(length);
        let value = &digits[start..];
        let name = Text::Known(Known::ContentLength);
        encoder.field(Item { name, value, tag: Tag::UNKNOWN }, out);
    }
}

/// Says how the fields are spelt, and the one that is added behind them.
fn spell<'f>(
    encoder: &mut Encoder,
    fields: impl Iterator<Item = Compressible<'f>>,
    (added, reason): (Option<Known>, Option<&[u8]>),
    out: &mut Vec<u8>,
) {
    let mut speller = Speller::new();
    for field in fields {
        speller.name(field.name, field.known);
    }
    if let Some(added) = added {
        speller.name(added.as_str().as_bytes(), added);
    }
    if let Some(value) = speller.finish(reason) {
        encoder
            .field(Item { name: Text::Known(Known::XLenoSpelling), value, tag: Tag::UNKNOWN }, out);
    }
}

/// Each crumb of a cookie in its own field, so that those that stay the same are sent by index (RFC 9113 §8.2.3).
fn crumbs(encoder: &mut Encoder, value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    loop {
        let end = memchr::memmem::find(rest, b"; ");
        let crumb = &rest[..end.unwrap_or(rest.len())];
        let item = Item { name: Text::Known(Known::Cookie), value: crumb, tag: Tag::UNKNOWN };
        encoder.field(item.hashed(), out);
        let Some(end) = end else { return };
        rest = &rest[end + 2..];
    }
}

fn pseudo(encoder: &mut Encoder, name: Pseudo, value: &[u8], tag: Tag, out: &mut Vec<u8>) {
    encoder.field(Item { name: Text::Pseudo(name), value, tag }, out);
}

const fn item<'f>(field: &Compressible<'f>) -> Item<'f> {
    let name = match field.known {
        Known::Other => Text::Other(field.name),
        known => Text::Known(known),
    };
    Item { name, value: field.value, tag: field.tag }
}

/// Whether TE has `trailers` among its elements, the only one that HTTP/2 knows.
fn wants_trailers(fields: &Fields) -> bool {
    fields.values(Known::Te).any(|value| {
        value
            .split(|&byte| byte == b',')
            .any(|element| element.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Digits at the end of a buffer, and where they start.
fn decimal_digits(mut value: u64) -> ([u8; 20], usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return (digits, at);
        }
    }
}
