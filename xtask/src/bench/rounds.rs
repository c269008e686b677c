//! Interleaved rounds over contenders and loads: what every bench of a hop does.
//!
//! All contenders are up at once and idle ones sleep; each round visits every one of them under every load, in an order
//! that rotates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::contender::{Contender, Running, Setting};
use super::load::{Load, Tools};
use super::process::{Ahead, Process};
use super::report::{Bar, Circumstances, Document, Figures, Rounds};
use super::{machine, streams, wire};

/// What every bench of a hop takes.
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
    /// Only the loads whose names contain this.
    #[arg(long)]
    load: Option<String>,
    /// The leno to measure.
    #[arg(long, default_value = "bin/dist/leno")]
    leno: PathBuf,
    /// A load generator that was built before; built afresh if none is named.
    #[arg(long)]
    loadgen: Option<PathBuf>,
}

/// What answers behind the proxies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind {
    /// HTTP/1.1 with bodies of so many bytes.
    Http1 {
        body_bytes: usize,
    },
    Http2,
    Grpc,
}

/// One bench of a hop.
pub(super) struct Course {
    pub(super) name: &'static str,
    pub(super) contenders: &'static [Contender],
    pub(super) behind: Behind,
    /// Each with what it adds to a contender's name, and the contenders it is for: all, if none is named.
    pub(super) loads: &'static [(&'static str, Load, &'static [&'static str])],
    /// Ours over theirs, under every load.
    pub(super) pairs: &'static [(&'static str, &'static str)],
    pub(super) bars: &'static [Bar],
    pub(super) notes: &'static [&'static str],
    /// As many as fit into five minutes.
    pub(super) rounds: usize,
}

/// Each visit takes this long: noise of a shared machine lasts seconds, and so falls on both sides of a ratio or on
/// neither.
const VISIT: Duration = Duration::from_secs(1);

struct Measured {
    rounds: Rounds,
    /// Memory of each contender before any load, in KiB.
    idle: Vec<(String, u64)>,
    versions: Vec<(String, String)>,
    count: usize,
}

