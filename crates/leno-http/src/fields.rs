//! Header fields as the bytes they came in, with an index over them.
//!
//! [`Fields`] holds one byte arena and one index entry per field line, so order, case and duplicates survive untouched,
//! a well-known name is found by integer compare, and unedited neighbours are written by one copy. Edits append a line
//! to the arena and change the index; received bytes are never moved. Trailers are `Fields` too.

mod spelling;

use std::fmt;
use std::ops::Range;

use crate::h2::Tag;
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
    /// Which well-known names the live entries have, a bit per discriminant.
    present: u128,
    /// Which of them may stand there more than once; a bit too many costs a look at the entries.
    repeated: u128,
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
        Self { bytes: Vec::new(), index: Vec::new(), present: 0, repeated: 0, is_spelt: false }
    }

    /// Forgets everything but the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        (self.present, self.repeated) = (0, 0);
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
        self.present & bit(known) != 0
    }

    /// The first value of a name, whatever the case of either.
    pub fn get<'n>(&self, name: impl Into<Name<'n>>) -> Option<&[u8]> {
        let name = name.into();
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
        let line = self.bytes.len();
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        let name_end = self.bytes.len();
        let state = if name.known().is_hop_by_hop() { State::HopByHop } else { State::Live };
        let entry = self.finish_line(line, name_end, value, (name.known(), state));
        self.index.push(entry);
        self.note(name.known());
    }

    /// Makes `value` the only value of the name: the first such field keeps its place and its case, the others go; it
    /// is appended when there is none. Values are written as by [`Fields::append`].
    pub fn set<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) {
        let name = name.into();
        let Some(at) = self.find(&name, 0) else { return self.append(name, value) };
        let old = self.index[at];
        let line = self.bytes.len();
        self.bytes.extend_from_within(old.line as usize..old.name_end as usize);
        let name_end = self.bytes.len();
        self.index[at] = self.finish_line(line, name_end, value, (old.known, old.state));
        if old.tag == Tag::NEVER {
            // Still a secret: RFC 7541 §7.1.3 binds intermediaries.
            self.index[at].tag = Tag::NEVER;
        }
        if name.known() != Known::Other && self.repeated & bit(name.known()) == 0 {
            return;
        }
        let mut from = at + 1;
        while let Some(next) = self.find(&name, from) {
            self.index[next].state = State::Removed;
            from = next + 1;
        }
    }

    /// Removes every field of the name and tells how many there were.
    pub fn remove<'n>(&mut self, name: impl Into<Name<'n>>) -> usize {
        let name = name.into();
        let (mut removed, mut from) = (0, 0);
        while let Some(at) = self.find(&name, from) {
            self.index[at].state = State::Removed;
            (removed, from) = (removed + 1, at + 1);
        }
        self.present &= !bit(name.known());
        removed
    }

    /// Removes every field for which `goes` holds.
    pub fn remove_if(&mut self, mut goes: impl FnMut(Field<'_>) -> bool) {
        let mut present = 0;
        for at in 0..self.index.len() {
            let entry = self.index[at];
            if entry.state == State::Removed {
                continue;
            }
            if goes(self.field(&entry)) {
                self.index[at].state = State::Removed;
            } else {
                present |= bit(entry.known);
            }
        }
        self.present = present;
    }

    /// A line with this name was added.
    const fn note(&mut self, known: Known) {
        let bit = bit(known);
        self.repeated |= self.present & bit;
        self.present |= bit;
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

    /// Writes `: value CRLF` after a name that the arena already ends with.
    fn finish_line(
        &mut self,
        line: usize,
        name_end: usize,
        value: &[u8],
        kind: (Known, State),
    ) -> Entry {
        self.bytes.extend_from_slice(b": ");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        if may_end_line(value) {
            for byte in &mut self.bytes[start..] {
                if ends_line(*byte) {
                    *byte = b' ';
                }
            }
        }
        let value = Span::new(start..self.bytes.len());
        self.bytes.extend_from_slice(b"\r\n");
        let (known, state) = kind;
        Entry {
            line: narrow(line),
            name_end: narrow(name_end),
            value,
            line_end: narrow(self.bytes.len()),
            known,
            state,
            tag: Tag::UNKNOWN,
        }
    }
}

/// What the machines need beyond the public list.
impl Fields {
    /// Starts over with the bytes of a received head or trailer section, whose lines are indexed next.
    pub(crate) fn begin(&mut self, head: &[u8]) {
        assert!(head.len() < u32::MAX as usize, "heads are bounded far below 4 GiB");
        self.clear();
        self.bytes.extend_from_slice(head);
        self.is_spelt = true;
    }

    /// Indexes a line of the arena that starts with `name`; `value` and the line's end (behind its CRLF) are positions
    /// in what [`Fields::begin`] was given.
    pub(crate) fn index_line(
        &mut self,
        name: &[u8],
        start: usize,
        value: Range<usize>,
        end: usize,
    ) {
        let known = Known::recognize(name);
        let state = if known.is_hop_by_hop() { State::HopByHop } else { State::Live };
        self.index.push(Entry {
            line: start as u32,
            name_end: (start + name.len()) as u32,
            value: Span { start: value.start as u32, end: value.end as u32 },
            line_end: end as u32,
            known,
            state,
            tag: Tag::UNKNOWN,
        });
        self.note(known);
    }

    /// Indexes a line that the arena holds, written `name: value CRLF`.
    pub(crate) fn index_decoded(
        &mut self,
        name: Range<usize>,
        value: Range<usize>,
        known: Known,
        tag: Tag,
    ) {
        self.index.push(Entry {
            line: name.start as u32,
            name_end: name.end as u32,
            value: Span { start: value.start as u32, end: value.end as u32 },
            line_end: value.end as u32 + 2,
            known,
            state: if known.is_hop_by_hop() { State::HopByHop } else { State::Live },
            tag,
        });
        self.note(known);
    }

    /// Puts the values of all fields of this name together in the first of them.
    pub(crate) fn join(&mut self, known: Known, separator: &[u8], tag: Tag) {
        let line = self.bytes.len();
        self.bytes.extend_from_slice(known.as_str().as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(b": ");
        let value_start = self.bytes.len();
        let mut first = None;
        for at in 0..self.index.len() {
            let entry = self.index[at];
            if entry.known != known || entry.state == State::Removed {
                continue;
            }
            if first.is_none() {
                first = Some(at);
            } else {
                self.bytes.extend_from_slice(separator);
            }
            self.bytes.extend_from_within(entry.value.range());
            self.index[at].state = State::Removed;
        }
        let value = Span::new(value_start..self.bytes.len());
        self.bytes.extend_from_slice(b"\r\n");
        let Some(first) = first else { return };
        self.index[first] = Entry {
            line: narrow(line),
            name_end: narrow(name_end),
            value,
            line_end: narrow(self.bytes.len()),
            known,
            state: State::Live,
            tag,
        };
    }

    /// Every field that may leave for the next hop, in order.
    pub(crate) fn compressible(&self) -> impl Iterator<Item = Compressible<'_>> {
        self.index
            .iter()
            .filter(|entry| entry.state == State::Live)
            .map(|entry| self.to_compressible(entry))
    }

    /// The first field of a well-known name, whether it may leave or not.
    pub(crate) fn compressible_of(&self, known: Known) -> Option<Compressible<'_>> {
        let at = self.find(&known.into(), 0)?;
        Some(self.to_compressible(&self.index[at]))
    }

    fn to_compressible(&self, entry: &Entry) -> Compressible<'_> {
        Compressible {
            name: &self.bytes[entry.line as usize..entry.name_end as usize],
            known: entry.known,
            value: &self.bytes[entry.value.range()],
            tag: entry.tag,
        }
    }

    /// Number of fields with this well-known name.
    pub(crate) fn count(&self, known: Known) -> usize {
        if !self.has(known) {
            return 0;
        }
        if self.repeated & bit(known) == 0 {
            return 1;
        }
        self.index
            .iter()
            .filter(|entry| entry.known == known && entry.state != State::Removed)
            .count()
    }

    /// Calls `option` with each element of every `Connection` field; where it answers `true` the element names a field
    /// that concerns this connection only, which is then kept from the next hop.
    pub(crate) fn apply_connection<E>(
        &mut self,
        mut option: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Self { bytes, index, .. } = self;
        for at in 0..index.len() {
            if index[at].known != Known::Connection {
                continue;
            }
            for element in bytes[index[at].value.range()].split(|&byte| byte == b',') {
                let element = element.trim_ascii();
                if element.is_empty() || !option(element)? {
                    continue;
                }
                for entry in index.iter_mut().filter(|entry| entry.state == State::Live) {
                    if bytes[entry.line as usize..entry.name_end as usize]
                        .eq_ignore_ascii_case(element)
                    {
                        entry.state = State::HopByHop;
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies the lines for which `goes(name, is_hop_by_hop)` holds to `out`. Lines that are neighbours in the arena go
    /// in one copy.
    pub(crate) fn copy_lines(&self, out: &mut Vec<u8>, goes: impl Fn(Known, bool) -> bool) {
        let (mut start, mut end) = (0, 0);
        for entry in &self.index {
            if entry.state == State::Removed || !goes(entry.known, entry.state == State::HopByHop) {
                continue;
            }
            if entry.line as usize != end {
                out.extend_from_slice(&self.bytes[start..end]);
                start = entry.line as usize;
            }
            end = entry.line_end as usize;
        }
        out.extend_from_slice(&self.bytes[start..end]);
    }
}

/// Whether a byte may be one of [`ends_line`]: a control character below 16. Values are short, so a word at a time is
/// cheaper than setting up a search.
fn may_end_line(value: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = value.as_chunks::<8>();
    let has_control = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        // The high bit of a byte stays after subtracting 16 from one that is less, but for a byte that had it before.
        word.wrapping_sub(16 * ONES) & !word & (0x80 * ONES) != 0
    };
    words.iter().any(has_control) || rest.iter().any(|byte| *byte < 16)
}

/// What would end a line, or the text, for some reader.
const fn ends_line(byte: u8) -> bool {
    (byte == b'\r') | (byte == b'\n') | (byte == 0)
}

const fn bit(known: Known) -> u128 {
    match known {
        Known::Other => 0,
        _ => 1 << known as u8,
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.iter().map(|field| (field.name, String::from_utf8_lossy(field.value)));
        formatter.debug_list().entries(pairs).finish()
    }
}
