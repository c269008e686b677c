//! The demo's control plane: `leno up` as a child, on ports that stay the same when it is started again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::child::Kept;
use super::folder::Folder;
use super::{free_or_other, get, until};

/// xDS and certificates, on loopback.
const DISCOVERY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15010);
/// Own metrics and health.
const MONITORING: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15014);
/// A machine that builds something beside it is slow, not broken.
const READY: Duration = Duration::from_secs(60);

/// The control plane and where it is.
pub(super) struct ControlPlane {
    front_door: SocketAddr,
    discovery: SocketAddr,
    monitoring: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    child: Option<Kept>,
}

impl ControlPlane {
    /// Starts it and waits until it answers.
    pub(super) fn start(folder: &Folder, front_door: SocketAddr) -> Result<Self> {
        let mut control = Self {
            front_door: free_or_other(front_door)?,
            discovery: free_or_other(DISCOVERY)?,
            monitoring: free_or_other(MONITORING)?,
            data: folder.path().to_owned(),
            log: folder.log("control"),
            child: None,
        };
        control.launch()?;
        Ok(control)
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    pub(super) fn portal(&self) -> String {
        format!("http://{}/", self.front_door)
    }

    /// An end nobody asked for is an error.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if let Some(status) = child.ended()? {
            bail!("the control plane ended: {status}\n{}", child.last_words());
        }
        Ok(())
    }

    /// Kills it without warning.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.take().context("the control plane does not run")?.kill()
    }

    /// Starts it on the same data and ports unless it runs, and waits until it answers.
    pub(super) fn launch(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.arg("up").arg("--data").arg(&self.data);
        command.args(["--front-door", &self.front_door.to_string()]);
        command.args(["--xds", &self.discovery.to_string()]);
        // The demo's proxies are all on this machine: any free port does for the others.
        command.args(["--xds-tls", "127.0.0.1:0"]);
        command.args(["--metrics", &self.monitoring.to_string()]);
        self.child = Some(Kept::spawn("control", command, &self.log)?);
        let front_door = self.front_door;
        until("the control plane answers", READY, || {
            self.check()?;
            Ok(get::status(front_door, "/readyz") == Some(200))
        })
    }

    pub(super) fn stop(mut self) {
        if let Some(child) = self.child.take() {
            child.stop();
        }
    }
}
