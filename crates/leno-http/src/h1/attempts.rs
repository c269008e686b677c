//! When an incomplete head is worth parsing again.
//!
//! Parsing starts over from the first byte, so a peer that sends a long head byte by byte could make us read it
//! thousands of times. Short heads are simply parsed again; a long one only once its end shows or it has doubled.

use crate::Limits;

/// Up to here the cost of parsing at every byte is too small to matter.
const SHORT_BYTES: usize = 4096;

/// Remembers how long the head was when it was last looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts {
    parsed_bytes: usize,
    seen_bytes: usize,
}

impl Attempts {
    pub(super) const fn new() -> Self {
        Self { parsed_bytes: 0, seen_bytes: 0 }
    }

    /// Whether `input`, which begins with what it was at the last call, may say something new.
    pub(super) fn is_worth_parsing(&mut self, input: &[u8], limits: &Limits) -> bool {
        let is_worth = input.len() <= SHORT_BYTES
            || input.len() >= limits.head_bytes
            || input.len() / 2 >= self.parsed_bytes
            || has_empty_line(&input[self.seen_bytes.saturating_sub(3).min(input.len())..]);
        self.seen_bytes = input.len();
        if is_worth {
            self.parsed_bytes = input.len();
        }
        is_worth
    }
}

fn has_empty_line(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes)
        .any(|at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}
