//! `cargo xtask bench profile NAME`: where the time of a bench's proxy goes, as a flame graph.
//!
//! perf samples the proxy, user and kernel, under the bench's first load; stacks are unwound by their debug information.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::contender::{Contender, Program, Setting};
use super::flame::{self, Folded};
use super::load::Tools;
use super::rounds::{self, Course};
use super::{machine, streams, wire};

/// `cargo xtask bench profile`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The bench: http1, http2, grpc, tls, tls-handshake, tcp, mtls-pair, tracing.
    bench: String,
    /// The contender.
    #[arg(long, default_value = "leno")]
    contender: String,
    /// The load whose name contains this; the bench's first if none is named.
    #[arg(long, default_value = "")]
    load: String,
    /// The leno to measure.
    #[arg(long, default_value = "bin/dist/leno")]
    leno: PathBuf,
    /// A load generator that was built before; built afresh if none is named.
    #[arg(long)]
    loadgen: Option<PathBuf>,
}

/// Under load before, while and after samples are taken.
const LOAD: Duration = Duration::from_secs(5);
const SAMPLED_SECONDS: &str = "3";
/// Not a divisor of the kernel's own ticks.
const PER_SECOND: &str = "1999";

pub(super) fn run(root: &Path, args: &Args, courses: &[&Course]) -> Result<ExitCode> {
    let course = courses.iter().find(|course| course.name == args.bench);
    let course = course.with_context(|| format!("there is no bench {}", args.bench))?;
    let folder = std::env::temp_dir().join(format!("leno-profile-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = profile(root, args, course, &folder);
    std::fs::remove_dir_all(&folder)?;
    let folded = outcome?;
    let title = format!("{} of cargo xtask bench {}", args.contender, course.name);
    let subtitle = format!("{} samples, {}", folded.values().sum::<u64>(), machine::describe());
    let file = root.join(format!("bench/results/{}-{}.svg", course.name, args.contender));
    std::fs::write(&file, flame::svg(&folded, &title, &subtitle))?;
    println!("{}", file.display());
    print!("{}", shares(&folded));
    Ok(ExitCode::SUCCESS)
}

fn profile(root: &Path, args: &Args, course: &Course, folder: &Path) -> Result<Folded> {
    wire::make_certificates(folder)?;
    streams::write_files(folder)?;
    let tools = Tools::find(root, folder, args.loadgen.as_deref())?;
    let (_behind, backend) = rounds::start_behind(&tools, root, folder, course.behind)?;
    let has_spans = course.contenders.iter().any(Contender::needs_collector);
    let collector = has_spans.then(|| streams::collect(root, folder)).transpose()?;
    let collector_at = collector.as_ref().map(|(_, address)| *address);
    let leno = root.join(&args.leno);
    let setting = Setting { root, leno: &leno, folder, backend, collector: collector_at };
    let mut wanted = course.contenders.iter().filter(|each| each.name == args.contender);
    let contender = wanted.next().with_context(|| format!("no contender {}", args.contender))?;
    ensure!(contender.program != Program::Nginx, "nginx has no symbols");
    let mut loads = course.loads.iter().filter(|(name, ..)| name.contains(&args.load));
    let (_, load, _) = loads.next().with_context(|| format!("no load {}", args.load))?;
    let running = contender.start(&setting)?;
    tools.run(*load, running.address, Duration::from_secs(1))?;
    let data = folder.join("perf.data");
    let processes = running.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let perf = || Command::new("perf");
    std::thread::scope(|scope| -> Result<()> {
        let loading = scope.spawn(|| tools.run(*load, running.address, LOAD));
        std::thread::sleep(Duration::from_secs(1));
        let output = perf()
            .args(["record", "--quiet", "-e", "cpu-clock", "-F", PER_SECOND])
            .args(["--call-graph", "dwarf,16384", "-p", &processes, "-o"])
            .arg(&data)
            .args(["--", "sleep", SAMPLED_SECONDS])
            .output()
            .context("run perf (Debian package linux-perf)")?;
        ensure!(output.status.success(), "perf: {}", String::from_utf8_lossy(&output.stderr));
        loading.join().expect("the load does not panic")?;
        Ok(())
    })?;
    let output = perf()
        .args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"])
        .arg(&data)
        .stderr(Stdio::null())
        .output()?;
    let folded = flame::fold(&String::from_utf8_lossy(&output.stdout));
    ensure!(!folded.is_empty(), "perf saw nothing");
    Ok(folded)
}

/// The dearest functions by themselves, and how much is the kernel's.
fn shares(folded: &Folded) -> String {
    let total: u64 = folded.values().sum();
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    let mut kernel = 0;
    for (stack, count) in folded {
        let mut frames = stack.split(';');
        if frames
            .clone()
            .any(|frame| frame.starts_with("entry_SYSCALL") || frame == "do_syscall_64")
        {
            kernel += count;
        }
        *own.entry(frames.next_back().unwrap_or_default()).or_default() += count;
    }
    let percent = |count: u64| count as f64 * 100.0 / total as f64;
    let mut own: Vec<_> = own.into_iter().collect();
    own.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = format!("{:5.1} % in system calls\n", percent(kernel));
    for (frame, count) in own.into_iter().take(25) {
        text.push_str(&format!("{:5.1} % {frame}\n", percent(count)));
    }
    text
}
