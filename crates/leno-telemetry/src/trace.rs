//! W3C trace context: which trace a request belongs to, and whether it is recorded.
//!
//! Pure: random numbers are arguments. Spans are made of it in [`crate::span`].

/// The text of a `traceparent`: version, trace id, parent id, flags.
const TRACEPARENT_BYTES: usize = 55;

/// One span's place in its trace (Trace Context §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span whose children carry it; never zero.
    pub span_id: u64,
    /// Whether the trace is recorded.
    pub is_sampled: bool,
}

impl TraceContext {
    /// What a `traceparent` says; `None` for one that is to be ignored (§3.2.2: unknown version `ff`, upper-case digits,
    /// an id of zeros, trailing bytes in version 00).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
        let version = hex(&head[..2])?;
        // A later version may append fields, each behind a dash (§3.2.4).
        let is_complete = rest.is_empty() || version > 0 && rest[0] == b'-';
        let has_dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        if version == 0xff || !is_complete || !has_dashes {
            return None;
        }
        let trace_id = hex(&head[3..35]).filter(|id| *id != 0)?;
        let span_id = hex(&head[36..52]).filter(|id| *id != 0)?;
        let flags = hex(&head[53..])?;
        let span_id = u64::try_from(span_id).ok()?;
        Some(Self { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }

    /// The `traceparent` that says so, in version 00.
    #[must_use]
    pub fn text(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut text = [b'-'; TRACEPARENT_BYTES];
        text[..2].copy_from_slice(b"00");
        write_hex(&self.trace_id.to_be_bytes(), &mut text[3..35]);
        write_hex(&self.span_id.to_be_bytes(), &mut text[36..52]);
        text[53..].copy_from_slice(if self.is_sampled { b"01" } else { b"00" });
        text
    }

    /// A child of this span, or the root of a new trace where `parent` is `None`. `draw` gives random numbers; whether a
    /// new trace is recorded is decided by the caller.
    #[must_use]
    pub fn child_of(
        parent: Option<Self>,
        is_sampled: impl FnOnce() -> bool,
        mut draw: impl FnMut() -> u64,
    ) -> Self {
        // An id of zero is invalid; one in 2^64 is changed.
        let span_id = draw().max(1);
        match parent {
            Some(parent) => Self { span_id, ..parent },
            None => {
                let trace_id = u128::from(draw()) << 64 | u128::from(draw().max(1));
                Self { trace_id, span_id, is_sampled: is_sampled() }
            }
        }
    }
}

/// Lower-case digits only.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn write_hex(bytes: &[u8], into: &mut [u8]) {
    let (words, _) = bytes.as_chunks::<4>();
    let (texts, _) = into.as_chunks_mut::<8>();
    for (word, text) in words.iter().zip(texts) {
        *text = digits(u32::from_be_bytes(*word));
    }
}

/// Eight digits at a time: each half of a byte is moved into a byte of its own, and becomes a digit there.
const fn digits(value: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let value = value as u64;
    let value = (value & 0xffff_0000) << 16 | value & 0xffff;
    let value = (value & 0x0000_ff00_0000_ff00) << 8 | value & 0x0000_00ff_0000_00ff;
    let value = (value & 0x00f0_00f0_00f0_00f0) << 4 | value & 0x000f_000f_000f_000f;
    let is_letter = (value + 6 * ONES) >> 4 & ONES;
    (value + b'0' as u64 * ONES + is_letter * (b'a' - b'0' - 10) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_specification_calls_invalid_is_ignored() {
        // (text, whether it counts)
        let table = [
            (VALID.to_owned(), true),
            (VALID.replace("-01", "-00"), true),
            (VALID.replace("-01", "-ff"), true),
            (VALID.replacen("00-", "cc-", 1), true),
            (format!("{}-what-comes", VALID.replacen("00-", "cc-", 1)), true),
            (format!("{}.what", VALID.replacen("00-", "cc-", 1)), false),
            (format!("{VALID}-more"), false),
            (VALID.replacen("00-", "ff-", 1), false),
            (VALID.replace("4bf9", "4BF9"), false),
            (VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (VALID.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (VALID.replace("00f067aa0ba902b7", "00f067aa0ba902b"), false),
            (VALID.replace('-', "_"), false),
            (String::new(), false),
        ];
        for (text, counts) in table {
            assert_eq!(TraceContext::parse(text.as_bytes()).is_some(), counts, "{text}");
        }
    }

    #[test]
    fn a_context_is_written_as_it_is_read() {
        let context = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert_eq!(context.text(), VALID.as_bytes());
        let unsampled = TraceContext { is_sampled: false, span_id: 1, ..context };
        assert_eq!(TraceContext::parse(&unsampled.text()), Some(unsampled));
    }

    #[test]
    fn digits_are_those_of_the_formatter() {
        for value in [0, 1, 9, 0xa, 0x1234_5678, 0x9abc_def0, 0xf0f0_0f0f, u32::MAX] {
            assert_eq!(super::digits(value), format!("{value:08x}").as_bytes());
        }
    }

    #[test]
    fn a_child_keeps_the_trace_and_its_decision_and_a_root_makes_them() {
        let parent = TraceContext::parse(VALID.as_bytes()).unwrap();
        let mut drawn = 7;
        let mut draw = || {
            drawn += 1;
            drawn
        };
        let child = TraceContext::child_of(Some(parent), || false, &mut draw);
        assert_eq!((child.trace_id, child.span_id), (parent.trace_id, 8));
        assert!(child.is_sampled, "the decision is the first one's");
        let root = TraceContext::child_of(None, || false, &mut draw);
        assert_eq!((root.trace_id, root.span_id, root.is_sampled), (10 << 64 | 11, 9, false));
    }
}
