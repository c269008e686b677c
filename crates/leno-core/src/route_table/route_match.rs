//! When a route applies: path, headers and query parameters, all of them.

use regex::bytes::Regex;

use crate::config::{
    HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch,
};
use crate::header_edit::is_token;
use crate::problem::{ProblemKind, Report};
use crate::request::{RequestView, query_only};
use crate::string_match::{StringMatcher, compile_whole, equal, starts_with};

/// A compiled [`RouteMatch`].
#[derive(Clone, Debug)]
pub(crate) struct RouteMatcher {
    path: PathMatcher,
    headers: Box<[HeaderMatcher]>,
    query: Box<[QueryMatcher]>,
}

#[derive(Clone, Debug)]
struct PathMatcher {
    kind: PathKind,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum PathKind {
    Prefix(Box<[u8]>),
    Exact(Box<[u8]>),
    SeparatedPrefix(Box<[u8]>),
    Regex(Regex),
    /// No path at all: CONNECT.
    Connect,
}

impl RouteMatcher {
    pub(crate) fn compile(config: &RouteMatch, report: &mut Report) -> Option<Self> {
        let path =
            report.within(format_args!(".path"), |report| PathMatcher::compile(config, report));
        let headers: Vec<_> =
            compile_each("headers", &config.headers, report, HeaderMatcher::compile);
        let query: Vec<_> = compile_each("query", &config.query, report, QueryMatcher::compile);
        Some(Self { path: path?, headers: headers.into(), query: query.into() })
    }

    /// `path` is the request's path without query.
    pub(crate) fn is_match<R: RequestView + ?Sized>(&self, path: &[u8], request: &R) -> bool {
        self.path.is_match(path, request.method())
            && self.headers.iter().all(|header| header.is_match(request))
            && self.query.iter().all(|parameter| parameter.is_match(request.path()))
    }

    /// The first condition that does not hold, in words; for explanation.
    pub(crate) fn mismatch<R: RequestView + ?Sized>(
        &self,
        path: &[u8],
        request: &R,
    ) -> Option<String> {
        if !self.path.is_match(path, request.method()) {
            return Some("path".to_owned());
        }
        let header = self.headers.iter().find(|header| !header.is_match(request));
        if let Some(header) = header {
            return Some(format!("header {}", header.name.as_str()));
        }
        let parameter = self.query.iter().find(|parameter| !parameter.is_match(request.path()))?;
        Some(format!("query parameter {}", parameter.name))
    }

    /// How much of the path the match consumed: what a prefix rewrite replaces.
    pub(crate) fn consumed(&self, path: &[u8]) -> usize {
        match &self.path.kind {
            PathKind::Prefix(text) | PathKind::SeparatedPrefix(text) => text.len().min(path.len()),
            PathKind::Exact(_) | PathKind::Regex(_) | PathKind::Connect => path.len(),
        }
    }
}

fn compile_each<C, T>(
    field: &str,
    configs: &[C],
    report: &mut Report,
    compile: fn(&C, &mut Report) -> Option<T>,
) -> Vec<T> {
    let compile_at = |(i, config)| {
        report.within(format_args!(".{field}[{i}]"), |report| compile(config, report))
    };
    configs.iter().enumerate().filter_map(compile_at).collect()
}

impl PathMatcher {
    fn compile(config: &RouteMatch, report: &mut Report) -> Option<Self> {
        let kind = match &config.path {
            PathMatch::Prefix(text) => PathKind::Prefix(text.as_bytes().into()),
            PathMatch::Exact(text) => PathKind::Exact(text.as_bytes().into()),
            PathMatch::Regex(pattern) => PathKind::Regex(compile_whole(pattern, report)?),
            PathMatch::PathSeparatedPrefix(text) => {
                let path = text.clone();
                if !text.starts_with('/') {
                    report.problem(ProblemKind::PathWithoutSlash { path });
                } else if text.ends_with('/') {
                    report.problem(ProblemKind::SeparatedPrefixEndsWithSlash { path });
                } else if text.contains(['?', '#']) {
                    report.problem(ProblemKind::PathWithQuery { path });
                }
                PathKind::SeparatedPrefix(text.as_bytes().into())
            }
            PathMatch::Connect => PathKind::Connect,
        };
        Some(Self { kind, ignore_case: !config.case_sensitive })
    }

