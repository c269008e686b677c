//! How a client and the proxy agree on a version of HTTP: by ALPN under TLS, by `Upgrade: h2c` without; and what becomes of
//! `:scheme`. Asked for by `curl` and `nghttp`.

use std::net::SocketAddr;
use std::process::Command;

use leno_core::config::{
    HeaderEdit, HeaderMutation, HeaderMutations, HttpConnectionManager, SchemeRewrite,
    UpstreamProtocol, UpstreamTransport,
};

use crate::basic::OK;
use crate::ca::Ca;
use crate::config::{cluster, edited, forward, http_listener, route, start, with_listener};
use crate::http2::http2_cluster;
use crate::origin::{Peer, answering, origin};

fn curl(args: &[&str], url: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(["--write-out", " %{http_code} %{http_version}"])
        .args(args)
        .arg(url)
        .output()
        .expect("curl is installed");
    let (out, error) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    format!("{}{}", out.unwrap(), error.unwrap())
}

#[test]
fn alpn_decides_under_tls() {
    let ca = Ca::new();
    let root = ca.root();
    let root = root.to_str().unwrap();
    // (what the listener offers, what curl asks for, version)
    let table: [(&[&str], &[&str], &str); 5] = [
        (&["h2", "http/1.1"], &["--http2"], "2"),
        (&["h2", "http/1.1"], &["--http1.1"], "1.1"),
        (&["http/1.1"], &["--http2"], "1.1"),
        (&["h2"], &["--http2"], "2"),
        (&["h2", "http/1.1"], &["--no-alpn"], "1.1"),
    ];
    for (offered, asked, version) in table {
        let (web, _requests) = answering(OK);
        let mut listener = http_listener(vec![route("/", forward("c"))]);
        listener.filter_chains[0].tls = Some(ca.downstream("server", false, offered));
        let (_proxy, address) = start(with_listener(listener, vec![cluster("c", &[web])]));
        let args = [asked, &["--cacert", root]].concat();
        let url = format!("https://localhost:{}/", address.port());
        assert_eq!(curl(&args, &url), format!("hello 200 {version}"), "{offered:?} {asked:?}");
    }
}

#[test]
fn a_client_may_go_on_in_http_2_without_tls() {
    let (web, requests) = answering(OK);
    let (_proxy, address) = start(with_listener(
        http_listener(vec![route("/", forward("c"))]),
        vec![cluster("c", &[web])],
    ));
    let url = format!("http://{address}/a");
    // Two requests: the first comes in HTTP/1.1, the second in the version agreed on.
    assert_eq!(curl(&["--http2", &url], &url), "hello 200 2hello 200 2");
    for _ in 0..2 {
        let request = requests.recv().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /a http/1.1\r\n"), "{request}");
        for name in ["\r\nupgrade:", "\r\nhttp2-settings:", "\r\nconnection:"] {
            assert!(!request.contains(name), "{request}");
        }
    }
    // A body is not waited for: the wish is passed over.
    let posted = curl(&["--http2", "--data", "abc"], &url);
    assert_eq!(posted, "hello 200 1.1");
    nghttp(&url);
}

fn nghttp(url: &str) {
    let output = match Command::new("nghttp").args(["--upgrade", "--timeout=20", url]).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: nghttp (package nghttp2-client): {error}"),
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello");
}

/// The `:scheme` that an HTTP/2 endpoint is told, by its own word.
fn scheme_echo() -> SocketAddr {
    origin(|mut peer| {
        // A proxy in front of it says in HTTP/1 what `:scheme` was.
        while let Some(request) = peer.message() {
            let at = request.find("x-scheme: ").expect("a scheme") + "x-scheme: ".len();
            let scheme = request[at..].split("\r\n").next().unwrap();
            peer.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{scheme}",
                scheme.len()
            ));
        }
    })
}

#[test]
fn the_scheme_is_what_the_listener_says() {
    let ca = Ca::new();
    let echo = scheme_echo();
    // The far proxy tells of the `:scheme` that comes to it, in plaintext and under TLS.
    let far = |tls| {
        let mut route = route("/", forward("echo"));
        let scheme = HeaderMutation {
            name: "x-scheme".into(),
            value: "%REQ(:SCHEME)%".into(),
            edit: HeaderEdit::Overwrite,
        };
        route.request_headers = HeaderMutations::new(Vec::new(), vec![scheme]);
        let mut listener = http_listener(vec![route]);
        listener.filter_chains[0].tls = tls;
        start(with_listener(listener, vec![cluster("echo", &[echo])]))
    };
    let (_plain, plain) = far(None);
    let (_secured, secured) = far(Some(ca.downstream("server", true, &["h2"])));
    let near = |to: SocketAddr, is_secured: bool, scheme| {
        let mut cluster = http2_cluster("far", to);
        if is_secured {
            let tls = ca.upstream("client", "server", &["h2"]);
            cluster.transport = UpstreamTransport::Tls(Box::new(tls));
        }
        assert_eq!(cluster.http.protocol, UpstreamProtocol::Http2);
        let edit = |manager: &mut HttpConnectionManager| manager.scheme = scheme;
        let listener = edited(http_listener(vec![route("/", forward("far"))]), edit);
        start(with_listener(listener, vec![cluster]))
    };
    // (rewrite, :scheme to a plaintext endpoint, :scheme to one with TLS)
    let table = [
        (SchemeRewrite::Keep, "http", "http"),
        (SchemeRewrite::Http, "http", "http"),
        (SchemeRewrite::Https, "https", "https"),
        (SchemeRewrite::MatchUpstream, "http", "https"),
    ];
    for (rewrite, to_plain, to_secured) in table {
        for (endpoint, is_secured, expected) in
            [(plain, false, to_plain), (secured, true, to_secured)]
        {
            let (_near, address) = near(endpoint, is_secured, rewrite);
            let answer = Peer::connect(address).call("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{rewrite:?}: {answer}");
        }
    }
}
