//! `leno run`: a program as a workload of the mesh, with a sidecar beside it.
//!
//! The order matters: the namespace child is forked while this process has one thread; the listening sockets live
//! here, so that nothing is refused while a sidecar restarts; the program starts when its sidecar is ready, and takes
//! requests when it listens. Ending it takes the workload out of the mesh.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use leno_sys::capture::{
    Isolation, LaunchError, Settings, SocketSupply, Sockets, Waiting, diagnose, launch,
};
use leno_sys::process::adopt_orphans;
use leno_sys::signals::Signals;

use crate::exit::{Code, WithCode as _};
use crate::front_door::Connection;
use crate::output::say;

mod address;
mod app;
mod directory;
mod door;
mod events;
mod orphans;
mod probe;
mod registration;
mod sidecar;
mod supervise;
mod workload;

pub(crate) use door::NAME as DOOR;
use workload::Workload;

/// Where captured connections and queries arrive inside the namespace (Istio's numbers).
const OUTBOUND_PORT: u16 = 15001;
const DNS_PORT: u16 = 15053;
/// Where the sidecar takes what is sent to the workload on the host side.
const INBOUND_PORT: u16 = 15006;

/// Forwarded to the program, unless the terminal sent them: then it has them already.
const FORWARDED: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// What `leno run` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The service this workload belongs to, and its `app` label.
    #[arg(long)]
    pub(crate) service: String,
    /// The workload's version, its `version` label.
    #[arg(long, default_value = "v1")]
    pub(crate) version: String,
    /// The port the program listens on; without one it only calls others.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Also listen on this address of the host, for callers outside the mesh.
    #[arg(long, value_name = "IP", requires = "port")]
    pub(crate) expose: Option<std::net::IpAddr>,
    /// What is spoken on the port.
    #[arg(long, value_enum, default_value = "http")]
    pub(crate) protocol: Protocol,
    /// The namespace [default: the kubeconfig's, else default].
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// The identity it runs as [default: the service's name].
    #[arg(long)]
    pub(crate) service_account: Option<String>,
    /// How its traffic is taken.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) capture: Capture,
    /// Keep the sidecar's access log in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,
    /// Where the run keeps its files until it ends [default: run/ beside the kubeconfig].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Say only what went wrong.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) command: Vec<OsString>,
}

/// How traffic is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Capture {
    /// A namespace where the kernel allows it, else the environment.
    Auto,
    /// A network namespace of its own: nothing the program does goes around its sidecar.
    Netns,
    /// HTTP_PROXY: programs that ignore it go around the mesh.
    Env,
}

/// What is spoken on a workload's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1: routed and measured by request.
    Http,
    /// gRPC, or HTTP/2 in plaintext: as HTTP, and spoken to the program as well.
    Grpc,
    /// Bytes: routed and measured by connection.
    Tcp,
}

/// A program that waits to be started, and what was made for its sidecar.
struct Prepared {
    waiting: Waiting,
    sockets: Sockets,
    supply: Option<SocketSupply>,
}

/// Runs the program; the exit code is the program's own.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workload = Workload::new(args).code(Code::Usage)?;
    let signals = Signals::block(&FORWARDED).context("watching signals")?;
    adopt_orphans().context("adopting orphaned processes")?;
    let prepared = prepare(args)?;
    // Threads may exist from here on.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(supervise::supervise(args, workload, prepared, signals));
    drop(runtime);
    orphans::end_all();
    outcome
}

/// Where runs keep their files: beside the kubeconfig, which is the mesh's own directory.
pub(crate) fn data(told: Option<&Path>, kubeconfig: &Path) -> PathBuf {
    let beside = || kubeconfig.parent().unwrap_or(Path::new(".")).join("run");
    told.map_or_else(beside, Path::to_path_buf)
}

fn prepare(args: &Args) -> Result<Prepared> {
    let namespace = Isolation::Namespace { outbound_port: OUTBOUND_PORT, dns_port: DNS_PORT };
    let launched = match args.capture {
        Capture::Env => launch(app::command(&args.command), Isolation::None),
        Capture::Auto | Capture::Netns => launch(app::command(&args.command), namespace),
    };
    let launched = match launched {
        Err(LaunchError::Step { step, source }) => {
            let cause = diagnose(step, &source, &Settings::read());
            if args.capture == Capture::Netns {
                anyhow::bail!("no namespace for the program: {cause}");
            }
            say(format_args!("capture=env, since there is no namespace to be had: {cause}"));
            launch(app::command(&args.command), Isolation::None)
        }
        other => other,
    };
    let mut waiting = launched.context("starting the program's process")?;
    let sockets = std::mem::take(&mut waiting.sockets);
    let supply = waiting.supply.take();
    Ok(Prepared { waiting, sockets, supply })
}
