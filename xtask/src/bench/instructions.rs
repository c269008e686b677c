//! `cargo xtask bench instructions`: what the functions every request passes cost, counted and not timed.
//!
//! callgrind counts instructions exactly and so also on a busy machine: the counts stand in `bench/instructions.json`,
//! and a change that makes a function dearer than the tolerance fails until somebody writes the new count down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// `cargo xtask bench instructions`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the counts down instead of comparing with those that stand.
    #[arg(long)]
    write: bool,
}

/// Functions of `crates/leno-testkit/src/bin/hot/main.rs`, each with the two counts of calls whose difference is taken, so that
/// starting and setting up drop out. Of access records there are no more than the log holds until its thread writes them.
const FUNCTIONS: [(&str, (u64, u64)); 9] = [
    ("h1_exchange", (500, 2_500)),
    ("h2_exchange", (500, 2_500)),
    ("h2_data", (2_000, 10_000)),
    ("route_100_hosts", (500, 5_500)),
    ("authz_100_rules", (500, 5_500)),
    ("pick_round_robin", (1_000, 101_000)),
    ("access_record", (100, 500)),
    ("access_log_json", (500, 5_500)),
    ("metrics", (1_000, 21_000)),
];

/// Runs of each, of which the cheapest counts: threads that wait for each other cost a little more or less.
const RUNS: usize = 3;

/// How much dearer a function may become unnoticed.
const TOLERANCE: f64 = 0.02;

/// Instructions per call.
type Counted = BTreeMap<String, f64>;

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let program = build(root)?;
    let counted: Counted = FUNCTIONS
        .iter()
        .map(|(name, counts)| Ok(((*name).to_owned(), per_call(&program, name, *counts)?)))
        .collect::<Result<_>>()?;
    let file = root.join("bench/instructions.json");
    if args.write {
        let mut text = serde_json::to_string_pretty(&counted)?;
        text.push('\n');
        std::fs::write(&file, text)?;
    }
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("read {}; `--write` makes it", file.display()))?;
    let known: Counted = serde_json::from_str(&text)?;
    let mut is_fine = true;
    for (name, now) in &counted {
        let Some(before) = known.get(name) else {
            bail!("{name} is not in {}; `--write` adds it", file.display());
        };
        let verdict = verdict(*before, *now);
        is_fine &= verdict != Verdict::Dearer;
        println!("{name:<18} {now:>9.1} instructions, {before:.1} before: {}", verdict.word());
    }
    if !is_fine {
        eprintln!(
            "dearer by more than {} %: make it cheaper, or `cargo xtask bench instructions --write` and say why",
            TOLERANCE * 100.0
        );
    }
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Cheaper,
    Dearer,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Same => "ok",
            Self::Cheaper => "cheaper, write it down",
            Self::Dearer => "DEARER",
        }
    }
}

fn verdict(before: f64, now: f64) -> Verdict {
    if now > before * (1.0 + TOLERANCE) {
        Verdict::Dearer
    } else if now < before * (1.0 - TOLERANCE) {
        Verdict::Cheaper
    } else {
        Verdict::Same
    }
}

/// Builds the program and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--bin", "hot"])
        // Together, so that features are those of the program itself and nothing is compiled twice.
        .args(["-p", "leno-cli", "-p", "leno-testkit"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the bench does not build");
    let executable = String::from_utf8(output.stdout)?.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.context("cargo named no executable")
}

fn per_call(program: &Path, name: &str, (few, many): (u64, u64)) -> Result<f64> {
    let mut least = u64::MAX;
    for _ in 0..RUNS {
        let used = counted(program, name, many)?.saturating_sub(counted(program, name, few)?);
        least = least.min(used);
    }
    Ok((least as f64 / (many - few) as f64 * 10.0).round() / 10.0)
}

/// Instructions of a whole run.
fn counted(program: &Path, name: &str, count: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &count.to_string()])
        .output()
        .context("run valgrind (Debian package valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {said}");
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    let collected = collected.with_context(|| format!("{name}: callgrind said {said}"))?;
    Ok(collected.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, verdict};

    #[test]
    fn two_percent_are_tolerated() {
        // (before, now, verdict)
        let table = [
            (1000.0, 1000.0, Verdict::Same),
            (1000.0, 1019.0, Verdict::Same),
            (1000.0, 1021.0, Verdict::Dearer),
            (1000.0, 979.0, Verdict::Cheaper),
        ];
        for (before, now, expected) in table {
            assert_eq!(verdict(before, now), expected, "{before} {now}");
        }
    }
}
