//! Builds the targets in `fuzz/` with coverage instrumentation and runs each for a share of the time.
//!
//! The stable compiler can do this: LLVM's coverage pass is asked for by flag, and libFuzzer comes with a crate. What is
//! found along the way is kept in the cache and is where the next run starts; an input that breaks a target is named
//! and ends the run with 1.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::peers;

/// `cargo xtask fuzz`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to run, all targets together; building not counted.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long to run each target, in seconds; instead of a share of `--seconds`.
    #[arg(long)]
    each: Option<u64>,
    /// Only these targets.
    #[arg(long)]
    target: Vec<String>,
}

/// LLVM's counters and compare hooks, as libFuzzer reads them.
const INSTRUMENT: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let project = root.join("fuzz");
    let cache = peers::cache().join("fuzz");
    let targets = targets(&project, &args.target)?;
    let programs = build(&project, &cache)?;
    let share = args.each.unwrap_or(args.seconds / targets.len() as u64).max(1);
    let mut code = ExitCode::SUCCESS;
    for target in &targets {
        if !run_target(&project, &cache, &programs.join(target), share)? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Names of the targets: the files in `fuzz/targets`.
fn targets(project: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(project.join("targets")).context("read fuzz/targets")? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    for name in wanted {
        ensure!(names.contains(name), "no fuzz target {name}; there are {}", names.join(", "));
    }
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(names)
}

/// Builds all targets and returns the folder they are in. Instrumentation goes to the target platform only, so build
/// scripts and macros stay as they are; the folder is its own, so nothing else is rebuilt.
fn build(project: &Path, cache: &Path) -> Result<PathBuf> {
    let host = host_triple()?;
    let folder = cache.join("target");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--release", "--target", &host])
        .arg("--manifest-path")
        .arg(project.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", INSTRUMENT)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the fuzz targets do not build");
    Ok(folder.join(host).join("release"))
}

fn host_triple() -> Result<String> {
    let output =
        Command::new("rustc").args(["--version", "--verbose"]).output().context("run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// Runs one target; false when it found an input that breaks it.
fn run_target(project: &Path, cache: &Path, program: &Path, seconds: u64) -> Result<bool> {
    let name = program.file_name().context("a target has a name")?.to_string_lossy().into_owned();
    let (corpus, found) = (cache.join("corpus").join(&name), cache.join("found").join(&name));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command.arg(&corpus);
    let seeds = project.join("seeds").join(&name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let dictionary = project.join(format!("{}.dict", name.split('_').next().unwrap_or(&name)));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        // One input may take ten seconds, whatever else the machine does, and half a gigabyte: more is a finding.
        .args(["-timeout=10", "-rss_limit_mb=512", "-max_len=4096", "-print_final_stats=1"])
        .stdin(Stdio::null());
    let output = command.output().with_context(|| format!("run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        let runs =
            said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!("{name:<16} {} inputs in {seconds} s, nothing found", runs.unwrap_or("?").trim());
    } else {
        println!("{name:<16} {}\n{said}", output.status);
        println!("the input is in {}", found.display());
    }
    Ok(output.status.success())
}
