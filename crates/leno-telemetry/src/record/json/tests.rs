use proptest::prelude::*;
use serde_json::{Value, json};

use std::time::UNIX_EPOCH;

use super::*;
use crate::{Blame, ResponseFlag};

fn written(record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    line(record, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_record_reads_as_istio_writes_it() {
    let record = AccessRecord {
        method: Some(b"GET"),
        path: Some(b"/reviews/1?a=\"b\""),
        protocol: Some("HTTP/1.1"),
        response_code: 503,
        response_flags: ResponseFlag::UpstreamOverflow.into(),
        response_code_details: Some("overflow"),
        bytes_received: 7,
        bytes_sent: u64::MAX,
        duration: Duration::from_micros(12_900),
        upstream_service_time: Some(Duration::from_millis(9)),
        upstream_host: Some("10.0.0.1:9080".parse().unwrap()),
        downstream_remote_address: Some("[::1]:4000".parse().unwrap()),
        blame: Some(Blame::Policy),
        ..AccessRecord::at(UNIX_EPOCH + Duration::from_millis(1_700_000_000_042))
    };
    let value: Value = serde_json::from_str(&written(&record)).unwrap();
    let expected = json!({
        "start_time": "2023-11-14T22:13:20.042Z", "method": "GET", "path": "/reviews/1?a=\"b\"",
        "protocol": "HTTP/1.1", "response_code": 503, "response_flags": "UO", "response_code_details": "overflow",
        "connection_termination_details": null, "upstream_transport_failure_reason": null,
        "bytes_received": 7, "bytes_sent": u64::MAX, "duration": 12, "upstream_service_time": "9",
        "x_forwarded_for": null, "user_agent": null, "request_id": null, "authority": null,
        "upstream_host": "10.0.0.1:9080", "upstream_cluster": null, "upstream_local_address": null,
        "downstream_local_address": null, "downstream_remote_address": "[::1]:4000",
        "requested_server_name": null, "route_name": null, "blame": "policy", "blame_detail": null,
        "peer": null, "upstream_peer": null,
    });
    assert_eq!(value, expected);
}

proptest! {
    #[test]
    fn strings_are_what_serde_json_reads_back(wire in proptest::collection::vec(any::<u8>(), 0..60), text in ".{0,40}") {
        let record = AccessRecord {
            user_agent: Some(&wire),
            route_name: Some(&text),
            ..AccessRecord::at(UNIX_EPOCH)
        };
        let line = written(&record);
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["user_agent"].as_str().unwrap(), String::from_utf8_lossy(&wire));
        prop_assert_eq!(value["route_name"].as_str().unwrap(), text);
    }
}
