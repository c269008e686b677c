//! `envoy.extensions.filters.http.rbac.v3.RBAC`, what routes say in its place, and
//! `envoy.extensions.filters.network.rbac.v3.RBAC`.

use ipnet::IpNet;
use leno_core::config::{
    Authorization, AuthorizationAction, AuthorizationRules, ConnectionAuthorization, Enforcement,
    HeaderMatch, Permission, Policy, Principal, RouteAuthorization, StringMatch, StringPattern,
};

use super::{route, value};
use crate::read::{Field, Names, Reader};
use crate::wire::Writer;

pub(crate) const FILTER: &str = "envoy.filters.http.rbac";
pub(crate) const TYPE: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
const PER_ROUTE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
pub(crate) const NETWORK_FILTER: &str = "envoy.filters.network.rbac";
pub(crate) const NETWORK_TYPE: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";

/// Counters of single policies.
const HARMLESS: &Names = &[(7, "track_per_rule_stats")];

/// How soon a refused connection ends; it ends at once.
const HARMLESS_NETWORK: &Names = &[(8, "delay_deny"), (9, "enforce_on_transport_ready")];

/// Who else is told.
const HARMLESS_RULES: &Names = &[(3, "audit_logging_options")];

const ACTION: [(u32, &str, AuthorizationAction); 3] = [
    (0, "ALLOW", AuthorizationAction::Allow),
    (1, "DENY", AuthorizationAction::Deny),
    (2, "LOG", AuthorizationAction::Log),
];

const ENFORCEMENT: [(u32, &str, Enforcement); 2] = [
    (0, "ONE_TIME_ON_FIRST_BYTE", Enforcement::OnFirstByte),
    (1, "CONTINUOUS", Enforcement::Continuous),
];

/// Conditions within conditions; written down by hand, three are many.
const DEPTH_MAX: usize = 16;

