//! What an exchange that takes too long ends with, beside a real Envoy with the same file.

use crate::envoy::{self, Pair};
use crate::origin::Peer;

const LINE: &str = "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT%";
const REQUESTS: [&str; 3] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 50m\r\nContent-Length: 0\r\n\r\n",
];

/// The answer's status line, what it says of gRPC, and its body.
fn essence(answer: &str) -> Vec<String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let is_told =
        |line: &&str| line.starts_with("HTTP/") || line.to_lowercase().starts_with("grpc-");
    let lines = head.lines().filter(is_told).map(str::to_lowercase);
    lines.chain([body.to_owned()]).collect()
}

#[test]
fn what_takes_too_long_ends_as_with_envoy() {
    let silent = crate::origin::origin(|mut peer| {
        peer.rest();
    });
    for durations in [
        "timeout: 0.1s",
        "timeout: 10s, max_stream_duration: { max_stream_duration: 0.1s }",
        "timeout: 10s, max_stream_duration: { max_stream_duration: 0.1s, grpc_timeout_header_max: 5s }",
        "timeout: 0.1s, max_grpc_timeout: 5s",
    ] {
        let route = format!("{{ match: {{ prefix: / }}, route: {{ cluster: c, {durations} }} }}");
        let pair = Pair::start(|path| {
            let log = envoy::log(path, &envoy::text(LINE));
            envoy::file(&envoy::http("", &log, &route, ""), &[envoy::cluster("c", "", silent)])
        });
        let Some(pair) = pair else { return };
        let [ours, theirs] = pair
            .addresses
            .map(|address| REQUESTS.map(|request| essence(&Peer::connect(address).call(request))));
        // A deadline that the client set is told as such, whatever ran it down.
        assert_eq!(ours[2][1], "grpc-status: 4", "{durations}");
        assert_eq!(ours[..2], theirs[..2], "{durations}");
        let [ours, theirs] = pair.logged(REQUESTS.len());
        assert_eq!(ours[..2], theirs[..2], "{durations}");
    }
}
