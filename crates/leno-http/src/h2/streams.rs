//! The streams of a connection: a dense vector of slots, and an index from identifiers to slots.

use super::{Stream, Violation};

/// How far one direction of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The final head has not been seen.
    Head,
    /// The body.
    Body,
    /// END_STREAM, or a reset.
    Done,
}

/// What a request turns its stream into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// A request like any other.
    No,
    /// CONNECT: a 2xx answer makes it a tunnel.
    Connect,
    /// Extended CONNECT (RFC 8441), shown to the caller as an HTTP/1 upgrade.
    Extended,
}

/// A body length that no field told.
pub(super) const LENGTH_UNKNOWN: u64 = u64::MAX;

/// One stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// 0 when the slot is free.
    pub(super) id: u32,
    pub(super) received: Phase,
    pub(super) sent: Phase,
    pub(super) tunnel: Tunnel,
    /// Whether the request is HEAD: its response announces a length that does not come.
    pub(super) is_head: bool,
    /// Took less than it was offered.
    pub(super) is_blocked: bool,
    /// What we may still send. Negative after the peer shrank its initial window (RFC 9113 §6.9.2).
    pub(super) send_window: i64,
    /// What the peer may still send.
    pub(super) receive_window: i64,
    /// Released by the caller and not yet announced to the peer.
    pub(super) credit: u32,
    /// What the receive window is when nothing is outstanding.
    pub(super) window_size: u32,
    /// What content-length says is still to come.
    pub(super) length_left: u64,
}

impl State {
    /// `window`: what the peer may send, and what it may send besides while it does not know that.
    pub(super) const fn new(id: u32, send_window: u32, (window, early): (u32, u32)) -> Self {
        Self {
            id,
            received: Phase::Head,
            sent: Phase::Head,
            tunnel: Tunnel::No,
            is_head: false,
            is_blocked: false,
            send_window: send_window as i64,
            receive_window: window as i64 + early as i64,
            credit: 0,
            window_size: window,
            length_left: LENGTH_UNKNOWN,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!((self.received, self.sent), (Phase::Done, Phase::Done))
    }

    /// Ends both directions.
    pub(super) const fn close(&mut self) {
        (self.received, self.sent, self.is_blocked) = (Phase::Done, Phase::Done, false);
    }

    /// Counts received body bytes against content-length (RFC 9113 §8.1.1).
    pub(super) const fn count_body(&mut self, bytes: u64, ends: bool) -> Result<(), Violation> {
        if self.length_left == LENGTH_UNKNOWN {
            return Ok(());
        }
        let Some(left) = self.length_left.checked_sub(bytes) else {
            return Err(Violation::ContentLength);
        };
        self.length_left = left;
        if ends && left != 0 { Err(Violation::ContentLength) } else { Ok(()) }
    }
}

/// All streams whose slot is in use.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<State>,
    free: Vec<u32>,
    index: Index,
    /// Streams with a direction that is not over.
    open: u32,
}

impl Streams {
    /// Slots in use: open streams, and those the caller has not finished with.
    pub(super) const fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) const fn open(&self) -> u32 {
        self.open
    }

    pub(super) fn insert(&mut self, state: State) -> Stream {
        let id = state.id;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = state;
                slot
            }
            None => {
                self.slots.push(state);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert(id, slot);
        self.open += 1;
        Stream { slot, id }
    }

    /// The stream of a frame, if its slot is in use.
    pub(super) fn find(&self, id: u32) -> Option<Stream> {
        self.index.get(id).map(|slot| Stream { slot, id })
    }

    /// The state behind a key, unless the slot is free or another stream's by now.
    pub(super) fn state(&mut self, stream: Stream) -> Option<&mut State> {
        self.slots.get_mut(stream.slot as usize).filter(|state| state.id == stream.id)
    }

    pub(super) fn peek(&self, stream: Stream) -> Option<&State> {
        self.slots.get(stream.slot as usize).filter(|state| state.id == stream.id)
    }

    /// To be called when a stream that was open is over now.
    pub(super) const fn closed(&mut self) {
        self.open -= 1;
    }

    /// Frees the slot.
    pub(super) fn remove(&mut self, stream: Stream) {
        self.index.remove(stream.id);
        self.slots[stream.slot as usize].id = 0;
        self.free.push(stream.slot);
    }

    /// Every stream in use, to change.
    pub(super) fn states(&mut self) -> impl Iterator<Item = &mut State> {
        self.slots.iter_mut().filter(|state| state.id != 0)
    }

    /// The first open stream, from slot `from` on, with an identifier above `last`.
    pub(super) fn open_above(&self, from: usize, last: u32) -> Option<Stream> {
        let rest = self.slots.get(from..)?;
        let at = rest.iter().position(|state| state.id > last && !state.is_over())?;
        Some(Stream { slot: (from + at) as u32, id: rest[at].id })
    }
}

