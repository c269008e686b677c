//! The workload's sidecar: `leno proxy` as a child process on sockets that are kept open here.
//!
//! A sidecar that dies is started again with back-off and a line that says so, never silently. Meanwhile
//! connections wait in the sockets' backlogs; what was in flight in it is lost.

mod spawn;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use leno_proxy::Seal;
use leno_sys::capture::{SocketSupply, Sockets};
use leno_sys::meeting::PATH_BYTES_MAX;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;

use self::spawn::spawn;
use super::directory::Directory;
use super::workload::Workload;

const ADMIN_PORT: u16 = 15000;
/// Where absolute-form requests are taken for a program that is not captured.
pub(super) const HTTP_PROXY_PORT: u16 = 15007;
/// The longest pause before another start.
const PAUSE_MAX: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// A sidecar that lived this long is started again at once.
const PROVEN: Duration = Duration::from_secs(10);
/// How long connections may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Every socket the sidecar serves on; they outlive any one sidecar.
pub(super) struct Passed {
    pub(super) captured: Sockets,
    pub(super) inbound: Vec<TcpListener>,
    pub(super) http_proxy: Option<TcpListener>,
    pub(super) supply: Option<SocketSupply>,
}

/// What a sidecar is told at its start.
pub(super) struct Settings {
    pub(super) control: String,
    pub(super) address: IpAddr,
    pub(super) namespace: String,
    pub(super) access_log: Option<PathBuf>,
    /// Where the program listens, if it shares our network.
    pub(super) program: Option<IpAddr>,
    /// What every sidecar of this run seals its files with; only here, in memory.
    pub(super) seal_key: [u8; Seal::KEY_BYTES],
}

/// The running sidecar and how to make the next one.
pub(super) struct Sidecar<'a> {
    directory: &'a Directory,
    name: String,
    settings: Settings,
    passed: Passed,
    /// What the next one is made of: by name, so that another file in its place is taken.
    program: PathBuf,
    child: Child,
    next: Option<Next>,
    started: Instant,
    pause: Duration,
}

/// One that takes over from the running one.
struct Next {
    program: PathBuf,
    child: Child,
}

/// What came to an end.
pub(super) enum Ended {
    /// The sidecar, which nobody wanted.
    Alone(ExitStatus),
    /// The taking over of another one: what became of it.
    Replaced(Result<String>),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Alone(status) => status.fmt(f),
            Self::Replaced(_) => f.write_str("replaced"),
        }
    }
}

impl<'a> Sidecar<'a> {
    /// Starts it.
    pub(super) fn start(
        directory: &'a Directory,
        workload: &Workload,
        settings: Settings,
        passed: Passed,
    ) -> Result<Self> {
        let node = node(workload, &settings);
        directory.write("node.json", node.to_string().as_bytes())?;
        let program = std::env::current_exe().context("finding this program")?;
        let child = spawn(&program, directory, &settings, &passed)?;
        let sidecar = Self {
            directory,
            name: workload.name.clone(),
            settings,
            passed,
            program,
            child,
            next: None,
            started: Instant::now(),
            pause: Duration::ZERO,
        };
        sidecar.report()?;
        Ok(sidecar)
    }

    /// Says in the run's folder who is who, for whoever looks after several runs.
    fn report(&self) -> Result<()> {
        let report = json!({
            "workload": self.name,
            "address": self.settings.address,
            "pid": std::process::id(),
            "proxy_pid": self.child.id(),
        });
        self.directory.write("run.json", report.to_string().as_bytes()).map(drop)
    }

