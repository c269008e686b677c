//! `START_TIME(FORMAT)`: strftime's letters for dates and times, in UTC, without the C library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::json::is_plain;
use super::line::Line;
use super::numbers::{padded, pair};

/// What an empty format is, as in Envoy.
const DEFAULT: &str = "%Y-%m-%dT%H:%M:%E3SZ";

/// A parsed format; empty is `%Y-%m-%dT%H:%M:%E3SZ`, Envoy's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// All of the default at once: [`timestamp`].
    Timestamp,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Since the epoch.
    Seconds,
    /// Seconds and so many digits of their fraction (`%E3S`).
    Fine(u32),
    /// So many digits of the second's fraction (`%3f`).
    Fraction(u32),
    /// `+0000`
    Zone,
}

impl TimeFormat {
    pub(super) fn parse(format: &str) -> Result<Self, String> {
        if matches!(format, "" | DEFAULT) {
            return Ok(Self([Piece::Timestamp].into()));
        }
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].into()));
            }
            rest = &rest[at + 1..];
            let (piece, length) = Self::piece(rest).ok_or_else(|| {
                let letters: String = rest.chars().take(3).collect();
                format!("has a time format with \"%{letters}\", which is not known here")
            })?;
            pieces.push(piece);
            rest = &rest[length..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// What the letters stand for, and how many there are.
    fn piece(text: &str) -> Option<(Piece, usize)> {
        let one = |piece| Some((piece, 1));
        let digit = |at: usize| {
            Some(u32::from(text.as_bytes().get(at)?.wrapping_sub(b'0')))
                .filter(|digit| (1..=9).contains(digit))
        };
        match text.as_bytes().first()? {
            b'%' => one(Piece::Text("%".into())),
            b'Y' => one(Piece::Year),
            b'm' => one(Piece::Month),
            b'd' => one(Piece::Day),
            b'H' => one(Piece::Hour),
            b'M' => one(Piece::Minute),
            b'S' => one(Piece::Second),
            b's' => one(Piece::Seconds),
            b'z' => one(Piece::Zone),
            b'F' | b'T' => None,
            b'f' => one(Piece::Fraction(9)),
            b'E' if text.as_bytes().get(2) == Some(&b'S') => Some((Piece::Fine(digit(1)?), 3)),
            _ if text.as_bytes().get(1) == Some(&b'f') => Some((Piece::Fraction(digit(0)?), 2)),
            _ => None,
        }
    }

    /// Whether what it writes needs no escape in JSON.
    pub(super) fn is_clean(&self) -> bool {
        self.0.iter().all(|piece| match piece {
            Piece::Text(text) => is_plain(text.as_bytes()),
            _ => true,
        })
    }

    /// The same at the end of a line.
    pub(super) fn write_to(&self, at: SystemTime, line: &mut Line<'_>) {
        match &*self.0 {
            [Piece::Timestamp] => line.timestamp(&timestamp(at)),
            _ => line.appended(|out| self.write(at, out)),
        }
    }

    /// Appends a time; before the epoch it is the epoch.
    pub fn write(&self, at: SystemTime, out: &mut Vec<u8>) {
        let since = since_epoch(at);
        if let [Piece::Timestamp] = &*self.0 {
            return out.extend_from_slice(&timestamp_since(since));
        }
        let seconds = since.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        for piece in &self.0 {
            match piece {
                Piece::Timestamp => out.extend_from_slice(&timestamp_since(since)),
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Year => padded(year, 4, out),
                Piece::Month => padded(month, 2, out),
                Piece::Day => padded(day, 2, out),
                Piece::Hour => padded(seconds / 3600 % 24, 2, out),
                Piece::Minute => padded(seconds / 60 % 60, 2, out),
                Piece::Second => padded(seconds % 60, 2, out),
                Piece::Seconds => padded(seconds, 1, out),
                Piece::Fine(places) => {
                    padded(seconds % 60, 2, out);
                    out.push(b'.');
                    fraction(out, since, *places);
                }
                Piece::Fraction(places) => fraction(out, since, *places),
                Piece::Zone => out.extend_from_slice(b"+0000"),
            }
        }
    }
}

fn fraction(out: &mut Vec<u8>, since: Duration, places: u32) {
    padded(u64::from(since.subsec_nanos() / 10_u32.pow(9 - places)), places as usize, out);
}

/// A time in UTC as logs have it (RFC 3339): `2026-01-31T12:00:00.042Z`. Before the epoch it is the epoch; of a year
/// beyond 9999 the last four digits are written.
#[must_use]
pub fn timestamp(at: SystemTime) -> [u8; 24] {
    timestamp_since(since_epoch(at))
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn timestamp_since(since: Duration) -> [u8; 24] {
    let (seconds, milliseconds) = (since.as_secs(), u64::from(since.subsec_millis()));
    let (year, month, day) = civil(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let ([a, b], [c, d]) = (pair(year / 100), pair(year));
    let ([e, f], [g, h]) = (pair(month), pair(day));
    let ([i, j], [k, l]) = (pair(second_of_day / 3600), pair(second_of_day / 60 % 60));
    let ([m, n], [o, p]) = (pair(second_of_day % 60), pair(milliseconds / 10));
    let q = b'0' + (milliseconds % 10) as u8;
    [a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n, b'.', o, p, q, b'Z']
}

/// Year, month and day of a day since the epoch (proleptic Gregorian): eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(milliseconds: u64, expected: &str) {
        let at = UNIX_EPOCH + Duration::from_millis(milliseconds);
        assert_eq!(std::str::from_utf8(&timestamp(at)).unwrap(), expected);
        // Not known for the default: piece by piece.
        for format in ["", DEFAULT, "%Y-%m-%dT%H:%M:%S.%3fZ"] {
            let mut out = Vec::new();
            TimeFormat::parse(format).unwrap().write(at, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{format}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (951_782_400_010, "2000-02-29T00:00:00.010Z"),
            (4_107_542_399_500, "2100-02-28T23:59:59.500Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (milliseconds, expected) in table {
            check(milliseconds, expected);
        }
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), timestamp(UNIX_EPOCH));
    }

    proptest! {
        #[test]
        fn the_whole_is_its_pieces(milliseconds in 0..253_402_300_800_000_u64) {
            let at = UNIX_EPOCH + Duration::from_millis(milliseconds);
            let mut out = Vec::new();
            TimeFormat::parse("%Y-%m-%dT%H:%M:%S.%3fZ").unwrap().write(at, &mut out);
            prop_assert_eq!(&out[..], timestamp(at));
        }
    }
}
