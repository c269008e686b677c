//! Signals as readable values that say who sent them.
//!
//! A supervisor forwards what a process sent to it, but not what the terminal
//! sent to the whole foreground group: the app has that already. Only
//! `signalfd` tells the two apart.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// The signals of a set, blocked for this process and queued here.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

/// One signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caught {
    /// Its number.
    pub number: i32,
    /// Who sent it.
    pub sender: Sender,
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sender {
    /// The terminal or the kernel itself: every process of the group has it.
    Kernel,
    /// A process that named us.
    Process,
}

impl Signals {
    /// Blocks `numbers` for the calling thread and the threads it starts later,
    /// and queues them. Call it before any other thread exists.
    pub fn block(numbers: &[i32]) -> io::Result<Self> {
        // SAFETY: the set is initialised by sigemptyset before it is read; an
        // unknown number is refused by sigaddset and leaves the set unchanged.
        let descriptor = unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut set);
            for number in numbers {
                if libc::sigaddset(&raw mut set, *number) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just made it; nothing else owns it.
        Ok(Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// The next queued signal, or `None` when there is none now.
    pub fn next_caught(&self) -> io::Result<Option<Caught>> {
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.descriptor, &mut record) {
            Ok(read) if read == record.len() => Ok(Some(decode(&record))),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// `struct signalfd_siginfo` begins with the signal, an errno and the code; a
/// code above zero is the kernel's (`SI_KERNEL`, `CLD_*`), others are senders'.
fn decode(record: &[u8]) -> Caught {
    let word = |at: usize| {
        let bytes = record[at..at + 4].try_into().expect("four bytes were cut");
        i32::from_ne_bytes(bytes)
    };
    let sender = if word(8) > 0 { Sender::Kernel } else { Sender::Process };
    Caught { number: word(0), sender }
}
