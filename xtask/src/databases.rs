//! Real servers behind the proxy, driven by their own clients and benchmarks: what comes out must be what comes out without
//! the proxy, and no connection may fail.
//!
//! One listener for each server, none of which is told what it will carry: it looks at the first bytes, and learns which
//! servers speak first.

mod servers;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use servers::{SERVERS, Server};

use crate::peers;

/// `cargo xtask databases`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these servers.
    #[arg(long)]
    server: Vec<String>,
    /// The program under test.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
}

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let wanted =
        |server: &&Server| args.server.is_empty() || args.server.contains(&server.name.to_owned());
    let servers: Vec<&Server> = SERVERS.iter().filter(wanted).collect();
    ensure!(
        !servers.is_empty(),
        "no such server; there are {}",
        SERVERS.map(|s| s.name).join(", ")
    );
    for program in servers.iter().flat_map(|server| server.programs) {
        peers::path(program)?;
    }
    let folder = tempfile::Builder::new().prefix("leno-databases-").tempdir()?;
    servers::open_to_all(folder.path())?;
    println!(
        "{:<12} {:<13} {:>9} {:>9} {:>7}  result",
        "server", "learned", "direct", "proxied", "failed"
    );
    let mut code = ExitCode::SUCCESS;
    for server in servers {
        let row = compare(&root.join(&args.leno), server, folder.path());
        match row.with_context(|| server.name) {
            Ok(row) => {
                println!("{:<12} {row}", server.name);
                if !row.is_equal || row.failed > 0 {
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                println!("{:<12} {error:#}", server.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// What became of one server.
struct Row {
    learned: String,
    direct: Duration,
    proxied: Duration,
    /// Connections that the proxy did not relay to their end.
    failed: u64,
    is_equal: bool,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (direct, proxied) = (self.direct.as_millis(), self.proxied.as_millis());
        let equal = if self.is_equal { "equal" } else { "DIFFERENT" };
        let Self { learned, failed, .. } = self;
        write!(f, "{learned:<13} {direct:>6} ms {proxied:>6} ms {failed:>7}  {equal}")
    }
}

fn compare(leno: &Path, server: &Server, folder: &Path) -> Result<Row> {
    let folder = folder.join(server.name);
    std::fs::create_dir(&folder)?;
    servers::open_to_all(&folder)?;
    let port = free_port()?;
    let _server = Running((server.start)(&folder, port)?);
    await_port(port)?;
    let proxy = Proxy::start(leno, &folder, port)?;
    (server.prepare)(port)?;
    let timed = |port| -> Result<(String, Duration)> {
        let start = Instant::now();
        let result = (server.work)(port)?;
        Ok((result, start.elapsed()))
    };
    let (expected, direct) = timed(port)?;
    let (result, proxied) = timed(proxy.port)?;
    if expected != result {
        eprintln!("{}: without the proxy\n{expected}\nwith it\n{result}", server.name);
    }
    let (learned, failed) = (proxy.learned()?, proxy.failed()?);
    Ok(Row { learned, direct, proxied, failed, is_equal: expected == result })
}

/// A child that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The proxy in front of one port.
struct Proxy {
    port: u16,
    admin: u16,
    _process: Running,
}

impl Proxy {
    fn start(leno: &Path, folder: &Path, to: u16) -> Result<Self> {
        let (port, admin) = (free_port()?, free_port()?);
        let config = folder.join("envoy.yaml");
        std::fs::write(&config, bootstrap(port, to))?;
        let process = Command::new(leno)
            .args(["proxy", "--admin", &format!("127.0.0.1:{admin}"), "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("run {}", leno.display()))?;
        let process = Running(process);
        await_port(port)?;
        Ok(Self { port, admin, _process: process })
    }

    fn page(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.admin)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer of the admin endpoint")?;
        Ok(body.to_owned())
    }

    /// What the proxy learned that the server speaks.
    fn learned(&self) -> Result<String> {
        let all: Value = serde_json::from_str(&self.page("/protocols")?)?;
        Ok(all[0]["protocol"].as_str().unwrap_or("-").to_owned())
    }

    /// Connections that ended with a response flag.
    fn failed(&self) -> Result<u64> {
        let page = self.page("/stats/prometheus")?;
        let closed = page.lines().filter(|line| {
            line.starts_with("istio_tcp_connections_closed_total{")
                && !line.contains("response_flags=\"-\"")
        });
        Ok(closed.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

fn bootstrap(port: u16, to: u16) -> String {
    let mut text = String::from("static_resources:\n  listeners:\n");
    let inspectors = ["tls_inspector", "http_inspector"].map(|name| {
        let kind = if name == "tls_inspector" { "TlsInspector" } else { "HttpInspector" };
        format!(
            "    - name: envoy.filters.listener.{name}\n      typed_config: {{ \"@type\": \
             type.googleapis.com/envoy.extensions.filters.listener.{name}.v3.{kind} }}\n"
        )
    });
    write!(
        text,
        "  - name: bytes\n    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}\n    \
         listener_filters_timeout: 30s\n    listener_filters:\n{}    filter_chains:\n    - filters:\n      \
         - name: envoy.filters.network.tcp_proxy\n        typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, \
         stat_prefix: bytes, cluster: server }}\n",
        inspectors.concat()
    )
    .expect("writing to a String cannot fail");
    write!(
        text,
        "  clusters:\n  - name: server\n    type: STATIC\n    connect_timeout: 5s\n    load_assignment:\n      \
         cluster_name: server\n      endpoints:\n      - lb_endpoints:\n        - endpoint: {{ address: {{ \
         socket_address: {{ address: 127.0.0.1, port_value: {to} }} }} }}\n"
    )
    .expect("writing to a String cannot fail");
    text
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn await_port(port: u16) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > end {
            bail!("nothing listens on port {port}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
