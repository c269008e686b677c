//! A non-blocking connection in an epoll set.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

/// What a read brought.
pub(super) enum Received {
    Bytes(usize),
    Nothing,
    End,
}

/// One connection and the bytes it could not send yet.
pub(super) struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

impl Connection {
    /// Registers the connection under `token`.
    pub(super) fn add(set: &OwnedFd, stream: TcpStream, token: u64) -> anyhow::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(set, &stream, EventData::new_u64(token), interest)?;
        Ok(Self { stream, unsent: Vec::new() })
    }

    /// Reads once into `buffer`.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<Received> {
        match self.stream.read(buffer) {
            Ok(0) => Ok(Received::End),
            Ok(length) => Ok(Received::Bytes(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what it can now and the rest when [`Connection::flush`] is called.
    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.unsent.is_empty() {
            let sent = self.write(bytes)?;
            self.unsent.extend_from_slice(&bytes[sent..]);
        } else {
            self.unsent.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Sends what could not be sent before.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.write(&unsent)?;
            self.unsent = unsent;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
        match self.stream.write(bytes) {
            Ok(sent) => Ok(sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits for events, at most `limit`.
pub(super) fn wait(
    set: &OwnedFd,
    events: &mut Vec<Event>,
    limit: Option<Duration>,
) -> anyhow::Result<()> {
    events.clear();
    let limit = limit.map(Timespec::try_from).transpose()?;
    match epoll::wait(set, rustix::buffer::spare_capacity(events), limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An empty epoll set.
pub(super) fn set() -> anyhow::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}
