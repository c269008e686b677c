//! The end of a buffer that short pieces are written to as whole words, room for them made ahead: of what a log's line is
//! put together from, nearly every piece is shorter than a call that copies it costs.

use std::net::SocketAddr;

use super::json::{escaped, is_plain, odd_bytes};
use super::numbers::{self, Text};

/// How much room is made at once.
const AHEAD: usize = 1024;
const WORD: usize = 32;

/// What is being appended. What was not written to of the room is given back when it is dropped.
pub(super) struct Line<'b> {
    out: &'b mut Vec<u8>,
    at: usize,
}

/// A piece that never changes, as it is copied: a whole word of which it is the beginning, and what does not fit in that.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    word: [u8; WORD],
    length: usize,
    rest: Box<[u8]>,
}

impl Piece {
    pub(super) fn new(text: &[u8]) -> Self {
        let (first, rest) = text.split_at(text.len().min(WORD));
        let mut word = [0; WORD];
        word[..first.len()].copy_from_slice(first);
        Self { word, length: first.len(), rest: rest.into() }
    }
}

impl<'b> Line<'b> {
    pub(super) fn new(out: &'b mut Vec<u8>) -> Self {
        let at = out.len();
        out.resize(at + AHEAD, 0);
        Self { out, at }
    }

    /// Where the next piece goes.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Takes back what was written behind this place.
    pub(super) const fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Writes over one byte that is there already.
    pub(super) fn set(&mut self, at: usize, byte: u8) {
        self.out[at] = byte;
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.make_room(1);
        self.out[self.at] = byte;
        self.at += 1;
    }

    #[inline]
    pub(super) fn piece(&mut self, piece: &Piece) {
        self.word(&piece.word, piece.length);
        if !piece.rest.is_empty() {
            self.appended(|out| out.extend_from_slice(&piece.rest));
        }
    }

    /// So many bytes of a word.
    #[inline]
    fn word(&mut self, word: &[u8; WORD], length: usize) {
        self.make_room(WORD);
        self.out[self.at..self.at + WORD].copy_from_slice(word);
        self.at += length;
    }

    /// JSON's word for what is not there.
    pub(super) fn null(&mut self) {
        const NULL: &[u8; 4] = b"null";
        self.make_room(NULL.len());
        self.out[self.at..self.at + NULL.len()].copy_from_slice(NULL);
        self.at += NULL.len();
    }

    /// A string of JSON but for its quotation marks.
    #[inline]
    pub(super) fn string(&mut self, text: &[u8]) {
        self.make_room(text.len());
        let place = &mut self.out[self.at..self.at + text.len()];
        if copy(text, place) {
            self.at += text.len();
        } else {
            self.escaped(text);
        }
    }

    #[cold]
    #[inline(never)]
    fn escaped(&mut self, text: &[u8]) {
        self.appended(|out| escaped(text, out));
    }

    /// What somebody else appends.
    pub(super) fn appended(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        self.out.truncate(self.at);
        append(self.out);
        self.at = self.out.len();
        self.out.resize(self.at + AHEAD, 0);
    }

    /// What was written behind this place is a string of JSON, not yet escaped.
    pub(super) fn escape_from(&mut self, start: usize) {
        if !is_plain(&self.out[start..self.at]) {
            let value = self.out[start..self.at].to_vec();
            self.at = start;
            self.escaped(&value);
        }
    }

    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        if value < 10 {
            return self.byte(b'0' + value as u8);
        }
        self.digits(value);
    }

    fn digits(&mut self, value: u64) {
        match u16::try_from(value) {
            Ok(value) => {
                let mut text = Text::default();
                text.number(value);
                self.word(text.word(), text.length());
            }
            Err(_) => self.appended(|out| numbers::decimal(value, out)),
        }
    }

    pub(super) fn address(&mut self, address: SocketAddr) {
        match address {
            SocketAddr::V4(address) => {
                let text = Text::of(address);
                self.word(text.word(), text.length());
            }
            SocketAddr::V6(_) => self.appended(|out| numbers::address(address, out)),
        }
    }

    /// A time as [`super::timestamp`] writes it.
    pub(super) fn timestamp(&mut self, text: &[u8; 24]) {
        self.make_room(text.len());
        self.out[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.out.len() - self.at < bytes {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.out.resize(self.at + bytes + AHEAD, 0);
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.at);
    }
}

/// Copies a text to a place of its length, and tells whether every byte is one that JSON takes as it is. Of a length that
/// is no multiple of a word's the last bytes are copied twice.
#[inline]
fn copy(text: &[u8], place: &mut [u8]) -> bool {
    if let (Some(last), Some(end)) = (text.last_chunk::<16>(), place.last_chunk_mut::<16>()) {
        let mut odd = [0; 16];
        *end = *last;
        find_odd(last, &mut odd);
        let (chunks, places) = (text.as_chunks::<16>().0, place.as_chunks_mut::<16>().0);
        for (chunk, place) in chunks.iter().zip(places) {
            *place = *chunk;
            find_odd(chunk, &mut odd);
        }
        return u128::from_ne_bytes(odd) == 0;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        place[..8].copy_from_slice(first);
        let start = place.len() - 8;
        place[start..].copy_from_slice(last);
        return odd_bytes(u64::from_ne_bytes(*first)) | odd_bytes(u64::from_ne_bytes(*last)) == 0;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        place[..4].copy_from_slice(first);
        let start = place.len() - 4;
        place[start..].copy_from_slice(last);
        let both =
            u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last));
        return odd_bytes(both) == 0;
    }
    let mut is_plain = true;
    for (byte, place) in text.iter().zip(place) {
        *place = *byte;
        is_plain &= is_plain_byte(*byte);
    }
    is_plain
}

/// Marks the bytes that need an escape, or are no visible ASCII: sixteen at once where the machine can.
fn find_odd(chunk: &[u8; 16], odd: &mut [u8; 16]) {
    for (byte, odd) in chunk.iter().zip(odd) {
        *odd |= u8::from(!is_plain_byte(*byte));
    }
}

const fn is_plain_byte(byte: u8) -> bool {
    (byte.wrapping_sub(b' ') < 0x7f - b' ') & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::quote;
    use super::*;

    proptest! {
        #[test]
        fn every_piece_is_what_is_appended(
            before in ".{0,40}", fixed: Vec<u8>, text: Vec<u8>, plain in "[ -~]{0,70}", number: u64, shift in 0..64_u32,
            address: SocketAddr,
        ) {
            let number = number >> shift;
            let mut expected = before.clone().into_bytes();
            expected.extend_from_slice(&fixed);
            for text in [text.as_slice(), plain.as_bytes()] {
                quote(text, &mut expected);
            }
            numbers::decimal(number, &mut expected);
            numbers::address(address, &mut expected);
            let mut out = before.into_bytes();
            let mut line = Line::new(&mut out);
            line.piece(&Piece::new(&fixed));
            for text in [text.as_slice(), plain.as_bytes()] {
                line.byte(b'"');
                line.string(text);
                line.byte(b'"');
            }
            line.number(number);
            line.address(address);
            drop(line);
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn room_is_made_for_what_is_long() {
        let long = vec![b'a'; 5 * AHEAD];
        let mut out = Vec::new();
        let mut line = Line::new(&mut out);
        line.string(&long);
        line.piece(&Piece::new(&long));
        let at = line.at();
        line.string(b"taken back");
        line.back_to(at);
        line.set(0, b'b');
        drop(line);
        assert_eq!(out.len(), 2 * long.len());
        assert_eq!((out[0], &out[1..long.len()]), (b'b', &long[1..]));
        assert_eq!(out[long.len()..], long);
    }
}
