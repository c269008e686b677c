//! Header fields as the bytes they came in, with an index over them.
//!
//! [`Fields`] holds one byte arena and one index entry per field line, so order, case and duplicates survive untouched,
//! a well-known name is found by integer compare, and unedited neighbours are written by one copy. Edits append a line
//! to the arena and change the index; received bytes are never moved. Trailers are `Fields` too.

mod lines;
mod spelling;

use std::fmt;
use std::ops::Range;

use crate::h2::Tag;
use crate::known::KnownSet;
use crate::{Known, Name};

pub(crate) use spelling::{BYTES_MAX as SPELLING_BYTES_MAX, Speller};

/// One field of a [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name in the case it was received or appended in.
    pub name: &'a str,
    /// The well-known name it is, or [`Known::Other`].
    pub known: Known,
    /// The value without surrounding white space. It may hold bytes above 0x7f, never a control character but tab.
    pub value: &'a [u8],
}

/// An ordered list of fields. Reused from message to message; clearing keeps the capacity.
#[derive(Clone, Default)]
pub struct Fields {
    pub(crate) bytes: Vec<u8>,
    index: Vec<Entry>,
    /// Which well-known names the live entries have.
    present: KnownSet,
    /// Which of them may stand there more than once; a bit too many costs a look at the entries.
    repeated: KnownSet,
    /// Names and their order are those of HTTP/1.
    is_spelt: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    line: u32,
    name_end: u32,
    value: Span,
    line_end: u32,
    known: Known,
    state: State,
    tag: Tag,
}

/// A field as header compression wants it.
#[derive(Clone, Copy)]
pub(crate) struct Compressible<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) known: Known,
    pub(crate) value: &'a [u8],
    pub(crate) tag: Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    /// Seen by matching, not forwarded: it concerns one connection.
    HopByHop,
    Removed,
}

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(range: Range<usize>) -> Self {
        Self { start: narrow(range.start), end: narrow(range.end) }
    }

    pub(crate) const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

fn narrow(position: usize) -> u32 {
    u32::try_from(position).expect("heads are bounded far below 4 GiB")
}

