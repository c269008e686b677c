//! `envoy.config.route.v3.RouteConfiguration`: virtual hosts, routes and when they match.

use leno_core::config::{
    HeaderMatch, HeaderMatchKind, PathMatch, QueryMatch, QueryMatchKind, Route, RouteAction,
    RouteConfiguration, RouteMatch, StringMatch, StringPattern, VirtualHost,
};
use serde_json::{Map, Value};

use super::header_edits::{self, HeaderFields, header_fields};
use super::per_filter::PerFilter;
use super::{authorization, fault, retry, route_action, value};
use crate::read::{Field, Names, Reader, exactly};
use crate::wire::Writer;

const ISTIO: &str = "istio";

/// Names for people, and a bound on bodies that are bounded anyway.
const HARMLESS: &Names = &[(11, "max_direct_response_body_size_bytes"), (17, "metadata")];
/// Statistics.
const HARMLESS_HOST: &Names = &[(5, "virtual_clusters"), (24, "metadata")];
/// Names in traces and statistics.
const HARMLESS_ROUTE: &Names = &[(5, "decorator"), (15, "tracing"), (19, "stat_prefix")];

const CONFIG_HEADERS: (HeaderFields, HeaderFields) = header_fields([6, 8, 4, 5]);
const HOST_HEADERS: (HeaderFields, HeaderFields) = header_fields([7, 13, 10, 11]);
const ROUTE_HEADERS: (HeaderFields, HeaderFields) = header_fields([9, 12, 10, 11]);

/// One that is fetched: clusters may come later than routes.
pub(crate) fn decode(r: &mut Reader<'_, '_>) -> RouteConfiguration {
    configuration(r, false)
}

/// One written in a connection manager: Envoy then checks the clusters unless told not to.
pub(crate) fn decode_inline(r: &mut Reader<'_, '_>) -> RouteConfiguration {
    configuration(r, true)
}

fn configuration(r: &mut Reader<'_, '_>, validate_clusters: bool) -> RouteConfiguration {
    r.harmless(HARMLESS);
    let name = r.string(1, "name");
    let mut virtual_hosts = r.messages(2, "virtual_hosts", virtual_host);
    let said = PerFilter::decode(r, 16);
    virtual_hosts.iter_mut().for_each(|host| said.hand_down(&mut host.routes));
    RouteConfiguration {
        name,
        virtual_hosts,
        request_headers: header_edits::decode(r, &CONFIG_HEADERS.0),
        response_headers: header_edits::decode(r, &CONFIG_HEADERS.1),
        validate_clusters: r.wrapped_bool(7, "validate_clusters").unwrap_or(validate_clusters),
    }
}

fn virtual_host(r: &mut Reader<'_, '_>) -> VirtualHost {
    r.harmless(HARMLESS_HOST);
    let name = r.required_string(1, "name");
    let domains = r.strings(2, "domains");
    let mut routes = exactly(r.messages(3, "routes", route).into_iter().flatten());
    PerFilter::decode(r, 15).hand_down(&mut routes);
    r.choice(4, "require_tls", &[(0, "NONE", ())]);
    VirtualHost {
        name,
        domains,
        routes,
        request_headers: header_edits::decode(r, &HOST_HEADERS.0),
        response_headers: header_edits::decode(r, &HOST_HEADERS.1),
        retry_policy: r.message(16, "retry_policy", retry::decode).map(Box::new),
        include_attempt_count: r.bool(14, "include_request_attempt_count"),
    }
}

