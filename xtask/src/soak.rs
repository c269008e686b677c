//! `cargo xtask soak lifecycle`: proxies come, go and are replaced under load, and nothing of the load may notice.
//!
//! Clients and servers are this program's own and count everything that a user would: a refused connection, a reset, an
//! answer that is missing or wrong. Clients keep to the rules (one that is told `Connection: close` comes back on another
//! connection), so a single failure is a defect.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

mod handover;
mod idle;
mod load;
mod mesh;
mod origin;
mod process;
mod rolling;
mod streams;
mod tally;

use tally::Report;

/// `cargo xtask soak`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(clap::Subcommand)]
enum Which {
    /// Drain, hot handover, configuration pushes and certificate swaps under load.
    Lifecycle(Lifecycle),
    /// The load inside a workload of the mesh scenarios.
    #[command(hide = true)]
    Inside(mesh::Inside),
}

/// `cargo xtask soak lifecycle`
#[derive(clap::Args)]
struct Lifecycle {
    /// Each scenario a few times instead of a million requests.
    #[arg(long)]
    short: bool,
    /// The leno to try.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
    /// Only scenarios whose name holds this.
    #[arg(long)]
    only: Option<String>,
}

/// What a scenario is run with.
struct Plan<'a> {
    leno: PathBuf,
    folder: &'a Path,
    /// How often the thing happens at least.
    times: u32,
    /// Exchanges at least.
    exchanges: u64,
}

type Scenario = (&'static str, u64, fn(&Plan<'_>) -> Result<Report>);

/// With the exchanges that each makes at least in the long form: a million together.
const SCENARIOS: [Scenario; 7] = [
    ("handover", 300_000, handover::completed),
    ("handover-killed", 300_000, handover::killed),
    ("rolling-restart", 300_000, rolling::restart),
    ("config-push", 60_000, mesh::pushes),
    ("certificate-swap", 60_000, mesh::certificates),
    ("sidecar-upgrade", 60_000, mesh::upgrades),
    ("idle-close", 100_000, idle::closes),
];

/// xorshift64.
fn draw(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    match &args.which {
        Which::Lifecycle(args) => lifecycle(root, args),
        Which::Inside(args) => mesh::inside(args),
    }
}

fn lifecycle(root: &Path, args: &Lifecycle) -> Result<ExitCode> {
    let leno = root.join(&args.leno);
    ensure!(leno.is_file(), "{} is not there: make build", leno.display());
    let folder = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (mut total, mut failed) = (0, 0);
    for (name, exchanges, scenario) in SCENARIOS {
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let begun = Instant::now();
        let (times, exchanges) = if args.short { (3, 0) } else { (20, exchanges) };
        let report = scenario(&Plan { leno: leno.clone(), folder: &folder, times, exchanges });
        let report = report.map_err(|error| error.context(name))?;
        println!("{name:<18} {report}, {:.0} s", begun.elapsed().as_secs_f64());
        total += report.exchanges();
        failed += report.failed();
    }
    println!("{total} exchanges, {failed} failed");
    if failed > 0 {
        println!("what the proxies said is in {}", folder.display());
        return Ok(ExitCode::FAILURE);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(ExitCode::SUCCESS)
}
