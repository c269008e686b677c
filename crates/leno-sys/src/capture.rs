//! An app in a user and network namespace of its own, and the sockets that
//! were made inside it for its proxy, which stays outside.
//!
//! [`launch`] forks a child that builds the namespace, hands out the sockets
//! and waits; [`Waiting::start`] lets it become the app. The app cannot leave:
//! the namespace has no way out but the proxy's sockets. Called by `leno run`,
//! before any thread exists.

use std::ffi::OsString;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::passing::{channel, receive, send};
use crate::process::thread_count;

mod cause;
mod child;
mod message;
mod supply;

pub use cause::{Cause, Settings, diagnose};
pub use message::Step;
pub use supply::{Family, SocketSupply};

use message::{FromChild, MESSAGE_BYTES_MAX, ToChild};

/// A child that does not answer for this long is killed: its setup takes
/// milliseconds, on a busy machine tens of them.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Which traffic of the app is taken, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Isolation {
    /// A namespace of its own whose TCP and DNS arrive at these ports inside.
    Namespace {
        /// Where redirected TCP arrives.
        outbound_port: u16,
        /// Where redirected DNS arrives, UDP and TCP.
        dns_port: u16,
    },
    /// None: the app runs in the caller's namespaces.
    None,
}

/// The listening sockets made inside. Present for each address family that the
/// namespace has; empty without isolation.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Redirected TCP.
    pub outbound: Vec<TcpListener>,
    /// Redirected DNS over UDP.
    pub dns_udp: Vec<UdpSocket>,
    /// Redirected DNS over TCP.
    pub dns_tcp: Vec<TcpListener>,
}

/// Why there is no captured app.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The caller has more than one thread: a fork would copy only one.
    #[error("a capture must begin in a process with one thread, this one has {threads}")]
    Threads {
        /// How many there are.
        threads: usize,
    },
    /// The child could not do one step of the setup.
    #[error("{step}: {source}")]
    Step {
        /// What it was doing.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
    /// The caller's own side failed: a socket pair, a fork, a lost child.
    #[error("launching the captured process")]
    Launch(#[from] io::Error),
}

/// A child that has built its namespace and waits to become the app. Dropping
/// it ends the child.
#[derive(Debug)]
pub struct Waiting {
    /// What was made inside for the proxy.
    pub sockets: Sockets,
    /// Makes more sockets inside. `None` without isolation.
    pub supply: Option<SocketSupply>,
    child: Option<Pid>,
    control: OwnedFd,
}

/// The app could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `execve` refused: no such file, not executable.
    #[error("{source}")]
    Exec {
        /// What the kernel said.
        source: io::Error,
    },
    /// The waiting child is gone.
    #[error("the waiting child is gone")]
    Lost(#[from] io::Error),
}

/// Forks the child that will be `command`, isolated as asked.
///
/// The child inherits standard streams, directory and environment. It dies with
/// the calling thread. Without isolation only the waiting start is left.
pub fn launch(command: Command, isolation: Isolation) -> Result<Waiting, LaunchError> {
    let threads = thread_count()?;
    if threads != 1 {
        return Err(LaunchError::Threads { threads });
    }
    let (control, child_end) = channel()?;
    let parent = rustix::process::getpid();
    // SAFETY: this process has one thread (checked above), so the child finds
    // every lock and the allocator in a consistent state; it never returns.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        drop(control);
        child::run(command, isolation, &child_end, parent);
    }
    let child = Pid::from_raw(forked).filter(|_| forked > 0);
    let child = child.ok_or_else(io::Error::last_os_error)?;
    drop(child_end);

    let mut waiting =
        Waiting { sockets: Sockets::default(), supply: None, child: Some(child), control };
    set_socket_timeout(&waiting.control, Timeout::Recv, Some(SETUP_TIMEOUT))
        .map_err(io::Error::from)?;
    waiting.take_sockets()?;
    Ok(waiting)
}

impl Waiting {
    /// The child's process id, which will be the app's.
    pub fn pid(&self) -> Pid {
        self.child.expect("present until start or drop takes it")
    }

    fn take_sockets(&mut self) -> Result<(), LaunchError> {
        let received = receive(&self.control, MESSAGE_BYTES_MAX)?;
        match FromChild::decode(&received.bytes)? {
            FromChild::Ready { kinds } => {
                let (sockets, supply) = message::sort(&kinds, received.descriptors)?;
                self.sockets = sockets;
                self.supply = supply;
                Ok(())
            }
            FromChild::Refused { step, errno } => {
                let source = io::Error::from_raw_os_error(errno);
                Err(LaunchError::Step { step, source })
            }
            FromChild::NotExecuted { errno } => {
                Err(LaunchError::Launch(io::Error::from_raw_os_error(errno)))
            }
        }
    }

    /// Lets the child become the app, with `environment` added to its own.
    /// Returns when the app's image runs; the caller reaps it by its id.
    pub fn start(mut self, environment: &[(OsString, OsString)]) -> Result<Pid, StartError> {
        let go = ToChild::encode_environment(environment)?;
        send(self.control.as_fd(), &go, &[])?;
        let outcome = receive(&self.control, MESSAGE_BYTES_MAX)?;
        if outcome.bytes.is_empty() {
            // Closed by a successful exec: the app runs.
            return Ok(self.child.take().expect("present until start or drop takes it"));
        }
        match FromChild::decode(&outcome.bytes)? {
            FromChild::NotExecuted { errno } => {
                Err(StartError::Exec { source: io::Error::from_raw_os_error(errno) })
            }
            FromChild::Ready { .. } | FromChild::Refused { .. } => {
                Err(StartError::Lost(io::ErrorKind::InvalidData.into()))
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // It is ours and not reaped yet, so the id cannot be another's.
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::empty());
        }
    }
}
