//! Compiled string conditions (`envoy.type.matcher.v3.StringMatcher`) and regular expressions.
//!
//! Input is bytes: header values need not be UTF-8. A regex must match the whole input, as in Envoy.

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use crate::config::{StringMatch, StringPattern};
use crate::problem::{Problem, ProblemKind, Report};

/// Memory one compiled regex may take; RE2 programs of Envoy's own limit stay far below.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Memory one regex may take on each thread for what it learnt about inputs; beyond it matching goes on, slower.
const REGEX_CACHE_BYTES_MAX: usize = 256 << 10;

/// A string condition that cannot fail.
#[derive(Clone, Debug)]
pub struct StringMatcher {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<memmem::Finder<'static>>),
    Regex(Regex),
}

/// What a value that matches certainly is or begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fixed<'a> {
    Whole(&'a [u8]),
    Front(&'a [u8]),
}

impl StringMatcher {
    /// Compiles one condition that stands outside the snapshot (a peer's SANs); `at` names it in problems.
    ///
    /// # Errors
    /// What is wrong with a regex.
    pub fn new(config: &StringMatch, at: &str) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(at.to_owned());
        match Self::compile(config, &mut report) {
            Some(matcher) => Ok(matcher),
            None => report.finish(|| unreachable!("compile gives a matcher or a problem")),
        }
    }

    pub(crate) fn compile(config: &StringMatch, report: &mut Report) -> Option<Self> {
        let pattern = match &config.pattern {
            StringPattern::Exact(text) => Pattern::Exact(text.as_bytes().into()),
            StringPattern::Prefix(text) => Pattern::Prefix(text.as_bytes().into()),
            StringPattern::Suffix(text) => Pattern::Suffix(text.as_bytes().into()),
            StringPattern::Contains(text) => {
                Pattern::Contains(Box::new(memmem::Finder::new(text.as_bytes()).into_owned()))
            }
            StringPattern::Regex(pattern) => Pattern::Regex(compile_whole(pattern, report)?),
        };
        Some(Self { pattern, ignore_case: config.ignore_case })
    }

    /// The one text that is looked for, whole or at the front, with case ignored or not: for indexes.
    pub(crate) fn fixed(&self) -> Option<Fixed<'_>> {
        match &self.pattern {
            Pattern::Exact(text) => Some(Fixed::Whole(text)),
            Pattern::Prefix(text) => Some(Fixed::Front(text)),
            Pattern::Suffix(_) | Pattern::Contains(_) | Pattern::Regex(_) => None,
        }
    }

    /// Whether the value is as asked.
    #[must_use]
    pub fn is_match(&self, value: &[u8]) -> bool {
        match &self.pattern {
            Pattern::Exact(text) => equal(value, text, self.ignore_case),
            Pattern::Prefix(text) => starts_with(value, text, self.ignore_case),
            Pattern::Suffix(text) => value
                .len()
                .checked_sub(text.len())
                .is_some_and(|start| equal(&value[start..], text, self.ignore_case)),
            Pattern::Contains(finder) if self.ignore_case => {
                let needle = finder.needle();
                needle.is_empty()
                    || value.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
            }
            Pattern::Contains(finder) => finder.find(value).is_some(),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

pub(crate) fn equal(value: &[u8], text: &[u8], ignore_case: bool) -> bool {
    if ignore_case { value.eq_ignore_ascii_case(text) } else { value == text }
}

pub(crate) fn starts_with(value: &[u8], text: &[u8], ignore_case: bool) -> bool {
    value.get(..text.len()).is_some_and(|start| equal(start, text, ignore_case))
}

/// A regex that matches whole inputs only.
pub(crate) fn compile_whole(pattern: &str, report: &mut Report) -> Option<Regex> {
    // Checked alone first: `a)(b` must not become valid inside the group.
    compile_regex(pattern, report)?;
    compile_regex(&format!(r"\A(?:{pattern})\z"), report)
}

/// A regex as written.
pub(crate) fn compile_regex(pattern: &str, report: &mut Report) -> Option<Regex> {
    // RE2's \d, \w and \s are ASCII; Unicode classes are the second choice, for patterns that need them.
    let build = |unicode| {
        RegexBuilder::new(pattern)
            .unicode(unicode)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
            .build()
    };
    match build(false).or_else(|_| build(true)) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let reason = match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("it needs more than {limit} bytes when compiled; make it simpler")
                }
                // The crate prints the pattern again over several lines; the last one is the reason.
                other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            };
            report.problem(ProblemKind::InvalidRegex { pattern: pattern.to_owned(), reason });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: StringPattern, ignore_case: bool, value: &str) -> bool {
        let mut report = Report::new(String::new());
        StringMatcher::compile(&StringMatch { pattern, ignore_case }, &mut report)
            .unwrap()
            .is_match(value.as_bytes())
    }

    #[test]
    fn each_pattern_with_and_without_case() {
        use StringPattern::{Contains, Exact, Prefix, Regex, Suffix};
        // (pattern, value, matches, matches with case ignored)
        let table = [
            (Exact("jason".into()), "jason", true, true),
            (Exact("jason".into()), "Jason", false, true),
            (Exact("jason".into()), "jason1", false, false),
            (Exact(String::new()), "", true, true),
            (Prefix("ab".into()), "abc", true, true),
            (Prefix("ab".into()), "ABc", false, true),
            (Prefix("ab".into()), "a", false, false),
            (Suffix("bc".into()), "abc", true, true),
            (Suffix("bc".into()), "aBC", false, true),
            (Suffix("bc".into()), "c", false, false),
            (Contains("b".into()), "abc", true, true),
            (Contains("B".into()), "abc", false, true),
            (Contains(String::new()), "", true, true),
            (Regex("a.c".into()), "abc", true, true),
            (Regex("a.c".into()), "abcd", false, false),
            (Regex("a|ab".into()), "ab", true, true),
            (Regex("é+".into()), "éé", true, true),
            (Regex("[é]".into()), "é", true, true),
            (Regex(r"\d+".into()), "٣", false, false),
        ];
        for (pattern, value, expected, expected_ignored) in table {
            assert_eq!(check(pattern.clone(), false, value), expected, "{pattern:?} {value}");
            assert_eq!(
                check(pattern.clone(), true, value),
                expected_ignored,
                "{pattern:?} {value}"
            );
        }
    }

    #[test]
    fn a_bad_regex_is_a_problem_with_a_reason() {
        for pattern in ["(", "a)(b", r"(?:\w{500}){500}", "[a-z]{20000}", "*"] {
            let mut report = Report::new("at".to_owned());
            assert!(compile_whole(pattern, &mut report).is_none(), "{pattern}");
            let problems = report.finish(|| ()).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].to_string().len() > pattern.len() + 25, "{}", problems[0]);
        }
    }
}
