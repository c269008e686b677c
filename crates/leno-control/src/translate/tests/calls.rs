//! A VirtualService and a call give the expected cluster, as in Istio's traffic simulation.

use leno_core::config::{Discovery, PathMatch};

use super::*;

const SUBSETS: &str = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
";

fn rule(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}}
spec: {{{spec}}}{SUBSETS}"
    )
}

fn check(spec: &str, call: &Call, expected: &str) {
    assert_eq!(goes(&rule(spec), call), expected, "{spec}\n{call:?}");
}

#[test]
fn every_name_of_a_service_leads_to_it() {
    for authority in [
        "reviews:9080",
        "reviews.default:9080",
        "reviews.default.svc:9080",
        "reviews.default.svc.cluster.local:9080",
        "REVIEWS:9080",
        "240.240.0.3:9080",
    ] {
        assert_eq!(goes("", &Call::get(authority, "/")), "9080||reviews", "{authority}");
    }
    assert_eq!(goes("", &Call::get("example.com:9080", "/")), "PassthroughCluster");
}

#[test]
fn matches_choose_in_order() {
    let spec = "hosts: [reviews], http: [
        {match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]},
        {match: [{uri: {exact: /e}}, {uri: {prefix: /p}}], route: [{destination: {host: reviews, subset: v1}}]},
        {match: [{uri: {regex: '/r/[0-9]+'}, method: {exact: POST}}], route: [{destination: {host: details}}]},
        {match: [{queryParams: {debug: {exact: 'yes'}}}], route: [{destination: {host: ratings}}]},
        {match: [{withoutHeaders: {x-plain: {}}, uri: {exact: /Case}, ignoreUriCase: true}], route: [{destination: {host: details}}]},
        {match: [{scheme: {exact: https}}], route: [{destination: {host: ratings, port: {number: 7}}}]},
        {match: [{authority: {prefix: reviews.default}}], route: [{destination: {host: ratings.other}}]},
        {route: [{destination: {host: reviews}}]}]";
    let get = |path: &str| Call::get("reviews:9080", path);
    let table = [
        (get("/e").with_header("End-User", "jason"), "9080|v2|reviews"),
        (get("/e"), "9080|v1|reviews"),
        (get("/e/"), "9080||reviews"),
        (get("/pq"), "9080|v1|reviews"),
        (get("/r/12").with_method("POST"), "9080||details"),
        (get("/r/12"), "9080||reviews"),
        (get("/r/1x").with_method("POST"), "9080||reviews"),
        (get("/x?debug=yes"), "9080||ratings"),
        (get("/x?debug=no"), "9080||reviews"),
        (get("/cAsE"), "9080||details"),
        (get("/case").with_header("x-plain", "1"), "9080||reviews"),
        (Call { scheme: "https".to_owned(), ..get("/") }, "7||ratings"),
        (Call::get("reviews.default:9080", "/"), "9080||ratings.other"),
    ];
    for (call, expected) in table {
        check(spec, &call, expected);
    }
}

#[test]
fn weights_are_shares_and_zero_gets_nothing() {
    let spec = "hosts: [reviews], http: [{route: [
        {destination: {host: reviews, subset: v1}, weight: 99},
        {destination: {host: reviews, subset: v2}, weight: 1},
        {destination: {host: details}, weight: 0}]}]";
    check(spec, &Call::get("reviews:9080", "/"), "9080|v1|reviews 99% + 9080|v2|reviews 1%");
    let spec = "hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]";
    check(spec, &Call::get("reviews:9080", "/"), "9080|v1|reviews");
}

#[test]
fn rewrites_redirects_answers_and_mirrors() {
    let table = [
        (
            "match: [{uri: {prefix: /old}}], rewrite: {uri: /new, authority: r.example}, route: [{destination: {host: reviews}}]",
            "9080||reviews path /new/1 host r.example",
        ),
        (
            "rewrite: {uriRegexRewrite: {match: '^/old/([0-9]+)', rewrite: '/n/\\1/x'}}, route: [{destination: {host: reviews}}]",
            "9080||reviews path /n/1/x",
        ),
        (
            "redirect: {uri: /other, authority: r.example, redirectCode: 302}",
            "redirect 302 to http://r.example/other",
        ),
        ("directResponse: {status: 418, body: {string: teapot}}", "answer 418 (6)"),
        (
            "route: [{destination: {host: reviews, subset: v1}}], mirror: {host: reviews, subset: v2}, mirrorPercentage: {value: 12.5}",
            "9080|v1|reviews mirror 9080|v2|reviews 12.5%",
        ),
        (
            "route: [{destination: {host: reviews}}], mirrors: [{destination: {host: details}}, {destination: {host: ratings}, percentage: {value: 1}}]",
            "9080||reviews mirror 9080||details 100% mirror 9080||ratings 1%",
        ),
        (
            "headers: {request: {set: {Host: h.example}}}, route: [{destination: {host: reviews}}]",
            "9080||reviews host h.example",
        ),
    ];
    for (http, expected) in table {
        check(
            &format!("hosts: [reviews], http: [{{{http}}}]"),
            &Call::get("reviews:9080", "/old/1"),
            expected,
        );
    }
}

