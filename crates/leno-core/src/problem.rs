//! What is wrong with a resource, and where. Compile reports every problem, so that the author fixes all in one pass.
//!
//! The API, the CLI and the NACK print these lines; each says what would be right.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// Of `google.protobuf.Duration`.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

/// One thing wrong, and where in the resources it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path from the resource down: `routes[9080].virtual_hosts[reviews].routes[2].match.headers[0]`.
    pub at: String,
    /// What is wrong there.
    pub what: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// The things that can be wrong. Fields are what the author wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProblemKind {
    #[error("is empty; give it a {what}")]
    Empty { what: &'static str },
    #[error("name {found:?} is not the key {key:?} it was delivered under; make them equal")]
    NameDiffers { key: String, found: String },
    #[error("virtual host name {name:?} occurs twice; give each virtual host its own name")]
    DuplicateVirtualHost { name: String },
    #[error(
        "domain {domain:?} is also in virtual host {other:?}; a domain belongs to one virtual host"
    )]
    DuplicateDomain { domain: String, other: String },
    #[error("domain {domain:?} is no host; use `a.b`, `*.b`, `a.*` or `*`")]
    InvalidDomain { domain: String },
    #[error("path {path:?} does not start with `/`")]
    PathWithoutSlash { path: String },
    #[error("path {path:?} has a query or fragment; match those with query parameters")]
    PathWithQuery { path: String },
    #[error("path-separated prefix {path:?} ends with `/`; leave the last `/` out")]
    SeparatedPrefixEndsWithSlash { path: String },
    #[error("regex {pattern:?} is not valid: {reason}")]
    InvalidRegex { pattern: String, reason: String },
    #[error("substitution {text:?}: {reason}")]
    InvalidSubstitution { text: String, reason: String },
    #[error("header name {name:?} is not a token (letters, digits and !#$%&'*+-.^_`|~)")]
    InvalidHeaderName { name: String },
    #[error("header {name:?} cannot be edited; use a host rewrite or a path rewrite instead")]
    HeaderNotEditable { name: String },
    #[error("pseudo header {name:?} is unknown; use :method, :authority, :path or :scheme")]
    UnknownPseudoHeader { name: String },
    #[error("header value {value:?} has a control character; CR, LF and NUL are never allowed")]
    InvalidHeaderValue { value: String },
    #[error("header value {value:?} {reason}")]
    HeaderOperator { value: String, reason: String },
    #[error("range {start}..{end} is empty; end must be greater than start")]
    EmptyRange { start: i64, end: i64 },
    #[error("weights add up to zero; give at least one cluster a weight above zero")]
    ZeroTotalWeight,
    #[error("cluster {name:?} is not among the clusters; add it or correct the name")]
    UnknownCluster { name: String },
    #[error("status {status} is outside {allowed}")]
    InvalidStatus { status: u16, allowed: &'static str },
    #[error("rewrites to {value:?}, which is no valid host")]
    InvalidHost { value: String },
    #[error("rewrites to {value:?}, which is no valid path")]
    InvalidPath { value: String },
    #[error("scheme {value:?} is unknown; use http or https")]
    InvalidScheme { value: String },
    #[error("is zero; give a duration above zero")]
    ZeroDuration,
    #[error("{seconds} s is beyond 10,000 years; give a shorter duration, or leave it out")]
    DurationTooLong { seconds: u64 },
    #[error("maximum {max_ms} ms is below the base {base_ms} ms; raise it or leave it out")]
    BackOffMaxBelowBase { base_ms: u128, max_ms: u128 },
    #[error("{percent} is no percentage; use 0 to 100")]
    InvalidPercent { percent: u32 },
    #[error("{found} is too few choices; least request compares at least two")]
    TooFewChoices { found: u32 },
    #[error("matches the same connections as filter chain {other:?}; make the matches differ")]
    DuplicateFilterChainMatch { other: String },
    #[error(
        "combines {found} addresses, server names and protocols; keep below {max} by splitting the chain"
    )]
    TooManyCombinations { found: usize, max: usize },
    #[error("server name {name:?} is no host; use `a.b` or `*.b`")]
    InvalidServerName { name: String },
    #[error("has no filter chain, so every connection would be closed; add one")]
    NoFilterChain,
    #[error("address {address} is also listener {other:?}'s; one address belongs to one listener")]
    DuplicateAddress { address: String, other: String },
    #[error(
        "the last HTTP filter is not the router, or the router occurs twice; end the list with one router"
    )]
    RouterNotLast,
    #[error("logical DNS takes exactly one endpoint, found {found}")]
    LogicalDnsEndpoints { found: usize },
    #[error("address {address:?} has to be resolved; use discovery by DNS or an IP address")]
    UnresolvedAddress { address: String },
    #[error("priority {found} is above {max}; count priorities from 0")]
    PriorityTooHigh { found: u32, max: u32 },
}

/// Collects problems while a resource is walked; knows where the walk is.
#[derive(Debug)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    at: String,
}

impl Report {
    pub(crate) fn new(root: String) -> Self {
        Self { problems: Vec::new(), at: root }
    }

    /// Runs `walk` one step further down; `step` is `.field` or `[key]`.
    pub(crate) fn within<T>(
        &mut self,
        step: fmt::Arguments<'_>,
        walk: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let depth = self.at.len();
        self.at.write_fmt(step).expect("writing to a string cannot fail");
        let result = walk(self);
        self.at.truncate(depth);
        result
    }

    pub(crate) fn problem(&mut self, what: ProblemKind) {
        self.problems.push(Problem { at: self.at.clone(), what });
    }

    pub(crate) fn problem_at(&mut self, step: fmt::Arguments<'_>, what: ProblemKind) {
        self.within(step, |report| report.problem(what));
    }

    /// Refuses durations that clocks cannot add (protobuf's own bound).
    pub(crate) fn check_duration(&mut self, field: &str, length: Option<Duration>) {
        let seconds = length.map_or(0, |length| length.as_secs());
        if seconds > DURATION_SECONDS_MAX {
            self.problem_at(format_args!(".{field}"), ProblemKind::DurationTooLong { seconds });
        }
    }

    /// The value, if nothing was wrong.
    pub(crate) fn finish<T>(self, value: impl FnOnce() -> T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value()) } else { Err(self.problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_place_and_what_would_be_right() {
        let mut report = Report::new("routes[9080]".to_owned());
        report.within(format_args!(".virtual_hosts[reviews]"), |report| {
            report.problem_at(
                format_args!(".routes[{}]", 2),
                ProblemKind::PathWithoutSlash { path: "api".to_owned() },
            );
        });
        report.problem(ProblemKind::ZeroTotalWeight);
        let problems = report.finish(|| ()).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "routes[9080].virtual_hosts[reviews].routes[2]: path \"api\" does not start with `/`",
                "routes[9080]: weights add up to zero; give at least one cluster a weight above zero",
            ]
        );
    }
}