pub(super) fn run(root: &Path, args: &Args, course: &Course) -> Result<ExitCode> {
    ensure!(
        std::thread::available_parallelism()?.get() >= 2,
        "this bench needs two cores: one for the proxy, one for the load"
    );
    let folder = std::env::temp_dir().join(format!("leno-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(root, args, course, &folder);
    std::fs::remove_dir_all(&folder)?;
    let Measured { rounds, idle, versions, count } = outcome?;

    let document = document(course, &rounds);
    let mut table = document.table(course.bars);
    for (name, kib) in idle {
        table.push_str(&format!("- {name} idle: {:.1} MiB\n", kib as f64 / 1024.0));
    }
    let circumstances = circumstances(args, course, count, versions);
    // A quick or partial run is a look; only a full one is a result to keep.
    let is_whole = !args.quick && args.only.is_empty() && args.load.is_none();
    let name = if is_whole { course.name.to_owned() } else { format!("{}-quick", course.name) };
    document.write(&root.join("bench/results"), &name, &circumstances, &table)?;
    if args.json {
        println!("{}", serde_json::to_string(&document)?);
    } else {
        println!("{}: {}\n\n{table}", circumstances.command, circumstances.machine);
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts what answers.
pub(super) fn start_behind(
    tools: &Tools,
    root: &Path,
    folder: &Path,
    behind: Behind,
) -> Result<(Process, SocketAddr)> {
    match behind {
        Behind::Http1 { body_bytes } => tools.serve(body_bytes),
        Behind::Http2 => streams::serve(root, folder),
        Behind::Grpc => streams::serve_grpc(),
    }
}

fn measure(root: &Path, args: &Args, course: &Course, folder: &Path) -> Result<Measured> {
    wire::make_certificates(folder)?;
    streams::write_files(folder)?;
    let tools = Tools::find(root, folder, args.loadgen.as_deref())?;
    let (_behind, backend) = start_behind(&tools, root, folder, course.behind)?;
    let leno = root.join(&args.leno);
    let has_spans = course.contenders.iter().any(Contender::needs_collector);
    let collector = has_spans.then(|| streams::collect(root, folder)).transpose()?;
    let collector_at = collector.as_ref().map(|(_, address)| *address);
    let setting = Setting { root, leno: &leno, folder, backend, collector: collector_at };
    let (mut running, mut versions) = start(args, course, &setting)?;
    if let Some(wrk) = tools.wrk() {
        versions.push(("wrk".to_owned(), machine::version(wrk)));
    }
    let loads = course
        .loads
        .iter()
        .filter(|(name, ..)| args.load.as_deref().is_none_or(|wanted| name.contains(wanted)));
    let loads: Vec<_> = loads.collect();
    ensure!(!running.is_empty() && !loads.is_empty(), "nothing to measure");
    running.retain(|each| works(&tools, each, &loads));
    let idle = running.iter().map(|each| (each.contender.name.to_owned(), each.idle_kib)).collect();
    let count = args.rounds.unwrap_or(if args.quick { 2 } else { course.rounds });
    let _ahead = Ahead::of_other_work();
    let mut rounds = Rounds::new();
    for round in 1..=count {
        eprintln!("bench: round {round} of {count}");
        // Whoever is first in one round is last in another.
        running.rotate_left(1);
        for (suffix, load, only) in &loads {
            for each in running.iter().filter(|each| is_for(each, only)) {
                let figures = measure_one(&tools, each, *load)
                    .with_context(|| format!("measure {}{suffix}", each.contender.name))?;
                let name = format!("{}{suffix}", each.contender.name);
                rounds.entry(name).or_default().push(figures);
            }
        }
    }
    Ok(Measured { rounds, idle, versions, count })
}

type Started = (Vec<Running>, Vec<(String, String)>);

fn start(args: &Args, course: &Course, setting: &Setting<'_>) -> Result<Started> {
    let (mut running, mut versions): Started = Default::default();
    let is_wanted = |c: &&Contender| args.only.is_empty() || args.only.iter().any(|n| n == c.name);
    for contender in course.contenders.iter().filter(is_wanted) {
        match contender.start(setting) {
            Ok(started) => {
                let program = contender.program.path(setting.leno)?;
                let name = format!("{:?}", contender.program).to_lowercase();
                if !versions.iter().any(|(known, _)| *known == name) {
                    versions.push((name, machine::version(&program)));
                }
                running.push(started);
            }
            Err(error) => eprintln!("bench: {} is left out: {error:#}", contender.name),
        }
    }
    Ok((running, versions))
}

fn is_for(running: &Running, only: &[&str]) -> bool {
    only.is_empty() || only.contains(&running.contender.name)
}

/// Warms it up; one that does not answer is left out and said.
fn works(
    tools: &Tools,
    running: &Running,
    loads: &[&(&'static str, Load, &'static [&'static str])],
) -> bool {
    let first = loads.iter().find(|(.., only)| is_for(running, only));
    let Some((_, load, _)) = first else { return false };
    match tools.run(*load, running.address, VISIT) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("bench: {} is left out: {error:#}", running.contender.name);
            false
        }
    }
}

fn measure_one(tools: &Tools, running: &Running, load: Load) -> Result<Figures> {
    let before = running.usage()?;
    let seen = tools.run(load, running.address, VISIT)?;
    let used = running.usage()?.since(before);
    Ok(Figures {
        cpu_us: used.total_us / seen.requests,
        user_us: used.user_us() / seen.requests,
        rps: seen.rps,
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
        rss_kib: running.resident_kib()? as f64,
    })
}

fn document(course: &Course, rounds: &Rounds) -> Document {
    let mut document = Document::of_rounds(course.name, rounds);
    for (suffix, ..) in course.loads {
        for (ours, theirs) in course.pairs {
            document.compare(rounds, &format!("{ours}{suffix}"), &format!("{theirs}{suffix}"));
        }
    }
    for bar in course.bars {
        document.compare(rounds, bar.ours, bar.theirs);
    }
    document
}

fn circumstances(
    args: &Args,
    course: &Course,
    count: usize,
    versions: Vec<(String, String)>,
) -> Circumstances {
    let quick = if args.quick { " --quick" } else { "" };
    let mut notes = vec![format!(
        "Medians of {count} interleaved rounds of {} s, in an order that rotates; a ratio is the median of the ratios \
         within each round, its quartiles behind it. Proxy alone on core 0; what answers and the load on core 1; \
         loopback. `cpu` is time on a core per request of the proxy's processes; its user part is split off by ticks. \
         Where the proxy needs less than the load's core, req/s is what the load could do, and only `cpu` compares. \
         Configurations are in `bench/hop/`.",
        VISIT.as_secs()
    )];
    notes.extend(course.notes.iter().map(|note| (*note).to_owned()));
    Circumstances {
        command: format!("cargo xtask bench {}{quick}", course.name),
        machine: machine::describe(),
        versions,
        notes,
    }
}
