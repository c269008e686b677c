//! Two workloads with a sidecar each: one calls the other through mutual TLS while their configuration or their
//! certificates change again and again.
//!
//! The client runs inside its workload: it is this program, started by `leno run`, and prints what it saw at its end.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Plan;
use super::load::{self, Target};
use super::tally::Report;
use super::{origin, streams};
use crate::bench::{Api, Process};

/// Everything starts within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// A run that leaves is gone within this.
const LEAVING: Duration = Duration::from_secs(10);
const PORT: u16 = 9080;
/// Where the workload speaks gRPC.
const GRPC_PORT: u16 = 9081;
const CLIENTS: load::Clients = [6, 0, 4, 3, 3];
/// Certificates are renewed around half of their time.
const CERTIFICATE_SECONDS: u32 = 10;

/// `cargo xtask soak inside`
#[derive(clap::Args)]
pub(crate) struct Inside {
    /// Serve on this port for ever.
    #[arg(long, conflicts_with = "call")]
    serve: Option<u16>,
    /// Call this host.
    #[arg(long)]
    call: Option<String>,
    /// For so long, until this file is there.
    #[arg(long)]
    until: Option<PathBuf>,
    /// And until so many exchanges were made.
    #[arg(long, default_value_t = 0)]
    exchanges: u64,
}

/// The part inside a workload.
pub(super) fn inside(args: &Inside) -> Result<ExitCode> {
    if let Some(port) = args.serve {
        origin::start_at(port)?;
        loop {
            std::thread::park();
        }
    }
    let (Some(call), Some(until)) = (&args.call, &args.until) else { bail!("--call and --until") };
    let http = resolve(&format!("{call}:{PORT}"))?;
    let grpc = resolve(&format!("{call}-grpc:{GRPC_PORT}"))?;
    let is_ready = AtomicBool::new(true);
    let targets = Arc::new(vec![Target { http, tcp: None, grpc: Some(grpc), is_ready }]);
    // The first answer may come only when both sidecars know each other.
    let begun = Instant::now();
    while !answers(http) || !streams::answers(grpc) {
        ensure!(begun.elapsed() < PATIENCE, "{call} does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::write(until.with_extension("begun"), "")?;
    let load = load::start(&targets, CLIENTS);
    while !until.exists() || load.tally.exchanges() < args.exchanges {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{}", serde_json::to_string(&load.finish().report(String::new()))?);
    Ok(ExitCode::SUCCESS)
}

fn resolve(call: &str) -> Result<SocketAddr> {
    let begun = Instant::now();
    loop {
        if let Some(address) = call.to_socket_addrs().ok().and_then(|mut all| all.next()) {
            return Ok(address);
        }
        ensure!(begun.elapsed() < PATIENCE, "{call} does not resolve");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answers(address: SocketAddr) -> bool {
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: soak-app:9080\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    });
    asked.unwrap_or(false)
}

/// Routes, TLS settings of clusters and filter chains of listeners change under load.
pub(super) fn pushes(plan: &Plan<'_>) -> Result<Report> {
    let mut mesh = Mesh::start(plan, "push")?;
    let mut times = 0;
    while times < plan.times * 10 || !mesh.has_ended()? {
        if times == plan.times * 10 {
            mesh.finish()?;
        }
        let (path, document) = change(times);
        mesh.api.apply(path, &document)?;
        times += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    mesh.report(format!("{times} pushes"))
}

/// Sidecars are replaced under load, those of the callers and of the called; each stays one proxy in the control plane's eyes.
pub(super) fn upgrades(plan: &Plan<'_>) -> Result<Report> {
    let mut mesh = Mesh::start(plan, "upgrade")?;
    let mut times = 0;
    while times < plan.times || !mesh.has_ended()? {
        if times == plan.times {
            mesh.finish()?;
        }
        let name = ["app", "client", "app-grpc"][times as usize % 3];
        let mut upgrade = Command::new(&plan.leno);
        let upgrade = upgrade
            .args(["proxy", "upgrade", "--all", "--data"])
            .arg(mesh.folder.join(name))
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&upgrade.stderr).into_owned();
        let count = mesh.proxies(&plan.leno)?;
        times += 1;
        if upgrade.status.success() && count == 3 {
            continue;
        }
        // A client that may end can do so in the middle, and its run takes some time to leave.
        ensure!(times > plan.times && mesh.ends()?, "{count} proxies of three, upgrade: {said}");
    }
    mesh.report(format!("{times} upgrades"))
}

/// Certificates are renewed under load, on both sides.
pub(super) fn certificates(plan: &Plan<'_>) -> Result<Report> {
    let mut mesh = Mesh::start(plan, "certificate")?;
    let sidecars = [mesh.admin("app")?, mesh.admin("client")?];
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    // Those of the start are no swap.
    while seen.len() < 2 + plan.times as usize {
        for admin in &sidecars {
            seen.insert(serial(*admin)?);
        }
        ensure!(begun.elapsed() < PATIENCE * plan.times, "certificates are not renewed");
        std::thread::sleep(Duration::from_millis(100));
    }
    mesh.finish()?;
    while !mesh.has_ended()? {
        std::thread::sleep(Duration::from_millis(100));
    }
    mesh.report(format!("{} swaps and more", plan.times))
}

/// The serial number of a proxy's certificate.
fn serial(admin: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /certs HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").context("an answer has a body")?.1;
    let certificates: Value = serde_json::from_str(body)?;
    let serial = certificates
        .pointer("/certificates/0/cert_chain/0/serial_number")
        .and_then(Value::as_str)
        .context("a serial number")?;
    Ok(serial.to_owned())
}

/// A change that differs from those before.
fn change(times: u32) -> (&'static str, Value) {
    match times % 3 {
        0 => (
            "/apis/networking.istio.io/v1/namespaces/default/virtualservices/soak",
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": "soak", "namespace": "default"},
                "spec": {"hosts": ["soak-app"], "http": [{
                    "timeout": format!("{}s", 20 + times % 30),
                    "route": [{"destination": {"host": "soak-app"}}],
                }]},
            }),
        ),
        1 => (
            "/apis/security.istio.io/v1/namespaces/default/peerauthentications/default",
            json!({
                "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                "metadata": {"name": "default", "namespace": "default"},
                "spec": {"mtls": {"mode": if times.is_multiple_of(2) { "STRICT" } else { "PERMISSIVE" }}},
            }),
        ),
        _ => (
            "/apis/networking.istio.io/v1/namespaces/default/destinationrules/soak",
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                "metadata": {"name": "soak", "namespace": "default"},
                "spec": {"host": "soak-app", "trafficPolicy": {"connectionPool": {"tcp": {
                    "connectTimeout": format!("{}s", 5 + times % 20),
                }}}},
            }),
        ),
    }
}