    fn is_match(&self, path: &[u8], method: &[u8]) -> bool {
        // What a CONNECT is for is no path: a pattern for paths must not open a tunnel.
        if method == b"CONNECT" {
            return matches!(self.kind, PathKind::Connect);
        }
        match &self.kind {
            PathKind::Connect => false,
            PathKind::Prefix(text) => starts_with(path, text, self.ignore_case),
            PathKind::Exact(text) => equal(path, text, self.ignore_case),
            PathKind::SeparatedPrefix(text) => {
                starts_with(path, text, self.ignore_case)
                    && matches!(path.get(text.len()), None | Some(b'/'))
            }
            PathKind::Regex(regex) => regex.is_match(path),
        }
    }
}

#[derive(Clone, Debug)]
struct HeaderMatcher {
    name: HeaderName,
    kind: HeaderKind,
    invert: bool,
    treat_missing_as_empty: bool,
}

#[derive(Clone, Debug)]
enum HeaderName {
    Method,
    Authority,
    Path,
    Scheme,
    Named(Box<str>),
}

#[derive(Clone, Debug)]
enum HeaderKind {
    Present(bool),
    String(StringMatcher),
    Range { start: i64, end: i64 },
}

impl HeaderName {
    fn as_str(&self) -> &str {
        match self {
            Self::Method => ":method",
            Self::Authority => ":authority",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
            Self::Named(name) => name,
        }
    }
}

impl HeaderMatcher {
    fn compile(config: &HeaderMatch, report: &mut Report) -> Option<Self> {
        let name = match config.name.to_ascii_lowercase().as_str() {
            ":method" => HeaderName::Method,
            ":authority" | "host" => HeaderName::Authority,
            ":path" => HeaderName::Path,
            ":scheme" => HeaderName::Scheme,
            name if name.starts_with(':') => {
                report.problem(ProblemKind::UnknownPseudoHeader { name: config.name.clone() });
                return None;
            }
            name if !is_token(name) => {
                report.problem(ProblemKind::InvalidHeaderName { name: config.name.clone() });
                return None;
            }
            name => HeaderName::Named(name.into()),
        };
        let kind = match &config.kind {
            HeaderMatchKind::Present(present) => HeaderKind::Present(*present),
            HeaderMatchKind::String(text) => {
                HeaderKind::String(StringMatcher::compile(text, report)?)
            }
            &HeaderMatchKind::Range { start, end } => {
                if start >= end {
                    report.problem(ProblemKind::EmptyRange { start, end });
                }
                HeaderKind::Range { start, end }
            }
        };
        let (invert, treat_missing_as_empty) = (config.invert, config.treat_missing_as_empty);
        Some(Self { name, kind, invert, treat_missing_as_empty })
    }

    fn is_match<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        match &self.name {
            HeaderName::Method => self.holds(Some(request.method())),
            HeaderName::Authority => self.holds(Some(request.authority())),
            HeaderName::Path => self.holds(Some(request.path())),
            HeaderName::Scheme => self.holds(Some(request.scheme())),
            HeaderName::Named(name) => {
                let mut values = request.header_values(name);
                let first = values.next();
                let Some(second) = values.next() else { return self.holds(first) };
                if matches!(self.kind, HeaderKind::Present(_)) {
                    return self.holds(first);
                }
                // A repeated header counts as its values joined by a comma: rare, so it may allocate.
                let mut joined = first.unwrap_or_default().to_vec();
                for value in std::iter::once(second).chain(values) {
                    joined.push(b',');
                    joined.extend_from_slice(value);
                }
                self.holds(Some(&joined))
            }
        }
    }

    fn holds(&self, value: Option<&[u8]>) -> bool {
        if let HeaderKind::Present(present) = self.kind {
            return (value.is_some() == present) != self.invert;
        }
        let value = match value {
            Some(value) => value,
            None if self.treat_missing_as_empty => b"",
            // As in Envoy: without a value there is nothing to compare, inverted or not.
            None => return false,
        };
        let holds = match &self.kind {
            HeaderKind::Present(_) => true,
            HeaderKind::String(matcher) => matcher.is_match(value),
            HeaderKind::Range { start, end } => {
                let number =
                    std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
                number.is_some_and(|number| (*start..*end).contains(&number))
            }
        };
        holds != self.invert
    }
}

#[derive(Clone, Debug)]
struct QueryMatcher {
    name: Box<str>,
    kind: QueryKind,
}

#[derive(Clone, Debug)]
enum QueryKind {
    Present(bool),
    String(StringMatcher),
}

impl QueryMatcher {
    fn compile(config: &QueryMatch, report: &mut Report) -> Option<Self> {
        if config.name.is_empty() {
            report.problem_at(format_args!(".name"), ProblemKind::Empty { what: "parameter name" });
        }
        let kind = match &config.kind {
            QueryMatchKind::Present(present) => QueryKind::Present(*present),
            QueryMatchKind::String(text) => {
                QueryKind::String(StringMatcher::compile(text, report)?)
            }
        };
        Some(Self { name: config.name.as_str().into(), kind })
    }

    fn is_match(&self, path: &[u8]) -> bool {
        let value = first_parameter(query_only(path), self.name.as_bytes());
        match &self.kind {
            QueryKind::Present(present) => value.is_some() == *present,
            QueryKind::String(matcher) => value.is_some_and(|value| matcher.is_match(value)),
        }
    }
}

/// The first value of a name, not percent-decoded, as Envoy does it; a name without `=` has the empty value.
fn first_parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let rest = pair.strip_prefix(name)?;
        match rest.split_first() {
            None => Some(rest),
            Some((b'=', value)) => Some(value),
            Some(_) => None,
        }
    })
}
