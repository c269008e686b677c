use super::{check, check_warnings};

const KIND: &str = "VirtualService";
const TO: &str = "route: [{destination: {host: a}}]";

fn http(rule: &str) -> String {
    format!("{{hosts: [a], http: [{{{rule}}}]}}")
}

#[test]
fn hosts_gateways_and_exports() {
    let table: [(&str, &[&str]); 14] = [
        ("{hosts: [a], RULES}", &[]),
        ("{hosts: ['*.example.com', a.b.c], RULES}", &[]),
        ("{hosts: ['*'], gateways: [edge], RULES}", &[]),
        ("{RULES}", &["spec.hosts Required"]),
        ("{hosts: [], RULES}", &["spec.hosts Required"]),
        ("{hosts: ['*'], RULES}", &["spec.hosts[0] Invalid ~ cannot be taken over"]),
        (
            "{hosts: [a, 'b.*', a], RULES}",
            &["spec.hosts[1] Invalid ~ wildcard", "spec.hosts[2] Duplicate"],
        ),
        ("{hosts: [-a], RULES}", &["spec.hosts[0] Invalid"]),
        (
            "{hosts: [a], gateways: [Edge, a/b/c], RULES}",
            &["spec.gateways[0] Invalid", "spec.gateways[1] Invalid"],
        ),
        ("{hosts: [a], exportTo: ['.', shop], RULES}", &[]),
        ("{hosts: [a], exportTo: ['*', '.'], RULES}", &["spec.exportTo Invalid"]),
        (
            "{hosts: [a], exportTo: ['~', 'A'], RULES}",
            &["spec.exportTo[0] NotSupported", "spec.exportTo[1] Invalid"],
        ),
        ("{hosts: [a]}", &["spec.http Required"]),
        ("{hosts: a, RULES}", &["spec.hosts TypeInvalid ~ must be a list"]),
    ];
    for (spec, expected) in table {
        check(KIND, &spec.replace("RULES", &format!("http: [{{{TO}}}]")), expected);
    }
}

#[test]
fn a_rule_does_one_thing() {
    let table: [(&str, &[&str]); 9] = [
        (TO, &[]),
        ("redirect: {uri: /x}", &[]),
        ("directResponse: {status: 200}", &[]),
        ("timeout: 1s", &["spec.http[0].route Required"]),
        ("TO, redirect: {uri: /x}", &["spec.http[0].redirect Forbidden ~ route or redirect"]),
        ("TO, directResponse: {status: 200}", &["spec.http[0].directResponse Forbidden"]),
        (
            "redirect: {uri: /x}, fault: {abort: {httpStatus: 500}}",
            &["spec.http[0].fault Forbidden"],
        ),
        ("directResponse: {status: 200}, rewrite: {uri: /}", &["spec.http[0].rewrite Forbidden"]),
        ("redirect: {}", &["spec.http[0].redirect Required"]),
    ];
    for (rule, expected) in table {
        check(KIND, &http(&rule.replace("TO", TO)), expected);
    }
}

#[test]
fn weights_and_destinations() {
    let table: [(&str, &[&str]); 9] = [
        ("{destination: {host: a}, weight: 99}, {destination: {host: b}, weight: 1}", &[]),
        ("{destination: {host: a}, weight: 0}", &[]),
        (
            "{destination: {host: a}}, {destination: {host: b}}",
            &["spec.http[0].route Invalid ~ must not all be 0"],
        ),
        ("{destination: {host: a}, weight: -1}", &["spec.http[0].route[0].weight Invalid"]),
        ("{destination: {host: a}, weight: 1.5}", &["spec.http[0].route[0].weight Invalid"]),
        ("{weight: 1}", &["spec.http[0].route[0].destination Required"]),
        ("{destination: {subset: v1}}", &["spec.http[0].route[0].destination.host Required"]),
        ("{destination: {host: '*'}}", &["spec.http[0].route[0].destination.host Invalid"]),
        (
            "{destination: {host: a, subset: V_1, port: {number: 70000}}}",
            &[
                "spec.http[0].route[0].destination.subset Invalid",
                "spec.http[0].route[0].destination.port.number Invalid",
            ],
        ),
    ];
    for (route, expected) in table {
        check(KIND, &http(&format!("route: [{route}]")), expected);
    }
}

