//! Access logs in a form of their own: the same lines that a real Envoy writes for the same requests.

use serde_json::Value;

use crate::envoy::{self, Pair, log};
use crate::operators::{ANSWER, file};
use crate::origin::{Peer, answering};

/// Everything whose value does not differ from run to run.
const TEXT: &str = "%START_TIME(%Y-%m)% %REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:PATH)% %PROTOCOL% \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    %UPSTREAM_TRANSPORT_FAILURE_REASON% %BYTES_RECEIVED% %BYTES_SENT% %REQ(X-FORWARDED-FOR)% %REQ(USER-AGENT)% \
    %REQ(:AUTHORITY)% %RESP(X-TWO)% %RESP(x-none?x-two):1% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_CLUSTER% \
    %UPSTREAM_CLUSTER_RAW% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT% \
    %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %GRPC_STATUS% %GRPC_STATUS_NUMBER% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% \
    %DOWNSTREAM_PEER_URI_SAN% %REQUESTED_SERVER_NAME% %ROUTE_NAME% %RESPONSE_FLAGS_LONG% %STREAM_ID% \
    %TRACE_ID% %UPSTREAM_PROTOCOL% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %ACCESS_LOG_TYPE% %DYNAMIC_METADATA(a:b)% 100%%\\n";

const JSON: &str = "{code: \"%RESPONSE_CODE%\", flags: \"%RESPONSE_FLAGS%\", none: \"%REQ(x-none)%\", \
    mixed: \"%REQ(x-none)%/%REQ(:method)%\", agent: \"%REQ(user-agent)%\", received: \"%BYTES_RECEIVED%\", \
    nested: {path: \"%REQ(:path)%\", none: \"%ROUTE_NAME%%REQ(x-none)%\", fixed: text, yes: true, three: 3}, \
    port: \"%UPSTREAM_REMOTE_PORT%\", call: \"%GRPC_STATUS_NUMBER%\", \
    list: [\"%PROTOCOL%\", \"%REQ(x-none)%\"], sni: \"%REQUESTED_SERVER_NAME%\", tries: \"%UPSTREAM_REQUEST_ATTEMPT_COUNT%\", stream: \"%STREAM_ID%\", \
    trace: \"%TRACE_ID%\", spoken: \"%UPSTREAM_PROTOCOL%\", cut: \"%REQ(:path):3%\"}";

const REQUESTS: [&str; 2] = [
    "GET /a?b=c HTTP/1.1\r\nHost: some.host\r\nUser-Agent: it \"quoted\"\r\nX-Forwarded-For: 192.0.2.9\r\n\
     X-Request-Id: 7f3c9a52-1b1e-4c60-9a6e-0123456789ab\r\n\r\n",
    "POST /b HTTP/1.1\r\nHost: some.host\r\nContent-Length: 5\r\n\r\nhello",
];

/// What we and Envoy write for the same requests.
fn check(format: &str) -> Option<[Vec<String>; 2]> {
    let (origin, _requests) = answering(ANSWER);
    let pair = Pair::start(|path| file(origin, &log(path, format)))?;
    for address in pair.addresses {
        for request in REQUESTS {
            let mut client = Peer::connect(address);
            assert!(client.call(request).starts_with("HTTP/1.1 200"));
        }
    }
    Some(pair.logged(REQUESTS.len()))
}

#[test]
fn a_text_has_the_words_that_envoy_writes() {
    for format in [
        format!("log_format: {{ text_format_source: {{ inline_string: '{TEXT}' }} }}"),
        format!("log_format: {{ text_format: '{TEXT}', omit_empty_values: true }}"),
    ] {
        // A single-quoted text knows no escapes; the line feed has to be one.
        let format = format.replace('\'', "\"");
        let Some([ours, theirs]) = check(&format) else { return };
        assert_eq!(ours, theirs, "{format}");
        assert!(ours[0].contains("GET /a?b=c /rewritten/a?b=c HTTP/1.1 200"), "{ours:?}");
    }
}

#[test]
fn json_has_the_keys_values_and_types_that_envoy_writes() {
    for format in [
        format!("log_format: {{ json_format: {JSON} }}"),
        format!("log_format: {{ json_format: {JSON}, omit_empty_values: true }}"),
    ] {
        let Some(both) = check(&format) else { return };
        let read = |line: &String| serde_json::from_str::<Value>(line).unwrap();
        let [ours, theirs] = both.map(|lines| lines.iter().map(read).collect::<Vec<_>>());
        assert_eq!(ours, theirs, "{format}");
        assert_eq!(ours[0]["code"], 200, "a number stays one");
    }
}

#[test]
fn what_was_never_connected_is_told_as_envoy_tells_it() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let format = "log_format: { text_format: \"%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% \
        %UPSTREAM_PROTOCOL% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %ACCESS_LOG_TYPE%\\n\" }";
    let Some(pair) = Pair::start(|path| file(nobody, &log(path, format))) else { return };
    for address in pair.addresses {
        assert!(Peer::connect(address).call(REQUESTS[0]).starts_with("HTTP/1.1 503"));
    }
    let [ours, theirs] = pair.logged(1);
    assert_eq!(ours, theirs);
    assert_eq!(ours, ["503 UF UpstreamConnectionFailure - 1 DownstreamEnd"]);
}

#[test]
fn an_operator_that_is_not_known_is_told_with_its_place() {
    let (origin, _requests) = answering(ANSWER);
    let nowhere = std::path::Path::new("/nowhere");
    // (form, place, what is said)
    let table = [
        (
            "log_format: { json_format: { a: { b: ['%NO_SUCH%'] } } }",
            "log_format.json_format.a.b[0]",
            "the operator \"%NO_SUCH%\", which is not known here",
        ),
        (
            "log_format: { text_format: '%GRPC_STATUS(UPPER)%' }",
            "log_format.text_format",
            "its forms are CAMEL_STRING, SNAKE_STRING and NUMBER",
        ),
        ("log_format: { text_format: '%REQ%' }", "log_format.text_format", "without its argument"),
        ("format: '%'", ".format", "does not end"),
        ("log_format: {}", "log_format", "exactly one of text_format"),
        (
            "log_format: { text_format: a, json_format: {} }",
            "log_format",
            "exactly one of text_format",
        ),
    ];
    for (form, place, said) in table {
        let error = envoy::ours(&file(origin, &log(nowhere, form))).map(drop);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(place) && error.contains(said), "{form}: {error}");
    }
}
