//! What becomes of path, host and location: the only parts of routing that make new strings.

use std::sync::Arc;

use regex::bytes::Regex;

use super::host_index::without_port;
use super::route_match::RouteMatcher;
use crate::config::{self, RedirectPath};
use crate::problem::{ProblemKind, Report};
use crate::request::{RequestView, path_only};
use crate::string_match::compile_regex;

/// A compiled [`config::PathRewrite`].
#[derive(Clone, Debug)]
pub(crate) enum PathRewrite {
    Prefix(Box<[u8]>),
    Regex { regex: Regex, substitution: Box<[Piece]> },
}

/// A part of a substitution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(Box<[u8]>),
    Group(usize),
}

impl PathRewrite {
    pub(crate) fn compile(config: &config::PathRewrite, report: &mut Report) -> Option<Self> {
        match config {
            config::PathRewrite::Prefix(text) => {
                check_path_part(text, report);
                Some(Self::Prefix(text.as_bytes().into()))
            }
            config::PathRewrite::Regex { pattern, substitution } => {
                let regex = compile_regex(pattern, report)?;
                check_path_part(substitution, report);
                match parse_substitution(substitution, regex.captures_len() - 1) {
                    Ok(substitution) => Some(Self::Regex { regex, substitution }),
                    Err(reason) => {
                        let text = substitution.clone();
                        report.problem(ProblemKind::InvalidSubstitution { text, reason });
                        None
                    }
                }
            }
        }
    }

    /// The new path with the old query and fragment.
    pub(crate) fn apply(&self, matcher: &RouteMatcher, path: &[u8]) -> Vec<u8> {
        let (just_path, rest) = path.split_at(path_only(path).len());
        match self {
            Self::Prefix(text) => {
                let kept = &just_path[matcher.consumed(just_path)..];
                [&**text, kept, rest].concat()
            }
            Self::Regex { regex, substitution } => {
                let mut rewritten = Vec::with_capacity(path.len());
                let mut last = 0;
                for captures in regex.captures_iter(just_path) {
                    let whole = captures.get_match();
                    rewritten.extend_from_slice(&just_path[last..whole.start()]);
                    for piece in substitution {
                        match piece {
                            Piece::Literal(text) => rewritten.extend_from_slice(text),
                            Piece::Group(number) => {
                                let group = captures.get(*number);
                                rewritten.extend_from_slice(group.map_or(b"", |g| g.as_bytes()));
                            }
                        }
                    }
                    last = whole.end();
                }
                rewritten.extend_from_slice(&just_path[last..]);
                rewritten.extend_from_slice(rest);
                rewritten
            }
        }
    }
}

/// RE2's rewrite syntax: `\0` to `\9` are groups, `\\` is a backslash.
pub(crate) fn parse_substitution(text: &str, groups: usize) -> Result<Box<[Piece]>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            literal.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => literal.push(b'\\'),
            Some(digit @ b'0'..=b'9') => {
                let number = usize::from(digit - b'0');
                if number > groups {
                    return Err(format!(
                        "\\{number} asked for, but the pattern has {groups} groups"
                    ));
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                pieces.push(Piece::Group(number));
            }
            _ => return Err("after a backslash comes a digit or another backslash".to_owned()),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(pieces.into())
}

/// A compiled [`config::Redirect`].
#[derive(Clone, Debug)]
pub struct Redirect {
    status: u16,
    scheme: Option<Arc<str>>,
    host: Option<Arc<str>>,
    port: Option<u16>,
    path: Option<RedirectPath>,
    strip_query: bool,
}

impl Redirect {
    pub(crate) fn compile(config: &config::Redirect, report: &mut Report) -> Self {
        let status = config.status;
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let allowed = "301, 302, 303, 307, 308";
            report.problem_at(
                format_args!(".status"),
                ProblemKind::InvalidStatus { status, allowed },
            );
        }
        if let Some(scheme) = config.scheme.as_ref().filter(|s| *s != "http" && *s != "https") {
            let what = ProblemKind::InvalidScheme { value: scheme.clone() };
            report.problem_at(format_args!(".scheme"), what);
        }
        if let Some(host) = &config.host {
            report.within(format_args!(".host"), |report| check_host(host, report));
        }
        match &config.path {
            Some(RedirectPath::Full(path)) if !path.starts_with('/') => {
                let what = ProblemKind::PathWithoutSlash { path: path.clone() };
                report.problem_at(format_args!(".path"), what);
            }
            Some(RedirectPath::Full(path) | RedirectPath::Prefix(path)) => {
                report.within(format_args!(".path"), |report| check_path_part(path, report));
            }
            None => {}
        }
        Self {
            status,
            scheme: config.scheme.as_deref().map(Arc::from),
            host: config.host.as_deref().map(Arc::from),
            port: config.port,
            path: config.path.clone(),
            strip_query: config.strip_query,
        }
    }

    /// 301, 302, 303, 307 or 308.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The `location` header's value.
    pub(crate) fn location<R: RequestView + ?Sized>(
        &self,
        matcher: &RouteMatcher,
        request: &R,
    ) -> Vec<u8> {
        let scheme = self.scheme.as_ref().map_or(request.scheme(), |scheme| scheme.as_bytes());
        let mut location = [scheme, b"://"].concat();
        match &self.host {
            Some(host) => location.extend_from_slice(host.as_bytes()),
            None => location.extend_from_slice(self.kept_host(scheme, request)),
        }
        if let Some(port) = self.port {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        self.push_path(matcher, request.path(), &mut location);
        location
    }

    /// The request's host; its port goes when another one is given, or when the scheme changes away from its default.
    fn kept_host<'r, R: RequestView + ?Sized>(&self, scheme: &[u8], request: &'r R) -> &'r [u8] {
        let authority = request.authority();
        let host = without_port(authority);
        let port = &authority[host.len()..];
        let default_port: &[u8] = if request.scheme() == b"https" { b":443" } else { b":80" };
        let drops_port =
            self.port.is_some() || (scheme != request.scheme() && port == default_port);
        if drops_port { host } else { authority }
    }

    fn push_path(&self, matcher: &RouteMatcher, path: &[u8], location: &mut Vec<u8>) {
        let (just_path, rest) = path.split_at(path_only(path).len());
        match &self.path {
            None => location.extend_from_slice(just_path),
            Some(RedirectPath::Full(full)) => {
                location.extend_from_slice(full.as_bytes());
                // A query of its own wins over the request's and over strip_query.
                if full.contains('?') {
                    return;
                }
            }
            Some(RedirectPath::Prefix(prefix)) => {
                location.extend_from_slice(prefix.as_bytes());
                location.extend_from_slice(&just_path[matcher.consumed(just_path)..]);
            }
        }
        if !self.strip_query {
            location.extend_from_slice(rest);
        }
    }
}

pub(crate) fn check_host(host: &str, report: &mut Report) {
    let is_bad = |byte: u8| byte <= b' ' || byte == 0x7f || b"/?#@\\".contains(&byte);
    if host.is_empty() || host.bytes().any(is_bad) {
        report.problem(ProblemKind::InvalidHost { value: host.to_owned() });
    }
}

fn check_path_part(path: &str, report: &mut Report) {
    if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        report.problem(ProblemKind::InvalidPath { value: path.to_owned() });
    }
}
