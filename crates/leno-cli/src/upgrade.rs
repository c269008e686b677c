//! `leno proxy upgrade`: gives running workloads another sidecar, without a refused or reset connection.
//!
//! The sidecar belongs to its run, which has the sockets: so the run is asked, and starts the program that asks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::exit::{Code, WithCode as _};
use crate::front_door::Connection;
use crate::output::say;
use crate::run;

/// Longer than a handover may take, and a drain.
const PATIENCE: Duration = Duration::from_secs(120);

/// `leno proxy upgrade`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The workload (reviews-v2) or one run of it (reviews-v2-x7k2p).
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Every run on this machine, one after the other.
    #[arg(long)]
    all: bool,
    /// What the next sidecar is [default: this program].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where runs keep their files [default: run/ beside the kubeconfig].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// What a run says of itself.
#[derive(Deserialize)]
struct Report {
    workload: String,
}

/// Fails when one of them keeps the sidecar it has.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("finding this program")?,
    };
    let program = program.canonicalize().with_context(|| program.display().to_string());
    let program = program.code(Code::Usage)?;
    let data = run::data(args.data.as_deref(), &args.connection.path());
    let runs = runs(&data, args.name.as_deref())?;
    if runs.is_empty() {
        let what = args.name.as_deref().unwrap_or("anything");
        return Err(anyhow::anyhow!("no run of {what} in {}", data.display())).code(Code::Usage);
    }
    let mut kept = 0;
    let all = runs.len();
    for folder in runs {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match ask(&folder, &program) {
            Ok(done) => say(format_args!("{name}: {done}")),
            Err(error) => {
                say(format_args!("{name} keeps its sidecar: {error:#}"));
                kept += 1;
            }
        }
    }
    match kept {
        0 => Ok(ExitCode::SUCCESS),
        some => {
            let code = if some == all { Code::Found } else { Code::Partial };
            Err(anyhow::anyhow!("{some} of {all} keep their sidecars")).code(code)
        }
    }
}

/// The folders of the runs that are meant.
fn runs(data: &Path, name: Option<&str>) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(data).with_context(|| data.display().to_string());
    let mut found: Vec<PathBuf> = listed
        .code(Code::Usage)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|folder| {
            let Ok(report) = std::fs::read(folder.join("run.json")) else { return false };
            let Ok(report) = serde_json::from_slice::<Report>(&report) else { return false };
            name.is_none_or(|name| report.workload == name || folder.ends_with(name))
        })
        .collect();
    found.sort();
    Ok(found)
}

fn ask(folder: &Path, program: &Path) -> Result<String> {
    let mut stream = UnixStream::connect(folder.join(run::DOOR))
        .context("its run begins, ends, or is too old to take upgrades")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", program.display())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("the run says nothing")?;
    match line.trim_end().split_once(' ') {
        Some(("ok", done)) => Ok(done.to_owned()),
        Some((_, error)) => bail!("{error}"),
        None => bail!("the run ended"),
    }
}
