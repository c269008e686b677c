//! `leno up` and what it shares with `leno control`: a control plane in the foreground until it is told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leno_control::limits::DiscoveryLimits;
use leno_control::{Options, Running, StartError};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Code, WithCode as _};

/// Ten years: a longer one is a mistake.
const SVID_SECONDS_MAX: u64 = 315_360_000;

/// Run a control plane here: every role in one process.
#[derive(Debug, clap::Args)]
#[group(id = "up")]
pub(crate) struct Args {
    /// Where state is kept; made if it is not there. `~/.local/share/leno` unless named.
    #[arg(long, value_name = "DIR", env = "LENO_DATA")]
    data: Option<PathBuf>,
    /// Where the page and the API listen. Port 0 picks a free one; for every address here.
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:15080")]
    front_door: SocketAddr,
    /// Where proxies of this machine get resources and certificates, in plaintext.
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:15010")]
    xds: SocketAddr,
    /// The same for other machines, over TLS.
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:15012")]
    xds_tls: SocketAddr,
    /// Where the control plane's own metrics and health are.
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:15014")]
    metrics: SocketAddr,
    /// The trust domain of every identity. It cannot change later.
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    trust_domain: String,
    /// How long a workload's certificate holds; it is renewed around half of that.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Options::SVID_LIFETIME.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=SVID_SECONDS_MAX)
    )]
    certificate_seconds: u64,
    /// Connections at once to the two xDS ports together; those beyond are refused.
    #[arg(long, value_name = "COUNT", default_value_t = DiscoveryLimits::USUAL.connections, value_parser = count)]
    xds_connections: usize,
    /// Names that the requests of one discovery stream may add up to.
    #[arg(long, value_name = "COUNT", default_value_t = DiscoveryLimits::USUAL.names, value_parser = count)]
    xds_names: usize,
    /// How long a discovery stream may take to its first request.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = DiscoveryLimits::USUAL.first_request.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    xds_first_request_seconds: u64,
}

impl Args {
    pub(crate) fn into_options(self) -> Result<Options> {
        let data = match self.data {
            Some(data) => data,
            None => data_home().context("name a directory with --data").code(Code::Usage)?,
        };
        // What is printed and written must hold in other directories too.
        let data = std::path::absolute(data).code(Code::Usage)?;
        let Self { front_door, xds, xds_tls, metrics, trust_domain, .. } = self;
        let svid_lifetime = Duration::from_secs(self.certificate_seconds);
        let discovery = DiscoveryLimits {
            connections: self.xds_connections,
            names: self.xds_names,
            first_request: Duration::from_secs(self.xds_first_request_seconds),
        };
        let ports = Options { front_door, xds, xds_tls, metrics, ..Options::new(data) };
        Ok(Options { trust_domain, svid_lifetime, discovery, ..ports })
    }
}

/// What no machine has is a mistake.
fn count(text: &str) -> Result<usize, &'static str> {
    let count = text.parse().ok().filter(|count| (1..=10_000_000).contains(count));
    count.ok_or("write a number from 1 to 10000000")
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write IP:PORT, such as 127.0.0.1:15080; port 0 picks a free one")
}

fn data_home() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = named("XDG_DATA_HOME").map(PathBuf::from);
    let home = || named("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data.or_else(home).map(|data| data.join("leno"))
}

/// Runs until SIGINT or SIGTERM.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    serve(&args.into_options()?)
}

/// Runs a control plane with these options until SIGINT or SIGTERM.
pub(crate) fn serve(options: &Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the start, so that a signal during it is not lost.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let running = match Running::start(options).await {
            Ok(running) => running,
            Err(error) => {
                let code = code_of(&error);
                return Err(error).code(code);
            }
        };
        announce(&running)?;
        let code = tokio::select! {
            _ = interrupt.recv() => ExitCode::from(130),
            _ = terminate.recv() => ExitCode::SUCCESS,
        };
        running.stop().await;
        Ok(code)
    })
}

fn announce(running: &Running) -> Result<()> {
    let ports = running.ports();
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "export KUBECONFIG={}", running.kubeconfig().display())?;
    stdout.flush()?;
    let mut stderr = anstream::stderr().lock();
    writeln!(
        stderr,
        "leno: ready, page and API at http://{}, xDS at {}",
        ports.front_door, ports.xds
    )?;
    Ok(())
}

fn code_of(error: &StartError) -> Code {
    match error {
        StartError::InUse(_) | StartError::PortTaken { .. } | StartError::Full { .. } => {
            Code::Conflict
        }
        StartError::Damaged(_)
        | StartError::Seed(_)
        | StartError::Identity(_)
        | StartError::Certificate(_) => Code::Found,
        StartError::TrustDomain(..)
        | StartError::Store(_)
        | StartError::Plaintext { .. }
        | StartError::SameAddress { .. }
        | StartError::Listen { .. }
        | StartError::File { .. } => Code::Usage,
    }
}