fn route(r: &mut Reader<'_, '_>) -> Option<Route> {
    r.harmless(HARMLESS_ROUTE);
    let metadata = value::metadata(r, 4, &[ISTIO]);
    let route_match = r.message(1, "match", route_match);
    if route_match.is_none() {
        r.problem_at("match", "is missing");
    }
    let action = [
        r.message(2, "route", route_action::forward).map(|f| RouteAction::Forward(Box::new(f))),
        r.message(3, "redirect", route_action::redirect)
            .map(|to| RouteAction::Redirect(Box::new(to))),
        r.message(7, "direct_response", route_action::direct_response)
            .map(RouteAction::DirectResponse),
    ];
    let mut actions = action.into_iter().flatten();
    let action = actions.next();
    if action.is_none() || actions.next().is_some() {
        r.problem("exactly one of route, redirect and direct_response is expected");
    }
    let PerFilter { fault, authorization } = PerFilter::decode(r, 13);
    Some(Route {
        name: r.string(14, "name"),
        origin: value::text_at(metadata.get(ISTIO), "config"),
        request_headers: header_edits::decode(r, &ROUTE_HEADERS.0),
        response_headers: header_edits::decode(r, &ROUTE_HEADERS.1),
        fault,
        authorization,
        route_match: route_match?,
        action: action?,
    })
}

fn route_match(r: &mut Reader<'_, '_>) -> RouteMatch {
    let mut paths = r.texts(&[
        (1, "prefix", PathMatch::Prefix),
        (2, "path", PathMatch::Exact),
        (14, "path_separated_prefix", PathMatch::PathSeparatedPrefix),
    ]);
    if let Some(regex) = r.message(10, "safe_regex", value::regex) {
        paths.push(PathMatch::Regex(regex));
    }
    paths.extend(r.message(12, "connect_matcher", |_| PathMatch::Connect));
    if paths.len() != 1 {
        r.problem(
            "exactly one of prefix, path, safe_regex, path_separated_prefix and connect_matcher \
             is expected",
        );
    }
    RouteMatch {
        path: paths.pop().unwrap_or_else(|| PathMatch::Exact(String::new())),
        case_sensitive: r.wrapped_bool(4, "case_sensitive").unwrap_or(true),
        headers: r.messages(6, "headers", header_match),
        query: r.messages(7, "query_parameters", query_match),
    }
}

/// Envoy's older spellings (`exact_match` and so on) are what `string_match` replaced.
pub(crate) fn header_match(r: &mut Reader<'_, '_>) -> HeaderMatch {
    let string = |pattern| HeaderMatchKind::String(StringMatch { pattern, ignore_case: false });
    let patterns = r.texts(&[
        (4, "exact_match", StringPattern::Exact),
        (9, "prefix_match", StringPattern::Prefix),
        (10, "suffix_match", StringPattern::Suffix),
        (12, "contains_match", StringPattern::Contains),
    ]);
    let mut kinds: Vec<_> = patterns.into_iter().map(string).collect();
    if let Some(regex) = r.message(11, "safe_regex_match", value::regex) {
        kinds.push(string(StringPattern::Regex(regex)));
    }
    kinds.extend(r.message(13, "string_match", value::string_match).map(HeaderMatchKind::String));
    kinds.extend(r.field(7, "present_match").and_then(Field::bool).map(HeaderMatchKind::Present));
    kinds.extend(r.message(6, "range_match", |r| HeaderMatchKind::Range {
        start: r.field(1, "start").and_then(Field::i64).unwrap_or_default(),
        end: r.field(2, "end").and_then(Field::i64).unwrap_or_default(),
    }));
    if kinds.len() > 1 {
        r.problem("has more than one condition");
    }
    HeaderMatch {
        name: r.required_string(1, "name").to_ascii_lowercase(),
        // Without a condition Envoy asks for presence.
        kind: kinds.pop().unwrap_or(HeaderMatchKind::Present(true)),
        invert: r.bool(8, "invert_match"),
        treat_missing_as_empty: r.bool(14, "treat_missing_header_as_empty"),
    }
}

fn query_match(r: &mut Reader<'_, '_>) -> QueryMatch {
    let string = r.message(5, "string_match", value::string_match).map(QueryMatchKind::String);
    let present = r.field(6, "present_match").and_then(Field::bool).map(QueryMatchKind::Present);
    if string.is_some() && present.is_some() {
        r.problem("has more than one condition");
    }
    QueryMatch {
        name: r.required_string(1, "name"),
        kind: string.or(present).unwrap_or(QueryMatchKind::Present(true)),
    }
}

