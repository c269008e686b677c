//! Descriptors that cross a process boundary: in a message (`SCM_RIGHTS`), or
//! inherited by a child under a number it is told.
//!
//! A received descriptor is always close-on-exec; one message carries at most
//! [`DESCRIPTORS_MAX`].

use std::collections::BTreeSet;
use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Most descriptors in one message. The kernel's own limit is 253.
pub const DESCRIPTORS_MAX: usize = 16;

/// Two connected ends that keep message boundaries and report the other end's
/// death as an empty message. Both are close-on-exec.
pub fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message with its descriptors; the sender keeps its own copies.
///
/// Fails with `InvalidInput` for an empty message or too many descriptors.
pub fn send(channel: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "the control buffer is sized for DESCRIPTORS_MAX");
    }
    let message = [IoSlice::new(bytes)];
    loop {
        match sendmsg(&channel, &message, &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// One received message.
#[derive(Debug)]
pub struct Received {
    /// Empty when the other end is closed.
    pub bytes: Vec<u8>,
    /// Owned by the receiver, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Waits for one message of at most `bytes_max` bytes.
///
/// Fails with `InvalidData` when the message was longer, and with `WouldBlock`
/// when the channel has a receive timeout and it passed.
pub fn receive(channel: impl AsFd, bytes_max: usize) -> io::Result<Received> {
    let mut bytes = vec![0_u8; bytes_max];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    Ok(Received { bytes, descriptors })
}

/// Takes ownership of a descriptor that this process was started with, by the
/// number on its command line, and makes it close-on-exec.
///
/// Call it early, before the process opens anything of its own: a number that
/// was never inherited could by then belong to something else. Each number can
/// be adopted once; standard streams cannot.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: the number is not -1; the borrow ends with this call, and a
    // descriptor that is not open is reported as EBADF by the kernel.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    if !adopted.insert(number) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: it is open (checked above), inherited by contract, so nothing in
    // this process owns it yet, and the set makes this the only adoption.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::{DESCRIPTORS_MAX, adopt, channel, receive, send};
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::{AsFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_with_their_message_and_work() {
        let (near, far) = channel().unwrap();
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        send(&near, b"take", &[receiver.as_fd()]).unwrap();
        drop(receiver);
        let received = receive(&far, 16).unwrap();
        assert_eq!(received.bytes, b"take");
        let [descriptor] = <[_; 1]>::try_from(received.descriptors).unwrap();
        sender.write_all(b"x").unwrap();
        let mut byte = [0];
        UnixStream::from(descriptor).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn the_end_and_oversize_are_told_apart() {
        let (near, far) = channel().unwrap();
        send(&near, &[7; 32], &[]).unwrap();
        assert_eq!(receive(&far, 16).unwrap_err().kind(), ErrorKind::InvalidData);
        drop(near);
        assert!(receive(&far, 16).unwrap().bytes.is_empty());
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let (near, _far) = channel().unwrap();
        let many = vec![near.as_fd(); DESCRIPTORS_MAX + 1];
        assert_eq!(send(&near, b"x", &many).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(send(&near, b"", &[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_number_is_adopted_once_and_only_when_open() {
        assert_eq!(adopt(1).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(adopt(900).is_err());
        let (near, _far) = channel().unwrap();
        let number = near.into_raw_fd();
        let owned = adopt(number).unwrap();
        assert_eq!(adopt(number).unwrap_err().kind(), ErrorKind::AlreadyExists);
        drop(owned);
    }
}
