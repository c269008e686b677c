//! One direction of a connection, and the randomness that rules it.

use std::collections::VecDeque;

/// SplitMix64: the same numbers for the same seed, everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Bytes under way.
#[derive(Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    stalled: u64,
}

impl Pipe {
    pub(super) fn put(&mut self, output: &mut Vec<u8>) {
        self.bytes.extend(output.drain(..));
    }

    pub(super) fn take_all(&mut self) -> Vec<u8> {
        self.bytes.drain(..).collect()
    }

    /// What arrives now: nothing, a few bytes, or much.
    pub(super) fn take(&mut self, random: &mut Random) -> Vec<u8> {
        if self.stalled > 0 {
            self.stalled -= 1;
            return Vec::new();
        }
        if random.one_in(30) {
            self.stalled = random.below(40);
        }
        let most = match random.below(4) {
            0 => random.below(12),
            1 => random.below(300),
            _ => random.below(20_000),
        };
        let length = self.bytes.len().min(most as usize);
        self.bytes.drain(..length).collect()
    }
}
