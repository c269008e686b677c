//! The dynamic table (RFC 7541 §2.3.2): entries go in at one end and are evicted at the other. Their bytes lie in one
//! buffer in the order of insertion, each entry in one piece.

use std::collections::VecDeque;

/// What the RFC adds to each entry's name and value.
pub(super) const OVERHEAD: usize = 32;

/// A dynamic table with something of the caller's kept beside each entry.
#[derive(Debug)]
pub(super) struct Ring<E> {
    bytes: Vec<u8>,
    entries: VecDeque<Entry<E>>,
    size: usize,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    start: u32,
    length: u32,
    /// By how much the table is larger for it, in the RFC's count.
    charge: u32,
    kept: E,
}

impl<E> Ring<E> {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size: 0, max }
    }

    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// The entry that was inserted `age` entries before the last one.
    pub(super) fn get(&self, age: usize) -> Option<(&[u8], &E)> {
        let entry = self.entries.get(age)?;
        let start = entry.start as usize;
        Some((&self.bytes[start..start + entry.length as usize], &entry.kept))
    }

    /// Evicts what exceeds a new maximum.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
    }

    /// Inserts an entry, whose bytes come in parts. One that is larger than the table empties it and is not kept.
    pub(super) fn insert(&mut self, parts: [&[u8]; 2], charge: usize, kept: E) -> bool {
        self.make_room(charge);
        if charge > self.max {
            return false;
        }
        self.compact();
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let length = (self.bytes.len() - start) as u32;
        self.size += charge;
        self.entries.push_front(Entry { start: start as u32, length, charge: charge as u32, kept });
        true
    }

    fn make_room(&mut self, charge: usize) {
        while self.size + charge > self.max {
            let Some(entry) = self.entries.pop_back() else { break };
            self.size -= entry.charge as usize;
        }
    }

    /// Drops the bytes of evicted entries once they are as many as a full table's.
    fn compact(&mut self) {
        let dead = self.entries.back().map_or(self.bytes.len(), |entry| entry.start as usize);
        if dead <= self.max.max(1024) {
            return;
        }
        self.bytes.drain(..dead);
        for entry in &mut self.entries {
            entry.start -= dead as u32;
        }
    }
}
