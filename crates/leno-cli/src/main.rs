//! The `leno` command: one file per subcommand, no logic of its own.
//!
//! Exit codes are the same everywhere (`leno exit-codes`); [`exit`] maps an error to its code.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

mod control;
mod demo;
mod documents;
mod exit;
mod explain;
mod front_door;
mod output;
mod proxies;
mod proxy;
mod run;
mod tour;
mod traffic;
mod up;
mod upgrade;

/// Leno: a service mesh in one binary.
#[derive(Parser)]
#[command(name = "leno", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every subcommand; each variant's arguments and `run` live in the file of its name.
#[derive(clap::Subcommand)]
enum Command {
    /// Run a control plane here: every role in one process.
    Up(up::Args),
    /// Run the control plane as a service.
    Control(control::Args),
    /// The mesh on one screen: proxies, traffic, the last changes.
    Status(traffic::Args),
    /// Services: rate, success and latency, from both sides.
    Stat(traffic::Args),
    /// Who calls whom, with mutual TLS or without.
    Edges(traffic::Args),
    /// Print documents.
    Get(documents::GetArgs),
    /// Print documents, their conditions and what happened to them.
    Describe(documents::Selection),
    /// Make documents so.
    Apply(documents::ApplyArgs),
    /// Remove documents.
    Delete(documents::DeleteArgs),
    /// Run a program in the mesh, with a sidecar beside it.
    #[command(disable_version_flag = true)]
    Run(Box<run::Args>),
    /// Show a mesh: control plane, Bookinfo, a gentle load.
    Demo(demo::Args),
    /// The data plane; `status` and `config` look at running ones.
    Proxy(Box<proxy::Args>),
    /// Say what an LNxxxx code or a response flag means, and what to do.
    Explain(explain::Args),
    /// Print the shell's completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print what exit codes mean.
    ExitCodes,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(args),
        Command::Control(args) => control::run(args),
        Command::Status(args) => traffic::status(&args),
        Command::Stat(args) => traffic::stat(&args),
        Command::Edges(args) => traffic::edges(&args),
        Command::Get(args) => documents::get(&args),
        Command::Describe(selection) => documents::describe(&selection),
        Command::Apply(args) => documents::apply(&args),
        Command::Delete(args) => documents::delete(&args),
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "leno", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::ExitCodes => exit::explain(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
