//! What is not modelled is named, or shown when it is harmless; never dropped.

use leno_core::config::*;

/// A field of wire type 2 with a number that no message of ours has.
fn with_field(mut bytes: Vec<u8>, number: u32, content: &[u8]) -> Vec<u8> {
    let mut key = number << 3 | 2;
    while key >= 0x80 {
        bytes.push(key as u8 | 0x80);
        key >>= 7;
    }
    bytes.push(key as u8);
    bytes.push(content.len() as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn assignment() -> ClusterLoadAssignment {
    ClusterLoadAssignment { cluster_name: "a".to_owned(), localities: Vec::new() }
}

#[test]
fn an_unknown_field_is_a_problem_with_its_number() {
    let bytes = with_field(leno_xds::encode_endpoints(&assignment()), 99, b"x");
    let problems = leno_xds::decode_endpoints(&bytes).unwrap_err();
    assert_eq!(problems[0].to_string(), "#99: field 99 is not supported");
}

#[test]
fn a_harmless_field_is_shown_beside_the_value() {
    // policy { overprovisioning_factor { value: 1 } }
    let bytes = with_field(leno_xds::encode_endpoints(&assignment()), 4, &[0x1a, 2, 8, 1]);
    let decoded = leno_xds::decode_endpoints(&bytes).unwrap();
    assert_eq!(decoded.value, assignment());
    let shown: Vec<_> = decoded.unsupported.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["policy.overprovisioning_factor: is not acted on"]);
}

#[test]
fn every_problem_of_a_resource_comes_at_once() {
    let host = VirtualHost {
        name: String::new(),
        domains: vec![],
        routes: vec![Route {
            name: String::new(),
            origin: None,
            route_match: RouteMatch {
                path: PathMatch::Regex(String::new()),
                case_sensitive: true,
                headers: vec![],
                query: vec![],
            },
            action: RouteAction::DirectResponse(DirectResponse { status: 99, body: vec![] }),
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            fault: None,
            authorization: None,
        }],
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        retry_policy: None,
        include_attempt_count: false,
    };
    let routes = RouteConfiguration {
        name: "r".to_owned(),
        virtual_hosts: vec![host],
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    };
    let problems = leno_xds::decode_route(&leno_xds::encode_route(&routes)).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "virtual_hosts[0].name: is missing",
        "virtual_hosts[0].routes[0].match.safe_regex.regex: is missing",
        "virtual_hosts[0].routes[0].direct_response.status: is not within 100 and 599",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn problems_are_bounded() {
    let mut bytes = leno_xds::encode_endpoints(&assignment());
    for _ in 0..10_000 {
        bytes = with_field(bytes, 99, b"x");
    }
    let problems = leno_xds::decode_endpoints(&bytes).unwrap_err();
    assert_eq!(problems.len(), 65);
    assert_eq!(problems[64].to_string(), "9936 more problems");
}
