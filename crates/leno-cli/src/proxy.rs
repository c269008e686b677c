//! `leno proxy`: the data plane, from an Envoy file or as part of a mesh.
//!
//! Only reads the command line. Sockets arrive as inherited descriptors, which are adopted before anything else is
//! opened.

mod inherited;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use leno_proxy::limits::ProcessLimits;
use leno_proxy::upstream::dial::InboundDialer;
use leno_proxy::{Admin, ConfigSource, LogLevel, Mesh, Node, Options, Variant};
use leno_sys::meeting::PATH_BYTES_MAX;
use serde::Deserialize;

use crate::exit::{Code, WithCode as _};
use crate::{proxies, upgrade};

/// `leno proxy`
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    look: Option<Look>,
    #[command(flatten)]
    serve: Serve,
}

/// Running proxies.
#[derive(clap::Subcommand)]
enum Look {
    /// What every connected proxy has acknowledged.
    Status(proxies::StatusArgs),
    /// What is in force in one proxy.
    Config(proxies::ConfigArgs),
    /// Replace the sidecars of running workloads, without a refused or reset connection.
    Upgrade(upgrade::Args),
}

/// What a proxy is told at its start.
#[derive(clap::Args)]
struct Serve {
    /// An Envoy bootstrap file: static resources, and the control plane if it names one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["control", "node"])]
    config: Option<PathBuf>,
    /// The control plane: xDS and certificates.
    #[arg(long, value_name = "HOST:PORT", requires = "node")]
    control: Option<String>,
    /// A file with the join token, read for each use.
    #[arg(long, value_name = "FILE", requires = "control")]
    token_file: Option<PathBuf>,
    /// The control plane's root certificate, for `--control https://HOST:PORT`.
    #[arg(long, value_name = "FILE", requires = "control")]
    root_file: Option<PathBuf>,
    /// A JSON file with the xDS node: id, cluster, metadata.
    #[arg(long, value_name = "FILE", requires = "control")]
    node: Option<PathBuf>,
    /// How the control plane is spoken to: what changed (DELTA_GRPC), or everything of a type each time (GRPC).
    #[arg(
        long,
        value_name = "PROTOCOL",
        value_enum,
        default_value = "delta",
        requires = "control"
    )]
    xds: Xds,
    /// Where the last good configuration and certificates are kept.
    #[arg(long, value_name = "DIR", requires = "control")]
    data: Option<PathBuf>,
    /// An inherited descriptor from which the key is read that what is kept is sealed with: 32 bytes, then the end.
    #[arg(long, value_name = "FD", requires = "data")]
    seal_fd: Option<RawFd>,
    /// Threads that carry traffic.
    #[arg(long, default_value = "1")]
    workers: NonZeroUsize,
    /// Bytes that connections may make this proxy hold, unless the file's overload manager says it [default: half of what
    /// the cgroup or the machine has, at most 1 GiB].
    #[arg(long, value_name = "BYTES")]
    memory_budget: Option<usize>,
    /// The admin endpoint; `none` has none [default: what the file says, else 127.0.0.1:15000].
    #[arg(long, value_name = "IP:PORT", value_parser = admin)]
    admin: Option<Admin>,
    /// Another address that serves metrics and readiness only; may be repeated.
    #[arg(long, value_name = "IP:PORT")]
    metrics: Vec<SocketAddr>,
    /// Another address that is accepted on for virtualInbound; may be repeated.
    #[arg(long, value_name = "IP:PORT")]
    inbound: Vec<SocketAddr>,
    /// An inherited listening socket for a listener; may be repeated.
    #[arg(long, value_name = "NAME=FD")]
    listen_fd: Vec<String>,
    /// An inherited socket that receives DNS queries; may be repeated.
    #[arg(long, value_name = "FD")]
    dns_udp_fd: Vec<RawFd>,
    /// An inherited listening socket that receives DNS queries; may be repeated.
    #[arg(long, value_name = "FD")]
    dns_tcp_fd: Vec<RawFd>,
    /// An inherited line to the socket supply inside the workload's namespace.
    #[arg(long, value_name = "FD")]
    supply_fd: Option<RawFd>,
    /// Where the workload listens instead of 127.0.0.1, in our own network namespace.
    #[arg(long, value_name = "IP", conflicts_with = "supply_fd")]
    workload: Option<IpAddr>,
    /// Where this proxy takes over from a running one and waits for the next; `none` does neither [default: in the data
    /// folder, by node].
    #[arg(long, value_name = "PATH")]
    handover: Option<PathBuf>,
    /// A file that the secrets of TLS sessions are written to, for reading captures of this proxy's traffic.
    #[arg(long, value_name = "FILE")]
    tls_key_log: Option<PathBuf>,
    /// How long new connections are still taken at the end, after readiness went: what balancers need to notice.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    lame_duck_seconds: u64,
    /// How long connections may take to finish at the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    drain_seconds: u64,
}

/// The two protocols of ADS.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Xds {
    /// `DeltaAggregatedResources`.
    Delta,
    /// `StreamAggregatedResources`, state of the world.
    Sotw,
}

impl From<Xds> for Variant {
    fn from(xds: Xds) -> Self {
        match xds {
            Xds::Delta => Self::Delta,
            Xds::Sotw => Self::StateOfTheWorld,
        }
    }
}