#[test]
fn matches_are_well_formed() {
    let table: [(&str, &[&str]); 11] = [
        (
            "uri: {prefix: /a}, headers: {x-a: {}}, withoutHeaders: {x-b: {regex: '.*'}}, queryParams: {q: {exact: ''}}",
            &[],
        ),
        ("uri: {}", &["spec.http[0].match[0].uri Required"]),
        ("uri: {prefix: /a, exact: /b}", &["spec.http[0].match[0].uri Invalid ~ only one"]),
        (
            "uri: {regex: '('}",
            &["spec.http[0].match[0].uri.regex Invalid ~ not a regular expression"],
        ),
        ("uri: {regex: ''}", &["spec.http[0].match[0].uri.regex Invalid"]),
        ("uri: {prefix: ''}", &["spec.http[0].match[0].uri.prefix Invalid"]),
        ("headers: {'x a': {exact: b}}", &["spec.http[0].match[0].headers.x a Invalid"]),
        ("port: 0", &["spec.http[0].match[0].port Invalid"]),
        ("sourceLabels: {app: '-'}", &["spec.http[0].match[0].sourceLabels.app Invalid"]),
        ("sourceNamespace: A", &["spec.http[0].match[0].sourceNamespace Invalid"]),
        ("uri: {regex: '[a-z]{20000}'}", &[]),
    ];
    for (one, expected) in table {
        check(KIND, &http(&format!("match: [{{{one}}}], {TO}")), expected);
    }
}

#[test]
fn times_retries_and_faults() {
    let table: [(&str, &[&str]); 19] = [
        ("timeout: 0s", &[]),
        ("timeout: 1ms", &[]),
        ("timeout: 999us", &["spec.http[0].timeout Invalid ~ at least 1ms"]),
        ("timeout: 5", &["spec.http[0].timeout TypeInvalid"]),
        ("timeout: 5x", &["spec.http[0].timeout Invalid ~ duration"]),
        (
            "retries: {attempts: 3, perTryTimeout: 2s, retryOn: 'gateway-error,connect-failure, 503'}",
            &[],
        ),
        ("retries: {attempts: 0}", &[]),
        ("retries: {retryOn: 5xx}", &["spec.http[0].retries.retryOn Invalid ~ attempts is 0"]),
        (
            "retries: {attempts: 1, retryOn: '5xx,often'}",
            &["spec.http[0].retries.retryOn NotSupported ~ \"often\""],
        ),
        ("retries: {attempts: -1}", &["spec.http[0].retries.attempts Invalid"]),
        ("fault: {}", &["spec.http[0].fault Required"]),
        (
            "fault: {delay: {percentage: {value: 50}}}",
            &["spec.http[0].fault.delay.fixedDelay Required"],
        ),
        (
            "fault: {delay: {fixedDelay: 5s, percentage: {value: 100.1}}}",
            &["spec.http[0].fault.delay.percentage.value Invalid"],
        ),
        (
            "fault: {delay: {fixedDelay: 0s, percentage: {value: 1}}}",
            &["spec.http[0].fault.delay.fixedDelay Invalid"],
        ),
        (
            "fault: {abort: {percentage: {value: 1}}}",
            &["spec.http[0].fault.abort.httpStatus Required"],
        ),
        (
            "fault: {abort: {httpStatus: 600, percentage: {value: 1}}}",
            &["spec.http[0].fault.abort.httpStatus Invalid"],
        ),
        (
            "fault: {abort: {httpStatus: 500, grpcStatus: INTERNAL}}",
            &["spec.http[0].fault.abort Invalid"],
        ),
        (
            "mirror: {host: b}, mirrorPercentage: {value: -1}",
            &["spec.http[0].mirrorPercentage.value Invalid"],
        ),
        (
            "mirror: {host: b}, mirrors: [{destination: {host: c}}]",
            &["spec.http[0].mirrors Forbidden"],
        ),
    ];
    for (rule, expected) in table {
        check(KIND, &http(&format!("{rule}, {TO}")), expected);
    }
}