impl Fields {
    /// An empty list that holds no memory yet.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            index: Vec::new(),
            present: KnownSet::EMPTY,
            repeated: KnownSet::EMPTY,
            is_spelt: false,
        }
    }

    /// Forgets everything but the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        (self.present, self.repeated) = (KnownSet::EMPTY, KnownSet::EMPTY);
        self.is_spelt = false;
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether a field with this well-known name is there; always false for [`Known::Other`].
    pub const fn has(&self, known: Known) -> bool {
        self.present.has(known)
    }

    /// The first value of a name, whatever the case of either.
    #[inline]
    pub fn get<'n>(&self, name: impl Into<Name<'n>>) -> Option<&[u8]> {
        let name = name.into();
        if self.is_known_absent(&name) {
            return None;
        }
        self.find(&name, 0).map(|at| &self.bytes[self.index[at].value.range()])
    }

    /// The first value of a name when it is visible ASCII or UTF-8.
    pub fn get_str<'n>(&self, name: impl Into<Name<'n>>) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of a name, in order.
    pub fn values<'a, 'n: 'a>(
        &'a self,
        name: impl Into<Name<'n>>,
    ) -> impl Iterator<Item = &'a [u8]> {
        let name = name.into();
        let mut from = 0;
        std::iter::from_fn(move || {
            let at = self.find(&name, from)?;
            from = at + 1;
            Some(&self.bytes[self.index[at].value.range()])
        })
    }

    /// Every field in order, those that concern one connection only included.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.index
            .iter()
            .filter(|entry| entry.state != State::Removed)
            .map(|entry| self.field(entry))
    }

    /// Every field that may leave for the next hop, in order.
    pub fn forwarded(&self) -> impl Iterator<Item = Field<'_>> {
        self.index.iter().filter(|entry| entry.state == State::Live).map(|entry| self.field(entry))
    }

    /// Adds a field after all others. A byte that could end the line (CR, LF, NUL) is written as a space, so no value
    /// can become two fields.
    pub fn append<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) {
        let name = name.into();
        let text = name.as_str().as_bytes();
        let line = self.bytes.len();
        self.bytes.reserve(text.len() + value.len() + 4);
        self.bytes.extend_from_slice(text);
        let state = if name.known().is_hop_by_hop() { State::HopByHop } else { State::Live };
        let entry = self.finish_line(line, value, (name.known(), state));
        self.index.push(entry);
        self.note(name.known());
    }

    /// Makes `value` the only value of the name: the first such field keeps its place and its case, the others go; it
    /// is appended when there is none. Values are written as by [`Fields::append`].
    pub fn set<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) {
        let name = name.into();
        if self.is_known_absent(&name) {
            return self.append(name, value);
        }
        let Some(at) = self.find(&name, 0) else { return self.append(name, value) };
        let old = self.index[at];
        let line = self.bytes.len();
        self.bytes.extend_from_within(old.line as usize..old.name_end as usize);
        self.index[at] = self.finish_line(line, value, (old.known, old.state));
        if old.tag == Tag::NEVER {
            // Still a secret: RFC 7541 §7.1.3 binds intermediaries.
            self.index[at].tag = Tag::NEVER;
        }
        if name.known() != Known::Other && !self.repeated.has(name.known()) {
            return;
        }
        let mut from = at + 1;
        while let Some(next) = self.find(&name, from) {
            self.index[next].state = State::Removed;
            from = next + 1;
        }
    }

    /// Removes every field of the name and tells how many there were.
    #[inline]
    pub fn remove<'n>(&mut self, name: impl Into<Name<'n>>) -> usize {
        let name = name.into();
        if self.is_known_absent(&name) {
            return 0;
        }
        self.remove_found(&name)
    }

    fn remove_found(&mut self, name: &Name<'_>) -> usize {
        let (mut removed, mut from) = (0, 0);
        while let Some(at) = self.find(name, from) {
            self.index[at].state = State::Removed;
            (removed, from) = (removed + 1, at + 1);
        }
        self.present.remove(name.known());
        removed
    }

    /// Removes every field for which `goes` holds.
    pub fn remove_if(&mut self, mut goes: impl FnMut(Field<'_>) -> bool) {
        let mut present = KnownSet::EMPTY;
        for at in 0..self.index.len() {
            let entry = self.index[at];
            if entry.state == State::Removed {
                continue;
            }
            if goes(self.field(&entry)) {
                self.index[at].state = State::Removed;
            } else {
                present.insert(entry.known);
            }
        }
        self.present = present;
    }

    /// A line with this name was added.
    const fn note(&mut self, known: Known) {
        if self.present.has(known) {
            self.repeated.insert(known);
        }
        self.present.insert(known);
    }

    /// Whether it shows without a look at the entries that no field has this name.
    const fn is_known_absent(&self, name: &Name<'_>) -> bool {
        !matches!(name.known(), Known::Other) && !self.has(name.known())
    }

    fn field(&self, entry: &Entry) -> Field<'_> {
        let name = &self.bytes[entry.line as usize..entry.name_end as usize];
        Field {
            name: std::str::from_utf8(name).expect("names are tokens, so ASCII"),
            known: entry.known,
            value: &self.bytes[entry.value.range()],
        }
    }

    fn find(&self, name: &Name<'_>, from: usize) -> Option<usize> {
        let known = name.known();
        let rest = self.index.get(from..)?;
        let found = if known == Known::Other {
            let text = name.as_str().as_bytes();
            rest.iter().position(|entry| {
                entry.known == Known::Other
                    && entry.state != State::Removed
                    && (entry.name_end - entry.line) as usize == text.len()
                    && self.bytes[entry.line as usize..entry.name_end as usize]
                        .eq_ignore_ascii_case(text)
            })
        } else if self.has(known) {
            rest.iter().position(|entry| entry.known == known && entry.state != State::Removed)
        } else {
            None
        };
        found.map(|offset| from + offset)
    }

    /// Writes `: value CRLF` after a name that the arena already ends with, and that begins at `line`.
    #[inline]
    fn finish_line(&mut self, line: usize, value: &[u8], (known, state): (Known, State)) -> Entry {
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        let (start, end) = (name_end + 2, name_end + 2 + value.len());
        if may_end_line(value) {
            for byte in &mut self.bytes[start..end] {
                if ends_line(*byte) {
                    *byte = b' ';
                }
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
        // The others come before it.
        let line_end = narrow(end + 2);
        Entry {
            line: line as u32,
            name_end: name_end as u32,
            value: Span { start: start as u32, end: end as u32 },
            line_end,
            known,
            state,
            tag: Tag::UNKNOWN,
        }
    }
}

/// Whether a byte may be one of [`ends_line`]: a control character below 16. Values are short, so a word at a time is
/// cheaper than setting up a search; the last eight bytes may have been looked at in part already.
fn may_end_line(value: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let has_control = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        // The high bit of a byte stays after subtracting 16 from one that is less, but for a byte that had it before.
        word.wrapping_sub(16 * ONES) & !word & (0x80 * ONES) != 0
    };
    let Some(last) = value.last_chunk() else { return value.iter().any(|byte| *byte < 16) };
    let (words, _) = value.as_chunks();
    has_control(last) || words.iter().any(has_control)
}

/// What would end a line, or the text, for some reader.
const fn ends_line(byte: u8) -> bool {
    (byte == b'\r') | (byte == b'\n') | (byte == 0)
}

impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.iter().map(|field| (field.name, String::from_utf8_lossy(field.value)));
        formatter.debug_list().entries(pairs).finish()
    }
}
