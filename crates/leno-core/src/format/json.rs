//! Strings of JSON, appended to what was written before.

/// Appends a string (RFC 8259 §7); what is not UTF-8 is written with replacement characters.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escaped(text, out);
    }
    out.push(b'"');
}

/// Ends the string that a quotation mark before `start` begins: what stands there is its value, not yet escaped.
pub(super) fn end_string(start: usize, out: &mut Vec<u8>) {
    if !is_plain(&out[start..]) {
        let value = out.split_off(start);
        escaped(&value, out);
    }
    out.push(b'"');
}

/// Whether every byte is visible ASCII or a space that JSON takes as it is: almost always. Eight bytes at a time; a string
/// of some length ends with eight bytes that were looked at in part already.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let odd = words.iter().fold(0, |odd, word| odd | odd_bytes(u64::from_ne_bytes(*word)));
    if rest.is_empty() {
        return odd == 0;
    }
    match text.last_chunk::<8>() {
        Some(last) => odd | odd_bytes(u64::from_ne_bytes(*last)) == 0,
        None => {
            rest.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        }
    }
}

/// Has the top bit of a byte set for each byte that needs an escape, or is no ASCII. A borrow out of one byte, or a carry, may
/// set bits of those above it: then there is such a byte in any case.
pub(super) const fn odd_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    const BACKSLASHES: u64 = ONES * 0x5c;
    // With bit 1 turned over a quotation mark stands just behind the control characters, and a space does not.
    let turned = word ^ (ONES * 0x02);
    let low = turned.wrapping_sub(ONES * 0x21) & !turned;
    let backslash = word ^ BACKSLASHES;
    let zero = backslash.wrapping_sub(ONES) & !backslash;
    // DEL becomes 0x80.
    let high = word.wrapping_add(ONES) | word;
    (low | zero | high) & TOPS
}

/// Runs that need no escape are copied whole.
pub(super) fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid().as_bytes();
        let needs_escape = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
        while let Some(at) = rest.iter().position(needs_escape) {
            out.extend_from_slice(&rest[..at]);
            escape(rest[at], out);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_plain_naively(text: &[u8]) -> bool {
        text.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'"' && *byte != b'\\')
    }

    #[test]
    fn every_byte_is_seen_wherever_it_stands() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(
                        is_plain(&text),
                        is_plain_naively(&text),
                        "{byte} at {at} of {length}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_becomes_json(bytes: Vec<u8>, plain in "[ -~]{0,40}") {
            for bytes in [&bytes[..], plain.as_bytes()] {
                let mut out = Vec::new();
                quote(bytes, &mut out);
                let read: String = serde_json::from_slice(&out).unwrap();
                prop_assert_eq!(read, String::from_utf8_lossy(bytes));
                let mut ended = [b"\"", bytes].concat();
                end_string(1, &mut ended);
                prop_assert_eq!(ended, out);
                prop_assert_eq!(is_plain(bytes), is_plain_naively(bytes));
            }
        }
    }
}
