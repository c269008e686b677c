//! `cargo xtask bench memory`: what a proxy holds idle, per idle connection, and with thousands of routes and clusters.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::contender::{Contender, Program, Setting};
use super::load::Tools;
use super::process::{Process, free_port};
use super::wire::Wire;
use super::{http1, machine};

/// `cargo xtask bench memory`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A tenth of the connections, and no results are written.
    #[arg(long)]
    quick: bool,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    json: bool,
    /// The leno to measure.
    #[arg(long, default_value = "bin/dist/leno")]
    leno: PathBuf,
    /// A load generator that was built before; built afresh if none is named.
    #[arg(long)]
    loadgen: Option<PathBuf>,
}

/// As many as each takes from one address where a process may have twenty thousand files: Leno 7,500, haproxy 9,900.
const CONNECTIONS: usize = 7_400;
const ROUTES: usize = 5000;
/// What was held a moment ago is given back, or kept for good.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("leno-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(root, args, &folder);
    std::fs::remove_dir_all(&folder)?;
    let peers = outcome?;
    let document = json!({ "bench": "memory", "peers": peers });
    if args.json {
        println!("{document}");
        return Ok(ExitCode::SUCCESS);
    }
    let text = table(&peers);
    println!("{}\n\n{text}", machine::describe());
    if !args.quick {
        let results = root.join("bench/results");
        std::fs::write(results.join("memory.json"), format!("{document:#}\n"))?;
        let intro =
            format!("# memory\n\n`cargo xtask bench memory` on {}.\n\n", machine::describe());
        std::fs::write(results.join("memory.md"), format!("{intro}{text}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    root: &Path,
    args: &Args,
    folder: &Path,
) -> Result<serde_json::Map<String, serde_json::Value>> {
    super::wire::make_certificates(folder)?;
    let tools = Tools::find(root, folder, args.loadgen.as_deref())?;
    let (_behind, backend) = tools.serve(100)?;
    let leno = root.join(&args.leno);
    let setting = Setting { root, leno: &leno, folder, backend, collector: None };
    let connections = if args.quick { CONNECTIONS / 10 } else { CONNECTIONS };
    let mut peers = serde_json::Map::new();
    for contender in http1::COURSE.contenders.iter().filter(|each| !each.name.contains('-')) {
        match measure_one(contender, &setting, connections) {
            Ok(figures) => {
                peers.insert(contender.name.to_owned(), figures);
            }
            Err(error) => eprintln!("bench: {} is left out: {error:#}", contender.name),
        }
    }
    Ok(peers)
}

fn measure_one(
    contender: &Contender,
    setting: &Setting<'_>,
    connections: usize,
) -> Result<serde_json::Value> {
    let contender = Contender { wires: &[Wire::Http1, Wire::Http1], ..*contender };
    let running = contender.start(setting)?;
    let idle_kib = running.idle_kib;
    // What is made once, at the first request, is not a connection's.
    drop(open(running.address, 50)?);
    std::thread::sleep(SETTLE);
    let before_kib = running.resident_kib()?;
    let held = open(running.address, connections)?;
    std::thread::sleep(SETTLE);
    let with_kib = running.resident_kib()?;
    drop(held);
    drop(running);
    let per_connection = (with_kib.saturating_sub(before_kib)) as f64 / connections as f64;
    let routes_kib = match contender.program {
        Program::Leno | Program::Envoy => Some(with_routes(contender.program, setting)?),
        Program::Haproxy | Program::Nginx => None,
    };
    Ok(json!({
        "idle_kib": idle_kib,
        "connection_kib": (per_connection * 100.0).round() / 100.0,
        "routes_kib": routes_kib,
    }))
}

/// Connections that each had one request answered and stay open.
fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(count);
    let mut answer = [0; 4096];
    for number in 0..count {
        let mut stream =
            TcpStream::connect(address).with_context(|| format!("connection {number}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let length = stream.read(&mut answer)?;
        anyhow::ensure!(answer[..length].starts_with(b"HTTP/1.1 200"), "connection {number}");
        held.push(stream);
    }
    Ok(held)
}

/// Memory with so many virtual hosts, each with its route and cluster.
fn with_routes(program: Program, setting: &Setting<'_>) -> Result<u64> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let config = setting.folder.join(format!("routes-{program:?}.yaml"));
    std::fs::write(&config, many_routes(address, setting.backend, free_port()?))?;
    let mut process: Process = program.start(setting.leno, &config)?;
    process.wait_for(address).context("start with many routes")?;
    std::thread::sleep(SETTLE);
    process.resident_kib()
}

fn many_routes(address: SocketAddr, backend: SocketAddr, admin: u16) -> String {
    let mut text = format!(
        r#"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: web
    address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: web
            virtual_hosts:
"#,
        address.port()
    );
    for n in 0..ROUTES {
        let _ = writeln!(
            text,
            "            - {{name: s{n}, domains: [\"s{n}.ns.svc.cluster.local\"], routes: [{{match: {{prefix: /}}, \
             route: {{cluster: c{n}}}}}]}}"
        );
    }
    text.push_str("  clusters:\n");
    for n in 0..ROUTES {
        let _ = writeln!(
            text,
            "  - {{name: c{n}, type: STATIC, connect_timeout: 5s, load_assignment: {{cluster_name: c{n}, endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]}}}}",
            backend.ip(),
            backend.port()
        );
    }
    text
}

fn table(peers: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut text = format!(
        "| proxy | idle MiB | KiB per idle connection | MiB with {ROUTES} routes and clusters |\n|---|---|---|---|\n"
    );
    for (name, figures) in peers {
        let mib = |field: &str| {
            figures[field].as_f64().map_or("-".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            mib("idle_kib"),
            figures["connection_kib"],
            mib("routes_kib")
        );
    }
    text
}
