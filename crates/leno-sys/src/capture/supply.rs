//! The process that stays inside a captured namespace and makes sockets there.
//!
//! A socket belongs for ever to the namespace it was made in, so this is how a
//! proxy outside reaches its app: it takes a socket from the supply and
//! connects it to `127.0.0.1:PORT` inside. The process is this program's own
//! image (never an exec), ignores the terminal, and ends when the last holder
//! of a [`SocketSupply`] does.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use socket2::{Domain, Socket, Type};

use super::child::{close_all_but, exit};
use crate::passing::{channel, receive, send};

/// The supply answers within microseconds; a worker that waits longer than this
/// treats its app as unreachable.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Sockets fetched by one exchange, so that most dials need none.
const BATCH: usize = 8;
const REQUEST_BYTES_MAX: usize = 8;
/// One channel per proxy worker; a process with more workers is misconfigured.
const CHANNELS_MAX: usize = 256;

/// The address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn domain(self) -> Domain {
        match self {
            Self::V4 => Domain::IPV4,
            Self::V6 => Domain::IPV6,
        }
    }
}

/// One holder's line to the process inside.
///
/// Not shared: each worker takes its own by [`SocketSupply::open_another`].
#[derive(Debug)]
pub struct SocketSupply {
    line: OwnedFd,
    spare_v4: Vec<OwnedFd>,
    spare_v6: Vec<OwnedFd>,
}

impl SocketSupply {
    /// Takes over a line: as passed by a launch, or as inherited.
    pub fn new(line: OwnedFd) -> io::Result<Self> {
        set_socket_timeout(&line, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        Ok(Self { line, spare_v4: Vec::new(), spare_v6: Vec::new() })
    }

    /// A line of its own for another worker or process. Two users of one line
    /// would take each other's answers, so do this before sharing begins.
    pub fn open_another(&self) -> io::Result<Self> {
        let (near, far) = channel()?;
        send(&self.line, b"C", &[far.as_fd()])?;
        let answer = receive(&self.line, REQUEST_BYTES_MAX)?;
        check_answer(&answer.bytes)?;
        Self::new(near)
    }

    /// A fresh non-blocking TCP socket of the inside, neither bound nor
    /// connected. Most calls take a spare one; the others exchange one message
    /// with the process inside (tens of microseconds).
    pub fn take(&mut self, family: Family) -> io::Result<Socket> {
        let spare = match family {
            Family::V4 => &mut self.spare_v4,
            Family::V6 => &mut self.spare_v6,
        };
        if let Some(socket) = spare.pop() {
            return Ok(socket.into());
        }
        send(&self.line, &[b'S', u8::from(family == Family::V6)], &[])?;
        let answer = receive(&self.line, REQUEST_BYTES_MAX)?;
        check_answer(&answer.bytes)?;
        *spare = answer.descriptors;
        spare.pop().map(Socket::from).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// As [`SocketSupply::take`], with `client` as the address that the app
    /// will see as its peer. Any address is local inside.
    pub fn take_as(&mut self, client: IpAddr) -> io::Result<Socket> {
        let socket = self.take(Family::of(client))?;
        socket.bind(&SocketAddr::new(client, 0).into())?;
        Ok(socket)
    }
}

impl AsFd for SocketSupply {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.line.as_fd()
    }
}

fn check_answer(bytes: &[u8]) -> io::Result<()> {
    match bytes {
        b"+" => Ok(()),
        [b'-', errno @ ..] => {
            let errno = errno.try_into().map(i32::from_ne_bytes).unwrap_or(libc::EIO);
            Err(io::Error::from_raw_os_error(errno))
        }
        [] => Err(io::ErrorKind::BrokenPipe.into()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Starts the process and returns the first line to it. The caller is the
/// single-threaded child; the process is orphaned on purpose, so that the app
/// does not find a child it never made.
pub(super) fn start() -> io::Result<OwnedFd> {
    let (near, far) = channel()?;
    // SAFETY: the caller has one thread, so the copy's locks and allocator are
    // consistent; the copy leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let _ = setsid();
            // SAFETY: as above.
            match unsafe { libc::fork() } {
                0 => serve(far),
                1.. => exit(0),
                _ => exit(1),
            }
        }
        pid => {
            let between = Pid::from_raw(pid).filter(|_| pid > 0);
            let between = between.ok_or_else(io::Error::last_os_error)?;
            let status = waitpid(Some(between), WaitOptions::empty())?;
            match status.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(near),
                _ => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            }
        }
    }
}

fn serve(first: OwnedFd) -> ! {
    let _ = rustix::thread::set_name(c"leno-inside");
    let _ = std::env::set_current_dir("/");
    close_all_but(&first);
    let _ = detach_streams();
    let mut lines = vec![first];
    while !lines.is_empty() {
        let mut polled: Vec<PollFd<'_>> =
            lines.iter().map(|line| PollFd::new(line, PollFlags::IN)).collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(polled);
        let mut kept = Vec::with_capacity(lines.len() + 1);
        for (line, is_ready) in lines.into_iter().zip(ready) {
            let mut added = None;
            if !is_ready || answer(&line, &mut added).is_ok() {
                kept.push(line);
            }
            kept.extend(added);
        }
        kept.truncate(CHANNELS_MAX);
        lines = kept;
    }
    exit(0)
}

/// One exchange. `Err` ends the line: its holder is gone.
fn answer(line: &OwnedFd, added: &mut Option<OwnedFd>) -> io::Result<()> {
    let mut request = receive(line, REQUEST_BYTES_MAX)?;
    match request.bytes.as_slice() {
        [b'S', family] => {
            let family = if *family == 0 { Family::V4 } else { Family::V6 };
            match make_batch(family) {
                Ok(sockets) => {
                    let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
                    send(line, b"+", &borrowed)
                }
                Err(error) => refuse(line, &error),
            }
        }
        [b'C'] => {
            *added = request.descriptors.pop();
            send(line, b"+", &[])
        }
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn make_batch(family: Family) -> io::Result<Vec<Socket>> {
    let make = || {
        let socket = Socket::new(family.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    (0..BATCH).map(|_| make()).collect()
}

fn refuse(line: &OwnedFd, error: &io::Error) -> io::Result<()> {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    send(line, &[&b"-"[..], &errno.to_ne_bytes()].concat(), &[])
}

/// Nothing of the app's terminal or pipes may be kept open by this process.
fn detach_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
