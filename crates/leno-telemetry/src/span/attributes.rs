//! Attributes of a span, appended as they are encoded: a `KeyValue` with a text each.
//!
//! Most of them are short, so that each of their lengths is one byte, and their keys are encoded when they are compiled.

use super::otlp::{LENGTH, length_of, varint, varint_bytes};

/// What a key takes besides its text.
#[doc(hidden)]
pub const KEY_FRAME: usize = 3;

/// A key as it stands in a `KeyValue`, the tag of the value behind it included. Made by [`attribute_key!`](crate::attribute_key).
#[derive(Clone, Copy, Debug)]
pub struct Key<const N: usize>([u8; N]);

/// The [`Key`](crate::span::Key) with this text.
#[macro_export]
macro_rules! attribute_key {
    ($text:literal) => {
        const { $crate::span::Key::<{ $text.len() + $crate::span::KEY_FRAME }>::new($text) }
    };
}

impl<const N: usize> Key<N> {
    /// `N` is [`KEY_FRAME`] more than the text has bytes, of which there are fewer than 64.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        let text = text.as_bytes();
        assert!(text.len() < 64 && text.len() + KEY_FRAME == N, "a short text and room for it");
        let mut bytes = [0; N];
        (bytes[0], bytes[1]) = (1 << 3 | LENGTH, text.len() as u8);
        let mut at = 0;
        while at < text.len() {
            bytes[at + 2] = text[at];
            at += 1;
        }
        bytes[N - 1] = 2 << 3 | LENGTH;
        Self(bytes)
    }
}

/// `AnyValue.string_value`.
const STRING_VALUE: u8 = 1 << 3 | LENGTH;

/// The least length that takes more than one byte.
const LONG: usize = 0x80;

/// Where a span's attributes are written.
#[derive(Debug)]
pub struct Attributes<'a> {
    out: &'a mut Vec<u8>,
    tag: u8,
}

impl<'a> Attributes<'a> {
    /// Appends to `out`, as a repeated field of this number, which is below 16.
    pub(super) const fn new(out: &'a mut Vec<u8>, field: u8) -> Self {
        Self { out, tag: field << 3 | LENGTH }
    }

    /// A text; bytes that are no UTF-8 are replaced.
    pub fn text<const N: usize>(&mut self, key: Key<N>, value: &[u8]) {
        if value.is_ascii() {
            self.put(key, [value]);
        } else {
            self.put(key, [String::from_utf8_lossy(value).as_bytes()]);
        }
    }

    /// A text in several parts.
    pub fn parts<const N: usize, const P: usize>(&mut self, key: Key<N>, parts: [&[u8]; P]) {
        if parts.iter().all(|part| part.is_ascii()) {
            self.put(key, parts);
        } else {
            self.text(key, &parts.concat());
        }
    }

    /// A text that is one.
    pub fn str<const N: usize>(&mut self, key: Key<N>, value: &str) {
        self.put(key, [value.as_bytes()]);
    }

    /// A number as text, as Envoy writes sizes and codes.
    pub fn number<const N: usize>(&mut self, key: Key<N>, value: u64) {
        self.written(key, |out| leno_core::format::decimal(value, out));
    }

    /// What `write` appends, and that is UTF-8.
    pub fn written<const N: usize>(&mut self, key: Key<N>, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.out.len();
        self.begin(key, 0);
        let start = self.out.len();
        write(self.out);
        let length = self.out.len() - start;
        if N + 3 + length < LONG {
            self.out[begin + 1] += length as u8;
            self.out[start - 3] += length as u8;
            self.out[start - 1] = length as u8;
        } else {
            let value = self.out.split_off(start);
            self.out.truncate(begin);
            self.put(key, [&value]);
        }
    }

    fn put<const N: usize, const P: usize>(&mut self, key: Key<N>, parts: [&[u8]; P]) {
        self.begin(key, parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    /// All but the text, which has so many bytes.
    fn begin<const N: usize>(&mut self, key: Key<N>, length: usize) {
        let whole = N + 3 + length;
        if whole < LONG {
            self.out.extend_from_slice(&[self.tag, whole as u8]);
            self.out.extend_from_slice(&key.0);
            self.out.extend_from_slice(&[length as u8 + 2, STRING_VALUE, length as u8]);
            return;
        }
        let value = length_of(length);
        self.out.push(self.tag);
        varint(self.out, (N + varint_bytes(value as u64) + value) as u64);
        self.out.extend_from_slice(&key.0);
        varint(self.out, value as u64);
        self.out.push(STRING_VALUE);
        varint(self.out, length as u64);
    }
}
