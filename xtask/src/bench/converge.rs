//! `cargo xtask bench converge`: from the API server's door to every proxy's acknowledgement.
//!
//! A control plane, twelve workloads with a sidecar each, and a VirtualService whose weights change again and again. The
//! clock starts when the request that `kubectl apply --server-side` sends is written, and stops when a watch shows the
//! document's own status say that all twelve proxies enforce it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::kubernetes::{Api, Watch};
use super::machine;
use super::process::{Process, Usage};
use super::report::{Circumstances, Document, Figures, round};

/// `cargo xtask bench converge`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fewer changes.
    #[arg(long)]
    quick: bool,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    json: bool,
    /// How many proxies.
    #[arg(long, default_value_t = 12)]
    proxies: usize,
    /// The leno to measure.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
}

/// How long one change may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all proxies may take to join.
const JOINING: Duration = Duration::from_secs(60);
/// The bar: 99 of 100 changes are enforced within this.
const P99_MS: f64 = 100.0;

const PATH: &str = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/converge";

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("leno-converge-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(root, args, &folder);
    // The runs end with their control plane; what they leave is in this folder.
    std::fs::remove_dir_all(&folder)?;
    let (took, used, resident_kib) = outcome?;

    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    let total: f64 = took.iter().map(Duration::as_secs_f64).sum();
    let figures = Figures {
        cpu_us: round(used.total_us / took.len() as f64, 0),
        user_us: round(used.user_us() / took.len() as f64, 0),
        rps: round(took.len() as f64 / total, 0),
        p50_us: round(at(0.5), 0),
        p99_us: round(at(0.99), 0),
        rss_kib: resident_kib as f64,
    };
    let peers = BTreeMap::from([("leno".to_owned(), figures)]);
    let document = Document {
        bench: "converge".to_owned(),
        peers,
        ratios: BTreeMap::new(),
        spread: BTreeMap::new(),
    };
    let p99_ms = figures.p99_us / 1000.0;
    let verdict = if p99_ms <= P99_MS { "met" } else { "missed" };
    let proxies = args.proxies;
    let table = format!(
        "{}- enforced by {proxies} proxies within {P99_MS} ms at p99: {p99_ms:.1} ms, {verdict}\n",
        document.table(&[])
    );
    let circumstances = circumstances(root, args, took.len());
    let name = if args.quick { "converge-quick" } else { "converge" };
    document.write(&root.join("bench/results"), name, &circumstances, &table)?;
    if args.json {
        println!("{}", serde_json::to_string(&document)?);
    } else {
        println!("{}: {}\n\n{table}", circumstances.command, circumstances.machine);
    }
    Ok(ExitCode::SUCCESS)
}

/// How long each change took, sorted; what the control plane used meanwhile, and holds.
fn measure(root: &Path, args: &Args, folder: &Path) -> Result<(Vec<Duration>, Usage, u64)> {
    let leno = root.join(&args.leno);
    ensure!(leno.is_file(), "{} is not there: make build", leno.display());
    let mut up = Command::new(&leno);
    up.args([
        "up",
        "--front-door",
        "127.0.0.1:0",
        "--xds",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
    ]);
    up.arg("--data").arg(folder.join("data")).stdin(Stdio::null()).stderr(Stdio::null());
    let (control, line) = Process::start_and_read(up)?;
    let kubeconfig =
        line.strip_prefix("export KUBECONFIG=").context("leno up names no kubeconfig")?;
    let api = Api::from_kubeconfig(Path::new(kubeconfig))?;

    let mut workloads = Vec::new();
    for index in 0..args.proxies {
        let mut run = Command::new(&leno);
        run.args([
            "run",
            "--quiet",
            "--service",
            &format!("converge-{index}"),
            "--port",
            "9080",
            "--data",
        ])
        .arg(folder.join(format!("run-{index}")))
        .args(["--", "sleep", "3600"])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
        workloads.push(Process::start(run)?);
    }
    let applied = api.apply(PATH, &virtual_service(0))?;
    let mut watch = api.watch("/apis/networking.istio.io/v1/namespaces/default/virtualservices")?;
    until_enforced(&mut watch, &applied, args.proxies, JOINING)
        .context("the proxies did not join")?;

    let changes = if args.quick { 100 } else { 500 };
    let before = control.usage()?;
    let mut took = Vec::with_capacity(changes);
    for change in 1..=changes {
        let started = Instant::now();
        let applied = api.apply(PATH, &virtual_service(change))?;
        until_enforced(&mut watch, &applied, args.proxies, PATIENCE)?;
        took.push(started.elapsed());
    }
    let used = control.usage()?.since(before);
    for workload in &workloads {
        workload.interrupt()?;
    }
    for workload in &mut workloads {
        workload.wait(Duration::from_secs(10));
    }
    took.sort_unstable();
    Ok((took, used, control.resident_kib()?))
}

/// A route whose weights differ from those before.
fn virtual_service(change: usize) -> Value {
    let weight = 1 + change % 98;
    let to = |host: &str, weight: usize| json!({"destination": {"host": host}, "weight": weight});
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "converge", "namespace": "default"},
        "spec": {
            "hosts": ["converge-0"],
            "http": [{"route": [to("converge-0", weight), to("converge-1", 100 - weight)]}],
        },
    })
}

/// Reads events until one says that this generation is enforced by every proxy.
fn until_enforced(
    watch: &mut Watch,
    applied: &Value,
    proxies: usize,
    patience: Duration,
) -> Result<()> {
    let generation =
        applied["metadata"]["generation"].as_u64().context("the answer has no generation")?;
    let end = Instant::now() + patience;
    let mut last = Value::Null;
    loop {
        let Some(event) = watch.next(end)? else {
            bail!("not enforced by {proxies} proxies within {patience:?}; the status says {last}");
        };
        let object = &event["object"];
        let status = &object["status"];
        let is_newest =
            status["observedGeneration"].as_u64().is_some_and(|seen| seen >= generation);
        let count = |name: &str| status["enforcement"][name].as_u64();
        last = status["enforcement"].clone();
        if is_newest
            && count("proxies") == Some(proxies as u64)
            && count("enforcedBy") == count("proxies")
        {
            return Ok(());
        }
    }
}

fn circumstances(root: &Path, args: &Args, changes: usize) -> Circumstances {
    let quick = if args.quick { " --quick" } else { "" };
    Circumstances {
        command: format!("cargo xtask bench converge{quick}"),
        machine: machine::describe(),
        versions: vec![("leno".to_owned(), machine::version(&root.join(&args.leno)))],
        notes: vec![format!(
            "{changes} changes of one VirtualService, one after the other, with {} sidecars connected on the same machine. \
             Latency is from writing the server-side apply to the watch event whose status says enforced by all: store, \
             translation, push, compile in every proxy, acknowledgement, status. `cpu` is the control plane's per change.",
            args.proxies
        )],
    }
}
