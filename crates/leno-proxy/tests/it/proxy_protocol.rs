//! The PROXY protocol with implementations that we did not write: haproxy on both sides, and curl.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use leno_core::config::{
    AccessLog, FilterChain, FilterChainMatch, Listener, ListenerFilter, NetworkFilter,
    ProxyProtocolVersion, TcpProxy, UpstreamTransport,
};
use serde_json::Value;

use crate::basic::{GET, OK};
use crate::config::{
    cluster, edited, forward, http_listener, listener, route, start, tcp, with_listener,
};
use crate::origin::{Peer, answering, origin};

/// haproxy with one frontend; killed with the test.
struct Haproxy {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// `None` where haproxy is not installed (`cargo xtask peers haproxy`).
fn haproxy(bind: &str, server: &str, http: &str) -> Option<Haproxy> {
    let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"];
    let program = program.into_iter().find(|path| std::path::Path::new(path).is_file())?;
    let folder = tempfile::tempdir().unwrap();
    // A socket that we bind and it inherits: its port is ours to know.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mode = if http.is_empty() { "tcp" } else { "http" };
    let config = format!(
        "defaults\n mode {mode}\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         frontend f\n bind {address} {bind}\n {http}\n default_backend b\n\
         backend b\n {server}\n"
    );
    let path = folder.path().join("haproxy.cfg");
    std::fs::File::create(&path).unwrap().write_all(config.as_bytes()).unwrap();
    let child = Command::new(program)
        .arg("-db")
        .arg("-f")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::yield_now();
    }
    Some(Haproxy { child, address, _folder: folder })
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A listener that expects the header, whose requests' `x-forwarded-for` says whose connection it is.
fn expecting(allow_missing: bool) -> Listener {
    let http = edited(http_listener(vec![route("/", forward("web"))]), |manager| {
        manager.use_remote_address = true;
    });
    Listener {
        listener_filters: vec![
            ListenerFilter::HttpInspector,
            ListenerFilter::ProxyProtocol { allow_missing },
        ],
        ..http
    }
}

fn forwarded_for(requests: &Receiver<String>) -> Option<String> {
    let request = requests.recv().unwrap();
    let line = request.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
    line.map(str::to_owned)
}

#[test]
fn haproxy_says_whose_connection_it_is() {
    let (web, requests) = answering(OK);
    let (_proxy, address) = start(with_listener(expecting(false), vec![cluster("web", &[web])]));
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        // haproxy is told the same by us, so that it is somebody else's address that arrives.
        let Some(front) = haproxy("accept-proxy", &format!("server s {address} {send}"), "") else {
            return;
        };
        // (header, address of the client)
        let table = [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n", "192.0.2.7"),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 4711 80\r\n", "2001:db8::7"),
        ];
        for (header, client) in table {
            let mut peer = Peer::connect(front.address);
            peer.write(header);
            assert_eq!(peer.call(GET), OK, "{send}");
            assert_eq!(forwarded_for(&requests).as_deref(), Some(client), "{send}");
        }
    }
}

#[test]
fn curl_says_whose_connection_it_is() {
    let (web, requests) = answering(OK);
    let (_proxy, address) = start(with_listener(expecting(false), vec![cluster("web", &[web])]));
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "10", "--haproxy-protocol", "--interface", "127.0.0.9"])
        .arg(format!("http://{address}/"))
        .output()
        .expect("curl is installed");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello");
    assert_eq!(forwarded_for(&requests).as_deref(), Some("127.0.0.9"));
}

