//! Access records of what happened.

use std::sync::mpsc::channel;
use std::time::Duration;

use leno_core::config::AccessLog;
use serde_json::Value;

use crate::basic::OK;
use crate::config::{cluster, edited, forward, http_listener, route, start, with_listener};
use crate::origin::{Peer, answering, origin};

#[test]
fn every_exchange_leaves_one_line_that_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (web, _requests) = answering(OK);
    let (sender, heard) = channel();
    let silent = origin(move |mut peer| {
        // The test may have seen enough.
        let _ = sender.send(peer.message());
        peer.rest();
    });
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut slow = forward("silent");
    slow.timeout = Some(Duration::from_millis(50));
    let routes = vec![
        route("/ok", forward("web")),
        route("/slow", slow),
        route("/closed", forward("closed")),
        route("/silent", forward("silent")),
    ];
    let listener = edited(http_listener(routes), |manager| {
        manager.access_log =
            vec![AccessLog { path: path.to_str().unwrap().into(), format: Default::default() }];
    });
    let clusters =
        vec![cluster("web", &[web]), cluster("silent", &[silent]), cluster("closed", &[closed])];
    let (proxy, address) = start(with_listener(listener, clusters));
    for path in ["/ok?q", "/slow", "/closed", "/none"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: it\r\nContent-Length: 2\r\n\r\nhi"
        );
        Peer::connect(address).call(&request);
    }
    let mut invalid = Peer::connect(address);
    invalid.write("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
    invalid.rest();
    let mut gone = Peer::connect(address);
    gone.write("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
    let is_there = |request: &Option<String>| {
        request.as_ref().is_some_and(|request| request.starts_with("GET /silent "))
    };
    while !is_there(&heard.recv_timeout(Duration::from_secs(10)).unwrap()) {}
    drop(gone);
    proxy.drain();
    proxy.wait();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // (path, code, flags, details, blame, cluster)
    let table = [
        (Some("/ok?q"), 200, "-", "via_upstream", None, Some("web")),
        (Some("/slow"), 504, "UT", "response_timeout", Some("app"), Some("silent")),
        (
            Some("/closed"),
            503,
            "UF",
            "upstream_reset_before_response_started{remote_connection_failure}",
            Some("network"),
            Some("closed"),
        ),
        (Some("/none"), 404, "NR", "route_not_found", Some("config"), None),
        (None, 400, "DPE", "http1.duplicate_host", Some("app"), None),
        (Some("/silent"), 0, "DC", "downstream_remote_disconnect", Some("app"), Some("silent")),
    ];
    assert_eq!(lines.len(), table.len(), "{text}");
    for (line, (path, code, flags, details, blame, cluster)) in lines.iter().zip(table) {
        assert_eq!(line["path"].as_str(), path, "{line}");
        assert_eq!(line["response_code"], code, "{line}");
        assert_eq!(line["response_flags"], flags, "{line}");
        assert_eq!(line["response_code_details"], details, "{line}");
        assert_eq!(line["blame"].as_str(), blame, "{line}");
        assert_eq!(line["upstream_cluster"].as_str(), cluster, "{line}");
    }
    says_what_passed(&lines[0], web);
}

fn says_what_passed(line: &Value, endpoint: std::net::SocketAddr) {
    assert_eq!(line["method"], "POST");
    assert_eq!(line["protocol"], "HTTP/1.1");
    assert_eq!(line["authority"], "x");
    assert_eq!(line["user_agent"], "it");
    assert_eq!(line["bytes_received"], 2);
    assert_eq!(line["bytes_sent"], 5);
    assert_eq!(line["upstream_host"], endpoint.to_string());
    assert_eq!(line["request_id"].as_str().map(str::len), Some(36));
}
