//! `cargo deny` at its pinned version, over `deny.toml`.
//!
//! Advisories come from a database on the network; they are asked for by flag, so that the rest can be checked
//! anywhere. `cargo xtask tidy` checks the bans without the tool.

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
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let mut checks = vec!["bans", "licenses", "sources"];
    if args.advisories {
        checks.push("advisories");
    }
    let status = Command::new(peers::path("cargo-deny")?)
        .args(["--locked", "--workspace", "check"])
        .args(&checks)
        .current_dir(root)
        .status()
        .context("run cargo-deny")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
