//! What the steps act with: `kubectl`, a client inside the mesh, the workloads' own fault switches, access logs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leno_sys::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

/// The running demo, as far as a step may touch it.
pub(crate) trait Mesh {
    /// The kubeconfig of its control plane.
    fn kubeconfig(&self) -> PathBuf;
    /// A command that runs a program beside the six workloads, as a workload of its own named `service`.
    fn inside(&self, service: &str) -> Command;
    /// The Bookinfo program, for its client.
    fn bookinfo(&self) -> PathBuf;
    /// The access log of a workload's proxy.
    fn access_log(&self, workload: &str) -> PathBuf;
    /// Where a workload's program listens, seen from outside its namespace through its proxy.
    fn address(&self, workload: &str) -> Result<SocketAddr>;
    /// The process id of a workload's proxy at this moment.
    fn proxy_pid(&self, workload: &str) -> Result<u32>;
    /// Kills the control plane without warning.
    fn kill_control(&mut self) -> Result<()>;
    /// Starts it again on the same data and ports, unless it runs.
    fn start_control(&mut self) -> Result<()>;
}

/// How long a document may take to be enforced everywhere: a machine that builds something beside it is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one run of the client may take; the longest takes a twentieth of it on a quiet machine.
const RUN_SECONDS_MAX: i64 = 300;

/// The documents a step may leave behind.
const KINDS: &str = "virtualservices,destinationrules,peerauthentications,serviceentries";

/// The mesh and a client inside it.
pub(super) struct Stage<'a> {
    pub(super) mesh: &'a mut dyn Mesh,
    signals: &'a Signals,
    client: Client<'a>,
}

