//! Columns of `kubectl get`: which cells a row has and how they are made from a document.

use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;

use crate::field::parse_timestamp;

/// One column after the name.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    pub kind: &'static str,
    /// For those who ask for the definition.
    pub description: &'static str,
    /// 0 is always printed, 1 only with `-o wide`.
    pub priority: i32,
    /// What goes in.
    pub cell: Cell,
}

/// How a cell is made.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// The value at a JSON path such as `.spec.hosts`; lists are printed as JSON.
    Path(&'static str),
    /// How long ago the time at this JSON path was, as kubectl writes ages.
    AgeOf(&'static str),
    /// Worked out from the document.
    Of(fn(&Value) -> Value),
}

impl Column {
    pub(super) const fn path(name: &'static str, path: &'static str) -> Self {
        Self { name, kind: "string", description: "", priority: 0, cell: Cell::Path(path) }
    }

    pub(super) const fn of(name: &'static str, cell: fn(&Value) -> Value) -> Self {
        Self { name, kind: "string", description: "", priority: 0, cell: Cell::Of(cell) }
    }

    pub(super) const fn age() -> Self {
        Self {
            name: "Age",
            kind: "date",
            description: "Time since creation.",
            priority: 0,
            cell: Cell::AgeOf(".metadata.creationTimestamp"),
        }
    }

    pub(super) const fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }

    pub(super) const fn integer(self) -> Self {
        Self { kind: "integer", ..self }
    }

    pub(super) const fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// This column's cell for `document`; null when there is nothing to print.
    #[must_use]
    pub fn cell(&self, document: &Value, now: SystemTime) -> Value {
        match self.cell {
            Cell::Path(path) => match at(document, path) {
                list @ (Value::Array(_) | Value::Object(_)) => list.to_string().into(),
                other => other.clone(),
            },
            Cell::AgeOf(path) => match at(document, path).as_str().and_then(parse_timestamp) {
                Some(then) => age(then, now.into()).into(),
                None => "<unknown>".into(),
            },
            Cell::Of(make) => make(document),
        }
    }
}

fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    let names = path.split('.').filter(|name| !name.is_empty());
    names.fold(document, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// As `duration.HumanDuration` of Kubernetes: `45s`, `3m12s`, `5h`, `2d3h`, `40d`, `2y`.
fn age(then: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - then).whole_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 2 * 365 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_does() {
        let table = [
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (195, "3m15s"),
            (700, "11m"),
            (10_799, "179m"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ];
        let then = OffsetDateTime::UNIX_EPOCH;
        for (seconds, expected) in table {
            assert_eq!(age(then, then + time::Duration::seconds(seconds)), expected);
        }
    }
}