pub(crate) fn encode(w: &mut Writer, configuration: &RouteConfiguration) {
    w.string(1, &configuration.name);
    for host in &configuration.virtual_hosts {
        w.message(2, |w| encode_host(w, host));
    }
    header_edits::encode(w, &CONFIG_HEADERS.1, &configuration.response_headers);
    header_edits::encode(w, &CONFIG_HEADERS.0, &configuration.request_headers);
    w.wrapped_bool(7, configuration.validate_clusters);
}

fn encode_host(w: &mut Writer, host: &VirtualHost) {
    w.string(1, &host.name);
    w.strings(2, &host.domains);
    for route in &host.routes {
        w.message(3, |w| encode_route(w, route));
    }
    header_edits::encode(w, &HOST_HEADERS.0, &host.request_headers);
    header_edits::encode(w, &HOST_HEADERS.1, &host.response_headers);
    w.bool(14, host.include_attempt_count);
    if let Some(policy) = &host.retry_policy {
        w.message(16, |w| retry::encode(w, policy));
    }
}

fn encode_route(w: &mut Writer, route: &Route) {
    w.message(1, |w| encode_match(w, &route.route_match));
    match &route.action {
        RouteAction::Forward(forward) => w.message(2, |w| route_action::write_forward(w, forward)),
        RouteAction::Redirect(redirect) => {
            w.message(3, |w| route_action::write_redirect(w, redirect));
        }
        RouteAction::DirectResponse(response) => {
            w.message(7, |w| route_action::write_direct_response(w, response));
        }
    }
    let mut istio = Map::new();
    if let Some(origin) = &route.origin {
        istio.insert("config".to_owned(), Value::from(origin.as_str()));
    }
    value::write_metadata(w, 4, &[(ISTIO, istio)]);
    header_edits::encode(w, &ROUTE_HEADERS.0, &route.request_headers);
    header_edits::encode(w, &ROUTE_HEADERS.1, &route.response_headers);
    if let Some(fault) = &route.fault {
        fault::write_per_filter(w, 13, fault);
    }
    if let Some(authorization) = &route.authorization {
        authorization::write_per_route(w, 13, authorization);
    }
    w.string(14, &route.name);
}

fn encode_match(w: &mut Writer, route_match: &RouteMatch) {
    match &route_match.path {
        PathMatch::Prefix(text) => w.element(1, text.as_bytes()),
        PathMatch::Exact(text) => w.element(2, text.as_bytes()),
        PathMatch::Regex(regex) => value::write_regex(w, 10, regex),
        PathMatch::PathSeparatedPrefix(text) => w.element(14, text.as_bytes()),
        PathMatch::Connect => w.message(12, |_| ()),
    }
    if !route_match.case_sensitive {
        w.wrapped_bool(4, false);
    }
    for header in &route_match.headers {
        w.message(6, |w| write_header_match(w, header));
    }
    for query in &route_match.query {
        w.message(7, |w| {
            w.string(1, &query.name);
            match &query.kind {
                QueryMatchKind::Present(present) => w.explicit(6, u64::from(*present)),
                QueryMatchKind::String(string) => value::write_string_match(w, 5, string),
            }
        });
    }
}

pub(crate) fn write_header_match(w: &mut Writer, header: &HeaderMatch) {
    w.string(1, &header.name);
    match &header.kind {
        HeaderMatchKind::Present(present) => w.explicit(7, u64::from(*present)),
        HeaderMatchKind::String(string) => value::write_string_match(w, 13, string),
        HeaderMatchKind::Range { start, end } => w.message(6, |w| {
            w.number(1, *start as u64);
            w.number(2, *end as u64);
        }),
    }
    w.bool(8, header.invert);
    w.bool(14, header.treat_missing_as_empty);
}
