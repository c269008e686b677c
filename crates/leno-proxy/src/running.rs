//! Starting and stopping a proxy: the admin thread first, the workers, and the way out.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use leno_core::snapshot::Resources;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::{self, Pages};
use crate::bootstrap;
use crate::dns;
use crate::identity::Identity;
use crate::mesh;
use crate::options::{Admin, ConfigSource, Mesh, Options};
use crate::process::{self, Error, Process, Shutdown, Then};
use crate::publish::Refused;
use crate::upstream::resolve;

/// How much longer than the drain the threads may take before the process goes without them.
const GRACE: Duration = Duration::from_secs(2);

/// Runs a proxy until SIGTERM or SIGINT and a drain, or `/quitquitquit`.
///
/// # Errors
/// When it cannot start: a port is taken, the configuration file is wrong.
pub fn run(options: Options) -> Result<(), Error> {
    let running = begin(options, Signals::Obey)?;
    // What only the start needed is most of what an idle sidecar would hold; without it all works the same.
    if let Err(error) = leno_sys::memory::release_start() {
        tracing::debug!(%error, "code of the start stays mapped");
    }
    running.wait();
    Ok(())
}

/// Starts the threads of a proxy; with a static configuration it serves when this returns.
///
/// # Errors
/// As [`run`].
pub fn start(options: Options) -> Result<Running, Error> {
    begin(options, Signals::Ignore)
}

/// Whether the process's signals end the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signals {
    Obey,
    Ignore,
}

/// A proxy in this process. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    process: Arc<Process>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    admin: Option<JoinHandle<std::io::Result<()>>>,
    admin_address: Option<SocketAddr>,
}

fn begin(mut options: Options, signals: Signals) -> Result<Running, Error> {
    let process = Arc::new(Process::new(&mut options));
    let first = bootstrap::first(&options.config)?;
    let admin = match options.admin {
        Admin::At(address) => Some(address),
        Admin::AsConfigured => first.as_ref().and_then(|f| f.admin).or(Some(Admin::DEFAULT)),
        Admin::Off => None,
    };
    let sockets = bind_admin(admin, &options)?;
    let admin_address = admin.and(sockets.first()).and_then(|s| s.0.local_addr().ok());
    if let Some(first) = first {
        publish(&process, &first.name, first.resources)?;
    }
    // A kept SVID is in force before the first connection.
    let identity = match &options.config {
        ConfigSource::Mesh(mesh) => Some(Identity::new(
            mesh.clone(),
            Arc::clone(process.tls.secrets()),
            Arc::clone(&process.metrics),
            SystemTime::now(),
        )),
        ConfigSource::Static(_) | ConfigSource::Resources(_) => None,
    };
    let mesh = match &options.config {
        ConfigSource::Mesh(mesh) => Some(mesh.clone()),
        ConfigSource::Static(_) | ConfigSource::Resources(_) => None,
    };
    let workers = process::start_workers(&process, &options)?;
    let thread = std::thread::Builder::new().name("admin".into());
    let dns = std::mem::take(&mut options.dns);
    let duties = Duties { process: Arc::clone(&process), sockets, dns, mesh, identity, signals };
    let admin = thread
        .spawn(move || duties.run())
        .map_err(|source| Error::Start { what: "the admin thread", source })?;
    Ok(Running { process, workers, admin: Some(admin), admin_address })
}

fn publish(process: &Process, version: &str, resources: Resources) -> Result<(), Error> {
    let outcome = process.publisher.publish(resources);
    process.publisher.note(version, outcome.as_ref().copied());
    outcome.map_err(|source| Error::Config { path: version.to_owned(), source: Box::new(source) })
}

fn bind_admin(
    admin: Option<SocketAddr>,
    options: &Options,
) -> Result<Vec<(TcpListener, Pages)>, Error> {
    let admin = admin.iter().map(|address| ("the admin endpoint", address, Pages::All));
    let metrics = options.metrics.iter().map(|address| ("metrics", address, Pages::Metrics));
    let bind = |(what, address, pages): (&'static str, &SocketAddr, Pages)| {
        let bound = admin::bind(*address);
        let socket = bound.map_err(|source| Error::Bind { what, address: *address, source })?;
        Ok((socket, pages))
    };
    admin.chain(metrics).map(bind).collect()
}

/// What the admin thread does.
struct Duties {
    process: Arc<Process>,
    sockets: Vec<(TcpListener, Pages)>,
    dns: dns::Sockets,
    mesh: Option<Mesh>,
    identity: Option<Identity>,
    signals: Signals,
}

impl Duties {
    fn run(self) -> std::io::Result<()> {
        let Self { process, sockets, dns, mesh, identity, signals } = self;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        runtime.block_on(async {
            for (socket, pages) in sockets {
                // The admin endpoint answers until the very end, so that a drain can be watched.
                let until = ended(process.shutdown.subscribe());
                let serving = admin::serve(Arc::clone(&process), socket, pages, until);
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        tracing::error!(%error, "the admin endpoint ended");
                    }
                });
            }
            tokio::spawn(Arc::clone(&process).watch_lame_duck());
            tokio::spawn(resolve::run(Arc::clone(&process.publisher)));
            if let Some(mesh) = mesh {
                tokio::spawn(mesh::follow(Arc::clone(&process), mesh));
            }
            if let Some(identity) = identity {
                tokio::spawn(identity.run());
            }
            if !dns.udp.is_empty() || !dns.tcp.is_empty() {
                let answering =
                    dns::serve(dns, process.dns.clone(), dns::Resolvers::of_host().servers)?;
                tokio::spawn(answering);
            }
            if signals == Signals::Obey {
                obey_signals(&process)?;
            }
            ended(process.shutdown.subscribe()).await;
            Ok(())
        })
    }
}

/// The first signal drains, the second ends.
fn obey_signals(process: &Arc<Process>) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let process = Arc::clone(process);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if process.is_ending() {
                    process.shut_down(Shutdown::Now);
                } else {
                    process.leave(Then::End);
                }
            }
        });
    }
    Ok(())
}

/// Ready when the process ends for good.
async fn ended(mut shutdown: watch::Receiver<Shutdown>) {
    // The sender lives as long as the process: there is no other end.
    let _ = shutdown.wait_for(|now| *now == Shutdown::Now).await;
}

impl Running {
    /// Where the admin endpoint listens.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Where a listener accepts connections.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.process.publisher.address(listener)
    }

    /// Puts other resources in force.
    ///
    /// # Errors
    /// Every problem; what was in force stays.
    pub fn publish(&self, resources: Resources) -> Result<(), Refused> {
        let outcome = self.process.publisher.publish(resources);
        self.process.publisher.note("resources", outcome.as_ref().copied());
        outcome
    }

    /// Takes no new work and begins to finish what there is.
    pub fn drain(&self) {
        self.process.leave(Then::End);
    }

    /// Returns when the process was told to end and has drained.
    pub fn wait(mut self) {
        let shutdown = &self.process.shutdown;
        while matches!(*shutdown.borrow(), Shutdown::No | Shutdown::LameDuck | Shutdown::Quiet)
            && self.workers.iter().any(|w| !w.is_finished())
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let limit = self.process.drain + GRACE;
        process::join_all(std::mem::take(&mut self.workers), limit);
        self.process.logs.finish(GRACE);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.shut_down(Shutdown::Now);
        process::join_all(std::mem::take(&mut self.workers), GRACE);
        process::join_all(self.admin.take().into_iter().collect(), GRACE);
    }
}
