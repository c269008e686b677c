//! The new process's side: takes the sockets, gets ready, and begins to accept when the other one stopped.
//!
//! Runs on the main thread, blocking; nothing is accepted before the end of [`Taking::finish`].

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use leno_sys::meeting;
use leno_sys::passing::{receive, send};

use super::message::{BYTES_MAX, Message, SOCKETS_MAX};
use super::{Handed, HandoverError};
use crate::limits;
use crate::process::{Process, Shutdown};

/// A handover that has begun.
#[derive(Debug)]
pub(crate) struct Taking {
    line: OwnedFd,
    /// Everything the running process serves on.
    pub(crate) sockets: Handed,
}

impl Taking {
    /// Takes the sockets of the process that waits at `path`; `None` when none does.
    pub(crate) fn begin(path: &Path) -> Result<Option<Self>, HandoverError> {
        let Some(line) = meeting::visit(path)? else { return Ok(None) };
        meeting::set_patience(&line, limits::HANDOVER_ANSWER)?;
        say(&line, &Message::Hello { pid: std::process::id() })?;
        let mut sockets = Vec::new();
        loop {
            let received = receive(&line, BYTES_MAX)?;
            if received.bytes.is_empty() {
                return Err(HandoverError::Ended);
            }
            let (entries, is_last) = match Message::decode(&received.bytes)? {
                Message::Sockets { entries, is_last } => (entries, is_last),
                Message::Refused { reason } => return Err(HandoverError::Refused(reason)),
                _ => return Err(HandoverError::Protocol("sockets were expected")),
            };
            if entries.len() != received.descriptors.len() {
                return Err(HandoverError::Protocol("each socket has one descriptor"));
            }
            sockets.extend(entries.into_iter().zip(received.descriptors));
            if sockets.len() > SOCKETS_MAX {
                return Err(HandoverError::Protocol("too many sockets"));
            }
            if is_last {
                tracing::info!(sockets = sockets.len(), "taking over from the running proxy");
                return Ok(Some(Self { line, sockets: Handed::new(sockets) }));
            }
        }
    }

    /// Waits until `process` could serve, and lets it serve when the other process stopped. A process that is told to
    /// end meanwhile leaves everything with the other one.
    pub(crate) fn finish(line: &OwnedFd, process: &Process) -> Result<(), HandoverError> {
        let begun = Instant::now();
        while !process.is_ready() {
            if *process.shutdown.borrow() != Shutdown::No {
                return Ok(());
            }
            if begun.elapsed() > limits::HANDOVER_READY {
                return Err(HandoverError::NotReady(limits::HANDOVER_READY));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        say(line, &Message::Ready)?;
        let answer = receive(line, BYTES_MAX)?;
        if answer.bytes.is_empty() {
            // It ended just now: the sockets are nobody else's.
            tracing::warn!("the former proxy ended before it had drained");
        } else {
            match Message::decode(&answer.bytes)? {
                Message::Yours => {}
                Message::Refused { reason } => return Err(HandoverError::Refused(reason)),
                _ => return Err(HandoverError::Protocol("the sockets were expected")),
            }
        }
        process.accepting.send_replace(true);
        process.publisher.forget_handed();
        // When the other process has ended since, there is nobody left to tell.
        let _ = say(line, &Message::Serving);
        tracing::info!("serving; the former proxy drains");
        Ok(())
    }

    /// The two parts: what is served on, and whom to tell.
    pub(crate) fn into_parts(self) -> (Handed, OwnedFd) {
        (self.sockets, self.line)
    }
}

pub(super) fn say(line: &OwnedFd, message: &Message) -> std::io::Result<()> {
    send(line, &message.encode(), &[])
}