/// What conditions are about, and how deep they are.
#[derive(Clone, Copy)]
struct Level {
    of: Of,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Of {
    Requests,
    Connections,
}

impl Level {
    fn below(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> Authorization {
    r.harmless(HARMLESS);
    refuse(r, &[(4, "matcher"), (5, "shadow_matcher")]);
    Authorization {
        rules: r.message(1, "rules", |r| rules(r, Of::Requests)),
        shadow_rules: r.message(2, "shadow_rules", |r| rules(r, Of::Requests)),
        rules_stat_prefix: r.string(6, "rules_stat_prefix"),
        shadow_rules_stat_prefix: r.string(3, "shadow_rules_stat_prefix"),
    }
}

/// What a route, virtual host or route configuration says to the filter.
pub(crate) fn per_route(kind: &str, r: &mut Reader<'_, '_>) -> Option<RouteAuthorization> {
    if kind != PER_ROUTE {
        r.problem(&format!("is a {kind}; a {PER_ROUTE} is expected"));
        r.skip();
        return None;
    }
    Some(match r.message(2, "rbac", decode) {
        Some(check) => RouteAuthorization::Check(Box::new(check)),
        None => RouteAuthorization::Disabled,
    })
}

/// The network filter.
pub(crate) fn decode_network(r: &mut Reader<'_, '_>) -> ConnectionAuthorization {
    r.harmless(HARMLESS_NETWORK);
    refuse(r, &[(6, "matcher"), (7, "shadow_matcher")]);
    ConnectionAuthorization {
        check: Authorization {
            rules: r.message(1, "rules", |r| rules(r, Of::Connections)),
            shadow_rules: r.message(2, "shadow_rules", |r| rules(r, Of::Connections)),
            rules_stat_prefix: String::new(),
            shadow_rules_stat_prefix: r.string(5, "shadow_rules_stat_prefix"),
        },
        stat_prefix: r.required_string(3, "stat_prefix"),
        enforcement: r.choice(4, "enforcement_type", &ENFORCEMENT).unwrap_or_default(),
    }
}

/// What would decide and is not understood; whether there was such a thing.
fn refuse(r: &mut Reader<'_, '_>, fields: &Names) -> bool {
    let mut found = false;
    for &(number, name) in fields {
        if let Some(field) = r.field(number, name) {
            field.problem("is not supported");
            found = true;
        }
    }
    found
}

fn rules(r: &mut Reader<'_, '_>, of: Of) -> AuthorizationRules {
    let level = Level { of, depth: 0 };
    r.harmless(HARMLESS_RULES);
    let policies = r.entries(2, "policies", |name, field| {
        let policy = field.message(|r| {
            refuse(r, &[(3, "condition"), (4, "checked_condition"), (5, "cel_config")]);
            Policy {
                permissions: conditions(r, (1, "permissions"), level, permission),
                principals: conditions(r, (2, "principals"), level, principal),
            }
        });
        Some((name.to_owned(), policy?))
    });
    AuthorizationRules {
        action: r.choice(1, "action", &ACTION).unwrap_or_default(),
        policies: policies.into_iter().collect(),
    }
}

type Decode<T> = fn(&mut Reader<'_, '_>, Level) -> Option<T>;

/// A list that must not be empty: without a condition it is not said what is meant.
fn conditions<T>(
    r: &mut Reader<'_, '_>,
    (number, name): (u32, &'static str),
    level: Level,
    decode: Decode<T>,
) -> Vec<T> {
    let mut given = 0;
    let found = r.each(number, name, |field| {
        given += 1;
        field.message(|r| decode(r, level.below())).flatten()
    });
    if given == 0 {
        r.problem_at(name, "is missing");
    }
    found
}

/// Conditions that this one consists of.
fn set<T>(
    r: &mut Reader<'_, '_>,
    (number, name, inner): (u32, &'static str, &'static str),
    level: Level,
    decode: Decode<T>,
) -> Option<Vec<T>> {
    r.message(number, name, |r| conditions(r, (1, inner), level, decode))
}

fn is_too_deep(r: &mut Reader<'_, '_>, level: Level) -> bool {
    let is_too_deep = level.depth > DEPTH_MAX;
    if is_too_deep {
        r.problem(&format!("is more than {DEPTH_MAX} conditions deep"));
        r.skip();
    }
    is_too_deep
}

fn any(r: &mut Reader<'_, '_>) -> bool {
    let any = r.field(3, "any").and_then(Field::bool);
    if any == Some(false) {
        r.problem_at("any", "is false; only true is allowed");
    }
    any.is_some()
}

fn permission(r: &mut Reader<'_, '_>, level: Level) -> Option<Permission> {
    if is_too_deep(r, level) {
        return None;
    }
    const UNKNOWN: &Names =
        &[(7, "metadata"), (12, "matcher"), (13, "uri_template"), (14, "sourced_metadata")];
    let is_refused = refuse(r, UNKNOWN);
    let mut found = Vec::new();
    found.extend(any(r).then_some(Permission::Any));
    found.extend(set(r, (1, "and_rules", "rules"), level, permission).map(Permission::And));
    found.extend(set(r, (2, "or_rules", "rules"), level, permission).map(Permission::Or));
    // What was wrong within is reported; the value is not used then.
    let not = r.message(8, "not_rule", |r| permission(r, level.below()).unwrap_or(Permission::Any));
    found.extend(not.map(|not| Permission::Not(Box::new(not))));
    found.extend(header(r, 4, level).map(Permission::Header));
    found.extend(r.message(10, "url_path", path).map(Permission::UrlPath));
    let destination = r.message(5, "destination_ip", range);
    found.extend(destination.map(Permission::DestinationIp));
    let port = r.field(6, "destination_port").map(|field| field.port().unwrap_or_default());
    found.extend(port.map(Permission::DestinationPort));
    let ports = r.message(11, "destination_port_range", port_range);
    found.extend(ports.map(|(start, end)| Permission::DestinationPortRange { start, end }));
    let name = r.message(9, "requested_server_name", value::string_match);
    found.extend(name.map(Permission::RequestedServerName));
    one(r, found, is_refused)
}

fn principal(r: &mut Reader<'_, '_>, level: Level) -> Option<Principal> {
    if is_too_deep(r, level) {
        return None;
    }
    const UNKNOWN: &Names =
        &[(7, "metadata"), (12, "filter_state"), (13, "sourced_metadata"), (14, "custom")];
    let is_refused = refuse(r, UNKNOWN);
    let mut found = Vec::new();
    found.extend(any(r).then_some(Principal::Any));
    found.extend(set(r, (1, "and_ids", "ids"), level, principal).map(Principal::And));
    found.extend(set(r, (2, "or_ids", "ids"), level, principal).map(Principal::Or));
    let not = r.message(8, "not_id", |r| principal(r, level.below()).unwrap_or(Principal::Any));
    found.extend(not.map(|not| Principal::Not(Box::new(not))));
    let name = |r: &mut Reader<'_, '_>| r.message(2, "principal_name", value::string_match);
    found.extend(r.message(4, "authenticated", name).map(Principal::Authenticated));
    found.extend(r.message(5, "source_ip", range).map(Principal::SourceIp));
    let direct = r.message(10, "direct_remote_ip", range);
    found.extend(direct.map(Principal::DirectRemoteIp));
    found.extend(r.message(11, "remote_ip", range).map(Principal::RemoteIp));
    found.extend(header(r, 6, level).map(Principal::Header));
    found.extend(r.message(9, "url_path", path).map(Principal::UrlPath));
    one(r, found, is_refused)
}

/// The one member of a oneof.
fn one<T>(r: &mut Reader<'_, '_>, mut found: Vec<T>, is_refused: bool) -> Option<T> {
    if found.len() != 1 && !is_refused {
        r.problem("exactly one condition is expected");
    }
    found.pop()
}

/// `CidrRange`.
fn range(r: &mut Reader<'_, '_>) -> IpNet {
    value::cidr(r).unwrap_or_default()
}

/// Envoy refuses it where there is no request, too.
fn header(r: &mut Reader<'_, '_>, number: u32, level: Level) -> Option<HeaderMatch> {
    let header = r.message(number, "header", route::header_match);
    if header.is_some() && level.of == Of::Connections {
        r.problem_at("header", "is not supported; a connection has no headers");
    }
    header
}

/// `PathMatcher`.
fn path(r: &mut Reader<'_, '_>) -> StringMatch {
    r.message(1, "path", value::string_match).unwrap_or_else(|| {
        r.problem_at("path", "is missing");
        StringMatch { pattern: StringPattern::Exact(String::new()), ignore_case: false }
    })
}

/// `Int32Range` of ports: from the first to the one beyond the last.
fn port_range(r: &mut Reader<'_, '_>) -> (u32, u32) {
    let bound = |field: Field<'_, '_>| field.integer();
    let start = r.field(1, "start").and_then(bound).unwrap_or_default();
    let end = r.field(2, "end").and_then(bound).unwrap_or_default();
    let range = u32::try_from(start).ok().zip(u32::try_from(end).ok());
    let range = range.filter(|(start, end)| start < end && *end <= 65536);
    range.unwrap_or_else(|| {
        r.problem(&format!("{start} to {end} is not a range of ports"));
        (0, 1)
    })
}

pub(crate) fn encode(w: &mut Writer, check: &Authorization) {
    write_rules(w, check);
    w.string(3, &check.shadow_rules_stat_prefix);
    w.string(6, &check.rules_stat_prefix);
}

pub(crate) fn encode_network(w: &mut Writer, filter: &ConnectionAuthorization) {
    write_rules(w, &filter.check);
    w.string(3, &filter.stat_prefix);
    w.number(4, value::number_of(&ENFORCEMENT, filter.enforcement));
    w.string(5, &filter.check.shadow_rules_stat_prefix);
}

pub(crate) fn write_per_route(w: &mut Writer, number: u32, said: &RouteAuthorization) {
    w.message(number, |w| {
        w.string(1, FILTER);
        w.any(2, PER_ROUTE, |w| match said {
            RouteAuthorization::Check(check) => w.message(2, |w| encode(w, check)),
            RouteAuthorization::Disabled => {}
        });
    });
}

fn write_rules(w: &mut Writer, check: &Authorization) {
    for (number, rules) in [(1, &check.rules), (2, &check.shadow_rules)] {
        let Some(rules) = rules else { continue };
        w.message(number, |w| {
            w.number(1, value::number_of(&ACTION, rules.action));
            for (name, policy) in &rules.policies {
                w.message(2, |w| {
                    w.string(1, name);
                    w.message(2, |w| {
                        policy.permissions.iter().for_each(|one| write_permission(w, 1, one));
                        policy.principals.iter().for_each(|one| write_principal(w, 2, one));
                    });
                });
            }
        });
    }
}

fn write_permission(w: &mut Writer, number: u32, permission: &Permission) {
    let set = |w: &mut Writer, number, rules: &[Permission]| {
        w.message(number, |w| rules.iter().for_each(|one| write_permission(w, 1, one)));
    };
    w.message(number, |w| match permission {
        Permission::Any => w.bool(3, true),
        Permission::And(rules) => set(w, 1, rules),
        Permission::Or(rules) => set(w, 2, rules),
        Permission::Not(rule) => write_permission(w, 8, rule),
        Permission::Header(header) => w.message(4, |w| route::write_header_match(w, header)),
        Permission::UrlPath(text) => write_path(w, 10, text),
        Permission::DestinationIp(range) => value::write_cidr(w, 5, range),
        Permission::DestinationPort(port) => w.explicit(6, (*port).into()),
        Permission::DestinationPortRange { start, end } => w.message(11, |w| {
            w.number(1, (*start).into());
            w.number(2, (*end).into());
        }),
        Permission::RequestedServerName(name) => value::write_string_match(w, 9, name),
    });
}

fn write_principal(w: &mut Writer, number: u32, principal: &Principal) {
    let set = |w: &mut Writer, number, ids: &[Principal]| {
        w.message(number, |w| ids.iter().for_each(|one| write_principal(w, 1, one)));
    };
    w.message(number, |w| match principal {
        Principal::Any => w.bool(3, true),
        Principal::And(ids) => set(w, 1, ids),
        Principal::Or(ids) => set(w, 2, ids),
        Principal::Not(id) => write_principal(w, 8, id),
        Principal::Authenticated(name) => w.message(4, |w| {
            if let Some(name) = name {
                value::write_string_match(w, 2, name);
            }
        }),
        Principal::SourceIp(range) => value::write_cidr(w, 5, range),
        Principal::DirectRemoteIp(range) => value::write_cidr(w, 10, range),
        Principal::RemoteIp(range) => value::write_cidr(w, 11, range),
        Principal::Header(header) => w.message(6, |w| route::write_header_match(w, header)),
        Principal::UrlPath(text) => write_path(w, 9, text),
    });
}

fn write_path(w: &mut Writer, number: u32, text: &StringMatch) {
    w.message(number, |w| value::write_string_match(w, 1, text));
}