/// A control plane and the two workloads.
struct Mesh {
    api: Api,
    client: Child,
    folder: PathBuf,
    kubeconfig: PathBuf,
    /// Present when the client is to end.
    until: PathBuf,
    apps: [Process; 2],
    _control: Process,
}

impl Mesh {
    /// Returns when the client is at work.
    fn start(plan: &Plan<'_>, name: &str) -> Result<Self> {
        let folder = plan.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let any = "127.0.0.1:0";
        let mut up = Command::new(&plan.leno);
        up.args(["up", "--front-door", any, "--xds", any, "--xds-tls", any, "--metrics", any])
            .args(["--certificate-seconds", &CERTIFICATE_SECONDS.to_string()])
            .arg("--data")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let (control, line) = Process::start_and_read(up)?;
        let kubeconfig = line.strip_prefix("export KUBECONFIG=").context("a kubeconfig")?;
        let api = Api::from_kubeconfig(Path::new(kubeconfig))?;
        let until = folder.join("until");
        let own = std::env::current_exe()?;
        let run = |name: &str, port: &[&str]| {
            let mut run = Command::new(&plan.leno);
            run.args(["run", "--quiet", "--service", &format!("soak-{name}")])
                .args(port)
                .arg("--data")
                .arg(folder.join(name))
                .arg("--")
                .arg(&own)
                .args(["soak", "inside"])
                .env("KUBECONFIG", kubeconfig)
                .stdin(Stdio::null())
                .stderr(Stdio::null());
            run
        };
        let serve = |name: &str, port: u16, protocol: &str| {
            let mut app = run(name, &["--port", &port.to_string(), "--protocol", protocol]);
            app.args(["--serve", &port.to_string()]);
            Process::start(app)
        };
        let app = serve("app", PORT, "http")?;
        let grpc = serve("app-grpc", GRPC_PORT, "grpc")?;
        let mut client = run("client", &[]);
        client
            .args(["--call", "soak-app", "--until"])
            .arg(&until)
            .args(["--exchanges", &plan.exchanges.to_string()])
            .stdout(Stdio::piped());
        let client = client.spawn().context("start the client")?;
        let kubeconfig = PathBuf::from(kubeconfig);
        let mut mesh =
            Self { api, client, folder, kubeconfig, until, apps: [app, grpc], _control: control };
        let begun = Instant::now();
        while !mesh.until.with_extension("begun").exists() {
            ensure!(!mesh.has_ended()?, "the client could not begin");
            ensure!(begun.elapsed() < PATIENCE, "the client does not begin");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(mesh)
    }

    /// Where a workload's proxy has its admin endpoint.
    fn admin(&self, name: &str) -> Result<SocketAddr> {
        // Each run has a folder of its own in there.
        let mut runs = std::fs::read_dir(self.folder.join(name))?.flatten();
        let run = runs.next().context("a run has a folder")?.path().join("run.json");
        let run: Value = serde_json::from_slice(&std::fs::read(run)?)?;
        let address = run["address"].as_str().context("a run has an address")?;
        Ok(SocketAddr::new(address.parse()?, 15000))
    }

    /// How many proxies the control plane counts.
    fn proxies(&self, leno: &Path) -> Result<usize> {
        let mut status = Command::new(leno);
        status.args(["proxy", "status", "-o", "json"]).env("KUBECONFIG", &self.kubeconfig);
        let output = status.stdin(Stdio::null()).output()?.stdout;
        let document: Value = serde_json::from_slice(&output).context("a list of proxies")?;
        Ok(document["items"].as_array().context("items")?.len())
    }

    /// Lets the client end when it has made its exchanges.
    fn finish(&self) -> Result<()> {
        Ok(std::fs::write(&self.until, "")?)
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.client.try_wait()?.is_some())
    }

    /// Whether the client's run, which may be leaving, does end.
    fn ends(&mut self) -> Result<bool> {
        let begun = Instant::now();
        while !self.has_ended()? && begun.elapsed() < LEAVING {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.has_ended()
    }

    /// What the client saw.
    fn report(mut self, happened: String) -> Result<Report> {
        let mut said = String::new();
        let mut output = self.client.stdout.take().context("the output is piped")?;
        output.read_to_string(&mut said)?;
        let line = said.lines().next_back().context("the client said nothing at its end")?;
        let mut report: Report = serde_json::from_str(line)?;
        report.happened = happened;
        Ok(report)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // Whoever has ended already needs nothing; sidecars end with their runs.
        let _ = crate::interrupt(&self.client);
        for app in &mut self.apps {
            let _ = app.interrupt();
            app.wait(Duration::from_secs(10));
        }
        let _ = self.client.wait();
    }
}
