//! The `leno` command: one file per subcommand, no logic of its own.
//!
//! Exit codes are the same everywhere (`leno help exit-codes`); [`exit`] maps an error to its code.

use std::process::ExitCode;

use clap::Parser;

mod exit;

/// Leno: a service mesh in one binary.
#[derive(Parser)]
#[command(name = "leno", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every subcommand; each variant's arguments and `run` live in the file of its name.
#[derive(clap::Subcommand)]
enum Command {
    /// Print what exit codes mean.
    #[command(name = "exit-codes", hide = true)]
    ExitCodes,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::ExitCodes => exit::explain(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
