//! What the kernel has to say: signals, and the program's end.
//!
//! One thread waits for both and passes them on in order; it holds nothing else, and ends with the program.

use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result};
use leno_sys::signals::{Caught, Signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use tokio::sync::mpsc;

/// More signals than anybody sends while one is handled.
const QUEUE: usize = 64;

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A signal arrived.
    Caught(Caught),
    /// The program ended; the code a shell would report.
    Ended(ExitCode),
}

/// Watches the child that will be the program, and the signals.
pub(super) fn watch(signals: Signals, child: Pid) -> Result<mpsc::Receiver<Event>> {
    let ended = pidfd_open(child, PidfdFlags::empty()).context("watching the program")?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let watch = move || {
        // Nobody is left to be told when it fails: the channel's end says so.
        let _ = pass_on(&signals, child, &ended, &sender);
    };
    thread::Builder::new().name("events".into()).spawn(watch).context("watching the program")?;
    Ok(receiver)
}

fn pass_on(
    signals: &Signals,
    child: Pid,
    ended: &OwnedFd,
    events: &mpsc::Sender<Event>,
) -> Result<()> {
    loop {
        let mut polled = [PollFd::new(signals, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let has_ended = !polled[1].revents().is_empty();
        while let Some(caught) = signals.next_caught()? {
            events.blocking_send(Event::Caught(caught))?;
        }
        if has_ended {
            events.blocking_send(Event::Ended(reap(child)?))?;
            return Ok(());
        }
    }
}

fn reap(child: Pid) -> Result<ExitCode> {
    let (_, status) = waitpid(Some(child), WaitOptions::empty())?.context("no status")?;
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
