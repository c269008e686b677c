//! How a head was spelt in HTTP/1, in one field value that two proxies tell each other over HTTP/2.
//!
//! HTTP/2 writes names in lower case, the authority before all fields and a status without words (RFC 9113 §8.2, §8.3).
//! The sender says with each head what is lost by that, and the receiver writes it back into the names it has just
//! decoded: both see the same lines, so nothing that is edited before or behind can shift it. What does not fit the
//! lines is not applied at all.
//!
//! ```text
//! spelling = [ "h" count ] *( run / bits ) [ "=" reason "." ]
//! run      = ( "l" / "t" / "u" ) [ count ]    lower, Title-Case or UPPER: so many names, one without a count
//! bits     = "b" 1*character                  one name: six letters a character, set where it is a capital
//! ```
//! `h` is the place of `Host` among the fields, 0 where it is not said. A head of a browser reads `t9l2`.

mod shape;

use std::ops::Range;

use self::shape::{Shape, shape_of, write_title};
use super::{Fields, State};
use crate::Known;

/// The longest that is sent, in bytes.
pub(crate) const BYTES_MAX: usize = 256;
/// More fields than any limit allows.
const COUNT_MAX: usize = 9999;
const LETTERS: usize = 6;
const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A spelling that is being put together.
pub(crate) struct Speller {
    bytes: [u8; BYTES_MAX],
    length: usize,
    /// Names of one shape that were not written yet.
    run: (Shape, usize),
    names: usize,
    host: usize,
}

impl Speller {
    pub(crate) const fn new() -> Self {
        let (bytes, run) = ([0; BYTES_MAX], (Shape::Lower, 0));
        Self { bytes, length: 0, run, names: 0, host: 0 }
    }

    /// The next field's name.
    pub(crate) fn name(&mut self, name: &[u8], known: Known) {
        if known == Known::Host {
            self.host = self.names;
        }
        self.names += 1;
        let shape = shape_of(name);
        if shape == self.run.0 && shape != Shape::Mixed {
            self.run.1 += 1;
            return;
        }
        self.end_run();
        self.run = (shape, 1);
        if shape == Shape::Mixed {
            self.run.1 = 0;
            self.push(shape.letter());
            for letters in name.chunks(LETTERS) {
                let bit = |(at, byte): (usize, &u8)| usize::from(byte.is_ascii_uppercase()) << at;
                let bits: usize = letters.iter().enumerate().map(bit).sum();
                self.push(CHARACTERS[bits]);
            }
        }
    }

    /// The value, with a response's reason phrase; `None` where it would be too long, or say nothing.
    pub(crate) fn finish(&mut self, reason: Option<&[u8]>) -> Option<&[u8]> {
        self.end_run();
        let start = self.length;
        if self.host > 0 {
            self.push(b'h');
            self.push_count(self.host);
        }
        // What is said of the host stands first, so that the whole reads from left to right.
        let end = self.length.min(BYTES_MAX);
        self.bytes[..end].rotate_right(end.saturating_sub(start));
        if let Some(reason) = reason {
            self.push(b'=');
            reason.iter().for_each(|byte| self.push(*byte));
            self.push(b'.');
        }
        self.bytes.get(..self.length).filter(|value| !value.is_empty())
    }

    fn end_run(&mut self) {
        let (shape, count) = self.run;
        if count == 0 {
            return;
        }
        self.push(shape.letter());
        if count > 1 {
            self.push_count(count);
        }
    }

    fn push_count(&mut self, count: usize) {
        let mut unit = 1;
        while count / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.push(b'0' + (count / unit % 10) as u8);
            unit /= 10;
        }
    }

    /// One byte too many is remembered by the length.
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length = (self.length + 1).min(BYTES_MAX + 1);
    }
}

/// Reads a spelling from left to right.
struct Reader<'s> {
    rest: &'s [u8],
    run: (Shape, usize),
}

