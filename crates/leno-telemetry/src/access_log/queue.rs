//! Full buffers on their way from workers to the thread that writes them, and written ones on their way back.
//!
//! The lock is held for a push or a pop, and let go of before the thread is woken: one that wakes while its waker holds a
//! lock runs into it at once, and where both share a core each buffer costs two switches more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::{self, Thread};

use super::{BUFFERS_WAITING_MAX, WAITING_BYTES_MAX};
use crate::labels::lock;

/// What the thread and all senders share.
#[derive(Debug)]
pub(super) struct Queue {
    buffers: Mutex<Buffers>,
    /// The thread ends when there is none.
    senders: AtomicUsize,
}

#[derive(Debug, Default)]
struct Buffers {
    full: VecDeque<Vec<u8>>,
    /// To be filled again.
    empty: Vec<Vec<u8>>,
}

impl Queue {
    /// A queue with one sender, which [`Sender::first`] makes.
    pub(super) fn new() -> Self {
        Self { buffers: Mutex::default(), senders: AtomicUsize::new(1) }
    }

    /// The next full buffer; waits for one. `None` once all senders are gone. For the thread alone.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        loop {
            // Asked first: what the last sender left is in the queue by then.
            let is_over = self.senders.load(Ordering::Acquire) == 0;
            let next = lock(&self.buffers).full.pop_front();
            match next {
                Some(buffer) => return Some(buffer),
                None if is_over => return None,
                None => thread::park(),
            }
        }
    }

    /// Takes a written buffer back.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        if buffers.empty.len() < BUFFERS_WAITING_MAX && buffer.capacity() <= WAITING_BYTES_MAX {
            buffers.empty.push(buffer);
        }
    }
}

/// One that hands over buffers.
#[derive(Debug)]
pub(super) struct Sender {
    queue: Arc<Queue>,
    thread: Thread,
}

impl Sender {
    /// The one that a new queue has.
    pub(super) fn first(queue: Arc<Queue>, thread: Thread) -> Self {
        Self { queue, thread }
    }

    /// Hands the buffer over and puts an empty one in its place. `false` when too many wait, or when somebody else is at
    /// the queue in this moment: then nothing has changed, and nobody has waited.
    pub(super) fn try_send(&self, buffer: &mut Vec<u8>) -> bool {
        match self.queue.buffers.try_lock() {
            Ok(buffers) => self.push(buffers, buffer),
            Err(TryLockError::Poisoned(poisoned)) => self.push(poisoned.into_inner(), buffer),
            Err(TryLockError::WouldBlock) => false,
        }
    }

    /// The same, but waits for the queue; `false` only when too many wait.
    pub(super) fn send(&self, buffer: &mut Vec<u8>) -> bool {
        self.push(lock(&self.queue.buffers), buffer)
    }

    fn push(&self, mut buffers: MutexGuard<'_, Buffers>, buffer: &mut Vec<u8>) -> bool {
        if buffers.full.len() >= BUFFERS_WAITING_MAX {
            return false;
        }
        let empty = buffers.empty.pop().unwrap_or_default();
        buffers.full.push_back(std::mem::replace(buffer, empty));
        drop(buffers);
        self.thread.unpark();
        true
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.queue.senders.fetch_add(1, Ordering::Relaxed);
        Self { queue: Arc::clone(&self.queue), thread: self.thread.clone() }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.queue.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_in_their_order_and_end_with_the_last_sender() {
        let queue = Arc::new(Queue::new());
        let first = Sender::first(Arc::clone(&queue), thread::current());
        let second = first.clone();
        let mut buffer = b"a".to_vec();
        assert!(first.try_send(&mut buffer) && buffer.is_empty());
        buffer.push(b'b');
        assert!(second.send(&mut buffer));
        drop((first, second));
        assert_eq!(
            (queue.next(), queue.next(), queue.next()),
            (Some(vec![b'a']), Some(vec![b'b']), None)
        );
    }

    #[test]
    fn too_many_are_refused_and_written_ones_are_filled_again() {
        let queue = Arc::new(Queue::new());
        let sender = Sender::first(Arc::clone(&queue), thread::current());
        let mut buffer = Vec::new();
        for _ in 0..BUFFERS_WAITING_MAX {
            buffer = vec![1];
            assert!(sender.try_send(&mut buffer));
        }
        buffer.extend([2; 100]);
        assert!(!sender.try_send(&mut buffer) && !sender.send(&mut buffer));
        assert_eq!(buffer, [2; 100], "it is still there");
        let written = queue.next().unwrap();
        queue.give_back(written);
        assert!(sender.try_send(&mut buffer) && buffer.is_empty());
        assert!(buffer.capacity() > 0, "the one that was written");
    }
}
