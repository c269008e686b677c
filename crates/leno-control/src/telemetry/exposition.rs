//! Reads Prometheus' text exposition format, as a proxy serves it at `/stats/prometheus`.
//!
//! Only what the telemetry role needs: names, labels and values of samples. Comments, time stamps and exemplars are
//! skipped; a line that is not well formed ends the reading with its number, so that half a scrape is never counted.

use std::borrow::Cow;

/// One sample line.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    /// The metric's name with its suffix (`_bucket`, `_total` and the like).
    pub(crate) name: &'a str,
    /// Labels in the order they came.
    pub(crate) labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; `+Inf` and `NaN` are Prometheus' words for the floats.
    pub(crate) value: f64,
}

impl Sample<'_> {
    /// A label's value, or `unknown` as Istio writes it.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(key, _)| *key == name).map_or("unknown", |(_, value)| value)
    }
}

/// What is wrong with a scrape.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: not a sample of the text exposition format")]
pub(crate) struct Malformed {
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Every sample whose name starts with `prefix`.
pub(crate) fn parse<'a>(text: &'a str, prefix: &str) -> Result<Vec<Sample<'a>>, Malformed> {
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sample = sample(line).ok_or(Malformed { line: number + 1 })?;
        if sample.name.starts_with(prefix) {
            samples.push(sample);
        }
    }
    Ok(samples)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let name_end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some(Sample { name, labels, value })
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The labels after `{`, and what follows `}`.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        labels.push((name.trim(), unescape(&after[..end])));
        rest = &after[end + 1..];
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Some(index),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (letter, false) => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP istio_requests_total x\n# TYPE istio_requests_total counter\n\
            istio_requests_total{reporter=\"source\",path=\"a\\\"b\\\\c\\nd\",} 12 1700000000000\n\
            go_threads 3\n\nistio_x{a=\"}\"} +Inf\n";
        let samples = parse(text, "istio_").unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].label("reporter"), "source");
        assert_eq!(samples[0].label("path"), "a\"b\\c\nd");
        assert_eq!(samples[0].label("absent"), "unknown");
        assert_eq!((samples[0].value, samples[1].value), (12.0, f64::INFINITY));
    }

    #[test]
    fn what_is_not_a_sample_is_named_by_its_line() {
        // (text, line)
        let table = [
            ("ok 1\nbroken", 2),
            ("ok{a=\"b} 1", 1),
            ("ok{a=\"b\"}", 1),
            ("ok nine", 1),
            ("{a=\"b\"} 1", 1),
        ];
        for (text, line) in table {
            assert_eq!(parse(text, ""), Err(Malformed { line }), "{text}");
        }
    }
}
