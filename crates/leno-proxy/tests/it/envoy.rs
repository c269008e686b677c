//! A real Envoy, the files it is configured by, and both of us with the same file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use leno_core::snapshot::Resources;
use leno_proxy::{ConfigSource, Options, Running};
use leno_testkit::peers;
use tempfile::TempDir;

use crate::ca::Ca;
use crate::config::{LISTENER, options};
use crate::origin::Peer;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A file of one listener with one filter chain (its fields, [`http`] or [`tcp`] and [`tls`]) and these clusters.
pub(crate) fn file(filter_chain: &str, clusters: &[String]) -> String {
    file_at(
        "address: { socket_address: { address: 127.0.0.1, port_value: 0 } }",
        filter_chain,
        clusters,
    )
}

/// The same at `address`, the fields of a listener that say where it listens.
pub(crate) fn file_at(address: &str, filter_chain: &str, clusters: &[String]) -> String {
    let clusters = match clusters {
        [] => String::new(),
        some => format!("  clusters:\n{}", indented(&some.concat(), 2)),
    };
    format!(
        "node: {{ id: it, cluster: it }}
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: {LISTENER}
    {address}
    filter_chains:
    -
{}{clusters}",
        indented(filter_chain, 6)
    )
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// One filter of a list.
pub(crate) fn filter(name: &str, kind: &str, settings: &str) -> String {
    let kind =
        format!("- name: {name}\n  typed_config:\n    \"@type\": type.googleapis.com/{kind}\n");
    kind + &indented(settings, 4)
}

/// The connection manager with these settings behind these network filters; `routes` are elements of a flow sequence, and
/// `filters` stand before the router.
pub(crate) fn http(before: &str, settings: &str, routes: &str, filters: &str) -> String {
    let router =
        filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", "");
    let settings = format!(
        "stat_prefix: it
{settings}
route_config: {{ name: r, virtual_hosts: [{{ name: all, domains: [\"*\"], routes: [{routes}] }}] }}
http_filters:
{filters}{router}"
    );
    let manager = filter(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        &settings,
    );
    format!("filters:\n{before}{manager}")
}

/// Bytes to a cluster behind these network filters.
pub(crate) fn tcp(before: &str, cluster: &str, settings: &str) -> String {
    let proxy = filter(
        "envoy.filters.network.tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        &format!("stat_prefix: it\ncluster: {cluster}\n{settings}"),
    );
    format!("filters:\n{before}{proxy}")
}

/// A cluster of one endpoint with these settings.
pub(crate) fn cluster(name: &str, settings: &str, to: SocketAddr) -> String {
    format!(
        "- name: {name}
  type: STATIC
  connect_timeout: 5s
  load_assignment:
    cluster_name: {name}
    endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
{}",
        to.port(),
        indented(settings, 2)
    )
}

/// Which version a cluster speaks, and its settings.
pub(crate) fn speaks(version: &str) -> String {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    format!(
        "typed_extension_protocol_options: {{ {OPTIONS}: {{ \"@type\": type.googleapis.com/{OPTIONS}, \
         explicit_http_config: {{ {version} }} }} }}\n"
    )
}

/// TLS as `name`, in the `DownstreamTlsContext` of a filter chain or the `UpstreamTlsContext` of a cluster.
pub(crate) fn tls(context: &str, ca: &Ca, name: &str, alpn: &[&str]) -> String {
    let must =
        if context == "DownstreamTlsContext" { "require_client_certificate: true," } else { "" };
    let (chain, key) = ca.issue(name);
    format!(
        "transport_socket: {{ name: tls, typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}, {must} \
         common_tls_context: {{ alpn_protocols: [{}], \
         tls_certificates: [{{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}], \
         validation_context: {{ trusted_ca: {{ filename: {} }} }} }} }} }}\n",
        alpn.join(", "),
        chain.display(),
        key.display(),
        ca.root().display()
    )
}

/// A log in the file at `path`; its format is a field of `FileAccessLog`.
pub(crate) fn log(path: &Path, format: &str) -> String {
    format!(
        "access_log: [{{ name: envoy.access_loggers.file, typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: {}, {format} }} }}]",
        path.display()
    )
}

/// The format of lines of this text.
pub(crate) fn text(line: &str) -> String {
    format!("log_format: {{ text_format_source: {{ inline_string: \"{line}\\n\" }} }}")
}

/// What is in the log once it has so many lines.
fn lines(path: &Path, count: usize) -> Vec<String> {
    poll("its records", || {
        let text = std::fs::read_to_string(path).ok()?;
        let is_all = text.ends_with('\n') && text.lines().count() >= count;
        is_all.then(|| text.lines().map(str::to_owned).collect())
    })
}

/// Asks until there is an answer.
pub(crate) fn poll<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "nobody told {what}");
        std::thread::yield_now();
    }
}

/// A real Envoy; ends with the value.
pub(crate) struct Envoy {
    child: Child,
    _folder: TempDir,
    /// Where its listener is.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    /// Starts it with a file of this text; `None` where `cargo xtask peers envoy` has not fetched it.
    pub(crate) fn start(text: &str) -> Option<Self> {
        let program = peers::Peer::Envoy.program()?;
        let (folder, file) = written(text);
        let admin = folder.path().join("admin");
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
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut envoy =
            Self { child: child.unwrap(), _folder: folder, address: nowhere, admin: nowhere };
        envoy.admin =
            poll("its admin address", || std::fs::read_to_string(&admin).ok()?.parse().ok());
        envoy.address = poll("its listener", || {
            let answer = envoy.page("/listeners");
            let (_, rest) = answer.split_once(&format!("{LISTENER}::"))?;
            rest.lines().next()?.parse().ok()
        });
        Some(envoy)
    }

    /// A page of its admin endpoint, with its head.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut client = Peer::connect(self.admin);
        client.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        client.rest()
    }
}

/// Starts a proxy of ours with a file of this text.
pub(crate) fn ours(text: &str) -> Result<Running, leno_proxy::Error> {
    let (_folder, file) = written(text);
    let config = ConfigSource::Static(file);
    leno_proxy::start(Options { config, ..options(Resources::default()) })
}

/// A file with this text, and its folder.
fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Both with the same file but for where they log. What is asked of both has ours first.
pub(crate) struct Pair {
    pub(crate) ours: Running,
    pub(crate) theirs: Envoy,
    pub(crate) addresses: [SocketAddr; 2],
    logs: [PathBuf; 2],
    _folder: TempDir,
}

impl Pair {
    /// `None` where there is no Envoy; `text` is told where to log.
    pub(crate) fn start(text: impl Fn(&Path) -> String) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let logs = ["ours", "theirs"].map(|name| folder.path().join(name));
        let theirs = Envoy::start(&text(&logs[1]))?;
        let ours = ours(&text(&logs[0])).unwrap_or_else(|error| panic!("{error}"));
        let addresses = [ours.address(LISTENER).unwrap(), theirs.address];
        Some(Self { ours, theirs, addresses, logs, _folder: folder })
    }

    /// What both logged, once it is that many lines.
    pub(crate) fn logged(&self, count: usize) -> [Vec<String>; 2] {
        self.logs.each_ref().map(|path| lines(path, count))
    }
}
