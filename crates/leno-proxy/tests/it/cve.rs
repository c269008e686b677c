//! Attacks with a number that only a whole proxy shows.

use leno_core::config::PathRewrite;

use crate::basic::OK;
use crate::config::{cluster, forward, resources, route, start};
use crate::origin::{Peer, answering};

#[test]
fn a_path_that_the_client_claims_decides_nothing_cve_2023_27487() {
    let (open, to_open) = answering(OK);
    let (closed, to_closed) = answering(OK);
    let mut rewritten = forward("open");
    rewritten.path_rewrite = Some(Box::new(PathRewrite::Prefix("/shop/".into())));
    let routes = vec![
        route("/admin", forward("closed")),
        route("/public/", rewritten),
        route("/", forward("open")),
    ];
    let clusters = vec![cluster("open", &[open]), cluster("closed", &[closed])];
    let (_proxy, address) = start(resources(routes, clusters));
    let claim = "x-envoy-original-path: /admin";
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{claim}\r\n\r\n");
        assert_eq!(Peer::connect(address).call(&request), OK);
        to_open.recv().unwrap()
    };
    ask("/elsewhere");
    let behind = ask("/public/a").to_ascii_lowercase();
    assert!(behind.starts_with("get /shop/a "), "{behind}");
    assert!(behind.contains("\r\nx-envoy-original-path: /public/a\r\n"), "{behind}");
    assert!(!behind.contains(claim), "what we say takes the place of the claim: {behind}");
    assert!(to_closed.try_recv().is_err());
}
