//! The forked child: builds its namespace, hands out sockets, becomes the app.
//!
//! Nothing here returns to the caller of `launch`: every path ends in an exec
//! or in `_exit`, also when something panics.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use rustix::process::{Pid, getegid, geteuid};
use rustix::thread::{CapabilitySet, UnshareFlags, unshare_unsafe};
use rustix::thread::{clear_ambient_capability_set, remove_capability_from_bounding_set};
use socket2::{Domain, Socket, Type};

use super::message::{FromChild, Kind, MESSAGE_BYTES_MAX, Step, ToChild};
use super::{Isolation, supply};
use crate::loopback::{self, Family};
use crate::nftables;
use crate::passing::{receive, send};
use crate::process::{die_with, unblock_signals};

/// The namespace's own `somaxconn` cuts this to what it allows.
const BACKLOG: i32 = 4096;

/// What a shell reports for a command that could not be executed.
const NOT_EXECUTED: i32 = 127;

struct Refusal {
    step: Step,
    source: io::Error,
}

pub(super) fn run(command: Command, isolation: Isolation, control: &OwnedFd, parent: Pid) -> ! {
    // A panic must not unwind into the caller's copy of the parent's code.
    let _ = catch_unwind(AssertUnwindSafe(|| become_app(command, isolation, control, parent)));
    exit(NOT_EXECUTED)
}

/// Leaves at once: no destructors, no exit handlers of the parent's image.
pub(super) fn exit(status: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(status) }
}

fn become_app(mut command: Command, isolation: Isolation, control: &OwnedFd, parent: Pid) {
    let ready = match isolation {
        Isolation::Namespace { outbound_port, dns_port } => isolate(outbound_port, dns_port),
        Isolation::None => Ok(Vec::new()),
    };
    let sockets = match ready {
        Ok(sockets) => sockets,
        Err(Refusal { step, source }) => {
            let errno = source.raw_os_error().unwrap_or(libc::EIO);
            let _ = send(control, &FromChild::Refused { step, errno }.encode(), &[]);
            return;
        }
    };
    let kinds = sockets.iter().map(|(kind, _)| *kind).collect();
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
    if send(control, &FromChild::Ready { kinds }.encode(), &descriptors).is_err() {
        return;
    }
    drop(sockets);

    let Ok(go) = receive(control, MESSAGE_BYTES_MAX) else { return };
    let Some(environment) = ToChild::decode_environment(&go.bytes) else { return };
    command.envs(environment);
    // Last, since a change of credentials forgets the death signal.
    let prepared = unblock_signals().and_then(|()| die_with(parent));
    let error = prepared.err().unwrap_or_else(|| command.exec());
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let _ = send(control, &FromChild::NotExecuted { errno }.encode(), &[]);
}

/// The sequence of the setup. What it makes inside is returned for the parent.
fn isolate(outbound_port: u16, dns_port: u16) -> Result<Vec<(Kind, OwnedFd)>, Refusal> {
    let at = |step: Step| move |source: io::Error| Refusal { step, source };
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: the file table is not unshared, and this process has one thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }
        .map_err(|errno| at(Step::Unshare)(errno.into()))?;
    map_to_itself(user, group).map_err(at(Step::MapUser))?;

    loopback::bring_up().map_err(at(Step::Loopback))?;
    loopback::make_everything_local(Family::V4).map_err(at(Step::Routes))?;
    let has_v6 = match loopback::make_everything_local(Family::V6) {
        Ok(()) => true,
        Err(error) if is_unsupported(&error) => false,
        Err(error) => return Err(at(Step::Routes)(error)),
    };
    nftables::install(outbound_port, dns_port).map_err(at(Step::Rules))?;
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").map_err(at(Step::LowPorts))?;

    let mut sockets =
        listen(Ipv4Addr::LOCALHOST.into(), outbound_port, dns_port).map_err(at(Step::Sockets))?;
    if has_v6 {
        let more = listen(Ipv6Addr::LOCALHOST.into(), outbound_port, dns_port);
        sockets.extend(more.map_err(at(Step::Sockets))?);
    }
    sockets.push((Kind::Supply, supply::start().map_err(at(Step::Supply))?));
    drop_capabilities().map_err(at(Step::Capabilities))?;
    Ok(sockets)
}

/// Maps the user to itself, not to root: the app sees the ids it would see
/// outside, and an ordinary user's capabilities vanish with the exec.
fn map_to_itself(user: u32, group: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1\n"))
}

fn listen(ip: IpAddr, outbound_port: u16, dns_port: u16) -> io::Result<Vec<(Kind, OwnedFd)>> {
    let tcp = |port: u16| -> io::Result<OwnedFd> {
        let socket = bound(ip, port, Type::STREAM)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    Ok(vec![
        (Kind::Outbound, tcp(outbound_port)?),
        (Kind::DnsUdp, bound(ip, dns_port, Type::DGRAM)?.into()),
        (Kind::DnsTcp, tcp(dns_port)?),
    ])
}

fn bound(ip: IpAddr, port: u16, kind: Type) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::ENODEV))
}

/// A root app would keep its capabilities in the new namespace over the exec
/// and could flush the rules: empty the bounding set, so that exec gives none.
fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last capability this kernel has.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Closes every descriptor but the standard streams and `kept`.
pub(super) fn close_all_but(kept: &OwnedFd) {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: only called in the supply process, which uses nothing but
            // `kept` from here on and leaves by `_exit`, so no owner of a closed
            // number ever acts on it again.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}
