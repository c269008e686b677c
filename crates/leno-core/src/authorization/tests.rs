use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::{
    AuthorizationRules, HeaderMatch, HeaderMatchKind, Permission, Policy as PolicyConfig,
    Principal, StringMatch, StringPattern,
};
use crate::request::Call;

const FRONT: &str = "spiffe://cluster.local/ns/default/sa/front";

fn text(pattern: StringPattern, ignore_case: bool) -> StringMatch {
    StringMatch { pattern, ignore_case }
}

fn exact(of: &str) -> StringMatch {
    text(StringPattern::Exact(of.to_owned()), false)
}

fn starts(with: &str) -> StringMatch {
    text(StringPattern::Prefix(with.to_owned()), false)
}

fn header(name: &str, kind: HeaderMatchKind) -> HeaderMatch {
    HeaderMatch { name: name.to_owned(), kind, invert: false, treat_missing_as_empty: false }
}

fn method(is: &str) -> Permission {
    Permission::Header(header(":method", HeaderMatchKind::String(exact(is))))
}

fn policy(permission: Permission, principal: Principal) -> PolicyConfig {
    PolicyConfig { permissions: vec![permission], principals: vec![principal] }
}

fn rules(action: AuthorizationAction, policies: &[(&str, PolicyConfig)]) -> AuthorizationRules {
    let named = |(name, policy): &(&str, PolicyConfig)| ((*name).to_owned(), policy.clone());
    AuthorizationRules { action, policies: policies.iter().map(named).collect() }
}

fn compiled(rules: AuthorizationRules) -> Result<Authorization, Vec<String>> {
    let mut report = Report::new("at".to_owned());
    let config = config::Authorization { rules: Some(rules), ..config::Authorization::default() };
    let compiled = Authorization::compile(&config, &mut report);
    report.finish(|| compiled).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn caller() -> Caller<'static> {
    Caller {
        principal: Some(FRONT),
        source: Some([10, 0, 0, 7].into()),
        direct: Some([10, 0, 0, 8].into()),
        client: Some([192, 168, 1, 1].into()),
        destination: Some(([10, 9, 9, 9], 8080).into()),
        server_name: Some("a.example.com"),
    }
}

/// What the rules answer: `ok`, or the detail of the denial.
fn answer(rules: AuthorizationRules, caller: &Caller<'_>, call: &Call) -> String {
    match compiled(rules).unwrap().judge(caller, call).enforced {
        Some(Err(denied)) => denied.detail.to_string(),
        Some(Ok(())) => "ok".to_owned(),
        None => unreachable!("there are rules"),
    }
}

