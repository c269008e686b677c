//! One condition on a header or pseudo-header (`envoy.config.route.v3.HeaderMatcher`), for routes and authorization.

use crate::config::{HeaderMatch, HeaderMatchKind};
use crate::header_edit::is_token;
use crate::problem::{ProblemKind, Report};
use crate::request::{RequestView, has_path};
use crate::string_match::StringMatcher;

/// A compiled [`HeaderMatch`].
#[derive(Clone, Debug)]
pub(crate) struct HeaderMatcher {
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
    pub(crate) fn compile(config: &HeaderMatch, report: &mut Report) -> Option<Self> {
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

    /// The name it looks at.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What the whole `:path` must be or begin with, query included, if it must.
    pub(crate) fn path_pattern(&self) -> Option<&StringMatcher> {
        match (&self.name, &self.kind) {
            (HeaderName::Path, HeaderKind::String(matcher))
                if !self.invert && !self.treat_missing_as_empty =>
            {
                Some(matcher)
            }
            _ => None,
        }
    }

    /// Whether the condition holds; without a request every header is absent.
    pub(crate) fn is_match<R: RequestView + ?Sized>(&self, request: Option<&R>) -> bool {
        let Some(request) = request else { return self.holds(None) };
        match &self.name {
            HeaderName::Method => self.holds(Some(request.method())),
            HeaderName::Authority => self.holds(Some(request.authority())),
            // What a CONNECT is for is no path.
            HeaderName::Path => self.holds(has_path(request).then(|| request.path())),
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
