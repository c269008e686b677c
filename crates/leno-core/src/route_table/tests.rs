use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::config::{
    ClusterSpecifier, HeaderEdit, HeaderMatch, HeaderMatchKind, HeaderMutations, PathMatch,
    PathRewrite, QueryMatch, QueryMatchKind, RedirectPath, Route, RouteAction, RouteConfiguration,
    StringMatch, StringPattern,
};
use crate::request::Call;
use crate::samples::{
    edit, forward, prefix, route, route_to, table as table_of, virtual_host, weighted,
};

fn compile(config: RouteConfiguration) -> RouteTable {
    RouteTable::compile(&Arc::new(config)).unwrap()
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn regex(pattern: &str) -> PathMatch {
    PathMatch::Regex(pattern.to_owned())
}

fn separated(path: &str) -> PathMatch {
    PathMatch::PathSeparatedPrefix(path.to_owned())
}

fn text(pattern: StringPattern) -> StringMatch {
    StringMatch { pattern, ignore_case: false }
}

/// Whether one route takes the call.
fn takes(route: Route, call: &Call) -> bool {
    compile(table_of("t", vec![virtual_host("h", &["*"], vec![route])])).route(call).is_ok()
}

#[test]
fn paths_match_as_in_envoy() {
    // (match, path, matches, matches with case ignored)
    let table = [
        (prefix("/"), "/anything", true, true),
        (prefix("/api"), "/apix", true, true),
        (prefix("/api"), "/API", false, true),
        (prefix("/api"), "/ap", false, false),
        (prefix("/api?x"), "/api?x", false, false),
        (exact("/api"), "/api", true, true),
        (exact("/api"), "/api?x=1", true, true),
        (exact("/api"), "/api#top", true, true),
        (exact("/api"), "/api/", false, false),
        (exact("/api"), "/Api", false, true),
        (separated("/api"), "/api", true, true),
        (separated("/api"), "/api/x", true, true),
        (separated("/api"), "/api?x", true, true),
        (separated("/api"), "/apix", false, false),
        (separated("/api"), "/API/x", false, true),
        (regex("/a.*"), "/abc?x", true, true),
        (regex("/a"), "/ab", false, false),
        (regex("/a"), "/A", false, false),
        (regex("/[0-9]+"), "/42", true, true),
    ];
    for (path_match, path, expected, expected_ignored) in table {
        let mut candidate = route_to(path_match.clone(), "c");
        let call = Call::get("a", path);
        assert_eq!(takes(candidate.clone(), &call), expected, "{path_match:?} {path}");
        candidate.route_match.case_sensitive = false;
        assert_eq!(takes(candidate, &call), expected_ignored, "{path_match:?} {path} any case");
    }
}

#[test]
fn headers_match_as_in_envoy() {
    use HeaderMatchKind::{Present, Range, String};
    let jason = || String(text(StringPattern::Exact("jason".to_owned())));
    let two = || String(text(StringPattern::Exact("1,2".to_owned())));
    let get = || String(text(StringPattern::Exact("GET".to_owned())));
    // (name, kind, invert, missing is empty, matches)
    let table = [
        ("end-user", jason(), false, false, true),
        ("End-User", jason(), false, false, true),
        ("end-user", jason(), true, false, false),
        ("other", jason(), false, false, false),
        // Nothing to compare is no match, not even an inverted one, unless absent counts as empty.
        ("other", jason(), true, false, false),
        ("other", jason(), true, true, true),
        ("other", jason(), false, true, false),
        ("end-user", Present(true), false, false, true),
        ("end-user", Present(true), true, false, false),
        ("end-user", Present(false), false, false, false),
        ("other", Present(true), false, false, false),
        ("other", Present(true), true, false, true),
        ("other", Present(false), false, false, true),
        ("x-many", two(), false, false, true),
        ("x-many", Present(true), false, false, true),
        ("x-number", Range { start: 10, end: 20 }, false, false, true),
        ("x-number", Range { start: 11, end: 20 }, false, false, false),
        ("x-number", Range { start: 0, end: 10 }, false, false, false),
        ("end-user", Range { start: 0, end: 10 }, false, false, false),
        (":method", get(), false, false, true),
        (":method", get(), true, false, false),
        (":authority", String(text(StringPattern::Prefix("a.".to_owned()))), false, false, true),
        ("host", String(text(StringPattern::Suffix(":80".to_owned()))), false, false, true),
        (":path", String(text(StringPattern::Contains("?x=".to_owned()))), false, false, true),
        (":scheme", String(text(StringPattern::Regex("https?".to_owned()))), false, false, true),
    ];
    let call = Call::get("a.b:80", "/p?x=1")
        .with_header("End-User", "jason")
        .with_header("X-Many", "1")
        .with_header("x-many", "2")
        .with_header("x-number", "10");
    for (name, kind, invert, treat_missing_as_empty, expected) in table {
        let header = HeaderMatch { name: name.to_owned(), kind, invert, treat_missing_as_empty };
        let mut candidate = route_to(prefix("/"), "c");
        candidate.route_match.headers = vec![header.clone()];
        assert_eq!(takes(candidate, &call), expected, "{header:?}");
    }
}

#[test]
fn query_parameters_match_by_their_first_value() {
    use QueryMatchKind::{Present, String};
    let is = |value: &str| String(text(StringPattern::Exact(value.to_owned())));
    let table = [
        ("x", is("1"), "/p?x=1&x=2", true),
        ("x", is("2"), "/p?x=1&x=2", false),
        ("x", is(""), "/p?x", true),
        ("x", is(""), "/p?x=", true),
        ("x", is("1"), "/p?xx=1", false),
        ("x", is("1"), "/p?y=2&x=1#x", true),
        ("x", is("1"), "/p#?x=1", false),
        ("x", Present(true), "/p?x", true),
        ("x", Present(true), "/p", false),
        ("x", Present(false), "/p?y", true),
        ("x", Present(false), "/p?x", false),
    ];
    for (name, kind, path, expected) in table {
        let mut candidate = route_to(prefix("/"), "c");
        candidate.route_match.query = vec![QueryMatch { name: name.to_owned(), kind }];
        assert_eq!(takes(candidate, &Call::get("a", path)), expected, "{name} {path}");
    }
}

#[test]
fn paths_are_rewritten_and_queries_kept() {
    let by_prefix = |text: &str| PathRewrite::Prefix(text.to_owned());
    let by_regex = |pattern: &str, substitution: &str| PathRewrite::Regex {
        pattern: pattern.to_owned(),
        substitution: substitution.to_owned(),
    };
    let table = [
        (prefix("/api"), by_prefix("/v2"), "/api/x?y=1", "/v2/x?y=1"),
        (prefix("/api/"), by_prefix("/"), "/api/x", "/x"),
        (prefix("/"), by_prefix("/v2/"), "/", "/v2/"),
        (exact("/api"), by_prefix("/v2"), "/api?y#z", "/v2?y#z"),
        (separated("/api"), by_prefix("/v2"), "/api/x", "/v2/x"),
        (regex("/a.*"), by_prefix("/b"), "/abc?y", "/b?y"),
        (
            prefix("/"),
            by_regex("^/service/([^/]+)(/.*)$", r"\2/instance/\1"),
            "/service/foo/v1/api?q",
            "/v1/api/instance/foo?q",
        ),
        (prefix("/"), by_regex("one", "two"), "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
        (prefix("/"), by_regex("(?i)/xxx/", "/yyy/"), "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        (prefix("/"), by_regex("/(x)?", r"/\1\\"), "/y", r"/\y"),
        (prefix("/"), by_regex("nothing", "x"), "/y?nothing", "/y?nothing"),
    ];
    for (path_match, rewrite, path, expected) in table {
        let mut to = forward(ClusterSpecifier::Cluster("c".to_owned()));
        to.path_rewrite = Some(Box::new(rewrite.clone()));
        let candidate = route("r", path_match, RouteAction::Forward(Box::new(to)));
        let routes = compile(table_of("t", vec![virtual_host("h", &["*"], vec![candidate])]));
        let call = Call::get("a", path);
        let rewritten = routes.route(&call).unwrap().rewritten_path(&call).unwrap();
        assert_eq!(String::from_utf8_lossy(&rewritten), expected, "{rewrite:?} {path}");
    }
}

#[test]
fn redirects_keep_what_they_do_not_replace() {
    let redirect = || config::Redirect {
        scheme: None,
        host: None,
        port: None,
        path: None,
        status: 301,
        strip_query: false,
    };
    let full = |path: &str| Some(RedirectPath::Full(path.to_owned()));
    let part = |path: &str| Some(RedirectPath::Prefix(path.to_owned()));
    let https = || Some("https".to_owned());
    let table = [
        (config::Redirect { scheme: https(), ..redirect() }, "a:80", "https://a/api/x?y"),
        (config::Redirect { scheme: https(), ..redirect() }, "a:8080", "https://a:8080/api/x?y"),
        (config::Redirect { scheme: https(), ..redirect() }, "[::1]:80", "https://[::1]/api/x?y"),
        (config::Redirect { port: Some(8443), ..redirect() }, "a:80", "http://a:8443/api/x?y"),
        (config::Redirect { host: Some("b".to_owned()), ..redirect() }, "a:80", "http://b/api/x?y"),
        (config::Redirect { path: full("/new"), ..redirect() }, "a:80", "http://a:80/new?y"),
        (config::Redirect { path: full("/new?z"), ..redirect() }, "a", "http://a/new?z"),
        (
            config::Redirect { path: full("/new?z"), strip_query: true, ..redirect() },
            "a",
            "http://a/new?z",
        ),
        (config::Redirect { path: part("/v2"), ..redirect() }, "a", "http://a/v2/x?y"),
        (config::Redirect { strip_query: true, ..redirect() }, "a", "http://a/api/x"),
    ];
    for (redirect, authority, expected) in table {
        let candidate =
            route("r", prefix("/api"), RouteAction::Redirect(Box::new(redirect.clone())));
        let routes = compile(table_of("t", vec![virtual_host("h", &["*"], vec![candidate])]));
        let call = Call::get(authority, "/api/x?y");
        let matched = routes.route(&call).unwrap();
        let Action::Redirect(compiled) = &matched.route.action else { panic!("a redirect") };
        let location = matched.redirect_location(compiled, &call);
        assert_eq!(String::from_utf8_lossy(&location), expected, "{redirect:?}");
    }
}

#[test]
fn header_edits_go_from_the_most_specific_level_up() {
    #[derive(Default)]
    struct Order(String);
    impl crate::format::Exchange for Order {
        fn write(&self, _: &crate::format::Operator, _: &mut Vec<u8>) {}
    }
    impl HeadersMut for Order {
        fn contains(&self, _: &str) -> bool {
            false
        }
        fn remove(&mut self, name: &str) {
            write!(self.0, "-{name} ").unwrap();
        }
        fn append(&mut self, name: &str, _: &[u8]) {
            write!(self.0, "+{name} ").unwrap();
        }
        fn set(&mut self, name: &str, _: &[u8]) {
            write!(self.0, "={name} ").unwrap();
        }
    }
    let edits = |name: &str| {
        HeaderMutations::new(
            vec![format!("{name}-gone")],
            vec![edit(name, "1", HeaderEdit::Append)],
        )
    };
    let mut candidate =
        route("r", prefix("/"), RouteAction::Forward(Box::new(forward(weighted(&[("c", 1)])))));
    candidate.request_headers = edits("route");
    candidate.response_headers = edits("route-back");
    let mut host = virtual_host("h", &["*"], vec![candidate]);
    host.request_headers = edits("vhost");
    let mut config = table_of("t", vec![host]);
    config.request_headers = edits("table");
    let routes = compile(config);
    let matched = routes.route(&Call::get("a", "/")).unwrap();
    let Action::Forward(forward) = &matched.route.action else { panic!("a forward") };
    let target = forward.clusters.pick(0);
    let mut order = Order::default();
    matched.edit_request(Some(target), &mut order);
    assert_eq!(order.0, "=x-cluster -route-gone +route -vhost-gone +vhost -table-gone +table ");
    let mut order = Order::default();
    matched.edit_response(None, &mut order);
    assert_eq!(order.0, "-route-back-gone +route-back ");
    assert!(matched.edits_request(None) && matched.edits_response(None));
}

#[test]
fn weights_are_kept_within_three_sigma() {
    use crate::random::{Random, SplitMix64};
    let specifier = weighted(&[("v1", 99), ("never", 0), ("v3", 1)]);
    let mut report = Report::new(String::new());
    let choice = ClusterChoice::compile(&specifier, &mut report);
    let mut random = SplitMix64::new(20);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..20_000 {
        let name = choice.pick(random.next_u64()).cluster.to_string();
        *counts.entry(name).or_insert(0) += 1;
    }
    assert_eq!(counts.get("never"), None);
    let v3 = f64::from(counts["v3"]);
    let sigma = (20_000.0_f64 * 0.01 * 0.99).sqrt();
    assert!((v3 - 200.0).abs() <= 3.0 * sigma, "{counts:?}");
}

#[test]
fn a_route_inherits_the_hosts_retry_policy_only_when_it_has_none() {
    let policy = |num_retries| config::RetryPolicy {
        retry_on: vec![],
        retriable_status_codes: vec![],
        num_retries,
        per_try_timeout: None,
        back_off_base: std::time::Duration::from_millis(25),
        back_off_max: std::time::Duration::from_millis(250),
        avoid_previous_hosts: false,
    };
    let mut own = route_to(exact("/own"), "c");
    let RouteAction::Forward(to) = &mut own.action else { panic!("a forward") };
    to.retry_policy = Some(Box::new(policy(7)));
    let mut host = virtual_host("h", &["*"], vec![own, route_to(prefix("/"), "c")]);
    host.retry_policy = Some(Box::new(policy(3)));
    let routes = compile(table_of("t", vec![host]));
    for (path, expected) in [("/own", 7), ("/", 3)] {
        let matched = routes.route(&Call::get("a", path)).unwrap();
        let Action::Forward(forward) = &matched.route.action else { panic!("a forward") };
        assert_eq!(forward.retry.as_ref().unwrap().num_retries, expected);
    }
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let mut bad = route_to(regex("("), "");
    bad.route_match.headers = vec![HeaderMatch {
        name: ":nope".to_owned(),
        kind: HeaderMatchKind::Present(true),
        invert: false,
        treat_missing_as_empty: false,
    }];
    let bad_edit = vec![edit("x y", "1", HeaderEdit::Append)];
    bad.request_headers = HeaderMutations::new(Vec::new(), bad_edit);
    let zero = route(
        "zero",
        separated("/a/"),
        RouteAction::Forward(Box::new(forward(weighted(&[("a", 0), ("b", 0)])))),
    );
    let hosts = vec![
        virtual_host("one", &["a.b"], vec![bad]),
        virtual_host("two", &["A.B", "x*y"], vec![zero]),
        virtual_host("two", &[], vec![]),
    ];
    let problems = RouteTable::compile(&Arc::new(table_of("9080", hosts))).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
    assert_eq!(
        places,
        [
            "routes[9080].virtual_hosts[two].domains[0]",
            "routes[9080].virtual_hosts[two].domains[1]",
            "routes[9080].virtual_hosts[one].routes[0].match.path",
            "routes[9080].virtual_hosts[one].routes[0].match.headers[0]",
            "routes[9080].virtual_hosts[one].routes[0].forward.cluster",
            "routes[9080].virtual_hosts[one].routes[0].request_headers.edits[0]",
            "routes[9080].virtual_hosts[two].routes[0].match.path",
            "routes[9080].virtual_hosts[two].routes[0].forward.cluster",
            "routes[9080].virtual_hosts[two]",
            "routes[9080].virtual_hosts[two].domains",
        ]
    );
}

/// Paths over a tiny alphabet, so that prefixes nest, repeat and differ by case only.
fn path() -> impl Strategy<Value = String> {
    "(/[abA]{0,2}){1,3}".prop_map(|path| path)
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        4 => path().prop_map(PathMatch::Exact),
        4 => prop_oneof![path(), Just(String::new())].prop_map(PathMatch::Prefix),
        2 => "(/[abA]{1,2}){1,2}".prop_map(PathMatch::PathSeparatedPrefix),
        1 => "/[ab]\\.\\*".prop_map(PathMatch::Regex),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    (path_match(), any::<bool>(), proptest::option::of(0..3_u8)).prop_map(|(path, case, wanted)| {
        let mut candidate = route_to(path, "c");
        candidate.route_match.case_sensitive = case;
        candidate.route_match.headers.extend(wanted.map(|wanted| HeaderMatch {
            name: "x-n".to_owned(),
            kind: HeaderMatchKind::String(text(StringPattern::Exact(wanted.to_string()))),
            invert: false,
            treat_missing_as_empty: false,
        }));
        candidate
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_index_answers_as_a_naive_scan(
        routes in proptest::collection::vec(any_route(), 0..60),
        path in path(),
        number in 0..3_u8,
    ) {
        let call = Call::get("a", &path).with_header("x-n", &number.to_string());
        let compiled = compile(table_of("t", vec![virtual_host("h", &["*"], routes)]));
        let host = &compiled.virtual_hosts()[0];
        let naive = host.routes().iter().position(|route| route.mismatch(&call).is_none());
        let found = compiled.route(&call).ok().map(|matched| matched.position);
        prop_assert_eq!(found, naive);
    }

    #[test]
    fn hosts_are_found_as_a_naive_ranking_would(
        domains in proptest::collection::btree_set("\\*|\\*?(\\.?[ab]){1,3}|[ab](\\.[ab])?\\.?\\*", 1..12),
        host in "[abAB](\\.[abAB]){0,3}",
        port in proptest::option::of(1..100_u16),
    ) {
        let domains: Vec<String> = domains.into_iter().collect();
        let hosts = domains
            .iter()
            .map(|domain| virtual_host(domain, &[domain], vec![route_to(prefix("/"), "c")]))
            .collect();
        let authority = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        let compiled = compile(table_of("t", hosts));
        let call = Call::get(&authority, "/");
        let found = compiled.virtual_host(&call).map(|host| host.name.to_string());
        prop_assert_eq!(found, naive_host(&domains, &authority, &host));
    }
}

/// Exact, longest suffix, longest prefix, any; each with port first.
fn naive_host(domains: &[String], authority: &str, host: &str) -> Option<String> {
    let fits = |domain: &str, text: &str| {
        let text = text.to_ascii_lowercase();
        match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(""), _) => None,
            (Some(suffix), _) if text.ends_with(suffix) && text.len() > suffix.len() => {
                Some((3, suffix.len()))
            }
            (None, Some(prefix)) if text.starts_with(prefix) && text.len() > prefix.len() => {
                Some((2, prefix.len()))
            }
            (None, None) if text == domain => Some((4, 0)),
            _ => None,
        }
    };
    let rank = |domain: &str| {
        let with_port = fits(domain, authority).map(|(kind, length)| (kind, 1, length));
        let without = fits(domain, host).map(|(kind, length)| (kind, 0, length));
        let any = (domain == "*").then_some((1, 0, 0));
        with_port.max(without).max(any)
    };
    let ranked = domains.iter().filter_map(|domain| Some((rank(domain)?, domain)));
    ranked.max().map(|(_, domain)| domain.clone())
}

#[test]
fn thousands_of_routes_are_not_scanned() {
    let paths = (0..10_000).map(|n| format!("/item/{n}"));
    let routes: Vec<Route> = paths.map(|path| route_to(exact(&path), "c")).collect();
    let compiled = compile(table_of("t", vec![virtual_host("h", &["*"], routes)]));
    let host = &compiled.virtual_hosts()[0];
    let mut asked = 0;
    let found = host.paths.first(b"/item/9999", |_| {
        asked += 1;
        true
    });
    assert_eq!((found, asked), (Some(9999), 1));
    assert_eq!(compiled.route(&Call::get("a", "/item/9999?x")).unwrap().position, 9999);
}
