//! Benches: Leno beside what it is compared with, under the same load, on this machine.
//!
//! Nothing here is a test: figures differ from machine to machine, and a shared machine differs from itself. The rounds
//! of all contenders are interleaved and medians are reported, with what is needed to repeat them.

mod contender;
mod converge;
mod http1;
mod http2;
mod instructions;
mod kubernetes;
mod load;
mod machine;
mod memory;
mod process;
mod report;
mod rounds;
mod secure;
mod streams;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use contender::{Contender, Program, Running, Setting};
pub(crate) use kubernetes::Api;
pub(crate) use process::{Process, Usage, free_port};
pub(crate) use streams::{serve as serve_http2, serve_grpc, write_files};
pub(crate) use wire::{Wire, make_certificates};

/// `cargo xtask bench NAME`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// A hop of HTTP/1.1: Leno, haproxy, nginx, Envoy; plain, and with what a mesh adds.
    Http1(rounds::Args),
    /// A hop of HTTP/2 on both sides: Leno, haproxy, Envoy; many streams and one, bodies, TLS.
    Http2(rounds::Args),
    /// The same with gRPC calls: unary and streamed.
    Grpc(rounds::Args),
    /// TLS in front: bodies of 1 MiB.
    Tls(rounds::Args),
    /// TLS in front: a full handshake per request.
    TlsHandshake(rounds::Args),
    /// Bytes, unread.
    Tcp(rounds::Args),
    /// Two proxies with mutual TLS between them, at fixed rates.
    MtlsPair(rounds::Args),
    /// What is held: idle, with idle connections, with many routes and clusters.
    Memory(memory::Args),
    /// From an applied document to its enforcement by every proxy.
    Converge(converge::Args),
    /// Instructions of the functions every request passes, compared with those that stand.
    Instructions(instructions::Args),
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    match &args.bench {
        Bench::Http1(args) => rounds::run(root, args, &http1::COURSE),
        Bench::Http2(args) => rounds::run(root, args, &http2::COURSE),
        Bench::Grpc(args) => rounds::run(root, args, &http2::GRPC),
        Bench::Tls(args) => rounds::run(root, args, &secure::BODIES),
        Bench::TlsHandshake(args) => rounds::run(root, args, &secure::HANDSHAKES),
        Bench::Tcp(args) => rounds::run(root, args, &secure::TCP),
        Bench::MtlsPair(args) => rounds::run(root, args, &secure::MTLS_PAIR),
        Bench::Memory(args) => memory::run(root, args),
        Bench::Converge(args) => converge::run(root, args),
        Bench::Instructions(args) => instructions::run(root, args),
    }
}
