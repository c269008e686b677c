//! The workload's sidecar: `leno proxy` as a child process on sockets that are kept open here.
//!
//! A sidecar that dies is started again with back-off and a line that says so, never silently. Meanwhile
//! connections wait in the sockets' backlogs; what was in flight in it is lost.

use std::fs::File;
use std::io::{PipeReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use leno_proxy::Seal;
use leno_sys::capture::{SocketSupply, Sockets};
use leno_sys::meeting::PATH_BYTES_MAX;
use leno_sys::process::prepare_child;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;

use super::directory::Directory;
use super::workload::Workload;

const ADMIN_PORT: u16 = 15000;
/// Where absolute-form requests are taken for a program that is not captured.
pub(super) const HTTP_PROXY_PORT: u16 = 15007;
const METRICS_PORT: u16 = 15020;
const PROXY_METRICS_PORT: u16 = 15090;
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

fn spawn(
    program: &Path,
    directory: &Directory,
    settings: &Settings,
    passed: &Passed,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("proxy").args(["--control", &settings.control]);
    for (flag, name) in [("--token-file", "token"), ("--node", "node.json"), ("--data", "proxy")] {
        command.arg(flag).arg(directory.file(name));
    }
    command.arg("--handover").arg(meeting(directory).unwrap_or_else(|| "none".into()));
    let at = |port: u16| SocketAddr::new(settings.address, port).to_string();
    command.args(["--admin", &at(ADMIN_PORT)]);
    command.args(["--metrics", &at(METRICS_PORT), "--metrics", &at(PROXY_METRICS_PORT)]);
    if let Some(program) = settings.program {
        command.args(["--workload", &program.to_string()]);
    }
    // The program is gone when the sidecar is told to end: nobody is to look elsewhere first.
    command.args(["--lame-duck-seconds", "0", "--drain-seconds", &DRAIN.as_secs().to_string()]);

    let mut descriptors: Vec<BorrowedFd<'_>> = Vec::new();
    let mut pass = |flag: &str, name: &str, descriptor: BorrowedFd<'_>| {
        command.arg(flag).arg(format!("{name}{}", descriptor.as_raw_fd()));
    };
    for listener in &passed.captured.outbound {
        pass("--listen-fd", "virtualOutbound=", listener.as_fd());
    }
    for listener in &passed.inbound {
        pass("--listen-fd", "virtualInbound=", listener.as_fd());
    }
    if let Some(listener) = &passed.http_proxy {
        pass("--listen-fd", "http_proxy=", listener.as_fd());
    }
    for socket in &passed.captured.dns_udp {
        pass("--dns-udp-fd", "", socket.as_fd());
    }
    for listener in &passed.captured.dns_tcp {
        pass("--dns-tcp-fd", "", listener.as_fd());
    }
    // A line of its own for each sidecar: a predecessor may have died in the middle of an exchange.
    let supply = passed.supply.as_ref().map(SocketSupply::open_another).transpose();
    let supply = supply.context("reaching into the program's namespace")?;
    if let Some(supply) = &supply {
        pass("--supply-fd", "", supply.as_fd());
    }
    let key = key_line(&settings.seal_key).context("handing over the key")?;
    pass("--seal-fd", "", key.as_fd());
    descriptors.push(key.as_fd());
    descriptors.extend(passed.captured.outbound.iter().map(AsFd::as_fd));
    descriptors.extend(passed.inbound.iter().map(AsFd::as_fd));
    descriptors.extend(passed.http_proxy.iter().map(AsFd::as_fd));
    descriptors.extend(passed.captured.dns_udp.iter().map(AsFd::as_fd));
    descriptors.extend(passed.captured.dns_tcp.iter().map(AsFd::as_fd));
    descriptors.extend(supply.iter().map(AsFd::as_fd));

    // Access records go to standard output, everything else to standard error.
    let records = appended(&access_log(directory.path(), settings))?;
    let log = appended(&directory.file("proxy.log"))?;
    command.stdin(Stdio::null()).stdout(records).stderr(log);
    // Out of the terminal's foreground group: an interrupt is for the program.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    prepare_child(&mut command, &descriptors);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {}", program.display()))
}

/// A pipe that holds the key and nothing after it: it is read once, by the child.
fn key_line(key: &[u8; Seal::KEY_BYTES]) -> std::io::Result<PipeReader> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(key)?;
    Ok(reader)
}

fn appended(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

fn access_log(directory: &Path, settings: &Settings) -> PathBuf {
    settings.access_log.clone().unwrap_or_else(|| directory.join("access.log"))
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
