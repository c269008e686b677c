//! The worker's free lists of read and write buffers: a connection that waits for bytes holds none.
//!
//! Per worker, so no lock. Buffers have one of a few sizes; one of another size is freed instead of kept.

use std::cell::RefCell;

use crate::limits::{BODY_BUFFER_BYTES, READ_BUFFER_BYTES, RELAY_BUFFER_BYTES};

/// Ordinary buffers kept at most: what a burst of that many exchanges needs, 4 MiB.
const KEPT: usize = 256;

/// Those for long bodies kept at most, 1 MiB.
const BODY_KEPT: usize = 16;

/// Large buffers kept at most, 1 MiB: a relay whose receiver keeps up needs one only while it moves bytes.
const LARGE_KEPT: usize = 4;

/// How much room a buffer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// [`READ_BUFFER_BYTES`].
    Ordinary,
    /// [`BODY_BUFFER_BYTES`].
    Body,
    /// [`RELAY_BUFFER_BYTES`].
    Large,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Self::Ordinary => READ_BUFFER_BYTES,
            Self::Body => BODY_BUFFER_BYTES,
            Self::Large => RELAY_BUFFER_BYTES,
        }
    }

    /// The largest that holds no more than `bytes`, or the smallest.
    #[must_use]
    pub fn within(bytes: usize) -> Self {
        let sizes = [Self::Large, Self::Body];
        sizes.into_iter().find(|size| size.bytes() <= bytes).unwrap_or(Self::Ordinary)
    }

    /// That of a buffer which is neither too small nor far too large for it.
    fn of(buffer: &Vec<u8>) -> Option<Self> {
        let fits = |size: &Self| (size.bytes()..=2 * size.bytes()).contains(&buffer.capacity());
        [Self::Ordinary, Self::Body, Self::Large].into_iter().find(fits)
    }
}

/// Free lists of empty buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    ordinary: RefCell<Vec<Vec<u8>>>,
    body: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty ordinary buffer.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.take_of(Size::Ordinary)
    }

    fn take_of(&self, size: Size) -> Vec<u8> {
        let free = self.list(size).0.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(size.bytes()))
    }

    fn list(&self, size: Size) -> (&RefCell<Vec<Vec<u8>>>, usize) {
        match size {
            Size::Ordinary => (&self.ordinary, KEPT),
            Size::Body => (&self.body, BODY_KEPT),
            Size::Large => (&self.large, LARGE_KEPT),
        }
    }

    /// Takes a buffer back; what it holds is forgotten.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let Some(size) = Size::of(&buffer) else { return };
        let (list, kept) = self.list(size);
        let mut free = list.borrow_mut();
        if free.len() < kept {
            buffer.clear();
            free.push(buffer);
        }
    }

    /// Gives `buffer` back if it holds nothing, leaving an unallocated one.
    pub fn release(&self, buffer: &mut Vec<u8>) {
        if buffer.is_empty() && buffer.capacity() > 0 {
            self.give(std::mem::take(buffer));
        }
    }

    /// Makes sure that `buffer` has room for a read.
    pub fn ensure(&self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0 {
            *buffer = self.take();
        }
    }

    /// Gives an empty buffer this size; one that holds something stays what it is.
    pub fn resize(&self, buffer: &mut Vec<u8>, size: Size) {
        if buffer.is_empty() && Size::of(buffer) != Some(size) {
            self.release(buffer);
            *buffer = self.take_of(size);
        }
    }

    /// Moves what is left in a large buffer from `start` on into an ordinary one, if it fits; says whether it did.
    pub fn shrink(&self, buffer: &mut Vec<u8>, start: usize) -> bool {
        let is_small = buffer.len() - start <= READ_BUFFER_BYTES;
        let is_worth_it = is_small && buffer.capacity() > 2 * READ_BUFFER_BYTES;
        if is_worth_it {
            let mut small = self.take();
            small.extend_from_slice(&buffer[start..]);
            self.give(std::mem::replace(buffer, small));
        }
        is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_BUFFER_BYTES, Buffers, READ_BUFFER_BYTES, RELAY_BUFFER_BYTES, Size};

    #[test]
    fn the_largest_size_is_the_one_that_holds_no_more_than_it_may() {
        let table = [
            (0, Size::Ordinary),
            (READ_BUFFER_BYTES, Size::Ordinary),
            (BODY_BUFFER_BYTES - 1, Size::Ordinary),
            (BODY_BUFFER_BYTES, Size::Body),
            (RELAY_BUFFER_BYTES - 1, Size::Body),
            (RELAY_BUFFER_BYTES, Size::Large),
            (usize::MAX, Size::Large),
        ];
        for (bytes, size) in table {
            assert_eq!(Size::within(bytes), size, "{bytes}");
        }
    }

    #[test]
    fn a_released_buffer_is_used_again_and_a_huge_one_is_not_kept() {
        for size in [Size::Ordinary, Size::Body, Size::Large] {
            let buffers = Buffers::default();
            let mut first = buffers.take_of(size);
            first.extend_from_slice(b"held");
            buffers.release(&mut first);
            assert_eq!(first, b"held", "a buffer with content is not taken away");
            first.clear();
            let address = first.as_ptr();
            buffers.release(&mut first);
            assert_eq!(first.capacity(), 0);
            let again = buffers.take_of(size);
            assert_eq!(again.as_ptr(), address);
            buffers.give(Vec::with_capacity(size.bytes() * 3));
            assert!(buffers.list(size).0.borrow().is_empty());
        }
    }

    #[test]
    fn few_large_buffers_are_kept() {
        let buffers = Buffers::default();
        let many: Vec<_> = (0..=super::LARGE_KEPT).map(|_| buffers.take_of(Size::Large)).collect();
        many.into_iter().for_each(|buffer| buffers.give(buffer));
        assert_eq!(buffers.large.borrow().len(), super::LARGE_KEPT);
    }

    #[test]
    fn an_empty_buffer_gets_the_size_asked_for_and_a_full_one_stays() {
        let buffers = Buffers::default();
        let mut buffer = b"early".to_vec();
        buffers.resize(&mut buffer, Size::Large);
        assert_eq!(buffer, b"early");
        buffer.clear();
        for size in [Size::Large, Size::Ordinary, Size::Large] {
            buffers.resize(&mut buffer, size);
            assert_eq!(Size::of(&buffer), Some(size));
        }
    }

    #[test]
    fn what_is_left_moves_into_an_ordinary_buffer_if_it_fits() {
        let check = |length: usize, start: usize, moves: bool| {
            let buffers = Buffers::default();
            let mut buffer = buffers.take_of(Size::Large);
            buffer.extend((0..length).map(|n| n as u8));
            let before = buffer.clone();
            assert_eq!(buffers.shrink(&mut buffer, start), moves);
            let rest = if moves { &buffer[..] } else { &buffer[start..] };
            assert_eq!(rest, &before[start..]);
            let size = if moves { Size::Ordinary } else { Size::Large };
            assert_eq!(Size::of(&buffer), Some(size));
        };
        check(READ_BUFFER_BYTES, 0, true);
        check(READ_BUFFER_BYTES + 1, 0, false);
        check(3 * READ_BUFFER_BYTES, 2 * READ_BUFFER_BYTES, true);
        let mut small = b"small".to_vec();
        assert!(!Buffers::default().shrink(&mut small, 0), "it is small already");
    }
}
