//! Command operators in header values and the headers a proxy adds, beside a real Envoy with the same file.

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;

use crate::config::LISTENER;
use crate::envoy::{self, PATIENCE, Pair};
use crate::origin::{Peer, answering};

/// What is put into requests: header and value. `ENV` is set by nobody.
const IN_REQUESTS: [(&str, &str); 23] = [
    ("x-t-literal", "100%% plain"),
    ("x-t-req", "%REQ(x-one)%"),
    ("x-t-or", "%REQ(x-none?X-One)%"),
    ("x-t-cut", "%REQ(x-one):3%|"),
    ("x-t-none", "%REQ(x-none)%"),
    ("x-t-none-within", "[%REQ(x-none)%]"),
    ("x-t-path", "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)%"),
    ("x-t-protocol", "%PROTOCOL%"),
    ("x-t-remote", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("x-t-direct", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("x-t-local", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"),
    ("x-t-san", "%DOWNSTREAM_PEER_URI_SAN%"),
    ("x-t-san-within", "[%DOWNSTREAM_PEER_URI_SAN%]"),
    ("x-t-sni", "[%REQUESTED_SERVER_NAME%]"),
    ("x-t-host", "%HOSTNAME%"),
    ("x-t-env", "[%ENVIRONMENT(LENO_NO_SUCH_VARIABLE)%]"),
    ("x-t-metadata", "[%DYNAMIC_METADATA(a:b)%]"),
    ("x-t-route", "%ROUTE_NAME%"),
    ("x-t-cluster", "%UPSTREAM_CLUSTER%"),
    ("x-t-upstream", "[%UPSTREAM_HOST%]"),
    ("x-t-stream", "[%STREAM_ID%]"),
    ("x-t-type", "[%ACCESS_LOG_TYPE%]"),
    ("x-t-year", "%START_TIME(%Y-%m)%"),
];

/// What is put into responses.
const IN_RESPONSES: [(&str, &str); 10] = [
    ("x-t-code", "%RESPONSE_CODE%"),
    ("x-t-resp", "%RESP(x-two)% %RESP(x-none?x-two)%"),
    ("x-t-req", "%REQ(x-one)%"),
    ("x-t-details", "%RESPONSE_CODE_DETAILS%"),
    ("x-t-flags", "%RESPONSE_FLAGS%"),
    ("x-t-upstream", "%UPSTREAM_HOST%"),
    ("x-t-cluster", "%UPSTREAM_CLUSTER%"),
    ("x-t-long", "%RESPONSE_FLAGS_LONG%"),
    ("x-t-spoken", "%UPSTREAM_PROTOCOL%"),
    ("x-t-tries", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
];

/// A file with this connection manager: everything goes to `origin`, and both directions are edited.
pub(crate) fn file(origin: SocketAddr, manager: &str) -> String {
    let edits = |all: &[(&str, &str)]| -> String {
        let one = |(name, value): &(&str, &str)| {
            format!("{{ header: {{ key: {name}, value: \"{value}\" }} }}, ")
        };
        all.iter().map(one).collect()
    };
    let route = format!(
        "{{ name: the-route, match: {{ prefix: / }}, \
         route: {{ cluster: the-origin, prefix_rewrite: /rewritten/ }}, \
         request_headers_to_add: [{}], response_headers_to_add: [{}] }}",
        edits(&IN_REQUESTS),
        edits(&IN_RESPONSES)
    );
    let settings = format!("generate_request_id: false\n{manager}");
    let chain = envoy::http("", &settings, &route, "");
    envoy::file(&chain, &[envoy::cluster("the-origin", "", origin)])
}

/// Headers of a head that tests are about, lower case, in order of name.
fn headers(head: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = head.lines().skip(1).take_while(|line| !line.is_empty());
    let split = lines.filter_map(|line| line.split_once(':'));
    let named = split.map(|(name, value)| (name.to_ascii_lowercase(), value.trim()));
    let mut found: Vec<String> = named
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    found.sort();
    found
}

/// What the origin and the client see of one request through a proxy.
fn seen(
    proxy: SocketAddr,
    requests: &Receiver<String>,
    wanted: impl Fn(&str) -> bool + Copy,
) -> (Vec<String>, Vec<String>) {
    let mut client = Peer::connect(proxy);
    let answer = client.call(
        "GET /a?b=c HTTP/1.1\r\nHost: some.host\r\nX-One: first value\r\nVia: 1.0 before\r\n\r\n",
    );
    let request = requests.recv_timeout(PATIENCE).unwrap();
    (headers(&request, wanted), headers(&answer, wanted))
}

pub(crate) const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-two: 2\r\nserver: origin\r\nvia: 1.1 origin\r\n\r\n";

/// Runs both with the same file and compares what each adds.
fn check(
    manager: &str,
    wanted: impl Fn(&str) -> bool + Copy,
) -> Option<(Vec<String>, Vec<String>)> {
    let (origin, requests) = answering(ANSWER);
    let pair = Pair::start(|_| file(origin, manager))?;
    let [ours, theirs] = pair.addresses.map(|address| seen(address, &requests, wanted));
    assert_eq!(ours, theirs, "{manager}");
    Some(ours)
}

#[test]
fn operators_mean_what_they_mean_to_envoy() {
    let ours = check("", |name| name.starts_with("x-t-"));
    let Some((request, response)) = ours else { return };
    for expected in ["x-t-literal: 100% plain", "x-t-or: first value", "x-t-cut: fir|"] {
        assert!(request.iter().any(|one| one == expected), "{expected}: {request:#?}");
    }
    assert!(response.iter().any(|one| one == "x-t-code: 200"), "{response:#?}");
}

#[test]
fn server_and_via_are_what_they_are_with_envoy() {
    let about = |name: &str| name == "server" || name == "via";
    for manager in [
        "server_name: edge",
        "server_header_transformation: APPEND_IF_ABSENT\nserver_name: edge",
        "server_header_transformation: PASS_THROUGH\nvia: 1.1 edge",
    ] {
        check(manager, about);
    }
}

#[test]
fn the_service_time_is_told_unless_that_is_suppressed() {
    let (origin, _requests) = answering(ANSWER);
    let told = file(origin, "");
    let quiet =
        told.replace("v3.Router\n", "v3.Router\n              suppress_envoy_headers: true\n");
    for (is_told, text) in [(true, told), (false, quiet)] {
        let running = envoy::ours(&text).unwrap();
        let mut client = Peer::connect(running.address(LISTENER).unwrap());
        let answer = client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let told = headers(&answer, |name| name == "x-envoy-upstream-service-time");
        let value = told.first().and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert_eq!(value.is_some(), is_told, "{answer}");
        assert_eq!(headers(&answer, |name| name == "server"), ["server: leno"]);
    }
}