fn admin(text: &str) -> Result<Admin, String> {
    if text == "none" {
        return Ok(Admin::Off);
    }
    text.parse().map(Admin::At).map_err(|_| "an address IP:PORT, or none".to_owned())
}

/// Serves until it is told to end, or prints what running proxies say.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.look {
        Some(Look::Status(args)) => proxies::status(args),
        Some(Look::Config(args)) => proxies::config(args),
        Some(Look::Upgrade(args)) => upgrade::run(args),
        None => serve(&args.serve),
    }
}

fn serve(args: &Serve) -> Result<ExitCode> {
    let inherited = inherited::adopt_all(args).code(Code::Usage)?;
    let config = source(args).code(Code::Usage)?;
    let handover = handover(args, &config).code(Code::Usage)?;
    let options = Options {
        config,
        handover,
        workers: args.workers,
        admin: args.admin.unwrap_or(Admin::AsConfigured),
        metrics: args.metrics.clone(),
        inherited: inherited.listeners,
        inbound_addresses: args.inbound.clone(),
        limits: ProcessLimits::of_machine(args.workers).with(args.memory_budget, None),
        inbound_dialer: match (inherited.supply, args.workload) {
            (Some(supply), _) => InboundDialer::Supply(supply),
            (None, Some(workload)) => InboundDialer::At(workload),
            (None, None) => InboundDialer::Host,
        },
        dns: inherited.dns,
        log_level: Some(log()),
        tls_key_log: args.tls_key_log.clone(),
        lame_duck: Duration::from_secs(args.lame_duck_seconds),
        drain: Duration::from_secs(args.drain_seconds),
    };
    leno_proxy::run(options).code(Code::Usage)?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the log on stderr, at `LENO_LOG` or `info`; `/logging` changes it.
fn log() -> LogLevel {
    use tracing_subscriber::EnvFilter;
    let wanted = EnvFilter::try_from_env("LENO_LOG").unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(wanted);
    let log = log.with_filter_reloading();
    let (shown, changed) = (log.reload_handle(), log.reload_handle());
    log.init();
    LogLevel {
        show: Arc::new(move || {
            shown.with_current(ToString::to_string).unwrap_or_else(|error| error.to_string())
        }),
        change: Arc::new(move |text| {
            let filter = text.parse::<EnvFilter>().map_err(|error| error.to_string())?;
            changed.reload(filter).map_err(|error| error.to_string())
        }),
    }
}

fn source(args: &Serve) -> Result<ConfigSource> {
    if let Some(path) = &args.config {
        return Ok(ConfigSource::Static(path.clone()));
    }
    let (Some(control), Some(node)) = (&args.control, &args.node) else {
        bail!(
            "say where the configuration comes from: --config FILE, or --control HOST:PORT with --node FILE"
        );
    };
    Ok(ConfigSource::Mesh(Mesh {
        control: control.clone(),
        root_file: args.root_file.clone(),
        token_file: args.token_file.clone(),
        node: node_of(node)?,
        variant: args.xds.into(),
        data_dir: args.data.clone(),
        seal: args.seal_fd.map(inherited::seal).transpose()?,
    }))
}

/// Where processes of this proxy meet: as told, or in the data folder.
fn handover(args: &Serve, config: &ConfigSource) -> Result<Option<PathBuf>> {
    let path = match (&args.handover, config) {
        (Some(path), _) if path == Path::new("none") => return Ok(None),
        (Some(path), _) => path.clone(),
        (None, ConfigSource::Mesh(mesh)) => {
            if let Some(folder) = &mesh.data_dir {
                fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            return Ok(mesh.meeting_place());
        }
        (None, _) => return Ok(None),
    };
    if path.as_os_str().len() > PATH_BYTES_MAX {
        bail!("--handover {}: longer than {PATH_BYTES_MAX} bytes", path.display());
    }
    Ok(Some(path))
}

/// The node as it is written in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    id: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

fn node_of(path: &Path) -> Result<Node> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    let NodeFile { id, cluster, metadata } = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not an xDS node", path.display()))?;
    Ok(Node { id, cluster, metadata })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn refusal(line: &str) -> String {
        let words = std::iter::once("proxy").chain(line.split_whitespace());
        match Line::try_parse_from(words) {
            Err(error) => error.to_string(),
            Ok(line) => {
                run(&line.args).map_or_else(|error| format!("{error:#}"), |_| String::new())
            }
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_before_anything_starts() {
        // (line, what is said)
        let table = [
            ("", "say where the configuration comes from"),
            ("--control 127.0.0.1:1", "--node"),
            ("--control x:1 --node /nowhere", "/nowhere"),
            ("--config a --control b", "cannot be used with"),
            ("--config a --listen-fd web", "write it as NAME=FD"),
            ("--config a --listen-fd web=777", "not an inherited descriptor"),
            ("--config a --dns-udp-fd 1", "not an inherited descriptor"),
            ("--control x:1 --node n --xds both", "possible values: delta, sotw"),
            ("--control x:1 --node n --seal-fd 1", "--data"),
            ("--config a --admin here", "an address IP:PORT, or none"),
        ];
        for (line, said) in table {
            let refusal = refusal(line);
            assert!(refusal.contains(said), "{line}: {refusal}");
        }
    }
}