#[test]
fn actions_decide_what_a_match_means() {
    use AuthorizationAction::{Allow, Deny, Log};
    let reader = ("reads all", policy(method("GET"), Principal::Any));
    let all = ("z", policy(Permission::Any, Principal::Any));
    let none = "rbac_access_denied_matched_policy[none]";
    let named = "rbac_access_denied_matched_policy[reads_all]";
    // (action, policies, method, answer)
    type Row<'a> = (AuthorizationAction, &'a [(&'a str, PolicyConfig)], &'a str, &'a str);
    let table: [Row<'_>; 9] = [
        (Allow, std::slice::from_ref(&reader), "GET", "ok"),
        (Allow, std::slice::from_ref(&reader), "POST", none),
        (Allow, &[], "GET", none),
        (Deny, std::slice::from_ref(&reader), "GET", named),
        (Deny, std::slice::from_ref(&reader), "POST", "ok"),
        (Deny, &[], "GET", "ok"),
        (Deny, &[all.clone(), reader.clone()], "GET", named),
        (Deny, &[all, reader.clone()], "POST", "rbac_access_denied_matched_policy[z]"),
        (Log, std::slice::from_ref(&reader), "POST", "ok"),
    ];
    for (action, policies, method, expected) in table {
        let call = Call::get("a", "/").with_method(method);
        let found = answer(rules(action, policies), &caller(), &call);
        assert_eq!(found, expected, "{action:?} {method} of {}", policies.len());
    }
}

#[test]
fn each_condition_sees_what_it_is_about() {
    let range = |text: &str| text.parse().unwrap();
    let regex = text(StringPattern::Regex("/[a-z]+/[0-9]+".to_owned()), false);
    let call = Call::get("host:80", "/Items/7?x=1").with_header("x-user", "jason");
    let present = |name: &str| header(name, HeaderMatchKind::Present(true));
    let permissions = [
        (Permission::Any, true),
        (Permission::UrlPath(exact("/Items/7")), true),
        (Permission::UrlPath(exact("/items/7")), false),
        (Permission::UrlPath(text(StringPattern::Exact("/items/7".to_owned()), true)), true),
        (Permission::UrlPath(starts("/Items/")), true),
        (Permission::UrlPath(text(StringPattern::Suffix("/7".to_owned()), false)), true),
        (Permission::UrlPath(text(StringPattern::Contains("x=1".to_owned()), false)), false),
        (Permission::UrlPath(regex), false),
        (Permission::Header(header(":path", HeaderMatchKind::String(exact("/Items/7?x=1")))), true),
        (Permission::Header(header(":path", HeaderMatchKind::String(exact("/Items/7")))), false),
        (Permission::Header(header("x-user", HeaderMatchKind::String(exact("jason")))), true),
        (Permission::Header(present("x-none")), false),
        (Permission::Not(Box::new(Permission::Header(present("x-none")))), true),
        (Permission::DestinationIp(range("10.9.0.0/16")), true),
        (Permission::DestinationIp(range("10.8.0.0/16")), false),
        (Permission::DestinationPort(8080), true),
        (Permission::DestinationPort(80), false),
        (Permission::DestinationPortRange { start: 8080, end: 8081 }, true),
        (Permission::DestinationPortRange { start: 1, end: 8080 }, false),
        (
            Permission::RequestedServerName(text(
                StringPattern::Suffix(".example.com".to_owned()),
                false,
            )),
            true,
        ),
        (Permission::And(vec![method("GET"), Permission::DestinationPort(8080)]), true),
        (Permission::And(vec![method("GET"), Permission::DestinationPort(80)]), false),
        (Permission::Or(vec![method("PUT"), Permission::DestinationPort(8080)]), true),
        (Permission::Or(vec![method("PUT"), method("POST")]), false),
    ];
    let principals = [
        (Principal::Authenticated(Some(exact(FRONT))), true),
        (Principal::Authenticated(Some(starts("spiffe://cluster.local/ns/default/"))), true),
        (Principal::Authenticated(Some(exact("spiffe://cluster.local/ns/default/sa/x"))), false),
        (Principal::Authenticated(None), true),
        (Principal::SourceIp(range("10.0.0.7/32")), true),
        (Principal::SourceIp(range("10.0.0.8/32")), false),
        (Principal::SourceIp(range("::/0")), false),
        (Principal::DirectRemoteIp(range("10.0.0.8/32")), true),
        (Principal::RemoteIp(range("192.168.0.0/16")), true),
        (Principal::RemoteIp(range("10.0.0.0/8")), false),
        (Principal::Header(present("x-user")), true),
        (Principal::UrlPath(starts("/Items")), true),
        (Principal::Not(Box::new(Principal::Any)), false),
        (Principal::And(vec![Principal::Any, Principal::Authenticated(None)]), true),
        (Principal::Or(vec![Principal::SourceIp(range("10.0.0.8/32")), Principal::Any]), true),
    ];
    let permissions = permissions.map(|(one, holds)| (policy(one, Principal::Any), holds));
    let principals = principals.map(|(one, holds)| (policy(Permission::Any, one), holds));
    for (policy, expected) in permissions.into_iter().chain(principals) {
        let rules = rules(AuthorizationAction::Allow, &[("p", policy.clone())]);
        assert_eq!(answer(rules, &caller(), &call) == "ok", expected, "{policy:?}");
    }
}

#[test]
fn what_is_not_there_does_not_match() {
    let nobody = Caller {
        principal: None,
        source: None,
        direct: None,
        client: None,
        destination: None,
        server_name: None,
    };
    let all = |principal| policy(Permission::Any, principal);
    let any = |permission| policy(permission, Principal::Any);
    let anywhere = || "0.0.0.0/0".parse().unwrap();
    let empty = || text(StringPattern::Prefix(String::new()), false);
    let table = [
        (all(Principal::Authenticated(None)), false),
        (all(Principal::Authenticated(Some(empty()))), false),
        (all(Principal::Not(Box::new(Principal::Authenticated(None)))), true),
        (all(Principal::SourceIp(anywhere())), false),
        (all(Principal::RemoteIp(anywhere())), false),
        (any(Permission::DestinationIp(anywhere())), false),
        (any(Permission::DestinationPortRange { start: 0, end: 65536 }), false),
        (any(Permission::RequestedServerName(exact(""))), true),
        (any(Permission::UrlPath(empty())), false),
        (any(method("GET")), false),
        (any(Permission::Header(header("x", HeaderMatchKind::Present(false)))), true),
    ];
    for (policy, expected) in table {
        let rules = rules(AuthorizationAction::Allow, &[("p", policy.clone())]);
        let verdicts = compiled(rules).unwrap().judge_connection(&nobody);
        assert_eq!(verdicts.enforced.unwrap().is_ok(), expected, "{policy:?}");
    }
}

#[test]
fn what_a_tunnel_is_for_is_no_path() {
    let call = Call::get("host:443", "host:443").with_method("CONNECT");
    for permission in [
        Permission::UrlPath(starts("")),
        Permission::Header(header(":path", HeaderMatchKind::Present(true))),
    ] {
        let rules = rules(AuthorizationAction::Allow, &[("p", policy(permission, Principal::Any))]);
        assert_ne!(answer(rules, &caller(), &call), "ok");
    }
}

#[test]
fn shadow_rules_decide_nothing() {
    let mut report = Report::new(String::new());
    let config = config::Authorization {
        shadow_rules: Some(rules(AuthorizationAction::Allow, &[])),
        ..config::Authorization::default()
    };
    let verdicts =
        Authorization::compile(&config, &mut report).judge(&caller(), &Call::get("a", "/"));
    assert!(verdicts.shadow.as_ref().is_some_and(Result::is_err), "{verdicts:?}");
    assert!(verdicts.enforce(Permit::unasked()).is_ok());
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let bad = PolicyConfig {
        permissions: vec![
            Permission::And(vec![Permission::UrlPath(text(
                StringPattern::Regex("(".into()),
                false,
            ))]),
            Permission::DestinationPortRange { start: 9, end: 9 },
            Permission::Or(vec![]),
        ],
        principals: vec![],
    };
    let problems = compiled(rules(AuthorizationAction::Allow, &[("p", bad)])).unwrap_err();
    let expected = [
        "at.rules.policies[p].principals: is empty",
        "at.rules.policies[p].permissions[0].and_rules[0].url_path: regex",
        "at.rules.policies[p].permissions[1].destination_port_range: range 9..9",
        "at.rules.policies[p].permissions[2].or_rules: is empty",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
}

const PATHS: &str = "/|/a|/A|/ab|/a/b|/a/b/c|/b|/b/c|/admin";
const NAMES: [&str; 3] = ["spiffe://c/ns/a/sa/x", "spiffe://c/ns/a/sa/y", "spiffe://c/ns/b/sa/x"];

fn path() -> impl Strategy<Value = String> {
    (PATHS, proptest::option::of("\\?a=(/b|1)|#f"))
        .prop_map(|(path, rest)| path + &rest.unwrap_or_default())
}

fn any_text(of: impl Strategy<Value = String>) -> impl Strategy<Value = StringMatch> {
    (of, 0..4_u8, any::<bool>()).prop_map(|(of, kind, ignore_case)| {
        let pattern = match kind {
            0 => StringPattern::Exact(of),
            1 => StringPattern::Prefix(of),
            2 => StringPattern::Suffix(of),
            _ => StringPattern::Contains(of),
        };
        text(pattern, ignore_case)
    })
}

fn any_header() -> impl Strategy<Value = HeaderMatch> {
    let value = prop_oneof![path(), "GET|PUT|1|2"];
    (":path|:method|x-n", any_text(value), any::<bool>(), any::<bool>()).prop_map(
        |(name, value, invert, treat_missing_as_empty)| HeaderMatch {
            name,
            kind: HeaderMatchKind::String(value),
            invert,
            treat_missing_as_empty,
        },
    )
}

fn permission() -> impl Strategy<Value = Permission> {
    let leaf = prop_oneof![
        1 => Just(Permission::Any),
        6 => any_text(path()).prop_map(Permission::UrlPath),
        3 => any_header().prop_map(Permission::Header),
        1 => (79..82_u16).prop_map(Permission::DestinationPort),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Permission::And),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Permission::Or),
            inner.prop_map(|inner| Permission::Not(Box::new(inner))),
        ]
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    let name = (0..NAMES.len()).prop_map(|at| NAMES[at].to_owned());
    let leaf = prop_oneof![
        1 => Just(Principal::Any),
        6 => any_text(name).prop_map(|name| Principal::Authenticated(Some(name))),
        1 => any_text(path()).prop_map(Principal::UrlPath),
        1 => Just(Principal::Authenticated(None)),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Principal::And),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Principal::Or),
            inner.prop_map(|inner| Principal::Not(Box::new(inner))),
        ]
    })
}

