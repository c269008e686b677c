//! Integers of RFC 7541 §5.1.

/// More than anything we take: longer strings exceed every limit.
const MAX: usize = 1 << 24;

/// Reads an integer whose first byte has `prefix` bits for it; `None` when it is cut off or absurdly large.
pub(super) fn read(input: &mut &[u8], prefix: u32) -> Option<usize> {
    let mask = (1_usize << prefix) - 1;
    let (&first, rest) = input.split_first()?;
    *input = rest;
    let mut value = usize::from(first) & mask;
    if value < mask {
        return Some(value);
    }
    let mut shift = 0;
    loop {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value += usize::from(byte & 0x7f) << shift;
        if value > MAX || shift > 28 {
            return None;
        }
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Appends an integer after the bits of `first`.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        out.push(first | value as u8);
    } else {
        write_long(out, first, mask, value);
    }
}

fn write_long(out: &mut Vec<u8>, first: u8, mask: usize, value: usize) {
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{read, write};

    #[test]
    fn the_examples_of_the_rfc() {
        let table: [(u32, usize, &[u8]); 3] =
            [(5, 10, &[0b01010]), (5, 1337, &[0b11111, 154, 10]), (8, 42, &[42])];
        for (prefix, value, expected) in table {
            let mut out = Vec::new();
            write(&mut out, 0, prefix, value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_refused() {
        for bytes in [&[][..], &[0x7f], &[0x7f, 0x80], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0]] {
            assert_eq!(read(&mut &bytes[..], 7), None, "{bytes:?}");
        }
        assert_eq!(read(&mut &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0][..], 7), None);
    }

    proptest! {
        #[test]
        fn reading_is_the_inverse_of_writing(prefix in 4_u32..=7, value in 0_usize..1 << 24) {
            let mut out = Vec::new();
            write(&mut out, 0, prefix, value);
            let mut input = out.as_slice();
            prop_assert_eq!(read(&mut input, prefix), Some(value));
            prop_assert!(input.is_empty());
        }
    }
}