impl<'s> Reader<'s> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// `None` where there is none.
    fn count(&mut self) -> Option<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let digit = |count: usize, byte: &u8| count * 10 + usize::from(byte - b'0');
        let count = digits.iter().take(5).fold(0, digit);
        (!digits.is_empty() && digits.len() <= 4 && (1..=COUNT_MAX).contains(&count))
            .then_some(count)
    }

    /// The place of `Host`.
    fn host(&mut self) -> Option<usize> {
        if self.rest.first() != Some(&b'h') {
            return Some(0);
        }
        self.take();
        self.count()
    }

    /// Spells the next name, which is in lower case; `None` where nothing that fits is said of it.
    fn spell(&mut self, name: &mut [u8]) -> Option<()> {
        if self.run.1 == 0 {
            let shape = match self.take()? {
                b'l' => Shape::Lower,
                b't' => Shape::Title,
                b'u' => Shape::Upper,
                b'b' => return self.spell_mixed(name),
                _ => return None,
            };
            let is_counted = self.rest.first().is_some_and(u8::is_ascii_digit);
            self.run = (shape, if is_counted { self.count()? } else { 1 });
        }
        self.run.1 -= 1;
        match self.run.0 {
            Shape::Lower | Shape::Mixed => {}
            Shape::Upper => name.make_ascii_uppercase(),
            Shape::Title => write_title(name),
        }
        Some(())
    }

    fn spell_mixed(&mut self, name: &mut [u8]) -> Option<()> {
        for letters in name.chunks_mut(LETTERS) {
            let bits = match self.take()? {
                byte @ b'A'..=b'Z' => byte - b'A',
                byte @ b'a'..=b'z' => byte - b'a' + 26,
                byte @ b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            for (at, byte) in letters.iter_mut().enumerate() {
                if bits & 1 << at != 0 {
                    byte.make_ascii_uppercase();
                }
            }
        }
        Some(())
    }

    /// Where the reason phrase begins and ends in what is left; nothing else may be left.
    fn reason(&self) -> Option<Option<&'s [u8]>> {
        if self.run.1 > 0 {
            return None;
        }
        match self.rest {
            [] => Some(None),
            [b'=', reason @ .., b'.'] if reason.iter().copied().all(is_reason) => {
                Some(Some(reason))
            }
            _ => None,
        }
    }
}

/// RFC 9112 §4: a tab, a space, what is visible, and bytes above 0x7f.
const fn is_reason(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// How the names of a head, or of trailers, stood in HTTP/1.
impl Fields {
    /// Whether names, order and reason are those of HTTP/1, received so or spelt so by a peer.
    pub const fn is_spelt(&self) -> bool {
        self.is_spelt
    }

    /// The value that says how these fields, all that may leave, are spelt, for whoever wants to see it: the machines leave out
    /// what framing drops. `None` where it would be too long or say nothing.
    pub fn spelling(&self, reason: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut speller = Speller::new();
        self.compressible().for_each(|field| speller.name(field.name, field.known));
        speller.finish(reason).map(<[u8]>::to_vec)
    }

    /// Spells these fields, all in lower case and `host` before all others, as [the value of a peer](self) says, and
    /// returns its reason phrase if it has one. `None` where it does not fit: then nothing is changed.
    pub fn spell<'s>(&mut self, spelling: &'s [u8]) -> Option<Option<&'s [u8]>> {
        if spelling.len() > BYTES_MAX {
            return None;
        }
        let mut reader = Reader { rest: spelling, run: (Shape::Lower, 0) };
        let place = reader.host()?;
        let moved = self.move_host(place)?;
        let reason = self.spell_names(&mut reader);
        self.is_spelt = reason.is_some();
        if reason.is_none() {
            self.names(|name| {
                name.make_ascii_lowercase();
                Some(())
            });
            self.index[moved].rotate_right(usize::from(place > 0));
        }
        reason
    }

    #[expect(
        clippy::option_option,
        reason = "that it does not fit differs from that it has no reason"
    )]
    fn spell_names<'s>(&mut self, reader: &mut Reader<'s>) -> Option<Option<&'s [u8]>> {
        self.names(|name| reader.spell(name))?;
        reader.reason()
    }

    /// Hands out the names of all fields that may leave, in order, until one is refused.
    fn names(&mut self, mut each: impl FnMut(&mut [u8]) -> Option<()>) -> Option<()> {
        let Self { bytes, index, .. } = self;
        for entry in index.iter().filter(|entry| entry.state == State::Live) {
            each(&mut bytes[entry.line as usize..entry.name_end as usize])?;
        }
        Some(())
    }

    /// Puts `Host`, the first of all, behind so many others; tells what was rotated for it. `None` where there are not as
    /// many.
    fn move_host(&mut self, place: usize) -> Option<Range<usize>> {
        if place == 0 {
            return Some(0..0);
        }
        let first = self.index.iter().position(|entry| entry.state == State::Live)?;
        if self.index[first].known != Known::Host {
            return None;
        }
        let others = self.index.iter().enumerate().skip(first + 1);
        let (last, _) = others.filter(|(_, entry)| entry.state == State::Live).nth(place - 1)?;
        self.index[first..=last].rotate_left(1);
        Some(first..last + 1)
    }
}

#[cfg(test)]
mod tests;
