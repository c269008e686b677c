//! Strings of RFC 7541 §5.2: the Huffman code of its appendix B.
//!
//! The code is canonical, so the table of lengths is all of it. Decoding looks twelve bits up at a time, which are two
//! symbols of most texts; encoding fills a 64-bit word. The tables are built at compile time.

/// Bits of each symbol's code; the last is the end-of-string symbol, which no text may contain.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const END_OF_STRING: usize = 256;
const LENGTH_MIN: usize = 5;
const LENGTH_MAX: usize = 30;

/// Each symbol's code, from the lengths: codes of one length count up with the symbols, and go on from the length before.
static CODES: [u32; 257] = CANON.codes;

/// The code, by symbol and by length.
struct Canon {
    codes: [u32; 257],
    /// First code that is longer than this length, moved to the top of 32 bits: a window below it begins with a code of
    /// at most this length.
    ends: [u64; LENGTH_MAX + 1],
    /// First code of each length, and where its symbols begin in `symbols`.
    firsts: [(u32, u16); LENGTH_MAX + 1],
    symbols: [u16; 257],
}

const CANON: Canon = canon();

const fn canon() -> Canon {
    let mut canon = Canon {
        codes: [0; 257],
        ends: [0; LENGTH_MAX + 1],
        firsts: [(0, 0); LENGTH_MAX + 1],
        symbols: [0; 257],
    };
    let (mut code, mut place, mut length) = (0_u32, 0, 1);
    while length <= LENGTH_MAX {
        code <<= 1;
        canon.firsts[length] = (code, place as u16);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                canon.codes[symbol] = code;
                canon.symbols[place] = symbol as u16;
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        canon.ends[length] = (code as u64) << (32 - length);
        length += 1;
    }
    canon
}

/// The symbol that a window of 32 bits begins with, and its length.
const fn symbol(window: u32) -> (u16, u32) {
    let mut length = LENGTH_MIN;
    while length < LENGTH_MAX && window as u64 >= CANON.ends[length] {
        length += 1;
    }
    let (first, place) = CANON.firsts[length];
    let offset = (window >> (32 - length)) - first;
    (CANON.symbols[place as usize + offset as usize], length as u32)
}

const LOOKUP_BITS: u32 = 12;

/// What a window of twelve bits begins with.
#[derive(Clone, Copy)]
struct Step {
    /// The second is zero when it is not complete.
    symbols: [u8; 2],
    /// Eight for each symbol that is complete; 0 when the first is longer than the window.
    text_bits: u8,
    /// Bits of their codes.
    code_bits: u8,
}

static STEPS: [Step; 1 << LOOKUP_BITS] = steps();

const fn steps() -> [Step; 1 << LOOKUP_BITS] {
    let mut steps = [Step { symbols: [0; 2], text_bits: 0, code_bits: 0 }; 1 << LOOKUP_BITS];
    let mut index = 0;
    while index < steps.len() {
        let window = (index as u32) << (32 - LOOKUP_BITS);
        let (first, bits) = symbol(window);
        if bits <= LOOKUP_BITS {
            let (second, more) = symbol(window << bits);
            steps[index] = if bits + more <= LOOKUP_BITS {
                let symbols = [first as u8, second as u8];
                Step { symbols, text_bits: 16, code_bits: (bits + more) as u8 }
            } else {
                Step { symbols: [first as u8, 0], text_bits: 8, code_bits: bits as u8 }
            };
        }
        index += 1;
    }
    steps
}

/// Appends the text that `input` encodes; `None`, with the output as it was or longer, when it encodes none: the
/// end-of-string symbol, or padding that is longer than seven bits or not all ones.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    // No code is shorter than five bits; symbols are written eight at a time, of which some are kept.
    out.resize(start + input.len() * 8 / LENGTH_MIN + 8, 0);
    let written = decode_into(input, &mut out[start..])?;
    out.truncate(start + written);
    Some(())
}

/// What is looked at of the input: `have` bits from the top, zeros after them, and the bytes behind them.
struct Window<'i> {
    rest: &'i [u8],
    bits: u64,
    have: u32,
}

impl Window<'_> {
    const fn skip(&mut self, bits: u32) {
        self.bits <<= bits;
        self.have -= bits;
    }

    /// Takes a byte, or as many as there is room for, in so far as a whole word of them is left.
    fn fill(&mut self) -> Option<()> {
        let chunk = self.rest.first_chunk::<8>()?;
        self.bits |= u64::from_be_bytes(*chunk) >> self.have;
        let bytes = (63 - self.have) / 8;
        self.rest = &self.rest[bytes as usize..];
        self.have += bytes * 8;
        // What is beyond the counted bits comes again with the next word.
        self.bits &= u64::MAX << (64 - self.have);
        Some(())
    }

    /// The same of what is less than a word.
    fn fill_bytes(&mut self) {
        while self.have <= 56
            && let Some((&byte, rest)) = self.rest.split_first()
        {
            self.bits |= u64::from(byte) << (56 - self.have);
            (self.rest, self.have) = (rest, self.have + 8);
        }
    }

    /// Decodes of more than 56 bits what takes four looks, and tells how many symbols that are; `None` for one that no
    /// text may contain.
    fn decode(&mut self, out: &mut [u8]) -> Option<usize> {
        let (mut bits, mut have) = (self.bits, self.have);
        let (mut word, mut text_bits, mut is_long) = (0_u64, 0_u32, false);
        for _ in 0..4 {
            let step = STEPS[(bits >> (64 - LOOKUP_BITS)) as usize];
            if step.text_bits == 0 {
                is_long = true;
                break;
            }
            word |= u64::from(u16::from_le_bytes(step.symbols)) << text_bits;
            text_bits += u32::from(step.text_bits);
            bits <<= step.code_bits;
            have -= u32::from(step.code_bits);
        }
        (self.bits, self.have) = (bits, have);
        let symbols = text_bits as usize / 8;
        // Zeros behind the symbols are written over by the next ones.
        out[..8].copy_from_slice(&word.to_le_bytes());
        if is_long { self.decode_long(out, symbols) } else { Some(symbols) }
    }

    /// Decodes one symbol that is longer than a look, behind others, if all of it is there.
    #[cold]
    fn decode_long(&mut self, out: &mut [u8], symbols: usize) -> Option<usize> {
        if self.have < LENGTH_MAX as u32 {
            return Some(symbols);
        }
        let (symbol, length) = symbol((self.bits >> 32) as u32);
        self.skip(length);
        out[symbols] = u8::try_from(symbol).ok()?;
        Some(symbols + 1)
    }
}

