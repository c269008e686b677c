//! `START_TIME(FORMAT)`: strftime's letters for dates and times, in UTC, without the C library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A parsed format; empty is `%Y-%m-%dT%H:%M:%E3SZ`, Envoy's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
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
        let format = if format.is_empty() { "%Y-%m-%dT%H:%M:%E3SZ" } else { format };
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

    /// Appends a time; before the epoch it is the epoch.
    pub fn write(&self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let seconds = since.as_secs();
        let (year, month, day) = civil(seconds / 86_400);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Year => digits(out, year, 4),
                Piece::Month => digits(out, month, 2),
                Piece::Day => digits(out, day, 2),
                Piece::Hour => digits(out, seconds / 3600 % 24, 2),
                Piece::Minute => digits(out, seconds / 60 % 60, 2),
                Piece::Second => digits(out, seconds % 60, 2),
                Piece::Seconds => digits(out, seconds, 1),
                Piece::Fine(places) => {
                    digits(out, seconds % 60, 2);
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
    digits(out, u64::from(since.subsec_nanos() / 10_u32.pow(9 - places)), places as usize);
}

fn digits(out: &mut Vec<u8>, value: u64, least: usize) {
    let text = format!("{value:0least$}");
    out.extend_from_slice(text.as_bytes());
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
