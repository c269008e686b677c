//! The build system: everything `make` and CI do that is more than one cargo command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};

mod attack;
mod bench;
mod databases;
mod deny;
mod dist;
mod docs;
mod fuzz;
mod interop;
mod peers;
mod soak;
mod tidy;

/// Leno's build system.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check what the compiler does not: import table, sizes, words, docs.
    Tidy,
    /// Fetch the software that tests and benches compare with.
    Peers(peers::Args),
    /// Licences, sources, duplicates and bans of everything that is built in: `cargo deny`.
    Deny(deny::Args),
    /// `bin/dist/leno`: optimised across crates and by a profile of the soak.
    Dist(dist::Args),
    /// Attack default configurations, ours beside others', and print the harm.
    Attack(attack::Args),
    /// Compare with other proxies and control planes.
    Bench(bench::Args),
    /// Put real servers behind the proxy and compare what their clients get.
    Databases(databases::Args),
    /// Fuzz every parser for a while.
    Fuzz(fuzz::Args),
    /// Try clients, servers and hostile messages that others wrote, or wrote for us.
    Interop(interop::Args),
    /// Run proxies through their life under load.
    Soak(soak::Args),
    /// Run the commands that the documentation shows.
    Docs,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Tidy => tidy::run(&root()),
        Command::Peers(args) => peers::run(&args),
        Command::Deny(args) => deny::run(&root(), &args),
        Command::Dist(args) => dist::run(&root(), &args),
        Command::Attack(args) => attack::run(&root(), &args),
        Command::Bench(args) => bench::run(&root(), &args),
        Command::Databases(args) => databases::run(&root(), &args),
        Command::Fuzz(args) => fuzz::run(&root(), &args),
        Command::Interop(args) => interop::run(&root(), &args),
        Command::Soak(args) => soak::run(&root(), &args),
        Command::Docs => docs::run(&root()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout that `cargo xtask` was called in.
fn root() -> PathBuf {
    // Asked for at run time: a build folder may be shared by several checkouts.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// Asks a child to end, as Ctrl-C does; std can only kill.
fn interrupt(child: &std::process::Child) -> anyhow::Result<()> {
    let pid = Pid::from_raw(child.id().cast_signed()).context("a child has an id")?;
    Ok(kill_process(pid, Signal::INT)?)
}
