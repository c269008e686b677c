//! Processes pinned to a core, what they used, and their end.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Where the proxy under test runs, alone.
pub(crate) const PROXY_CORE: usize = 0;
/// Where everything else runs.
pub(crate) const LOAD_CORE: usize = 1;

/// A process that is stopped when dropped.
pub(crate) struct Process(Child);

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time on a core, exact, in microseconds.
    pub(crate) total_us: f64,
    /// Ticks in user mode and in the kernel: how the total splits.
    user_ticks: u64,
    system_ticks: u64,
}

impl Usage {
    /// What two processes used together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total_us: self.total_us + other.total_us,
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
        }
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total_us: self.total_us - before.total_us,
            user_ticks: self.user_ticks - before.user_ticks,
            system_ticks: self.system_ticks - before.system_ticks,
        }
    }

    /// The part of the total spent in user mode.
    pub(crate) fn user_us(self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.total_us * self.user_ticks as f64 / ticks as f64 }
    }
}

/// A command that runs on one core, ahead of other work where the caller may ask for that.
pub(crate) fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nice");
    // Without the right to go ahead, nice says so and goes on.
    command.args(["-n", "-19", "taskset", "-c", &core.to_string()]).arg(program);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Puts this bench ahead of other work on the machine until dropped, where the caller may do that. `nice` alone does not:
/// Linux shares the processor between sessions first.
pub(crate) struct Ahead;

const AUTOGROUP: &str = "/proc/self/autogroup";

impl Ahead {
    pub(crate) fn of_other_work() -> Self {
        // Without the right, or on a kernel without sessions as groups, figures are rougher and medians still hold.
        let _ = std::fs::write(AUTOGROUP, "-15");
        Self
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let _ = std::fs::write(AUTOGROUP, "0");
    }
}

impl Process {
    /// Starts the command; its output is dropped.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let child = command.stdout(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("start {command:?}"))?))
    }

    /// Starts the command and returns the first line it prints.
    pub(crate) fn start_and_read(mut command: Command) -> Result<(Self, String)> {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut process = Self(child.with_context(|| format!("start {command:?}"))?);
        let output = process.0.stdout.take().context("the output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok((process, line.trim().to_owned()))
    }

    /// Waits until something accepts at the address.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let started = Instant::now();
        loop {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("ended before it listened: {status}");
            }
            if started.elapsed() > Duration::from_secs(60) {
                bail!("did not listen on {address} within 60 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What all its threads used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let folder = format!("/proc/{}", self.0.id());
        let mut total_us = 0.0;
        for thread in std::fs::read_dir(format!("{folder}/task"))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
            total_us += nanoseconds / 1000.0;
        }
        let stat = std::fs::read_to_string(format!("{folder}/stat"))?;
        // Fields are counted behind the command's name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks =
            |at: usize| -> Result<u64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
        Ok(Usage { total_us, user_ticks: ticks(11)?, system_ticks: ticks(12)? })
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        crate::interrupt(&self.0)
    }

    /// Waits for its end, at most so long.
    pub(crate) fn wait(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Memory it holds, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is lost with a proxy that is killed, and one that ended already needs nothing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of the loopback that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
