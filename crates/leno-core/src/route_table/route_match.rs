//! When a route applies: path, headers and query parameters, all of them.

use regex::bytes::Regex;

use crate::config::{PathMatch, QueryMatch, QueryMatchKind, RouteMatch};
use crate::header_match::HeaderMatcher;
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
            && self.headers.iter().all(|header| header.is_match(Some(request)))
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
        let header = self.headers.iter().find(|header| !header.is_match(Some(request)));
        if let Some(header) = header {
            return Some(format!("header {}", header.name()));
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
