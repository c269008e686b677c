//! Durations as Go writes them (`1h30m`, `1.5s`, `100ms`), and RFC 3339 times.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Whether [`parse_duration`] takes it.
#[must_use]
pub fn is_duration(text: &str) -> bool {
    parse_duration(text).is_some()
}

/// A duration of Go's form, not negative: numbers with units `h`, `m`, `s`, `ms`, `us`, `ns`, or a plain `0`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale: u128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        nanoseconds = nanoseconds.checked_add(scaled(number, scale)?)?;
        rest = after;
    }
    // As Go: what does not fit into 63 bits of nanoseconds is no duration.
    i64::try_from(nanoseconds).ok().map(|n| Duration::from_nanos(n.unsigned_abs()))
}

/// `number` (with an optional fraction) times `scale`, exactly, cut off below one.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let fraction = fraction.get(..fraction.len().min(18))?;
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits(whole)?.checked_mul(scale)? + digits(fraction)?.checked_mul(scale)? / parts)
}

/// Whether [`parse_timestamp`] takes it.
#[must_use]
pub fn is_timestamp(text: &str) -> bool {
    parse_timestamp(text).is_some()
}

/// A time of RFC 3339.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let table = [
            ("5s", Some(5_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("100ms", Some(100_000_000)),
            ("0.1ms", Some(100_000)),
            (".5s", Some(500_000_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("2us", Some(2_000)),
            ("5", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("5 s", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration(text), expected.map(Duration::from_nanos), "{text:?}");
        }
    }
}
