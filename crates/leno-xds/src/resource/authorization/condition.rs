//! The conditions of a policy, `config.rbac.v3.Permission` and `Principal`: trees of the same shape, over what is asked for
//! and over who asks.

use ipnet::IpNet;
use leno_core::config::{HeaderMatch, Permission, Principal, StringMatch, StringPattern};

use super::super::{route, value};
use super::refuse;
use crate::read::{Field, Names, Reader};
use crate::wire::Writer;

/// Conditions within conditions; written down by hand, three are many.
const DEPTH_MAX: usize = 16;

/// What conditions are about.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Of {
    Requests,
    Connections,
}

/// What conditions are about, and how deep they are.
#[derive(Clone, Copy)]
struct Level {
    of: Of,
    depth: usize,
}

impl Level {
    fn below(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

/// `Policy.permissions`.
pub(super) fn permissions(r: &mut Reader<'_, '_>, of: Of) -> Vec<Permission> {
    conditions(r, (1, "permissions"), Level { of, depth: 0 }, permission)
}

/// `Policy.principals`.
pub(super) fn principals(r: &mut Reader<'_, '_>, of: Of) -> Vec<Principal> {
    conditions(r, (2, "principals"), Level { of, depth: 0 }, principal)
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

pub(super) fn write_permission(w: &mut Writer, number: u32, permission: &Permission) {
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

pub(super) fn write_principal(w: &mut Writer, number: u32, principal: &Principal) {
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
