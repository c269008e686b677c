//! Starting and ending processes: what `std::process` leaves out.
//!
//! Called by the supervisor of a captured app. A child prepared here never
//! outlives its parent, whatever way the parent ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Prepares `command` so that its process keeps `descriptors` open under their
/// present numbers, dies with the calling *thread*, and starts with no signal
/// blocked.
///
/// The descriptors must stay open until the command is spawned; the caller's
/// own copies stay close-on-exec.
pub fn prepare_child(command: &mut Command, descriptors: &[BorrowedFd<'_>]) {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec and makes only direct
    // system calls on numbers it owns: no allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            for number in &numbers {
                clear_close_on_exec(*number)?;
            }
            unblock_signals()?;
            die_with(parent)
        });
    }
}

/// Asks the kernel to kill this process when the thread that forked it ends.
pub(crate) fn die_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the request was in place.
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Makes orphaned descendants children of this process instead of `init`'s, so
/// that it can find and end them.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// How many threads this process has.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

fn clear_close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: fcntl on a plain number; a closed one is reported as EBADF.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above; F_SETFD takes an int.
    match unsafe { libc::fcntl(number, libc::F_SETFD, flags & !libc::FD_CLOEXEC) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Undoes what [`crate::signals::Signals`] blocked; masks survive an exec.
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before it is read, and the
    // old mask is not asked for.
    let outcome = unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::prepare_child;
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd};
    use std::process::{Command, Stdio};

    #[test]
    fn only_the_named_descriptors_reach_the_child() {
        let (mut reader, kept) = std::io::pipe().unwrap();
        let (_other_reader, other) = std::io::pipe().unwrap();
        let (kept_number, other_number) = (kept.as_raw_fd(), other.as_raw_fd());
        let mut command = Command::new("sh");
        let script =
            format!("test -e /proc/self/fd/{other_number} && exit 9; echo here >&{kept_number}");
        command.args(["-c", &script]).stdin(Stdio::null());
        prepare_child(&mut command, &[kept.as_fd()]);
        let status = command.status().unwrap();
        drop((command, kept, other));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((status.code(), text.as_str()), (Some(0), "here\n"));
    }
}