#[test]
fn the_caller_decides_before_the_request() {
    let to =
        |subset: &str| format!("route: [{{destination: {{host: reviews, subset: {subset}}}}}]");
    let (v1, v2) = (to("v1"), to("v2"));
    let table = [
        (format!("match: [{{sourceLabels: {{app: productpage}}}}], {v2}"), "9080|v2|reviews"),
        (format!("match: [{{sourceLabels: {{app: details}}}}], {v2}"), "9080|v1|reviews"),
        (format!("match: [{{sourceNamespace: other}}], {v2}"), "9080|v1|reviews"),
        (format!("match: [{{port: 9080}}], {v2}"), "9080|v2|reviews"),
        (format!("match: [{{port: 80}}], {v2}"), "9080|v1|reviews"),
        (format!("match: [{{gateways: [edge]}}], {v2}"), "9080|v1|reviews"),
        (format!("match: [{{gateways: [edge, mesh]}}], {v2}"), "9080|v2|reviews"),
    ];
    for (first, expected) in table {
        let spec = format!("hosts: [reviews], http: [{{{first}}}, {{{v1}}}]");
        check(&spec, &Call::get("reviews:9080", "/"), expected);
    }
    // No rule holds: the service is called as if there were none.
    let spec = format!("hosts: [reviews], gateways: [edge], http: [{{{v1}}}]");
    check(&spec, &Call::get("reviews:9080", "/"), "9080||reviews");
    // Rules hold and none matches the request: not found.
    let spec = format!("hosts: [reviews], http: [{{match: [{{uri: {{exact: /a}}}}], {v1}}}]");
    check(&spec, &Call::get("reviews:9080", "/b"), "404");
}

#[test]
fn the_nearest_and_oldest_rule_wins() {
    let rule = |name: &str, created: u8, rest: &str, subset: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default, creationTimestamp: '2026-01-0{created}T00:00:00Z'}}
spec: {{{rest}, http: [{{route: [{{destination: {{host: reviews, subset: {subset}}}}}]}}]}}
---
"
        )
    };
    let check = |rules: [String; 2], expected: &str| {
        let text = format!("{}{}", rules.concat(), SUBSETS.trim_start_matches("\n---\n"));
        assert_eq!(goes(&text, &Call::get("reviews:9080", "/")), expected, "{text}");
    };
    let plain = "hosts: [reviews]";
    check([rule("b", 1, plain, "v1"), rule("a", 2, plain, "v2")], "9080|v1|reviews");
    let wild = "hosts: ['*.default.svc.cluster.local']";
    check([rule("b", 1, wild, "v1"), rule("a", 2, plain, "v2")], "9080|v2|reviews");
    let private = "hosts: [reviews], exportTo: ['.']";
    check([rule("b", 1, plain, "v1"), rule("a", 2, private, "v2")], "9080|v2|reviews");
    let elsewhere = "hosts: [reviews], exportTo: [other]";
    check([rule("b", 1, elsewhere, "v1"), rule("a", 2, plain, "v2")], "9080|v2|reviews");
}

#[test]
fn hosts_that_are_no_services_are_routed_on_port_80() {
    let rule = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec: {hosts: [shop.example.com], http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}";
    assert_eq!(goes(rule, &Call::get("shop.example.com:80", "/")), "9080||reviews");
    assert_eq!(goes(rule, &Call::get("shop.example.com", "/")), "9080||reviews");
}

#[test]
fn a_program_without_a_namespace_reaches_services_and_whatever_else_it_names() {
    let world = mesh(&rule(
        "hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v2}}]}]",
    ));
    let captured = proxy(&world, "productpage");
    assert!(!translate(&world, &captured).listeners.contains_key("http_proxy"));
    let proxy = Proxy { http_proxy: Some(15007), ..captured };
    let translated = translate(&world, &proxy);
    snapshot(&translated);
    let listener = &translated.listeners["http_proxy"];
    assert_eq!(listener.address.socket(), proxy.address.map(|ip| (ip, 15007).into()));
    let routes = &translated.routes["http_proxy"];
    let host = |domain: &str| {
        let mut hosts = routes.virtual_hosts.iter();
        hosts.find(|host| host.domains.iter().any(|d| d == domain)).map(|host| host.name.as_str())
    };
    // (authority, virtual host)
    for (authority, expected) in [
        ("reviews:9080", Some("reviews.default.svc.cluster.local:9080")),
        ("ratings.default:9080", Some("ratings.default.svc.cluster.local:9080")),
        ("reviews", None),
        ("*", Some("allow_any")),
    ] {
        assert_eq!(host(authority), expected, "{authority}");
    }
    let rest = routes.virtual_hosts.last().unwrap();
    let paths: Vec<&PathMatch> = rest.routes.iter().map(|route| &route.route_match.path).collect();
    assert_eq!(paths, [&PathMatch::Connect, &PathMatch::Prefix("/".to_owned())]);
    let rest = &translated.clusters["ForwardProxyCluster"];
    assert_eq!(rest.discovery, Discovery::DynamicForwardProxy);
}