fn decode_into(input: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut window = Window { rest: input, bits: 0, have: 0 };
    let mut written = 0;
    while window.fill().is_some() {
        written += window.decode(&mut out[written..])?;
    }
    loop {
        window.fill_bytes();
        if window.rest.is_empty() {
            return decode_end(window.bits, window.have, out, written);
        }
        written += window.decode(&mut out[written..])?;
    }
}

/// The last `have` bits, symbol by symbol, and the padding.
fn decode_end(mut bits: u64, mut have: u32, out: &mut [u8], mut written: usize) -> Option<usize> {
    while have >= LENGTH_MIN as u32 {
        let step = STEPS[(bits >> (64 - LOOKUP_BITS)) as usize];
        if step.text_bits != 0 && u32::from(step.code_bits) <= have {
            out[written..written + 2].copy_from_slice(&step.symbols);
            written += usize::from(step.text_bits / 8);
            (bits, have) = (bits << step.code_bits, have - u32::from(step.code_bits));
            continue;
        }
        let (symbol, length) = symbol((bits >> 32) as u32);
        if length > have {
            break;
        }
        if symbol as usize == END_OF_STRING {
            return None;
        }
        out[written] = symbol as u8;
        written += 1;
        (bits, have) = (bits << length, have - length);
    }
    let padding_holds = have < 8 && (have == 0 || bits >> (64 - have) == (1 << have) - 1);
    padding_holds.then_some(written)
}

/// Bytes that the text takes.
pub(super) fn encoded_bytes(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the text's code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0_u64, 0_u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(CODES[usize::from(byte)]);
        have += length;
        if have >= 32 {
            have -= 32;
            out.extend_from_slice(&((bits >> have) as u32).to_be_bytes());
        }
    }
    while have >= 8 {
        have -= 8;
        out.push((bits >> have) as u8);
    }
    if have > 0 {
        // Padding is the start of the end-of-string symbol: ones.
        out.push((bits << (8 - have)) as u8 | 0xff >> have);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{CODES, END_OF_STRING, LENGTHS, decode, encode, encoded_bytes};

    /// Bit by bit, as the RFC says it.
    fn naive(input: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut code, mut length) = (Vec::new(), 0_u32, 0_u8);
        for bit in input.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
            (code, length) = (code << 1 | u32::from(bit), length + 1);
            let found = (0..=END_OF_STRING)
                .find(|&symbol| LENGTHS[symbol] == length && CODES[symbol] == code);
            if let Some(symbol) = found {
                out.push(u8::try_from(symbol).ok()?);
                (code, length) = (0, 0);
            }
        }
        (length < 8 && code == (1 << length) - 1).then_some(out)
    }

    fn fast(input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(input, &mut out)?;
        Some(out)
    }

    #[test]
    fn the_code_is_the_one_of_the_rfc() {
        // A few of each length from RFC 7541 appendix B, the last of all included.
        let table: [(usize, u32, u8); 12] = [
            (usize::from(b'0'), 0x0, 5),
            (usize::from(b't'), 0x9, 5),
            (usize::from(b' '), 0x14, 6),
            (usize::from(b':'), 0x5c, 7),
            (usize::from(b'&'), 0xf8, 8),
            (usize::from(b'!'), 0x3f8, 10),
            (usize::from(b'|'), 0x7fc, 11),
            (usize::from(b'\\'), 0x7fff0, 19),
            (0, 0x1ff8, 13),
            (255, 0x3ff_ffee, 26),
            (22, 0x3fff_fffe, 30),
            (END_OF_STRING, 0x3fff_ffff, 30),
        ];
        for (symbol, code, length) in table {
            assert_eq!((CODES[symbol], LENGTHS[symbol]), (code, length), "symbol {symbol}");
        }
    }

    #[test]
    fn strings_that_encode_no_text_are_refused() {
        let table: [&[u8]; 5] = [
            // Eight bits of padding, and the end-of-string symbol.
            &[0x1c, 0x64, 0xff],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff; 12],
            // Padding with a zero in it.
            &[0x00],
            &[0xf8, 0xfe],
        ];
        for bytes in table {
            assert_eq!(fast(bytes), None, "{bytes:x?}");
            assert_eq!(naive(bytes), None, "{bytes:x?}");
        }
    }

    proptest! {
        // The naive one is slow.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fast_is_naive(input in vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(fast(&input), naive(&input));
        }

        #[test]
        fn decoding_is_the_inverse_of_encoding(text in vec(any::<u8>(), 0..96), ascii in "[ -~]{0,96}") {
            for text in [text.as_slice(), ascii.as_bytes()] {
                let mut encoded = Vec::new();
                encode(text, &mut encoded);
                prop_assert_eq!(encoded.len(), encoded_bytes(text));
                prop_assert_eq!(naive(&encoded), Some(text.to_vec()));
                prop_assert_eq!(fast(&encoded), Some(text.to_vec()));
            }
        }
    }
}
