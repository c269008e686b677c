use super::{check, check_warnings};

const KIND: &str = "ServiceEntry";
const HTTP: &str = "ports: [{number: 80, name: http, protocol: HTTP}]";

#[test]
fn a_resolution_says_what_endpoints_there_are() {
    let table: [(&str, &[&str]); 11] = [
        ("hosts: [a.example], resolution: DNS", &[]),
        ("hosts: ['*.example'], resolution: NONE", &[]),
        ("hosts: [a.example], resolution: STATIC, endpoints: [{address: 10.0.0.1}]", &[]),
        ("hosts: [a.example], resolution: STATIC", &["spec.endpoints Required"]),
        (
            "hosts: [a.example], resolution: STATIC, endpoints: [{address: b.example}]",
            &["spec.endpoints[0].address Invalid"],
        ),
        ("hosts: [a.example], endpoints: [{address: 10.0.0.1}]", &["spec.endpoints Forbidden"]),
        ("hosts: ['*.example'], resolution: DNS", &["spec.hosts[0] Invalid ~ wildcard"]),
        (
            "hosts: [a.example], resolution: DNS_ROUND_ROBIN, endpoints: [{address: a.b}, {address: c.d}]",
            &["spec.endpoints Invalid"],
        ),
        (
            "hosts: [a.example], resolution: STATIC, endpoints: [{address: 10.0.0.1}], workloadSelector: {labels: {a: b}}",
            &["spec.workloadSelector Forbidden"],
        ),
        (
            "hosts: [a.example], resolution: DNS, addresses: [10.0.0.0/8, x]",
            &["spec.addresses[0] Invalid", "spec.addresses[1] Invalid"],
        ),
        (
            "hosts: [a.example], resolution: DNS, endpoints: [{address: b.c, ports: {https: 1, http: 0}}]",
            &["spec.endpoints[0].ports.https Invalid", "spec.endpoints[0].ports.http Invalid"],
        ),
    ];
    for (rest, expected) in table {
        check(KIND, &format!("{{{rest}, {HTTP}}}"), expected);
    }
}

#[test]
fn hosts_and_ports() {
    let table: [(&str, &[&str]); 5] = [
        ("{hosts: [], resolution: DNS}", &["spec.hosts Required"]),
        ("{hosts: ['*']}", &["spec.hosts[0] Invalid"]),
        ("{hosts: [a.b], ports: [{number: 80}]}", &["spec.ports[0].name Required"]),
        (
            "{hosts: [a.b], ports: [{number: 80, name: a, protocol: HTTP}, {number: 80, name: b, protocol: FTP}]}",
            &["spec.ports[1].number Duplicate", "spec.ports[1].protocol NotSupported"],
        ),
        (
            "{hosts: [a.b], ports: [{number: 80, name: a, protocol: HTTP, targetPort: 8080}]}",
            &["spec.ports[0].targetPort Forbidden"],
        ),
    ];
    for (spec, expected) in table {
        check(KIND, spec, expected);
    }
    check_warnings(KIND, "{hosts: [short], resolution: DNS}", &["spec.ports", "spec.hosts[0]"]);
}

#[test]
fn peer_authentication() {
    let table: [(&str, &[&str]); 5] = [
        ("{mtls: {mode: STRICT}}", &[]),
        ("{selector: {matchLabels: {a: b}}, portLevelMtls: {'80': {mode: DISABLE}}}", &[]),
        ("{portLevelMtls: {'80': {mode: DISABLE}}}", &["spec.portLevelMtls Forbidden"]),
        (
            "{selector: {matchLabels: {a: b}}, portLevelMtls: {web: {mode: DISABLE}}}",
            &["spec.portLevelMtls.web Invalid"],
        ),
        (
            "{mtls: {mode: TWICE}, selector: {matchLabels: {a: '*'}}}",
            &["spec.mtls.mode NotSupported", "spec.selector.matchLabels.a Invalid ~ wildcards"],
        ),
    ];
    for (spec, expected) in table {
        check("PeerAuthentication", spec, expected);
    }
}
