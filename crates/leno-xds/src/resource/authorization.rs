//! `envoy.extensions.filters.http.rbac.v3.RBAC`, what routes say in its place, and
//! `envoy.extensions.filters.network.rbac.v3.RBAC`.

mod condition;

use leno_core::config::{
    Authorization, AuthorizationAction, AuthorizationRules, ConnectionAuthorization, Enforcement,
    Policy, RouteAuthorization,
};

use self::condition::{Of, write_permission, write_principal};
use super::value;
use crate::read::{Names, Reader};
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
    r.harmless(HARMLESS_RULES);
    let policies = r.entries(2, "policies", |name, field| {
        let policy = field.message(|r| {
            refuse(r, &[(3, "condition"), (4, "checked_condition"), (5, "cel_config")]);
            Policy {
                permissions: condition::permissions(r, of),
                principals: condition::principals(r, of),
            }
        });
        Some((name.to_owned(), policy?))
    });
    AuthorizationRules {
        action: r.choice(1, "action", &ACTION).unwrap_or_default(),
        policies: policies.into_iter().collect(),
    }
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
