//! Interoperability: the proxies between clients and servers that others wrote, and messages that mean to be misread.

mod autobahn;
mod bed;
mod ends;
mod grpc;
mod h2spec;
mod matrix;
mod short;
mod smuggling;
mod transparency;
mod websocket;

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
    /// Autobahn's cases of WebSocket, both sides, beside the same without a proxy.
    Autobahn(autobahn::Args),
    /// h2spec's 146 cases of HTTP/2 and HPACK, strict ones too.
    H2spec(Common),
    /// The interoperability cases of grpc-go, grpcio and grpc-js through one proxy, and through two with mutual TLS between them.
    Grpc(grpc::Args),
    /// curl, nghttp, Python, Go, Node and Java, each with each server, beside the same without a proxy.
    Matrix(matrix::Args),
    /// A minute or two of every suite, Leno alone: what `make test` runs. What the machine lacks is said and left out.
    Short(Common),
    /// Messages of a corpus, compared byte for byte with what arrives.
    Transparency(transparency::Args),
    /// WebSocket ends of three languages, over HTTP/1 and HTTP/2.
    Websocket(Common),
    /// HTTP/1 messages that readers frame differently: who takes them, and how what we pass on is read behind us.
    Smuggling(Common),
}

/// What every suite takes.
#[derive(clap::Args, Clone)]
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
        Suite::Autobahn(args) => autobahn::run(root, args),
        Suite::H2spec(common) => h2spec::run(root, common),
        Suite::Grpc(args) => grpc::run(root, args),
        Suite::Matrix(args) => matrix::run(root, args),
        Suite::Short(common) => short::run(root, common),
        Suite::Transparency(args) => transparency::run(root, args),
        Suite::Websocket(common) => websocket::run(root, common),
        Suite::Smuggling(common) => smuggling::run(root, common),
    }
}