fn any_policy() -> impl Strategy<Value = PolicyConfig> {
    let permissions = proptest::collection::vec(permission(), 1..3);
    (permissions, proptest::collection::vec(principal(), 1..3))
        .prop_map(|(permissions, principals)| PolicyConfig { permissions, principals })
}

/// The rules as they are written down, without anything compiled: the oracle of the index.
///
/// It knows the conditions that policies are filed by, some that they are not, and what combines them. The strategies above
/// make no others: to the index they are all alike, and the tables say what each means.
mod naive {
    use super::*;

    pub(super) fn first<'a>(
        policies: &'a BTreeMap<String, PolicyConfig>,
        caller: &Caller<'_>,
        call: &Call,
    ) -> Option<&'a str> {
        let applies = |policy: &PolicyConfig| {
            policy.permissions.iter().any(|one| permits(one, caller, call))
                && policy.principals.iter().any(|one| is(one, caller, call))
        };
        let found = policies.iter().find(|(_, policy)| applies(policy));
        found.map(|(name, _)| name.as_str())
    }

    fn matches(text: &StringMatch, value: &str) -> bool {
        let lower =
            |value: &str| if text.ignore_case { value.to_lowercase() } else { value.to_owned() };
        let value = lower(value);
        match &text.pattern {
            StringPattern::Exact(of) => value == lower(of),
            StringPattern::Prefix(of) => value.starts_with(&lower(of)),
            StringPattern::Suffix(of) => value.ends_with(&lower(of)),
            StringPattern::Contains(of) => value.contains(&lower(of)),
            StringPattern::Regex(_) => unreachable!("any_text makes no regex"),
        }
    }

    fn path(call: &Call) -> Option<&str> {
        let is_path = call.method != "CONNECT";
        is_path.then(|| call.path.split(['?', '#']).next().unwrap_or_default())
    }

    fn has(header: &HeaderMatch, call: &Call) -> bool {
        let value = match header.name.as_str() {
            ":method" => Some(call.method.as_str()),
            ":path" => (call.method != "CONNECT").then_some(call.path.as_str()),
            name => call.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()),
        };
        let value = value.or(header.treat_missing_as_empty.then_some(""));
        let HeaderMatchKind::String(text) = &header.kind else {
            unreachable!("any_header makes texts")
        };
        value.is_some_and(|value| matches(text, value) != header.invert)
    }

    fn permits(permission: &Permission, caller: &Caller<'_>, call: &Call) -> bool {
        match permission {
            Permission::Any => true,
            Permission::And(all) => all.iter().all(|one| permits(one, caller, call)),
            Permission::Or(any) => any.iter().any(|one| permits(one, caller, call)),
            Permission::Not(one) => !permits(one, caller, call),
            Permission::Header(header) => has(header, call),
            Permission::UrlPath(text) => path(call).is_some_and(|path| matches(text, path)),
            Permission::DestinationPort(port) => {
                caller.destination.is_some_and(|destination| destination.port() == *port)
            }
            other => unreachable!("permission() makes no {other:?}"),
        }
    }

    fn is(principal: &Principal, caller: &Caller<'_>, call: &Call) -> bool {
        match principal {
            Principal::Any => true,
            Principal::And(all) => all.iter().all(|one| is(one, caller, call)),
            Principal::Or(any) => any.iter().any(|one| is(one, caller, call)),
            Principal::Not(one) => !is(one, caller, call),
            Principal::Authenticated(None) => caller.principal.is_some(),
            Principal::Authenticated(Some(text)) => {
                caller.principal.is_some_and(|name| matches(text, name))
            }
            Principal::UrlPath(text) => path(call).is_some_and(|path| matches(text, path)),
            other => unreachable!("principal() makes no {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn the_index_answers_as_asking_every_policy(
        policies in proptest::collection::vec(any_policy(), 0..24),
        path in path(),
        method in "GET|PUT|CONNECT",
        number in proptest::option::of(1..3_u8),
        name in proptest::option::of(0..NAMES.len()),
        port in 79..82_u16,
    ) {
        let named = policies.into_iter().enumerate().map(|(i, policy)| (format!("{i:03}"), policy));
        let policies: BTreeMap<String, PolicyConfig> = named.collect();
        let mut call = Call::get("a", &path).with_method(&method);
        if let Some(number) = number {
            call = call.with_header("x-n", &number.to_string());
        }
        let caller = Caller {
            principal: name.map(|at| NAMES[at]),
            destination: Some(([10, 0, 0, 1], port).into()),
            ..caller()
        };
        let expected = naive::first(&policies, &caller, &call).map(detail);
        for action in [AuthorizationAction::Deny, AuthorizationAction::Allow] {
            let compiled = compiled(AuthorizationRules { action, policies: policies.clone() });
            let found = compiled.unwrap().judge(&caller, &call).enforced.unwrap();
            match action {
                AuthorizationAction::Deny => {
                    prop_assert_eq!(found.err().map(|denied| denied.detail), expected.clone());
                }
                _ => prop_assert_eq!(found.is_ok(), expected.is_some()),
            }
        }
    }
}

#[test]
fn a_request_meets_the_policies_it_may_match_alone() {
    let one = |i: usize| {
        let path = Permission::UrlPath(starts(&format!("/service-{i}/")));
        let name = format!("spiffe://cluster.local/ns/n{i}/sa/x");
        let policy = policy(path, Principal::Authenticated(Some(exact(&name))));
        (format!("p{i:04}"), policy)
    };
    let policies: BTreeMap<_, _> = (0..1000).map(one).collect();
    let rules = Rules::compile(
        &AuthorizationRules { action: AuthorizationAction::Allow, policies },
        &mut Report::new(String::new()),
    );
    let mut asked = 0;
    let found = rules.index.first(
        Some(b"/service-500/x"),
        Some(b"spiffe://cluster.local/ns/n500/sa/x"),
        |_| {
            asked += 1;
            true
        },
    );
    assert_eq!((found, asked), (Some(500), 1));
}
