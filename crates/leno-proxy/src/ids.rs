//! `x-request-id`: a random UUID (version 4) written without allocation.

use leno_core::random::Random;

/// The text of one UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 36]);

impl RequestId {
    /// Draws two numbers. Not a secret: it names a request in logs.
    #[must_use]
    pub(crate) fn random(random: &mut impl Random) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        bytes[8..].copy_from_slice(&random.next_u64().to_le_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        Self(text)
    }

    /// The 36 characters.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use leno_core::random::SplitMix64;

    use super::RequestId;

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
