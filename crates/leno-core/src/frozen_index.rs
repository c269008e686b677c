//! Hash tables that are filled once, at compile, and then only read.
//!
//! Keys are compared with ASCII case ignored. Whole texts are hashed a word at a time; prefixes and suffixes byte by byte,
//! so that one walk over a text gives the hash of each of them. The hashes are weak on purpose: a peer chooses what is
//! looked up, never what is in the table, so it cannot lengthen a probe.

const VACANT: u32 = u32::MAX;

/// FNV-1a over lower-cased bytes.
#[derive(Clone, Copy)]
pub(crate) struct FoldedHash(u64);

impl FoldedHash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

/// A hash of lower-cased text, eight bytes a step: for texts that are looked up whole. Setting bit 5 folds letters; what
/// else it folds together only collides.
pub(crate) fn folded_hash(text: &[u8]) -> u64 {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    // Any odd number with bits everywhere: the fraction of the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(SPREAD);
        product ^ (product >> 32)
    };
    let (words, rest) = text.as_chunks::<8>();
    let hash = words
        .iter()
        .fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word) | FOLD));
    let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(byte | 0x20));
    mix(hash, last)
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    value: u32,
}

/// Hash to value, open addressing, at most half full. Keys live with the caller, who tells equal ones apart.
#[derive(Clone, Debug)]
pub(crate) struct HashIndex {
    mask: usize,
    slots: Box<[Slot]>,
}

impl HashIndex {
    /// The value of each hash is its position.
    pub(crate) fn build(hashes: impl Iterator<Item = u64>) -> Self {
        let hashes: Vec<u64> = hashes.collect();
        let capacity = (hashes.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![Slot { hash: 0, value: VACANT }; capacity].into_boxed_slice();
        let mask = capacity - 1;
        for (value, hash) in (0..).zip(hashes) {
            assert_ne!(value, VACANT, "more entries than a u32 counts");
            let mut at = start(hash, mask);
            while slots[at].value != VACANT {
                at = (at + 1) & mask;
            }
            slots[at] = Slot { hash, value };
        }
        Self { mask, slots }
    }

    /// The first value with this hash that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = start(hash, self.mask);
        loop {
            let slot = self.slots[at];
            if slot.value == VACANT {
                return None;
            }
            if slot.hash == hash && is_it(slot.value) {
                return Some(slot.value);
            }
            at = (at + 1) & self.mask;
        }
    }
}

fn start(hash: u64, mask: usize) -> usize {
    // FNV's low bits are the weak ones; fold the high half in. Truncation keeps what the mask needs.
    #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
    let folded = (hash ^ (hash >> 32)) as usize;
    folded & mask
}

/// Which end of a text an affix sits at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Prefixes.
    Front,
    /// Suffixes.
    Back,
}

/// A set of distinct prefixes or suffixes; finds all that a text has, shortest first, in one walk over the text.
#[derive(Clone, Debug)]
pub(crate) struct AffixIndex {
    end: End,
    keys: Box<[Box<[u8]>]>,
    /// Lengths that occur, ascending.
    lengths: Box<[usize]>,
    index: HashIndex,
}

impl AffixIndex {
    /// `keys` must differ from one another with case ignored; a match is reported as the key's position.
    pub(crate) fn build(end: End, keys: Vec<Box<[u8]>>) -> Self {
        let mut lengths: Vec<usize> = keys.iter().map(|key| key.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let index = HashIndex::build(keys.iter().map(|key| hash_from(end, key)));
        Self { end, keys: keys.into(), lengths: lengths.into(), index }
    }

    pub(crate) fn for_each(&self, text: &[u8], mut each: impl FnMut(u32)) {
        let mut hash = FoldedHash::new();
        let mut seen = 0;
        for &length in &self.lengths {
            if length > text.len() {
                return;
            }
            while seen < length {
                hash.push(byte_from(self.end, text, seen));
                seen += 1;
            }
            let affix = match self.end {
                End::Front => &text[..length],
                End::Back => &text[text.len() - length..],
            };
            let is_it = |value: u32| self.keys[value as usize].eq_ignore_ascii_case(affix);
            if let Some(value) = self.index.find(hash.value(), is_it) {
                each(value);
            }
        }
    }

    /// The longest affix that leaves at least one byte of `text` over.
    pub(crate) fn longest_proper(&self, text: &[u8]) -> Option<u32> {
        let mut longest = None;
        self.for_each(text, |value| {
            if self.keys[value as usize].len() < text.len() {
                longest = Some(value);
            }
        });
        longest
    }
}

fn byte_from(end: End, text: &[u8], position: usize) -> u8 {
    match end {
        End::Front => text[position],
        End::Back => text[text.len() - 1 - position],
    }
}

fn hash_from(end: End, key: &[u8]) -> u64 {
    let mut hash = FoldedHash::new();
    (0..key.len()).for_each(|position| hash.push(byte_from(end, key, position)));
    hash.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affixes(end: End, keys: &[&str], text: &str) -> Vec<u32> {
        let keys = keys.iter().map(|key| Box::from(key.as_bytes())).collect();
        let mut found = Vec::new();
        AffixIndex::build(end, keys).for_each(text.as_bytes(), |value| found.push(value));
        found
    }

    #[test]
    fn every_affix_is_found_shortest_first() {
        let table: [(End, &[&str], &str, &[u32]); 5] = [
            (End::Front, &["/api/v1", "/", "", "/api"], "/api/v1/x", &[2, 1, 3, 0]),
            (End::Front, &["/api/v1"], "/api/v", &[]),
            (End::Front, &["/API"], "/api", &[0]),
            (End::Back, &[".b.c", ".c", "x.c"], "A.B.C", &[1, 0]),
            (End::Back, &[], "a", &[]),
        ];
        for (end, keys, text, expected) in table {
            assert_eq!(affixes(end, keys, text), expected, "{end:?} {keys:?} {text}");
        }
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let index = HashIndex::build([5, 5, 7].into_iter());
        assert_eq!(index.find(5, |value| value == 1), Some(1));
        assert_eq!(index.find(5, |_| false), None);
        assert_eq!(index.find(7, |_| true), Some(2));
        assert_eq!(index.find(9, |_| true), None);
    }
}
