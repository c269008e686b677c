//! A child process of the demo: its output in a file, its death with ours, its end in order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leno_sys::process::prepare_child;
use rustix::process::{Pid, Signal, kill_process};

/// What a well-behaved child needs for its end, draining included.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running child.
pub(super) struct Kept {
    pub(super) name: String,
    child: Child,
    log: PathBuf,
}

impl Kept {
    /// Starts it in a process group of its own, so that the terminal's interrupt reaches only the demo.
    pub(super) fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        prepare_child(&mut command, &[]);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("watching {}", self.name))
    }

    /// What it said last.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        let last = &all[all.len().saturating_sub(6)..];
        last.iter().map(|line| format!("  {}: {line}\n", self.name)).collect()
    }

    /// The first line it said that holds `part`.
    pub(super) fn line_with(&self, part: &str) -> Option<String> {
        let text = std::fs::read_to_string(&self.log).ok()?;
        text.lines().find(|line| line.contains(part)).map(str::to_owned)
    }

    /// Ends it without warning.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child.wait().with_context(|| format!("killing {}", self.name))?;
        Ok(())
    }

    /// Asks it to end; [`Kept::stop`] waits for it.
    pub(super) fn terminate(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends it in order, and without when that takes too long.
    pub(super) fn stop(mut self) {
        self.terminate();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.kill();
    }
}
