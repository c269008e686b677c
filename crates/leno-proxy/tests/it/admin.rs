//! The admin endpoint, as people and probes use it.

use leno_proxy::Running;
use serde_json::Value;

use crate::basic::{GET, OK};
use crate::config::{start, to};
use crate::origin::{Peer, answering};

/// A page of the admin endpoint: status line and body.
pub(crate) fn page(proxy: &Running, request: &str) -> (String, String) {
    let mut admin = Peer::connect(proxy.admin().unwrap());
    admin.write(format!("{request} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"));
    let response = admin.rest();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// One number of a cluster's live state.
pub(crate) fn cluster_value(proxy: &Running, cluster: &str, pointer: &str) -> u64 {
    let (_, body) = page(proxy, "GET /clusters");
    let clusters: Value = serde_json::from_str(&body).unwrap();
    let found = clusters.as_array().unwrap().iter().find(|c| c["name"] == cluster).unwrap();
    found.pointer(pointer).unwrap().as_u64().unwrap()
}

#[test]
fn it_tells_what_is_in_force_and_how_it_does() {
    let (origin, _requests) = answering(OK);
    let (proxy, address) = start(to(origin));
    assert_eq!(Peer::connect(address).call(GET), OK);
    // (request, status, part of the body)
    let table = [
        ("GET /ready", "200", "LIVE".to_owned()),
        ("GET /config_dump", "200", "\"stat_prefix\": \"test\"".to_owned()),
        ("GET /clusters", "200", origin.to_string()),
        ("GET /listeners", "200", address.to_string()),
        ("GET /certs", "200", "[]".to_owned()),
        ("GET /server_info", "200", "\"state\": \"LIVE\"".to_owned()),
        ("GET /stats/prometheus", "200", "istio_requests_total{".to_owned()),
        ("GET /logging", "501", "fixed".to_owned()),
        ("GET /nothing", "404", String::new()),
        ("GET /quitquitquit", "405", String::new()),
    ];
    for (request, status, part) in table {
        let (line, body) = page(&proxy, request);
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {line}");
        assert!(body.contains(&part), "{request}: {body}");
    }
    page(&proxy, "POST /quitquitquit");
    proxy.wait();
}