    /// Where its admin endpoint answers.
    pub(super) fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.settings.address, ADMIN_PORT)
    }

    /// Its process and the one that takes over, while they run.
    pub(super) fn pids(&self) -> [Option<Pid>; 2] {
        [pid(&self.child), self.next.as_ref().and_then(|next| pid(&next.child))]
    }

    /// Starts `program` on the same sockets; it takes over from the running one, which then drains and ends.
    pub(super) fn replace(&mut self, program: &Path) -> Result<()> {
        if self.next.is_some() {
            bail!("another one is taking over already");
        }
        if meeting(self.directory).is_none() {
            bail!("{} is too long a name for a socket", self.directory.path().display());
        }
        let child = spawn(program, self.directory, &self.settings, &self.passed)?;
        self.next = Some(Next { program: program.to_owned(), child });
        Ok(())
    }

    /// Waits for its end, which is expected only where another one takes over.
    pub(super) async fn ended(&mut self) -> Result<Ended> {
        let waiting = "waiting for the sidecar";
        let Some(next) = &mut self.next else {
            return Ok(Ended::Alone(self.child.wait().await.context(waiting)?));
        };
        tokio::select! {
            biased;
            refused = next.child.wait() => {
                let status = refused.context(waiting)?;
                self.next = None;
                let words = self.last_words();
                Ok(Ended::Replaced(Err(anyhow!("the next one ended: {status}\n{words}"))))
            }
            ended = self.child.wait() => {
                ended.context(waiting)?;
                let former = self.report_pid();
                if let Some(next) = self.next.take() {
                    (self.program, self.child) = (next.program, next.child);
                }
                self.started = Instant::now();
                self.report()?;
                let now = self.child.id().unwrap_or_default();
                Ok(Ended::Replaced(Ok(format!("process {now} took over from {former}"))))
            }
        }
    }

    /// The process that the run's folder names.
    fn report_pid(&self) -> u64 {
        let report = std::fs::read(self.directory.file("run.json")).unwrap_or_default();
        let report: Value = serde_json::from_slice(&report).unwrap_or_default();
        report["proxy_pid"].as_u64().unwrap_or_default()
    }

    /// How long to wait before the next start.
    pub(super) fn pause(&mut self) -> Duration {
        let proven = self.started.elapsed() >= PROVEN;
        self.pause = match self.pause {
            _ if proven => Duration::ZERO,
            Duration::ZERO => PAUSE_FIRST,
            longer => (longer * 2).min(PAUSE_MAX),
        };
        self.pause
    }

    /// Starts another one on the same sockets.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.program, self.directory, &self.settings, &self.passed)?;
        self.started = Instant::now();
        self.report()
    }

    /// What it said last.
    pub(super) fn last_words(&self) -> String {
        self.directory.tail("proxy.log", 5)
    }

    /// Lets it finish what is in flight, then ends it.
    pub(super) async fn stop(mut self) {
        // New connections are nobody's from here on.
        let pid = pid(&self.child);
        drop(self.next);
        drop(self.passed);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let waited = tokio::time::timeout(DRAIN + Duration::from_secs(1), self.child.wait()).await;
        if waited.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Where a later sidecar takes over; `None` in a folder whose name is too long for that.
fn meeting(directory: &Directory) -> Option<PathBuf> {
    Some(directory.file("handover.sock")).filter(|path| path.as_os_str().len() <= PATH_BYTES_MAX)
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()))
}

/// The xDS node, in Istio's form.
fn node(workload: &Workload, settings: &Settings) -> Value {
    let Settings { namespace, address, .. } = settings;
    let domain = format!("{namespace}.svc.cluster.local");
    let mut node = json!({
        "id": format!("sidecar~{address}~{}.{namespace}~{domain}", workload.pod),
        "cluster": format!("{}.{namespace}", workload.service),
        "metadata": {
            "NAME": workload.pod,
            "NAMESPACE": namespace,
            "SERVICE_ACCOUNT": workload.account,
            "WORKLOAD_NAME": workload.name,
            "CLUSTER_ID": "Kubernetes",
            "INSTANCE_IPS": address.to_string(),
            "LABELS": workload.labels(),
            "DNS_CAPTURE": "true",
        },
    });
    if settings.program.is_some() {
        node["metadata"]["HTTP_PROXY_PORT"] = HTTP_PROXY_PORT.to_string().into();
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Protocol;

    #[test]
    fn the_node_is_named_as_istio_names_it() {
        let workload = Workload {
            service: "reviews".into(),
            version: "v2".into(),
            name: "reviews-v2".into(),
            pod: "reviews-v2-x7k2p".into(),
            namespace: None,
            account: "bookinfo".into(),
            port: Some(9080),
            listened: Some(9080),
            protocol: Protocol::Http,
        };
        let settings = Settings {
            control: "127.0.0.1:15010".into(),
            address: [127, 64, 0, 9].into(),
            namespace: "shop".into(),
            access_log: None,
            program: None,
            seal_key: [0; Seal::KEY_BYTES],
        };
        let node = node(&workload, &settings);
        assert_eq!(node["id"], "sidecar~127.64.0.9~reviews-v2-x7k2p.shop~shop.svc.cluster.local");
        assert_eq!(node["metadata"]["SERVICE_ACCOUNT"], "bookinfo");
        assert_eq!(node["metadata"]["LABELS"]["version"], "v2");
    }
}
