//! `cargo xtask bench http1`: one hop of HTTP/1.1, 1 KiB responses over keep-alive connections.
//!
//! All contenders are up at once and idle ones sleep; each round visits every one of them under every load.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::contender::{CONTENDERS, Running, Setting};
use super::load::{Load, Tools};
use super::machine;
use super::process::Ahead;
use super::report::{Bar, Circumstances, Document, Figures, Rounds};

/// `cargo xtask bench http1`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take less than a minute; figures are rougher.
    #[arg(long)]
    quick: bool,
    /// Print one JSON document and nothing else.
    #[arg(long)]
    json: bool,
    /// Rounds over all contenders.
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these contenders.
    #[arg(long)]
    only: Vec<String>,
    /// The leno to measure.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
}

/// Many short rounds: noise of a shared machine lasts seconds, and falls on both sides of a ratio or on neither.
const ROUNDS: usize = 13;

/// Loads, each with what it adds to a contender's name.
const LOADS: [(&str, Load); 3] = [
    ("", Load::Saturate { connections: 32 }),
    ("-128", Load::Saturate { connections: 128 }),
    ("-10k", Load::Rate { connections: 64, per_second: 10_000 }),
];

const PAIRS: [(&str, &str); 6] = [
    ("leno", "haproxy"),
    ("leno", "nginx"),
    ("leno", "envoy"),
    ("leno-mesh", "haproxy"),
    ("leno-mesh", "envoy-mesh"),
    ("leno-mesh", "leno"),
];

const BARS: [Bar; 5] = [
    Bar { ours: "leno", theirs: "haproxy", at_most: 0.9 },
    Bar { ours: "leno-128", theirs: "haproxy-128", at_most: 0.9 },
    Bar { ours: "leno-mesh", theirs: "haproxy", at_most: 1.0 },
    Bar { ours: "leno-mesh", theirs: "envoy-mesh", at_most: 0.4 },
    Bar { ours: "leno-mesh-128", theirs: "envoy-mesh-128", at_most: 0.4 },
];

/// All that was seen, and how.
struct Measured {
    rounds: Rounds,
    /// Memory of each contender before any load, in KiB.
    idle: Vec<(String, u64)>,
    circumstances: Circumstances,
}

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    ensure!(
        std::thread::available_parallelism()?.get() >= 2,
        "this bench needs two cores: one for the proxy, one for the load"
    );
    let folder = std::env::temp_dir().join(format!("leno-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(root, args, &folder);
    std::fs::remove_dir_all(&folder)?;
    let Measured { rounds, idle, circumstances } = outcome?;

    let document = document(&rounds);
    let mut table = document.table(&BARS);
    for (name, kib) in idle {
        table.push_str(&format!("- {name} idle: {:.1} MiB\n", kib as f64 / 1024.0));
    }
    // A quick run is a look; only a full one is a result to keep.
    let name = if args.quick { "http1-quick" } else { "http1" };
    document.write(&root.join("bench/results"), name, &circumstances, &table)?;
    if args.json {
        println!("{}", serde_json::to_string(&document)?);
    } else {
        println!("{}: {}\n\n{table}", circumstances.command, circumstances.machine);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(root: &Path, args: &Args, folder: &Path) -> Result<Measured> {
    let tools = Tools::find(root)?;
    let (_backend, backend) = tools.serve()?;
    let leno = root.join(&args.leno);
    let setting = Setting { root, leno: &leno, folder, backend };
    let mut running = Vec::new();
    let mut versions: Vec<(String, String)> = Vec::new();
    for contender in
        CONTENDERS.iter().filter(|c| args.only.is_empty() || args.only.iter().any(|n| n == c.name))
    {
        match contender.start(&setting) {
            Ok(started) => {
                let program = contender.path(&leno)?;
                let name = format!("{:?}", contender.program).to_lowercase();
                if !versions.iter().any(|(known, _)| *known == name) {
                    versions.push((name, machine::version(&program)));
                }
                running.push(started);
            }
            Err(error) => eprintln!("bench: {} is left out: {error:#}", contender.name),
        }
    }
    ensure!(!running.is_empty(), "no contender could be started");
    if let Some(wrk) = tools.wrk() {
        versions.push(("wrk".to_owned(), machine::version(wrk)));
    }
    let idle =
        running.iter().map(|contender| (contender.name.to_owned(), contender.idle_kib)).collect();

    let time = Duration::from_secs(1);
    let count = args.rounds.unwrap_or(if args.quick { 2 } else { ROUNDS });
    for contender in &running {
        tools.run(LOADS[0].1, contender.address, Duration::from_secs(1))?;
    }
    let _ahead = Ahead::of_other_work();
    let mut rounds = Rounds::new();
    for round in 1..=count {
        eprintln!("bench: round {round} of {count}");
        // Whoever is first in one round is last in another.
        running.rotate_left(1);
        for (suffix, load) in LOADS {
            for contender in &running {
                let figures = measure_one(&tools, contender, load, time)
                    .with_context(|| format!("measure {}{suffix}", contender.name))?;
                rounds.entry(format!("{}{suffix}", contender.name)).or_default().push(figures);
            }
        }
    }
    Ok(Measured { rounds, idle, circumstances: circumstances(args, count, time, versions) })
}

fn measure_one(tools: &Tools, contender: &Running, load: Load, time: Duration) -> Result<Figures> {
    let before = contender.process.usage()?;
    let seen = tools.run(load, contender.address, time)?;
    let used = contender.process.usage()?.since(before);
    Ok(Figures {
        cpu_us: used.total_us / seen.requests,
        user_us: used.user_us() / seen.requests,
        rps: seen.rps,
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
        rss_kib: contender.process.resident_kib()? as f64,
    })
}

fn document(rounds: &Rounds) -> Document {
    let mut document = Document::of_rounds("http1", rounds);
    for (suffix, _) in LOADS {
        for (ours, theirs) in PAIRS {
            document.compare(rounds, &format!("{ours}{suffix}"), &format!("{theirs}{suffix}"));
        }
    }
    document
}

fn circumstances(
    args: &Args,
    rounds: usize,
    time: Duration,
    versions: Vec<(String, String)>,
) -> Circumstances {
    let quick = if args.quick { " --quick" } else { "" };
    Circumstances {
        command: format!("cargo xtask bench http1{quick}"),
        machine: machine::describe(),
        versions,
        notes: vec![
            format!(
                "Medians of {rounds} interleaved rounds of {} s, in an order that rotates; a ratio is the median of the ratios \
                 within each round, its quartiles behind it. Proxy alone on core 0; backend (1 KiB responses) and \
                 load on core 1; loopback. `cpu` is time on a core per request of the proxy process; its user part is \
                 split off by ticks.",
                time.as_secs()
            ),
            "NAME: 32 keep-alive connections as fast as answered (wrk); NAME-128: 128; NAME-10k: 10,000 requests per \
             second over 64 connections, latency from the moment a request was due. Where the proxy needs less than \
             the load's core, req/s is what the load could do, and only `cpu` compares."
                .to_owned(),
            "`-mesh`: 100 virtual hosts, two routes each, timeout and retry policy, a JSON access record per request \
             to /dev/null, metrics; configurations in `bench/http1/`."
                .to_owned(),
        ],
    }
}
