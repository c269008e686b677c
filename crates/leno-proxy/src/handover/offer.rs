//! The running process's side: waits for the next process, gives it every socket, and drains when that one serves.
//!
//! A task of the admin thread; each conversation is short, bounded, and has a thread of its own while it lasts. One at a
//! time. Until the other side serves, everything can go on here as if nothing had been.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use leno_sys::meeting;
use leno_sys::passing::{DESCRIPTORS_MAX, receive, send};
use tokio::net::UnixListener;

use super::message::{BYTES_MAX, Message, NAME_BYTES_MAX, SOCKETS_MAX, VERSION};
use super::take::say;
use super::{Entry, HandoverError, Role};
use crate::limits;
use crate::process::{Process, Shutdown};

/// What it takes to hand over.
#[derive(Debug)]
pub(crate) struct Offer {
    path: PathBuf,
    process: Arc<Process>,
    /// Sockets that are served on from the start to the end, besides the listeners'.
    fixed: Arc<Vec<(Entry, OwnedFd)>>,
    meeting: OwnedFd,
}

impl Offer {
    /// Waits on `meeting`, which is bound to `path`.
    pub(crate) fn new(
        process: &Arc<Process>,
        path: PathBuf,
        meeting: OwnedFd,
        mut fixed: Vec<(Entry, OwnedFd)>,
    ) -> io::Result<Self> {
        let entry = Entry { role: Role::Meeting, listener: String::new(), address: None };
        fixed.push((entry, meeting.try_clone()?));
        Ok(Self { path, process: Arc::clone(process), fixed: Arc::new(fixed), meeting })
    }

    /// Serves whoever comes, until the process leaves.
    pub(crate) async fn run(self) {
        let mut shutdown = self.process.shutdown.subscribe();
        // A new process listens here before it serves: it has nothing to give yet.
        let mut accepting = self.process.accepting.subscribe();
        let offering = async {
            let _ = accepting.wait_for(|accepting| *accepting).await;
            if let Err(error) = self.offer().await {
                tracing::error!(%error, "no handover is possible any more");
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = offering => {}
            _ = shutdown.wait_for(|now| *now != Shutdown::No) => {}
        }
    }

    async fn offer(&self) -> io::Result<()> {
        // The listener of a library that knows streams only takes packets' connections just as well.
        let meeting = std::os::unix::net::UnixListener::from(self.meeting.try_clone()?);
        let meeting = UnixListener::from_std(meeting)?;
        loop {
            let stream = meeting.accept().await?.0.into_std()?;
            stream.set_nonblocking(false)?;
            let line = OwnedFd::from(stream);
            if let Err(error) = meeting::check_visitor(&line) {
                tracing::warn!(%error, "handover");
                continue;
            }
            let (process, fixed) = (Arc::clone(&self.process), Arc::clone(&self.fixed));
            let talk = tokio::task::spawn_blocking(move || converse(&line, &process, &fixed));
            match talk.await.map_err(io::Error::other)? {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "no handover; going on");
                    self.process.accepting.send_replace(true);
                }
            }
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // The place belongs to the next process once that serves.
        if !self.process.is_handed_over() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// One conversation; when it succeeds the other process serves and this one leaves.
fn converse(
    line: &OwnedFd,
    process: &Process,
    fixed: &[(Entry, OwnedFd)],
) -> Result<(), HandoverError> {
    meeting::set_patience(line, limits::HANDOVER_TURN)?;
    let pid = match hear(line, process, limits::HANDOVER_ANSWER) {
        Ok(Message::Hello { pid }) => pid,
        Ok(_) => return refuse(line, "a handover begins with a hello".to_owned()),
        Err(HandoverError::Protocol(_)) => {
            return refuse(line, format!("version {VERSION} of the protocol is spoken here"));
        }
        Err(error) => return Err(error),
    };
    let mut sockets = match process.publisher.sockets() {
        Ok(sockets) => sockets,
        Err(error) => return refuse(line, error.to_string()),
    };
    for (entry, socket) in fixed {
        sockets.push((entry.clone(), socket.try_clone()?));
    }
    if let Some((entry, _)) = sockets.iter().find(|(e, _)| e.listener.len() > NAME_BYTES_MAX) {
        return refuse(line, format!("the name of listener {} is too long", entry.listener));
    }
    if sockets.len() > SOCKETS_MAX {
        return refuse(line, format!("{} sockets are too many", sockets.len()));
    }
    tracing::info!(pid, sockets = sockets.len(), "another proxy takes over");
    give(line, &sockets)?;
    match hear(line, process, limits::HANDOVER_READY + limits::HANDOVER_ANSWER)? {
        Message::Ready => {}
        _ => return Err(HandoverError::Protocol("ready was expected")),
    }
    process.accepting.send_replace(false);
    say(line, &Message::Yours)?;
    match hear(line, process, limits::HANDOVER_ANSWER)? {
        Message::Serving => {}
        _ => return Err(HandoverError::Protocol("serving was expected")),
    }
    tracing::info!(pid, "the other proxy serves; draining");
    process.hand_over();
    Ok(())
}

fn refuse(line: &OwnedFd, reason: String) -> Result<(), HandoverError> {
    say(line, &Message::Refused { reason: reason.clone() })?;
    Err(HandoverError::Refused(reason))
}

/// Every socket, in as many messages as it takes.
fn give(line: &OwnedFd, sockets: &[(Entry, OwnedFd)]) -> io::Result<()> {
    let mut parts = sockets.chunks(DESCRIPTORS_MAX).peekable();
    while let Some(part) = parts.next() {
        let entries = part.iter().map(|(entry, _)| entry.clone()).collect();
        let message = Message::Sockets { entries, is_last: parts.peek().is_none() };
        let descriptors: Vec<_> = part.iter().map(|(_, socket)| socket.as_fd()).collect();
        send(line, &message.encode(), &descriptors)?;
    }
    Ok(())
}

/// The other side's next message, within `patience` and as long as this process does not leave.
fn hear(
    line: &OwnedFd,
    process: &Process,
    patience: std::time::Duration,
) -> Result<Message, HandoverError> {
    let begun = Instant::now();
    loop {
        match receive(line, BYTES_MAX) {
            Ok(received) if received.bytes.is_empty() => return Err(HandoverError::Ended),
            Ok(received) => return Message::decode(&received.bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if *process.shutdown.borrow() != Shutdown::No {
            return Err(HandoverError::Refused("this process is draining".to_owned()));
        }
        if begun.elapsed() > patience {
            return Err(HandoverError::Line(ErrorKind::TimedOut.into()));
        }
    }
}
