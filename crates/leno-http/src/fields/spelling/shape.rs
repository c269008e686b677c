//! Which letters of a name are capitals, eight of them at a time.
//!
//! For spellings only. Names are tokens: visible ASCII.

/// Which letters of a name are capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Lower,
    Title,
    Upper,
    Mixed,
}

impl Shape {
    pub(super) const fn letter(self) -> u8 {
        match self {
            Self::Lower => b'l',
            Self::Title => b't',
            Self::Upper => b'u',
            Self::Mixed => b'b',
        }
    }
}

/// Eight letters of a name, the first in the lowest byte. Names are tokens, so no byte has its high bit set and no sum below
/// carries into its neighbour.
#[derive(Clone, Copy)]
struct Word(u64);

const ONES: u64 = 0x0101_0101_0101_0101;
/// What stands for a byte that is meant.
const HIGH: u64 = 0x80 * ONES;

impl Word {
    const fn between(self, first: u8, last: u8) -> u64 {
        let from = self.0 + (0x80 - first as u64) * ONES;
        let behind = self.0 + (0x7f - last as u64) * ONES;
        from & !behind & HIGH
    }

    /// Where a capital stands in Title-Case, if a letter is there: at the start, and behind a hyphen. The first byte starts if
    /// `start` is 0x80; tells the same of the byte behind the last.
    const fn starts(self, start: u64) -> (u64, u64) {
        let others = self.0 ^ (b'-' as u64 * ONES);
        let hyphens = !(others + 0x7f * ONES) & HIGH;
        (hyphens << 8 | start, hyphens >> 56)
    }
}

/// Tells the shape of a name.
pub(super) fn shape_of(name: &[u8]) -> Shape {
    let (mut capitals, mut smalls, mut untitled, mut start) = (0, 0, 0, 0x80);
    let mut look = |word: Word| {
        let (capital, small) = (word.between(b'A', b'Z'), word.between(b'a', b'z'));
        let (starts, next) = word.starts(start);
        capitals |= capital;
        smalls |= small;
        untitled |= capital ^ (capital | small) & starts;
        start = next;
    };
    let (words, rest) = name.as_chunks::<8>();
    words.iter().for_each(|word| look(Word(u64::from_le_bytes(*word))));
    if !rest.is_empty() {
        look(Word(match name.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - rest.len())),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        }));
    }
    match (capitals, untitled, smalls) {
        (0, ..) => Shape::Lower,
        (_, 0, _) => Shape::Title,
        (_, _, 0) => Shape::Upper,
        _ => Shape::Mixed,
    }
}

/// Writes a name, which is in lower case, in Title-Case.
pub(super) fn write_title(name: &mut [u8]) {
    let mut start = 0x80;
    let (words, rest) = name.as_chunks_mut::<8>();
    for bytes in words {
        let word = Word(u64::from_le_bytes(*bytes));
        let (starts, next) = word.starts(start);
        let capitals = word.between(b'a', b'z') & starts;
        // Bit 5 is what tells the cases apart.
        *bytes = (word.0 ^ capitals >> 2).to_le_bytes();
        start = next;
    }
    let mut is_start = start != 0;
    for byte in rest {
        if is_start {
            byte.make_ascii_uppercase();
        }
        is_start = *byte == b'-';
    }
}
