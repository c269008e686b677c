//! Filter chains chosen by server name and application protocol, with clients that we did not write: `openssl s_client`
//! and `curl` against `openssl s_server`, whose TLS passes through untouched.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use leno_core::config::{FilterChain, FilterChainMatch, ListenerFilter, TransportProtocol};
use tempfile::TempDir;

use crate::config::{cluster, forward, http_listener, route, start, tcp, with_listener};
use crate::origin::{Peer, answering};

/// A certificate for some names, and where it and its key are.
struct Certificate {
    folder: TempDir,
}

impl Certificate {
    fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// `openssl s_server` on a free port; killed with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Answers `GET /` with a file whose text is `says`.
    fn start(certificate: &Certificate, says: &str, more: &[&str]) -> Self {
        std::fs::write(certificate.folder.path().join("page"), says).unwrap();
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-WWW", "-cert"])
            .arg(certificate.cert())
            .arg("-key")
            .arg(certificate.key())
            .args(more)
            .current_dir(certificate.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("ACCEPT ")?.parse().ok()).unwrap();
        // It prints each request: somebody must read, or it stops.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn chain(name: &str, matches: FilterChainMatch, to: &str) -> FilterChain {
    FilterChain { filter_chain_match: matches, ..FilterChain::minimal(name, tcp(to)) }
}

fn by_name(names: &[&str]) -> FilterChainMatch {
    FilterChainMatch {
        transport_protocol: Some(TransportProtocol::Tls),
        server_names: names.iter().map(|&name| name.to_owned()).collect(),
        ..FilterChainMatch::default()
    }
}

/// The page behind the proxy at `address`, asked for by `curl` as `host`.
fn curl(address: SocketAddr, host: &str, root: &Path, more: &[&str]) -> Result<String, i32> {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "10", "--cacert"])
        .arg(root)
        .args(["--resolve", &format!("{host}:{}:{}", address.port(), address.ip())])
        .args(more)
        .arg(format!("https://{host}:{}/page", address.port()))
        .output()
        .expect("curl is installed");
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(output.status.code().unwrap_or(-1))
}

#[test]
fn tls_passes_through_to_where_its_server_name_says() {
    let exact = Certificate::new(&["www.example.com"]);
    let wild = Certificate::new(&["api.example.com", "a.b.example.com", "www.other.com"]);
    let (first, second) = (Server::start(&exact, "exact", &[]), Server::start(&wild, "wild", &[]));
    let mut listener = crate::config::listener(tcp("exact"));
    listener.listener_filters = vec![ListenerFilter::TlsInspector];
    listener.filter_chains = vec![
        chain("exact", by_name(&["www.example.com"]), "exact"),
        chain("wild", by_name(&["*.example.com"]), "wild"),
    ];
    let clusters = vec![cluster("exact", &[first.address]), cluster("wild", &[second.address])];
    let (_proxy, address) = start(with_listener(listener, clusters));
    // (host, whose certificate, what comes)
    let table = [
        ("www.example.com", &exact, Ok("exact")),
        ("WWW.Example.COM", &exact, Ok("exact")),
        ("api.example.com", &wild, Ok("wild")),
        ("a.b.example.com", &wild, Ok("wild")),
        // No chain takes it: curl's 35 is a handshake that broke off.
        ("www.other.com", &wild, Err(35)),
    ];
    for (host, certificate, expected) in table {
        let answer = curl(address, host, &certificate.cert(), &["--http1.0"]);
        assert_eq!(answer.as_deref().map_err(|code| *code), expected, "{host}");
    }
    // Without TLS there is no server name, and no chain.
    let mut plain = Peer::connect(address);
    plain.write("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(plain.rest(), "");
}

#[test]
fn tls_passes_through_by_the_protocols_it_offers() {
    let certificate = Certificate::new(&["localhost"]);
    let first = Server::start(&certificate, "x", &["-alpn", "istio", "-tls1_3"]);
    let second = Server::start(&certificate, "x", &["-alpn", "h2", "-tls1_2"]);
    let offers = |protocol: &str| FilterChainMatch {
        application_protocols: vec![protocol.into()],
        ..by_name(&[])
    };
    let mut listener = crate::config::listener(tcp("mesh"));
    listener.listener_filters = vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector];
    listener.filter_chains =
        vec![chain("mesh", offers("istio"), "mesh"), chain("h2", offers("h2"), "h2")];
    let clusters = vec![cluster("mesh", &[first.address]), cluster("h2", &[second.address])];
    let (_proxy, address) = start(with_listener(listener, clusters));
    // (offered, agreed on)
    let table = [
        ("istio", Some(("istio", "TLSv1.3"))),
        ("h2,http/1.1", Some(("h2", "TLSv1.2"))),
        ("http/1.1,istio", Some(("istio", "TLSv1.3"))),
        ("http/1.1", None),
    ];
    for (offered, expected) in table {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address.to_string(), "-alpn", offered])
            .args(["-servername", "localhost"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let agreed = text.lines().find_map(|line| line.strip_prefix("ALPN protocol: "));
        assert_eq!(agreed, expected.map(|(protocol, _)| protocol), "{offered}: {text}");
        if let Some((_, version)) = expected {
            assert!(text.contains(&format!("New, {version}, ")), "{offered}: {text}");
        }
    }
}

#[test]
fn a_client_hello_in_pieces_is_read_all_the_same() {
    // Post-quantum key shares make ClientHellos longer than a packet.
    let certificate = Certificate::new(&["www.example.com"]);
    let server = Server::start(&certificate, "page", &[]);
    let mut listener = crate::config::listener(tcp("only"));
    listener.listener_filters = vec![ListenerFilter::TlsInspector];
    listener.filter_chains = vec![chain("only", by_name(&["www.example.com"]), "only")];
    let clusters = vec![cluster("only", &[server.address])];
    let (_proxy, address) = start(with_listener(listener, clusters));
    let slow = split_writes(address);
    assert_eq!(curl(slow, "www.example.com", &certificate.cert(), &["--http1.0"]).unwrap(), "page");
}

/// A relay in front of `to` whose first bytes arrive one by one.
fn split_writes(to: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = std::net::TcpStream::connect(to).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let there = std::thread::spawn(move || {
            let mut first = [0; 300];
            std::io::Read::read_exact(&mut from, &mut first).unwrap();
            for byte in first {
                server.write_all(&[byte]).unwrap();
            }
            // Either side may end first.
            let _ = std::io::copy(&mut from, &mut server);
            let _ = server.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut back, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
        there.join().unwrap();
    });
    address
}

#[test]
fn http_is_terminated_and_other_tls_passes_on_one_listener() {
    let certificate = Certificate::new(&["localhost"]);
    let server = Server::start(&certificate, "passed", &[]);
    let (web, _requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let mut both = http_listener(vec![route("/", forward("web"))]);
    both.listener_filters = vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector];
    both.filter_chains[0].filter_chain_match.transport_protocol =
        Some(TransportProtocol::RawBuffer);
    both.filter_chains.push(chain("tls", by_name(&["localhost"]), "tls"));
    let clusters = vec![cluster("web", &[web]), cluster("tls", &[server.address])];
    let (_proxy, address) = start(with_listener(both, clusters));
    assert_eq!(curl(address, "localhost", &certificate.cert(), &["--http1.0"]).unwrap(), "passed");
    assert!(Peer::connect(address).call("GET / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("hello"));
}
