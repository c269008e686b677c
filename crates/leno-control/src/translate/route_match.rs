//! Matches: those on the caller are decided here, once; those on the request become the route's.

use leno_api::spec::is_subset;
use leno_api::spec::virtual_service::{CallerMatch, HttpMatch, VirtualService};
use leno_core::config::{
    HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, RouteMatch, StringMatch,
    StringPattern,
};

use super::proxy::Proxy;
use crate::scope::MESH;

/// Whether a rule's match holds for calls of this proxy to this port, whatever the request.
pub(super) fn holds_for_caller(
    caller: &CallerMatch,
    rule: &VirtualService,
    port: u16,
    proxy: &Proxy,
) -> bool {
    let gateways = if caller.gateways.is_empty() { &rule.gateways } else { &caller.gateways };
    (gateways.is_empty() || gateways.iter().any(|gateway| gateway == MESH))
        && caller.port.is_none_or(|asked| asked == port)
        && (caller.source_namespace.is_empty() || *caller.source_namespace == *proxy.namespace)
        && is_subset(&caller.source_labels, &proxy.labels)
}

/// Every request.
pub(super) fn any_request() -> RouteMatch {
    RouteMatch {
        path: PathMatch::Prefix("/".to_owned()),
        case_sensitive: true,
        headers: Vec::new(),
        query: Vec::new(),
    }
}

/// Whether no later route can be reached.
pub(super) fn takes_everything(route_match: &RouteMatch) -> bool {
    let any_path = match &route_match.path {
        PathMatch::Prefix(prefix) => prefix == "/",
        PathMatch::Regex(regex) => regex == ".*" || regex == "/.*",
        PathMatch::Exact(_) | PathMatch::PathSeparatedPrefix(_) | PathMatch::Connect => false,
    };
    any_path && route_match.headers.is_empty() && route_match.query.is_empty()
}

pub(super) fn route_match(said: &HttpMatch) -> RouteMatch {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    let pseudo =
        [(":method", &said.method), (":authority", &said.authority), (":scheme", &said.scheme)];
    for (name, value) in pseudo {
        if value.is_some() {
            headers.push(header(name, value.as_ref()));
        }
    }
    headers.extend(said.headers.iter().map(|(name, value)| header(name, value.as_ref())));
    headers.extend(said.without_headers.iter().map(|(name, value)| HeaderMatch {
        invert: true,
        // A header that is not there does not match either.
        treat_missing_as_empty: value.is_some(),
        ..header(name, value.as_ref())
    }));
    RouteMatch {
        path: said.uri.as_ref().map_or_else(|| any_request().path, path),
        case_sensitive: !said.ignore_uri_case,
        headers,
        query: said.query_params.iter().map(|(name, value)| query(name, value.as_ref())).collect(),
    }
}

fn path(uri: &StringMatch) -> PathMatch {
    match &uri.pattern {
        StringPattern::Exact(text) => PathMatch::Exact(text.clone()),
        StringPattern::Regex(text) => PathMatch::Regex(text.clone()),
        StringPattern::Prefix(text)
        | StringPattern::Suffix(text)
        | StringPattern::Contains(text) => PathMatch::Prefix(text.clone()),
    }
}

fn header(name: &str, value: Option<&StringMatch>) -> HeaderMatch {
    let kind = match value {
        None => HeaderMatchKind::Present(true),
        Some(value) => HeaderMatchKind::String(value.clone()),
    };
    let name = name.to_ascii_lowercase();
    HeaderMatch { name, kind, invert: false, treat_missing_as_empty: false }
}

fn query(name: &str, value: Option<&StringMatch>) -> QueryMatch {
    let kind = match value {
        None => QueryMatchKind::Present(true),
        Some(value) => QueryMatchKind::String(value.clone()),
    };
    QueryMatch { name: name.to_owned(), kind }
}
