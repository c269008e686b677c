//! One request and one answer at a time.

use std::time::Duration;

use leno_core::config::{
    DirectResponse, HeaderEdit, HeaderMutation, HeaderMutations, PathRewrite, Redirect,
    RedirectPath, RouteAction,
};

use crate::config::{cluster, forward, resources, route, route_to, start, to};
use crate::origin::{Peer, answering, origin};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Origin: yes\r\n\r\nhello";
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_request_reaches_the_endpoint_and_its_answer_comes_back() {
    let (origin, requests) = answering(OK);
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    for _ in 0..3 {
        let response = client.call("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Case: Kept\r\n\r\n");
        assert_eq!(response, OK);
        let request = requests.recv().unwrap();
        assert!(
            request.starts_with("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Case: Kept\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nx-request-id: "), "{request}");
    }
}

#[test]
fn connections_to_the_endpoint_are_kept_and_used_again() {
    let (sender, connections) = std::sync::mpsc::channel();
    let origin = origin(move |mut peer| {
        let _ = sender.send(peer.stream().peer_addr().unwrap());
        while peer.message().is_some() {
            peer.write(OK);
        }
    });
    let (_proxy, address) = start(to(origin));
    for _ in 0..3 {
        assert_eq!(Peer::connect(address).call(GET), OK);
    }
    assert_eq!(connections.try_iter().count(), 1);
}

#[test]
fn requests_of_one_connection_are_balanced_one_by_one() {
    let bodies = ["a", "b", "c"];
    let origins = bodies.map(|body| {
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{body}");
        answering(response.leak()).0
    });
    let routes = vec![route("/", forward("three"))];
    let (_proxy, address) = start(resources(routes, vec![cluster("three", &origins)]));
    let mut client = Peer::connect(address);
    let mut seen: Vec<String> = (0..6).map(|_| client.call(GET)).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[test]
fn the_proxy_answers_by_itself_where_the_route_says_so() {
    let redirect = Redirect {
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: Some(RedirectPath::Full("/new".into())),
        status: 308,
        strip_query: true,
    };
    let direct = DirectResponse { status: 418, body: b"short and stout".to_vec() };
    let routes = vec![
        route_to("/old", RouteAction::Redirect(Box::new(redirect))),
        route_to("/tea", RouteAction::DirectResponse(direct)),
        route("/gone", forward("gone")),
    ];
    let mut without = crate::config::table(routes);
    without.validate_clusters = false;
    let (_proxy, address) = start(crate::config::with_table(without, Vec::new()));
    let mut client = Peer::connect(address);
    // (path, what the response must contain)
    let table = [
        ("/old?x=1", ["HTTP/1.1 308 ", "location: https://x/new\r\n", "content-length: 0\r\n"]),
        ("/tea", ["HTTP/1.1 418 ", "content-length: 15\r\n", "\r\n\r\nshort and stout"]),
        ("/nowhere", ["HTTP/1.1 404 ", "x-leno-blame: config\r\n", "content-length: 0\r\n"]),
        ("/gone", ["HTTP/1.1 503 ", "x-leno-blame: config\r\n", "content-length: 0\r\n"]),
    ];
    for (path, parts) in table {
        let response = client.call(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        for part in parts {
            assert!(response.contains(part), "{path}: {response}");
        }
    }
}

#[test]
fn the_route_edits_what_it_says_and_nothing_else() {
    let (origin, requests) = answering(OK);
    let mut forward = forward("origin");
    forward.path_rewrite = Some(Box::new(PathRewrite::Prefix("/inner".into())));
    forward.host_rewrite = Some("inner.example".into());
    let mut route = route("/outer", forward);
    let set = |name: &str, value: &str, edit| HeaderMutation {
        name: name.into(),
        value: value.into(),
        edit,
    };
    route.request_headers = HeaderMutations::new(
        vec!["x-secret".into()],
        vec![set("x-added", "1", HeaderEdit::Append)],
    );
    route.response_headers = HeaderMutations::new(
        vec!["x-origin".into()],
        vec![set("x-edge", "leno", HeaderEdit::Overwrite)],
    );
    let (_proxy, address) = start(resources(vec![route], vec![cluster("origin", &[origin])]));
    let response = Peer::connect(address)
        .call("GET /outer/a?b HTTP/1.1\r\nHost: x\r\nX-Secret: s\r\nX-Kept: k\r\n\r\n");
    assert_eq!(response, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-edge: leno\r\n\r\nhello");
    let request = requests.recv().unwrap();
    assert!(
        request.starts_with("GET /inner/a?b HTTP/1.1\r\nHost: inner.example\r\nX-Kept: k\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nx-added: 1\r\n"), "{request}");
    assert!(request.contains("\r\nx-envoy-original-path: /outer/a?b\r\n"), "{request}");
}

#[test]
fn head_and_empty_answers_leave_the_connection_in_order() {
    let origin = origin(|mut peer| {
        while let Some(request) = peer.message() {
            peer.write(if request.starts_with("HEAD") {
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
            } else {
                "HTTP/1.1 204 No Content\r\n\r\n"
            });
        }
    });
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    for _ in 0..2 {
        client.write("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        let head = client.until("\r\n\r\n").unwrap();
        assert_eq!(head, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
        assert_eq!(client.call(GET), "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_connection_that_ends() {
    let (origin, _requests) =
        answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let (_proxy, address) = start(to(origin));
    let mut client = Peer::connect(address);
    client.write("GET / HTTP/1.0\r\n\r\n");
    let response = client.rest();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nabc"), "{response}");
}

#[test]
fn an_edge_tells_the_endpoint_who_called() {
    let (origin, requests) = answering(OK);
    let listener = crate::config::edited(
        crate::config::http_listener(vec![route("/", forward("origin"))]),
        |manager| manager.use_remote_address = true,
    );
    let clusters = vec![cluster("origin", &[origin])];
    let (_proxy, address) = start(crate::config::with_listener(listener, clusters));
    Peer::connect(address).call(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n",
    );
    let request = requests.recv().unwrap();
    assert!(request.contains("\r\nX-Forwarded-For: 6.6.6.6,127.0.0.1\r\n"), "{request}");
    assert!(request.contains("\r\nX-Forwarded-Proto: http\r\n"), "{request}");
}

#[test]
fn an_idle_client_is_closed_and_a_late_head_is_refused() {
    let (origin, _requests) = answering(OK);
    let listener = crate::config::edited(
        crate::config::http_listener(vec![route("/", forward("origin"))]),
        |manager| {
            manager.idle_timeout = Some(Duration::from_millis(60));
            manager.request_headers_timeout = Some(Duration::from_millis(60));
        },
    );
    let clusters = vec![cluster("origin", &[origin])];
    let (_proxy, address) = start(crate::config::with_listener(listener, clusters));
    assert_eq!(Peer::connect(address).rest(), "");
    let mut slow = Peer::connect(address);
    slow.write("GET / HTTP/1.1\r\nHo");
    assert!(slow.rest().starts_with("HTTP/1.1 408 "));
}
