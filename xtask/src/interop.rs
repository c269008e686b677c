//! Interoperability: the proxies between clients and servers that others wrote, and messages that mean to be misread.

mod bed;
mod grpc;
mod h2spec;
mod smuggling;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use bed::Bed;

/// `cargo xtask interop [SUITE]`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(clap::Subcommand)]
enum Suite {
    /// h2spec's 146 cases of HTTP/2 and HPACK, strict ones too.
    H2spec(Common),
    /// grpc-go's interoperability cases through one proxy, and through two with mutual TLS between them.
    Grpc(Common),
    /// HTTP/1 messages that readers frame differently: who takes them, and how what we pass on is read behind us.
    Smuggling(Common),
}

/// What every suite takes.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Only these proxies: leno, haproxy, nginx, envoy.
    #[arg(long)]
    only: Vec<String>,
    /// The leno to try.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    match &args.suite {
        Suite::H2spec(common) => h2spec::run(root, common),
        Suite::Grpc(common) => grpc::run(root, common),
        Suite::Smuggling(common) => smuggling::run(root, common),
    }
}