/// Identifiers to slots: open addressing, where none is further from its home than one that comes after it (Robin Hood).
/// Identifiers of one side count up by two, so half the identifier is a hash that hardly ever collides: nearly all are at
/// home, and where one is, a search and the closing of a gap end.
#[derive(Debug, Default)]
struct Index {
    /// Identifier and slot; identifier 0 is a free place. Empty, or a power of two of places.
    places: Vec<(u32, u32)>,
    used: usize,
}

impl Index {
    fn get(&self, id: u32) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let (mut at, mut distance) = (self.home(id), 0);
        loop {
            match self.places[at] {
                (found, slot) if found == id => return Some(slot),
                (0, _) => return None,
                (other, _) if self.distance(other, at) < distance => return None,
                _ => (at, distance) = ((at + 1) & self.mask(), distance + 1),
            }
        }
    }

    fn insert(&mut self, id: u32, slot: u32) {
        if (self.used + 1) * 2 > self.places.len() {
            self.grow();
        }
        let (mut moved, mut at, mut distance) = ((id, slot), self.home(id), 0);
        while self.places[at].0 != 0 {
            let theirs = self.distance(self.places[at].0, at);
            if theirs < distance {
                std::mem::swap(&mut moved, &mut self.places[at]);
                distance = theirs;
            }
            (at, distance) = ((at + 1) & self.mask(), distance + 1);
        }
        self.places[at] = moved;
        self.used += 1;
    }

    /// Closes the gap, so that no search ends early.
    fn remove(&mut self, id: u32) {
        let mut gap = self.home(id);
        while self.places[gap].0 != id {
            gap = (gap + 1) & self.mask();
        }
        loop {
            let next = (gap + 1) & self.mask();
            let (moved, _) = self.places[next];
            if moved == 0 || self.distance(moved, next) == 0 {
                break;
            }
            self.places[gap] = self.places[next];
            gap = next;
        }
        self.places[gap] = (0, 0);
        self.used -= 1;
    }

    fn grow(&mut self) {
        let length = (self.places.len() * 2).max(8);
        let places = std::mem::replace(&mut self.places, vec![(0, 0); length]);
        self.used = 0;
        for (id, slot) in places {
            if id != 0 {
                self.insert(id, slot);
            }
        }
    }

    const fn mask(&self) -> usize {
        self.places.len() - 1
    }

    /// How far from its home an identifier is that lies at this place.
    const fn distance(&self, id: u32, at: usize) -> usize {
        at.wrapping_sub(self.home(id)) & self.mask()
    }

    const fn home(&self, id: u32) -> usize {
        (id >> 1) as usize & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Index;

    proptest! {
        #[test]
        fn the_index_is_a_map(operations in prop::collection::vec((any::<bool>(), 0_u32..64), 0..200)) {
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for (inserts, number) in operations {
                // Steps of 32 collide.
                let id = (number % 8) * 32 + (number / 8) * 2 + 1;
                if inserts && !model.contains_key(&id) {
                    index.insert(id, number);
                    model.insert(id, number);
                } else if !inserts && model.remove(&id).is_some() {
                    index.remove(id);
                }
                for id in (1..300).step_by(2) {
                    prop_assert_eq!(index.get(id), model.get(&id).copied());
                }
            }
        }
    }
}
