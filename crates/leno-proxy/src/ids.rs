//! `x-request-id`: a random UUID (version 4) written without allocation.

use leno_core::random::Random;

/// The text of one UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 36]);

impl RequestId {
    /// Draws two numbers. Not a secret: it names a request in logs.
    #[must_use]
    pub(crate) fn random(random: &mut impl Random) -> Self {
        let (first, second) = (random.next_u64(), random.next_u64());
        // RFC 9562 §5.4: the version, and the variant.
        let first = first & !0xf000 | 0x4000;
        let second = second & !(0b11 << 62) | 0b10 << 62;
        let mut text = [b'-'; 36];
        let (words, rest) = (hex(first >> 32), hex(first));
        text[..8].copy_from_slice(&words);
        text[9..13].copy_from_slice(&rest[..4]);
        text[14..18].copy_from_slice(&rest[4..]);
        let (words, rest) = (hex(second >> 32), hex(second));
        text[19..23].copy_from_slice(&words[..4]);
        text[24..28].copy_from_slice(&words[4..]);
        text[28..].copy_from_slice(&rest);
        Self(text)
    }

    /// The 36 characters.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The low 32 bits as hexadecimal digits, all at once: four bits to a byte, then each byte to its digit.
fn hex(number: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let spread = number & 0xffff_ffff;
    let spread = (spread << 16 | spread) & 0x0000_ffff_0000_ffff;
    let spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    let digits = (spread << 4 | spread) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = (digits + 6 * ONES) >> 4 & ONES;
    (digits + u64::from(b'0') * ONES + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use leno_core::random::SplitMix64;

    use super::{RequestId, hex};

    #[test]
    fn digits_are_those_of_the_formatter() {
        for number in [0, 1, 0x9a, 0x0123_4567, 0x89ab_cdef, 0xffff_ffff, 0xa9b8_c7d6] {
            assert_eq!(hex(number), *format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn ids_look_like_version_4_uuids_and_differ() {
        let mut random = SplitMix64::new(1);
        let (first, second) = (RequestId::random(&mut random), RequestId::random(&mut random));
        assert_ne!(first, second);
        let text = std::str::from_utf8(first.as_bytes()).unwrap();
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]), "{text}");
    }
}
