//! Benches: Leno beside what it is compared with, under the same load, on this machine.
//!
//! Nothing here is a test: figures differ from machine to machine, and a shared machine differs from itself. The rounds
//! of all contenders are interleaved and medians are reported, with what is needed to repeat them.

mod contender;
mod converge;
mod flame;
mod http1;
mod http2;
mod instructions;
mod kubernetes;
mod load;
mod machine;
mod memory;
mod process;
mod profile;
mod report;
mod rounds;
mod secure;
mod streams;
mod tracing;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use contender::{Contender, Program, Running, Setting};
pub(crate) use kubernetes::Api;
pub(crate) use machine::{describe as describe_machine, version as program_version};
pub(crate) use process::{LOAD_CORE, Process, free_port};
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
    /// What a span per request costs: tracing on and off, with few connections and many.
    Tracing(rounds::Args),
    /// Two proxies with mutual TLS between them, at fixed rates.
    MtlsPair(rounds::Args),
    /// What is held: idle, with idle connections, with many routes and clusters.
    Memory(memory::Args),
    /// From an applied document to its enforcement by every proxy.
    Converge(converge::Args),
    /// Where a bench's time goes: a flame graph in `bench/results/`.
    Profile(profile::Args),
    /// Instructions of the functions every request passes, compared with those that stand.
    Instructions(instructions::Args),
}

/// The benches of hops.
const COURSES: [&rounds::Course; 8] = [
    &http1::COURSE,
    &http2::COURSE,
    &http2::GRPC,
    &secure::BODIES,
    &secure::HANDSHAKES,
    &secure::TCP,
    &secure::MTLS_PAIR,
    &tracing::COURSE,
];

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    match &args.bench {
        Bench::Http1(args) => rounds::run(root, args, &http1::COURSE),
        Bench::Http2(args) => rounds::run(root, args, &http2::COURSE),
        Bench::Grpc(args) => rounds::run(root, args, &http2::GRPC),
        Bench::Tls(args) => rounds::run(root, args, &secure::BODIES),
        Bench::TlsHandshake(args) => rounds::run(root, args, &secure::HANDSHAKES),
        Bench::Tcp(args) => rounds::run(root, args, &secure::TCP),
        Bench::MtlsPair(args) => rounds::run(root, args, &secure::MTLS_PAIR),
        Bench::Tracing(args) => rounds::run(root, args, &tracing::COURSE),
        Bench::Memory(args) => memory::run(root, args),
        Bench::Converge(args) => converge::run(root, args),
        Bench::Profile(args) => profile::run(root, args, &COURSES),
        Bench::Instructions(args) => instructions::run(root, args),
    }
}
