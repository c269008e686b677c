//! What the machines need of [`Fields`] beyond the public list: indexing the lines of a received head, and copying lines out.

use std::ops::Range;

use super::{Compressible, Entry, Fields, Span, State, narrow};
use crate::Known;
use crate::h2::Tag;

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
        if !self.repeated.has(known) {
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
