use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::{
    self, ClusterSpecifier, FaultAbort, FaultDelay, FaultInjection, Fraction, HeaderMatch,
    HeaderMatchKind, HeaderMutations, Mirror, PathMatch, PathRewrite, RedirectPath, RetryCondition,
    Route, RouteAction, StringMatch, StringPattern, VirtualHost,
};
use crate::samples::{ORIGIN as VS, cluster, forward, prefix, route, weighted};
use crate::snapshot::Resources;

fn jason_route() -> Route {
    let mut to_v2 = forward(ClusterSpecifier::Cluster("v2".to_owned()));
    to_v2.host_rewrite = Some("reviews.example".to_owned());
    to_v2.path_rewrite = Some(Box::new(PathRewrite::Prefix("/api".to_owned())));
    to_v2.retry_policy = Some(Box::new(config::RetryPolicy {
        retry_on: vec![RetryCondition::ServerError5xx],
        retriable_status_codes: vec![],
        num_retries: 2,
        per_try_timeout: Some(Duration::from_millis(500)),
        back_off_base: Duration::from_millis(25),
        back_off_max: Duration::from_millis(250),
        avoid_previous_hosts: true,
    }));
    to_v2.mirrors =
        vec![Mirror { cluster: "v3".to_owned(), fraction: Fraction { per_million: 500_000 } }];
    let mut jason = route("jason", prefix("/reviews"), RouteAction::Forward(Box::new(to_v2)));
    jason.route_match.headers = vec![HeaderMatch {
        name: "end-user".to_owned(),
        kind: HeaderMatchKind::String(StringMatch {
            pattern: StringPattern::Exact("jason".to_owned()),
            ignore_case: false,
        }),
        invert: false,
        treat_missing_as_empty: false,
    }];
    jason.fault = Some(config::RouteFault::Inject(Box::new(FaultInjection {
        delay: Some(FaultDelay {
            fixed: Duration::from_secs(5),
            fraction: Fraction { per_million: 800_000 },
        }),
        abort: Some(FaultAbort { status: 500, fraction: Fraction { per_million: 1_000 } }),
    })));
    jason
}

fn resources() -> Resources {
    let redirect = config::Redirect {
        scheme: Some("https".to_owned()),
        host: None,
        port: None,
        path: Some(RedirectPath::Prefix("/new".to_owned())),
        status: 308,
        strip_query: false,
    };
    let answer = config::DirectResponse { status: 418, body: b"teapot".to_vec() };
    let routes = vec![
        jason_route(),
        route("old", prefix("/old"), RouteAction::Redirect(Box::new(redirect))),
        route("tea", PathMatch::Exact("/tea".to_owned()), RouteAction::DirectResponse(answer)),
        route(
            "split",
            prefix("/reviews"),
            RouteAction::Forward(Box::new(forward(weighted(&[("v1", 99), ("gone", 1)])))),
        ),
    ];
    let reviews = VirtualHost {
        name: "reviews:9080".to_owned(),
        domains: vec!["reviews".to_owned()],
        routes,
        request_headers: HeaderMutations::new(vec!["x-internal".to_owned()], vec![]),
        response_headers: HeaderMutations::default(),
        retry_policy: None,
        include_attempt_count: true,
    };
    let table = config::RouteConfiguration {
        name: "9080".to_owned(),
        virtual_hosts: vec![reviews],
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    };
    let mut v1 = cluster("v1");
    v1.origin = Some("/apis/destination-rule/reviews".to_owned());
    let clusters = [v1, cluster("v2"), cluster("v3")];
    Resources {
        listeners: BTreeMap::new(),
        routes: BTreeMap::from([("9080".to_owned(), Arc::new(table))]),
        clusters: clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    }
}

/// The only line that knows the API under test.
fn check(call: &Call) -> String {
    let snapshot = Snapshot::compile(&resources(), None).unwrap();
    explain(&snapshot, Entry::RouteConfiguration("9080"), call).to_string()
}

#[test]
fn every_fact_about_a_matched_call_is_told() {
    let call = Call::get("reviews:9080", "/reviews/0?x=1").with_header("End-User", "jason");
    assert_eq!(
        check(&call),
        format!(
            "route configuration: 9080\n\
             virtual host: reviews:9080\n\
             route: #0 jason from {VS}\n\
             fault: delay 5000 ms for 80 % (flag DI)\n\
             fault: abort with 500 for 0.1 % (flag FI)\n\
             forward to v2: 100 %\n\
             \x20 header: remove x-internal\n\
             sent as: reviews.example /api/0?x=1\n\
             timeout: 15000 ms\n\
             retries: 2, 500 ms each\n\
             mirror to v3: 50 %\n"
        )
    );
    assert!(check(&call.with_method("POST")).contains("only if it was not processed"));
}

#[test]
fn what_was_passed_over_and_what_is_missing_is_told() {
    let found = check(&Call::get("reviews", "/reviews/0"));
    let expected = format!(
        "route configuration: 9080\n\
         virtual host: reviews:9080\n\
         passed over: #0 jason from {VS}, missed header end-user\n\
         passed over: #1 old from {VS}, missed path\n\
         passed over: #2 tea from {VS}, missed path\n\
         route: #3 split from {VS}\n\
         forward to v1: 99 %, settings from /apis/destination-rule/reviews\n\
         \x20 header: set x-cluster: v1\n\
         \x20 header: remove x-internal\n\
         forward to gone: 1 %, which is not there (503 NC)\n\
         \x20 header: set x-cluster: gone\n\
         \x20 header: remove x-internal\n\
         sent as: reviews /reviews/0\n\
         timeout: 15000 ms\n"
    );
    assert_eq!(found, expected);
}

#[test]
fn answers_of_our_own_and_failures_are_told() {
    let table = [
        ("reviews:80", "/old/a?b", "redirect: 308 https://reviews/new/a?b\n"),
        ("reviews", "/tea?x", "answer: 418, 6 bytes\n"),
        ("reviews", "/other", "failure: 404 NR route_not_found, blame config\n"),
        ("ratings", "/", "failure: 404 NR route_not_found, blame config\n"),
    ];
    for (authority, path, expected) in table {
        let found = check(&Call::get(authority, path));
        assert!(found.ends_with(expected), "{authority}{path}: {found}");
    }
    let snapshot = Snapshot::empty();
    let entry = Entry::RouteConfiguration("9080");
    let found = explain(&snapshot, entry, &Call::get("a", "/")).to_string();
    assert!(found.contains("404 NR route_configuration_not_found"), "{found}");
}

#[test]
fn a_decision_is_one_json_document() {
    let snapshot = Snapshot::compile(&resources(), None).unwrap();
    let call = Call::get("reviews", "/tea");
    let decision = explain(&snapshot, Entry::RouteConfiguration("9080"), &call);
    let json = serde_json::to_value(&decision).unwrap();
    assert_eq!(json["virtualHost"], "reviews:9080");
    assert_eq!(json["route"]["name"], "tea");
    assert_eq!(json["outcome"]["directResponse"]["status"], 418);
}
