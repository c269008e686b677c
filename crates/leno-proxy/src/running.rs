//! Starting and stopping a proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use leno_core::snapshot::Resources;

use crate::options::{ConfigSource, Options};
use crate::process::{self, Error, Process, Shutdown};
use crate::publish::Refused;

/// How much longer than the drain the threads may take before the process goes without them.
const GRACE: Duration = Duration::from_secs(2);

/// Runs a proxy until SIGTERM or SIGINT and a drain, or `/quitquitquit`.
///
/// # Errors
/// When it cannot start: a port is taken, the configuration file is wrong.
pub fn run(options: Options) -> Result<(), Error> {
    let running = start(options)?;
    running.wait();
    Ok(())
}

/// A proxy in this process. Dropping it ends it at once.
#[derive(Debug)]
pub struct Running {
    process: Arc<Process>,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
    admin: Option<JoinHandle<()>>,
    admin_address: Option<SocketAddr>,
}

/// Starts the threads of a proxy; with a static configuration it serves when this returns.
///
/// # Errors
/// As [`run`].
pub fn start(mut options: Options) -> Result<Running, Error> {
    let process = Arc::new(Process::new(&mut options));
    if let ConfigSource::Resources(resources) = &options.config {
        let refused =
            |source: Refused| Error::Config { path: "resources".into(), source: Box::new(source) };
        process.publisher.publish(resources.clone()).map_err(refused)?;
    }
    let workers = process::start_workers(&process, &options)?;
    Ok(Running { process, workers, admin: None, admin_address: None })
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
        self.process.publisher.publish(resources)
    }

    /// Takes no new work and begins to finish what there is.
    pub fn drain(&self) {
        self.process.shut_down(Shutdown::Drain);
    }

    /// Returns when the process was told to end and has drained.
    pub fn wait(mut self) {
        let limit = self.process.drain + GRACE;
        for worker in &self.workers {
            while !worker.is_finished() && *self.process.shutdown.borrow() == Shutdown::No {
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
        process::join_all(std::mem::take(&mut self.workers), limit);
        self.process.logs.finish(GRACE);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.shut_down(Shutdown::Now);
        process::join_all(std::mem::take(&mut self.workers), GRACE);
        if let Some(admin) = self.admin.take() {
            // A panic there was reported when it happened.
            let _ = admin.join();
        }
    }
}
