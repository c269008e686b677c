//! Starting and stopping a proxy: the admin thread first, the workers, and the way out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use leno_core::snapshot::Resources;

use crate::bootstrap::{self, First};
use crate::handover::Taking;
use crate::identity::Identity;
use crate::options::{Admin, ConfigSource, Options};
use crate::process::{self, Error, Process, Shutdown, Then};
use crate::publish::Refused;
use crate::tls::KeyLog;

mod duties;
mod side;

use duties::{Duties, Signals};
use side::SideSockets;

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
    leno_sys::memory::release_heap();
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

/// A proxy in this process. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    process: Arc<Process>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    admin: Option<JoinHandle<std::io::Result<()>>>,
    admin_address: Option<SocketAddr>,
}

fn begin(mut options: Options, signals: Signals) -> Result<Running, Error> {
    let (handed, line) = take_over(&options)?.map(Taking::into_parts).unzip();
    let first = bootstrap::first(&options.config)?;
    let admin = match options.admin {
        Admin::At(address) => Some(address),
        Admin::AsConfigured => first.as_ref().and_then(|f| f.admin).or(Some(Admin::DEFAULT)),
        Admin::Off => None,
    };
    if let Some(First { overload, .. }) = &first {
        let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
        options.limits =
            options.limits.with(number(overload.memory_bytes), number(overload.connections));
    }
    let side = SideSockets::open(admin, &mut options, handed.as_ref())?;
    let admin_address = admin.and(side.admin.first()).and_then(|s| s.0.local_addr().ok());
    let key_log = key_log(&options)?;
    let own = match &options.config {
        ConfigSource::Mesh(mesh) => Some(mesh.clone()),
        ConfigSource::Static(_) | ConfigSource::Resources(_) => None,
    };
    let mesh = own.clone().or_else(|| first.as_ref()?.mesh.clone());
    let node = mesh.as_ref().map(|mesh| mesh.node.clone());
    let process = Arc::new(Process::new(&mut options, handed, node, key_log));
    if let Some(first) = first {
        publish(&process, &first.name, first.resources)?;
    }
    // A kept SVID is in force before the first connection. A control plane that a file names gives none.
    let identity = own.map(|mesh| {
        let secrets = Arc::clone(process.tls.secrets());
        Identity::new(mesh, secrets, Arc::clone(&process.metrics), SystemTime::now())
    });
    let workers = process::start_workers(&process, &options)?;
    let handover = options.handover.take();
    let duties = Duties { process: Arc::clone(&process), side, handover, mesh, identity, signals };
    let admin = std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || duties.run())
        .map_err(|source| Error::Start { what: "the admin thread", source })?;
    // From here on an error ends what was started, by drop.
    let running = Running { process, workers, admin: Some(admin), admin_address };
    if let Some(line) = line {
        let finished = Taking::finish(&line, &running.process);
        finished.map_err(|source| Error::Handover { source })?;
    }
    Ok(running)
}

/// What the running proxy hands over, if there is one.
fn take_over(options: &Options) -> Result<Option<Taking>, Error> {
    let Some(path) = &options.handover else { return Ok(None) };
    Taking::begin(path).map_err(|source| Error::Handover { source })
}

/// The TLS key log, if there is to be one; that it is written is never a secret.
fn key_log(options: &Options) -> Result<Option<Arc<KeyLog>>, Error> {
    let Some(path) = &options.tls_key_log else { return Ok(None) };
    let opened = KeyLog::open(path).map_err(|source| Error::Config {
        path: path.display().to_string(),
        source: Box::new(source),
    })?;
    tracing::warn!(path = %path.display(), "the secrets of TLS sessions are written to a file");
    Ok(Some(Arc::new(opened)))
}

fn publish(process: &Process, version: &str, resources: Resources) -> Result<(), Error> {
    let outcome = process.publisher.publish(resources);
    process.publisher.note(version, outcome.as_ref().copied());
    outcome.map_err(|source| Error::Config { path: version.to_owned(), source: Box::new(source) })
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

    /// Where a listener accepts connections, address by address; Unix sockets are left out.
    #[must_use]
    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        self.process.publisher.addresses(listener)
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
