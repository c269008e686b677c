//! `cargo deny` at its pinned version, over `deny.toml`.
//!
//! Advisories come from a database on the network; they are asked for by flag, so that the rest can be checked
//! anywhere. Building the tool takes minutes: `make test` runs it where it was built once (`--if-built`), and
//! `cargo xtask tidy` checks the bans without it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::peers;

/// `cargo xtask deny`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch the advisory database and check against it too.
    #[arg(long)]
    advisories: bool,
    /// Check nothing where the tool was not built before, and say so.
    #[arg(long)]
    if_built: bool,
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let mut checks = vec!["bans", "licenses", "sources"];
    if args.advisories {
        checks.push("advisories");
    }
    let program = match peers::present("cargo-deny")? {
        None if args.if_built => {
            println!("cargo-deny is not built here: `cargo xtask deny` builds it and checks");
            return Ok(ExitCode::SUCCESS);
        }
        Some(program) => program,
        None => peers::path("cargo-deny")?,
    };
    let status = Command::new(program)
        .args(["--locked", "--workspace", "check"])
        .args(&checks)
        .current_dir(root)
        .status()
        .context("run cargo-deny")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