#[test]
fn without_the_header_a_connection_is_refused_or_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (web, requests) = answering(OK);
    let mut strict = expecting(false);
    strict.access_log =
        vec![AccessLog { path: path.to_str().unwrap().into(), format: Default::default() }];
    let (proxy, address) = start(with_listener(strict, vec![cluster("web", &[web])]));
    for bytes in [GET, "PROXY TCP4 1.2.3.4 nonsense\r\n", "PROXY TCP4 1.2.3.4"] {
        let mut client = Peer::connect(address);
        client.write(bytes);
        client.end();
        assert_eq!(client.rest(), "", "{bytes}");
    }
    proxy.drain();
    proxy.wait();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for line in lines {
        assert_eq!(line["response_flags"], "DPE");
        assert_eq!(line["response_code_details"], "downstream_proxy_protocol_error");
    }
    let (_proxy, address) = start(with_listener(expecting(true), vec![cluster("web", &[web])]));
    assert_eq!(Peer::connect(address).call(GET), OK);
    assert_eq!(forwarded_for(&requests).as_deref(), Some("127.0.0.1"));
    // In pieces, and then HTTP in the same packet.
    let mut client = Peer::connect(address);
    for piece in
        ["PRO", "XY TCP4 192.0.2.7 198.51.100.1 1", " 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        client.write(piece);
    }
    assert_eq!(client.message().unwrap(), OK);
    assert_eq!(forwarded_for(&requests).as_deref(), Some("192.0.2.7"));
}

#[test]
fn the_destination_that_is_named_chooses_the_chain() {
    let says = |what: &'static str| origin(move |mut peer| peer.write(what));
    let port = |port| FilterChainMatch { destination_port: Some(port), ..Default::default() };
    let chain = |name: &str, number| FilterChain {
        filter_chain_match: port(number),
        ..FilterChain::minimal(name, tcp(name))
    };
    let both = Listener {
        listener_filters: vec![ListenerFilter::ProxyProtocol { allow_missing: false }],
        filter_chains: vec![chain("a", 81), chain("b", 82)],
        ..listener(tcp("a"))
    };
    let clusters = vec![cluster("a", &[says("a")]), cluster("b", &[says("b")])];
    let (_proxy, address) = start(with_listener(both, clusters));
    for (to, answer) in [(81, "a"), (82, "b")] {
        let mut client = Peer::connect(address);
        client.write(format!("PROXY TCP4 192.0.2.7 198.51.100.1 4711 {to}\r\n"));
        assert_eq!(client.rest(), answer);
    }
}

fn sending(
    version: ProxyProtocolVersion,
    name: &str,
    to: SocketAddr,
) -> leno_core::config::Cluster {
    let mut cluster = cluster(name, &[to]);
    cluster.transport = UpstreamTransport::ProxyProtocol { version, tls: None };
    cluster
}

#[test]
fn the_endpoint_is_told_whose_connection_it_is() {
    let (sender, heard) = channel();
    let server = origin(move |mut peer| {
        let line = peer.until("\n").unwrap();
        sender.send(line).unwrap();
        peer.write("done");
    });
    let clusters = vec![sending(ProxyProtocolVersion::V1, "c", server)];
    let (_proxy, address) = start(with_listener(listener(tcp("c")), clusters));
    let mut client = Peer::connect(address);
    let own = client.stream().local_addr().unwrap();
    client.write("hello\n");
    assert_eq!(client.rest(), "done");
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", own.port(), address.port());
    assert_eq!(heard.recv().unwrap(), expected);
}

#[test]
fn haproxy_is_told_whose_connection_it_is() {
    let (web, requests) = answering(OK);
    let Some(back) = haproxy("accept-proxy", &format!("server s {web}"), "option forwardfor")
    else {
        return;
    };
    for version in [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2] {
        let clusters = || vec![sending(version, "web", back.address)];
        let bytes = TcpProxy::minimal("tcp", "web");
        let (_tcp, of_bytes) =
            start(with_listener(listener(NetworkFilter::Tcp(bytes)), clusters()));
        let http = http_listener(vec![route("/", forward("web"))]);
        let (_http, of_requests) = start(with_listener(http, clusters()));
        for address in [of_bytes, of_requests] {
            // Two clients, one after the other: neither is taken for the other.
            for from in ["127.0.0.8", "127.0.0.9"] {
                let output = Command::new("curl")
                    .args(["--silent", "--max-time", "10", "--interface", from])
                    .arg(format!("http://{address}/"))
                    .output()
                    .expect("curl is installed");
                assert_eq!(String::from_utf8(output.stdout).unwrap(), "hello", "{version:?}");
                assert_eq!(forwarded_for(&requests).as_deref(), Some(from), "{version:?}");
            }
        }
    }
}