/// What `bookinfo client` printed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    pub(super) requests: u64,
    pub(super) status: BTreeMap<u16, u64>,
    pub(super) by_field: BTreeMap<String, u64>,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) latency_ms: Latency,
    pub(super) slow: Slow,
    pub(super) beside: Beside,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Slow {
    pub(super) count: u64,
    pub(super) min_ms: f64,
    pub(super) max_ms: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Beside {
    pub(super) count: u64,
    pub(super) max_ms: f64,
}

impl Summary {
    /// Answers with this status.
    pub(super) fn with_status(&self, status: u16) -> u64 {
        self.status.get(&status).copied().unwrap_or(0)
    }

    /// Requests that got no answer or a 5xx.
    pub(super) fn failed(&self) -> u64 {
        let refused: u64 = self.status.range(500..).map(|(_, count)| count).sum();
        refused + self.errors.values().sum::<u64>()
    }
}

impl<'a> Stage<'a> {
    /// Starts the client and waits until it can call the mesh.
    pub(super) fn open(mesh: &'a mut dyn Mesh, signals: &'a Signals) -> Result<Self> {
        let client = Client::start(&*mesh, "tour", signals)?;
        let mut stage = Self { mesh, signals, client };
        let all = stage.call(&["http://productpage:9080/health"])?;
        ensure!(all.with_status(200) == 1, "the client cannot reach productpage: {all:?}");
        Ok(stage)
    }

    /// Back to a mesh without documents and workloads without faults.
    pub(super) fn clean(&mut self) -> Result<()> {
        self.kubectl(&["delete", KINDS, "--all", "--ignore-not-found"], "")?;
        for workload in ["reviews-v1", "reviews-v2", "reviews-v3", "ratings-v1", "details-v1"] {
            self.fault(workload, &serde_json::json!({}))?;
        }
        Ok(())
    }

    /// Sends requests from inside the mesh and waits for the summary.
    pub(super) fn call(&mut self, arguments: &[&str]) -> Result<Summary> {
        if self.client.is_busy {
            // A step gave up on it; what it says next is not the answer to this.
            self.client = Client::start(&*self.mesh, "tour", self.signals)?;
        }
        self.client.call(arguments)
    }

    /// Another client inside the mesh, for load beside what a step does. It has called reviews once.
    pub(super) fn second_client(&self) -> Result<Client<'a>> {
        let mut client = Client::start(&*self.mesh, "load", self.signals)?;
        let first = client.call(&["http://reviews:9080/reviews/0"])?;
        ensure!(first.with_status(200) == 1, "the second client cannot reach reviews: {first:?}");
        Ok(client)
    }

    /// Runs kubectl with `input` on its stdin and gives what it printed.
    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.mesh.kubeconfig())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {}", arguments.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies documents and waits until every proxy that they concern enforces them.
    pub(super) fn apply(&self, yaml: &str) -> Result<()> {
        let applied = self.kubectl(&["apply", "-f", "-", "-o", "name"], yaml)?;
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        for name in applied.lines() {
            self.kubectl(&["wait", "--for=condition=Enforced", name, &patience], "")?;
        }
        Ok(())
    }

    /// Tells a workload's program to misbehave (`{}`: no more), by its own switch.
    pub(super) fn fault(&mut self, workload: &str, fault: &Value) -> Result<()> {
        let url = format!("http://{}/_fault", self.mesh.address(workload)?);
        let body = fault.to_string();
        let output = Command::new(self.mesh.bookinfo())
            .args(["client", "-X", "POST", "-d", &body, &url])
            .env_remove("HTTP_PROXY")
            .output()?;
        let summary: Summary =
            serde_json::from_slice(&output.stdout).context("read the client's summary")?;
        ensure!(summary.failed() == 0 && summary.requests == 1, "{url}: {summary:?}");
        Ok(())
    }

    /// Asks a workload's program what it has received, or with DELETE makes it forget.
    pub(super) fn seen(&self, workload: &str, method: &str) -> Result<Value> {
        let url = format!("http://{}/_seen", self.mesh.address(workload)?);
        let output = Command::new("curl").args(["-sS", "-m", "5", "-X", method, &url]).output()?;
        ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }

    /// What a workload's proxy has on record of the last [`Self::call`]: `count` exchanges, or more.
    pub(super) fn records(&self, workload: &str, count: usize) -> Result<Vec<Value>> {
        self.records_of(workload, count, |_| true)
    }

    /// As [`Self::records`], of those that `is_meant`: a program that calls others passes the run's name on.
    pub(super) fn records_of(
        &self,
        workload: &str,
        count: usize,
        is_meant: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let started = Instant::now();
        let mark = format!("\"user_agent\":\"{}\"", self.client.run_name());
        loop {
            let mut records = self.marked_records(workload, &mark)?;
            records.retain(&is_meant);
            if records.len() >= count {
                return Ok(records);
            }
            let found = records.len();
            ensure!(started.elapsed() < PATIENCE, "{workload}: {found} records, not {count}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The sum of a metric of a workload's proxy over all series whose text holds every one of `parts`.
    pub(super) fn metric(&self, workload: &str, name: &str, parts: &[&str]) -> Result<f64> {
        let url = format!("http://{}:15020/stats/prometheus", self.mesh.address(workload)?.ip());
        let output = Command::new("curl").args(["-sS", "-m", "5", &url]).output()?;
        ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_of =
            |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let series =
            text.lines().filter(|line| is_of(line) && parts.iter().all(|part| line.contains(part)));
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn marked_records(&self, workload: &str, mark: &str) -> Result<Vec<Value>> {
        let path = self.mesh.access_log(workload);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // A last line without its end is still being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let records = whole.lines().filter(|line| line.contains(mark)).map(serde_json::from_str);
        records.collect::<Result<_, _>>().context("read the access log")
    }
}

/// A shell inside the mesh that runs Bookinfo's client as often as it is told to.
pub(super) struct Client<'a> {
    signals: &'a Signals,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    program: PathBuf,
    is_busy: bool,
    runs: usize,
}

impl<'a> Client<'a> {
    fn start(mesh: &dyn Mesh, service: &str, signals: &'a Signals) -> Result<Self> {
        let mut command = mesh.inside(service);
        let mut child = command
            .args(["--", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start a client inside the mesh")?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the client has no stdin or stdout");
        };
        let (stdout, program) = (BufReader::new(stdout), mesh.bookinfo());
        Ok(Self { signals, child, stdin, stdout, program, is_busy: false, runs: 0 })
    }

    /// Runs the client once and waits for its summary.
    pub(super) fn call(&mut self, arguments: &[&str]) -> Result<Summary> {
        self.begin(arguments)?;
        self.finish()
    }

    /// Starts the client without waiting.
    pub(super) fn begin(&mut self, arguments: &[&str]) -> Result<()> {
        let quoted: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
        // One line a run, whatever the client's own layout is.
        let program = quote(&self.program.display().to_string());
        self.runs += 1;
        let named = quote(&format!("user-agent: {}", self.run_name()));
        let words = quoted.join(" ");
        writeln!(self.stdin, "{program} client -H {named} {words} | tr -d '\\n'; echo")?;
        self.is_busy = true;
        Ok(self.stdin.flush()?)
    }

    /// What the requests of the last run say in `User-Agent`, and so the records of them.
    fn run_name(&self) -> String {
        format!("tour-{}", self.runs)
    }

    /// Waits for the summary of what [`Self::begin`] started. A signal to the demo ends the wait.
    pub(super) fn finish(&mut self) -> Result<Summary> {
        let limit = Timespec { tv_sec: RUN_SECONDS_MAX, tv_nsec: 0 };
        let stdout = self.stdout.get_ref();
        let mut polled =
            [PollFd::new(stdout, PollFlags::IN), PollFd::new(self.signals, PollFlags::IN)];
        let ready = poll(&mut polled, Some(&limit)).context("wait for the client")?;
        ensure!(ready > 0, "the client said nothing for {RUN_SECONDS_MAX} s");
        ensure!(!polled[0].revents().is_empty(), "interrupted");
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        self.is_busy = false;
        serde_json::from_str(&line).with_context(|| format!("the client printed {line:?}"))
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // The shell ends at the end of its input; leno run then takes the workload out of the mesh.
        let _ = writeln!(self.stdin, "exit");
        let _ = self.stdin.flush();
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()).filter(|_| self.is_busy) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