#[test]
fn answers_and_rewrites() {
    let table: [(&str, &[&str]); 12] = [
        ("directResponse: {status: 199}", &["spec.http[0].directResponse.status Invalid"]),
        ("directResponse: {body: {string: a}}", &["spec.http[0].directResponse.status Required"]),
        (
            "directResponse: {status: 200, body: {string: a, bytes: YQ==}}",
            &["spec.http[0].directResponse.body Invalid"],
        ),
        (
            "directResponse: {status: 200, body: {bytes: '!'}}",
            &["spec.http[0].directResponse.body.bytes Invalid"],
        ),
        ("redirect: {redirectCode: 200}", &["spec.http[0].redirect.redirectCode NotSupported"]),
        ("redirect: {authority: 'a b'}", &["spec.http[0].redirect.authority Invalid"]),
        ("redirect: {scheme: ftp}", &["spec.http[0].redirect.scheme NotSupported"]),
        (
            "redirect: {port: 1, derivePort: FROM_REQUEST_PORT}",
            &["spec.http[0].redirect.derivePort Forbidden"],
        ),
        ("rewrite: {}, TO", &["spec.http[0].rewrite Required"]),
        (
            "rewrite: {uriRegexRewrite: {match: '[', rewrite: x}}, TO",
            &["spec.http[0].rewrite.uriRegexRewrite.match Invalid"],
        ),
        (
            "rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: x}}, TO",
            &["spec.http[0].rewrite.uriRegexRewrite Forbidden"],
        ),
        (
            "headers: {request: {set: {'a b': c}, remove: ['']}}, TO",
            &[
                "spec.http[0].headers.request.set.a b Invalid",
                "spec.http[0].headers.request.remove[0] Invalid",
            ],
        ),
    ];
    for (rule, expected) in table {
        check(KIND, &http(&rule.replace("TO", TO)), expected);
    }
}

#[test]
fn tcp_and_tls() {
    let table: [(&str, &[&str]); 6] = [
        ("tcp: [{match: [{port: 27017}], route: [{destination: {host: a}}]}]", &[]),
        ("tcp: [{match: [{port: 27017}]}]", &["spec.tcp[0].route Required"]),
        (
            "tcp: [{match: [{destinationSubnets: [10.0.0.0/33]}], route: [{destination: {host: a}}]}]",
            &["spec.tcp[0].match[0].destinationSubnets[0] Invalid"],
        ),
        ("tls: [{match: [{sniHosts: [a]}], route: [{destination: {host: a}}]}]", &[]),
        (
            "tls: [{match: [{sniHosts: [b]}], route: [{destination: {host: a}}]}]",
            &["spec.tls[0].match[0].sniHosts[0] Invalid"],
        ),
        ("tls: [{route: [{destination: {host: a}}]}]", &["spec.tls[0].match Required"]),
    ];
    for (rules, expected) in table {
        check(KIND, &format!("{{hosts: [a], {rules}}}"), expected);
    }
}

#[test]
fn every_problem_is_told_at_once() {
    check(
        KIND,
        "{hosts: ['b.*'], http: [{timeout: x, route: [{destination: {}, weight: 101}, {destination: {host: a}, weight: -5}]}, {}]}",
        &[
            "spec.hosts[0] Invalid",
            "spec.http[0].timeout Invalid",
            "spec.http[0].route[0].destination.host Required",
            "spec.http[0].route[1].weight Invalid",
            "spec.http[1].route Required",
        ],
    );
}

#[test]
fn fields_without_effect_are_warned_about() {
    let table: [(&str, &[&str]); 6] = [
        (&http(TO), &[]),
        (&http(&format!("corsPolicy: {{maxAge: 1s}}, {TO}")), &["spec.http[0].corsPolicy"]),
        (
            &http(&format!("fault: {{delay: {{fixedDelay: 1s}}}}, {TO}")),
            &["spec.http[0].fault.delay"],
        ),
        (
            "{hosts: [a], gateways: [mesh, edge], http: [{TO}, {TO}]}",
            &["spec.gateways[1]", "spec.http[1]"],
        ),
        (
            "{hosts: [a], tls: [{match: [{sniHosts: [a]}], route: [{destination: {host: a}}]}]}",
            &["spec.tls"],
        ),
        (
            &http(&format!("retries: {{attempts: 1, retryOn: 'retriable-headers'}}, {TO}")),
            &["spec.http[0].retries.retryOn"],
        ),
    ];
    for (spec, expected) in table {
        check_warnings(KIND, &spec.replace("TO", TO), expected);
    }
}
