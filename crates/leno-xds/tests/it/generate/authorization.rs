//! Any authorization filter.

use ipnet::IpNet;

use super::*;

pub(super) fn authorization() -> impl Strategy<Value = Authorization> {
    (of(rules()), of(rules()), "[a-z]{0,3}", "[a-z]{0,3}").prop_map(
        |(rules, shadow, own, other)| Authorization {
            rules,
            shadow_rules: shadow,
            rules_stat_prefix: own,
            shadow_rules_stat_prefix: other,
        },
    )
}

pub(super) fn route_authorization() -> impl Strategy<Value = RouteAuthorization> {
    let check = authorization().prop_map(|check| RouteAuthorization::Check(Box::new(check)));
    prop_oneof![Just(RouteAuthorization::Disabled), check]
}

pub(super) fn connection_authorization() -> impl Strategy<Value = ConnectionAuthorization> {
    let enforcement = select(vec![Enforcement::OnFirstByte, Enforcement::Continuous]);
    (authorization(), name(), enforcement).prop_map(|(mut check, stat_prefix, enforcement)| {
        check.rules_stat_prefix.clear();
        for rules in [&mut check.rules, &mut check.shadow_rules].into_iter().flatten() {
            for policy in rules.policies.values_mut() {
                policy.permissions = policy.permissions.drain(..).map(without_header).collect();
                policy.principals = policy.principals.drain(..).map(nor_its).collect();
            }
        }
        ConnectionAuthorization { check, stat_prefix, enforcement }
    })
}

/// A connection has no headers.
fn without_header(permission: Permission) -> Permission {
    let each = |all: Vec<Permission>| all.into_iter().map(without_header).collect();
    match permission {
        Permission::Header(_) => Permission::Any,
        Permission::And(all) => Permission::And(each(all)),
        Permission::Or(any) => Permission::Or(each(any)),
        Permission::Not(one) => Permission::Not(Box::new(without_header(*one))),
        other => other,
    }
}

fn nor_its(principal: Principal) -> Principal {
    let each = |all: Vec<Principal>| all.into_iter().map(nor_its).collect();
    match principal {
        Principal::Header(_) => Principal::Any,
        Principal::And(all) => Principal::And(each(all)),
        Principal::Or(any) => Principal::Or(each(any)),
        Principal::Not(one) => Principal::Not(Box::new(nor_its(*one))),
        other => other,
    }
}

fn rules() -> impl Strategy<Value = AuthorizationRules> {
    let action = select(vec![
        AuthorizationAction::Allow,
        AuthorizationAction::Deny,
        AuthorizationAction::Log,
    ]);
    let policy = (vec(permission(), 1..3), vec(principal(), 1..3))
        .prop_map(|(permissions, principals)| Policy { permissions, principals });
    (action, btree_map("[a-z -]{1,4}", policy, 0..3))
        .prop_map(|(action, policies)| AuthorizationRules { action, policies })
}

fn range() -> impl Strategy<Value = IpNet> {
    (any::<std::net::Ipv4Addr>(), 0..=32_u8)
        .prop_map(|(address, length)| IpNet::new(address.into(), length).unwrap())
}

fn header() -> impl Strategy<Value = HeaderMatch> {
    let kind = prop_oneof![
        any::<bool>().prop_map(HeaderMatchKind::Present),
        string_match().prop_map(HeaderMatchKind::String),
    ];
    ("[a-z:-]{1,6}", kind, any::<bool>(), any::<bool>()).prop_map(
        |(name, kind, invert, treat_missing_as_empty)| HeaderMatch {
            name,
            kind,
            invert,
            treat_missing_as_empty,
        },
    )
}

fn permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        Just(Permission::Any),
        header().prop_map(Permission::Header),
        string_match().prop_map(Permission::UrlPath),
        string_match().prop_map(Permission::RequestedServerName),
        range().prop_map(Permission::DestinationIp),
        any::<u16>().prop_map(Permission::DestinationPort),
        (0..1000_u32, 1..1000_u32).prop_map(|(start, many)| {
            Permission::DestinationPortRange { start, end: start + many }
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Permission::And),
            vec(inner.clone(), 1..3).prop_map(Permission::Or),
            inner.prop_map(|inner| Permission::Not(Box::new(inner))),
        ]
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    let leaf = prop_oneof![
        Just(Principal::Any),
        of(string_match()).prop_map(Principal::Authenticated),
        range().prop_map(Principal::SourceIp),
        range().prop_map(Principal::DirectRemoteIp),
        range().prop_map(Principal::RemoteIp),
        header().prop_map(Principal::Header),
        string_match().prop_map(Principal::UrlPath),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(Principal::And),
            vec(inner.clone(), 1..3).prop_map(Principal::Or),
            inner.prop_map(|inner| Principal::Not(Box::new(inner))),
        ]
    })
}
