//! The worker's free list of read and write buffers: a connection that waits for bytes holds none.
//!
//! Per worker, so no lock. A buffer that grew beyond the ordinary size is freed instead of kept.

use std::cell::RefCell;

use crate::limits::READ_BUFFER_BYTES;

/// Buffers kept at most: what a burst of that many exchanges needs, 4 MiB.
const KEPT: usize = 256;

/// Free list of empty buffers with [`READ_BUFFER_BYTES`] of room.
#[derive(Debug, Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| Vec::with_capacity(READ_BUFFER_BYTES))
    }

    /// Takes a buffer back; what it holds is forgotten.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        let ordinary = (READ_BUFFER_BYTES..=2 * READ_BUFFER_BYTES).contains(&buffer.capacity());
        if ordinary && free.len() < KEPT {
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
}

#[cfg(test)]
mod tests {
    use super::{Buffers, READ_BUFFER_BYTES};

    #[test]
    fn a_released_buffer_is_used_again_and_a_huge_one_is_not_kept() {
        let buffers = Buffers::default();
        let mut first = buffers.take();
        first.extend_from_slice(b"held");
        buffers.release(&mut first);
        assert_eq!(first, b"held", "a buffer with content is not taken away");
        first.clear();
        let address = first.as_ptr();
        buffers.release(&mut first);
        assert_eq!(first.capacity(), 0);
        let again = buffers.take();
        assert_eq!(again.as_ptr(), address);
        buffers.give(Vec::with_capacity(READ_BUFFER_BYTES * 8));
        assert!(buffers.free.borrow().is_empty());
    }
}
