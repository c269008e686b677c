//! Benches: Leno beside what it is compared with, under the same load, on this machine.
//!
//! Nothing here is a test: figures differ from machine to machine, and a shared machine differs from itself. The rounds
//! of all contenders are interleaved and medians are reported, with what is needed to repeat them.

mod contender;
mod converge;
mod http1;
mod instructions;
mod kubernetes;
mod load;
mod machine;
mod process;
mod report;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use kubernetes::Api;
pub(crate) use process::Process;

/// `cargo xtask bench NAME`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// A hop of HTTP/1.1: Leno, haproxy, nginx, Envoy; plain, and with what a mesh adds.
    Http1(http1::Args),
    /// From an applied document to its enforcement by every proxy.
    Converge(converge::Args),
    /// Instructions of the functions every request passes, compared with those that stand.
    Instructions(instructions::Args),
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    match &args.bench {
        Bench::Http1(args) => http1::run(root, args),
        Bench::Converge(args) => converge::run(root, args),
        Bench::Instructions(args) => instructions::run(root, args),
    }
}
