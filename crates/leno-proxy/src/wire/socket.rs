//! A TCP socket, and how much of what it cannot send yet its kernel takes from us.
//!
//! Little, for who may not read at all; more, for who has shown that it takes everything at once: each time the socket
//! takes more again costs a wake-up. Nothing is asked of the kernel: what was written, and when, tells.

use std::io;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::limits::{FAST, SLOW, STEP_BYTES, UNSENT_BYTES, UNSENT_BYTES_MAX};

/// A TCP socket; what is not about writing is the stream's own.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    pace: Option<Pace>,
}

impl From<TcpStream> for Socket {
    /// One whose peer we chose: the kernel takes what it likes.
    fn from(stream: TcpStream) -> Self {
        Self { stream, pace: None }
    }
}

impl Socket {
    /// One that was accepted, by a listening socket that had [`UNSENT_BYTES`] set.
    #[must_use]
    pub fn accepted(stream: TcpStream) -> Self {
        Self { stream, pace: Some(Pace::default()) }
    }

    /// Whether the peer lately took all that came as it came, and long enough to show that it reads.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        self.pace.as_ref().is_some_and(Pace::is_fast)
    }

    /// Counts what a write took.
    pub(super) fn wrote(&mut self, written: &io::Result<usize>) {
        let (Some(pace), Ok(count)) = (&mut self.pace, written) else { return };
        if let Some(unsent) = pace.wrote(*count, Instant::now) {
            // A kernel that does not know it takes more, as it always did.
            let _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(unsent);
        }
    }
}

/// Keeps the kernel from pacing what is sent on this machine: to be called for a socket that is bound to, or is to be
/// connected to, `address`, before there is a connection.
///
/// Where BBR is the machine's choice, each segment waits for a timer of its own, which costs more than the segment, and on
/// loopback nothing is gained by it. Another choice, and what leaves the machine, is left alone.
pub(crate) fn unpaced<'s>(socket: impl Into<SockRef<'s>>, address: IpAddr) {
    if !address.to_canonical().is_loopback() {
        return;
    }
    let socket = socket.into();
    if socket.tcp_congestion().is_ok_and(|name| paces(&name)) {
        // In every kernel, and allowed to everybody. One that refuses paces on.
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// Whether the congestion control of this name paces by itself.
fn paces(congestion: &[u8]) -> bool {
    congestion.starts_with(b"bbr")
}

impl Deref for Socket {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl DerefMut for Socket {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// How fast a peer takes what is written, looked at once for every [`STEP_BYTES`].
#[derive(Debug)]
struct Pace {
    /// Since the last look.
    written: usize,
    looked: Option<Instant>,
    /// `TCP_NOTSENT_LOWAT` now.
    unsent: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { written: 0, looked: None, unsent: UNSENT_BYTES }
    }
}

impl Pace {
    fn is_fast(&self) -> bool {
        self.unsent > UNSENT_BYTES
    }

    /// What the kernel is to be told, where that changes.
    fn wrote(&mut self, count: usize, now: impl FnOnce() -> Instant) -> Option<u32> {
        self.written += count;
        if self.written < STEP_BYTES { None } else { self.look(now()) }
    }

    fn look(&mut self, now: Instant) -> Option<u32> {
        self.written = 0;
        // The first step shows nothing: two kernels may have taken it.
        let last = self.looked.replace(now)?;
        let took = now.saturating_duration_since(last);
        let before = self.unsent;
        if took <= FAST {
            self.unsent = before.saturating_mul(2).min(UNSENT_BYTES_MAX);
        } else if took > SLOW {
            self.unsent = UNSENT_BYTES;
        }
        (self.unsent != before).then_some(self.unsent)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::{Pace, Socket, paces, unpaced};
    use crate::limits::{FAST, SLOW, STEP_BYTES, UNSENT_BYTES, UNSENT_BYTES_MAX};

    /// What the kernel was told after each step that took so long.
    fn check(steps: &[(Duration, Option<u32>)]) {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for (at, (took, told)) in steps.iter().enumerate() {
            now += *took;
            assert_eq!(pace.wrote(STEP_BYTES - 1, || panic!("no clock is needed")), None);
            assert_eq!(pace.wrote(1, || now), *told, "step {at}");
        }
    }

    #[test]
    fn who_takes_all_at_once_gets_more_and_who_stops_gets_little_again() {
        let slow = SLOW + Duration::from_nanos(1);
        check(&[(Duration::ZERO, None), (FAST, Some(2 * UNSENT_BYTES))]);
        check(&[(FAST, None), (FAST, Some(2 * UNSENT_BYTES)), (FAST, Some(4 * UNSENT_BYTES))]);
        check(&[
            (FAST, None),
            (FAST, Some(2 * UNSENT_BYTES)),
            (SLOW, None),
            (slow, Some(UNSENT_BYTES)),
            (slow, None),
            (FAST, Some(2 * UNSENT_BYTES)),
        ]);
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut pace = Pace::default();
        let now = Instant::now();
        let told = (0..100).filter_map(|_| pace.wrote(STEP_BYTES, || now)).last();
        assert_eq!(told, Some(UNSENT_BYTES_MAX));
        assert!(pace.is_fast());
    }

    #[test]
    fn nothing_is_paced_on_loopback_and_elsewhere_the_machine_decides() {
        for (address, is_loopback) in
            [("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false)]
        {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            // A kernel without BBR refuses, and paces nothing.
            let _ = socket.set_tcp_congestion(b"bbr");
            let before = socket.tcp_congestion().unwrap();
            unpaced(&socket, address.parse().unwrap());
            let after = socket.tcp_congestion().unwrap();
            assert_eq!(after == before, !is_loopback || !paces(&before), "{address}");
            assert!(!is_loopback || !paces(&after), "{address}");
        }
        assert!(paces(b"bbr\0\0") && paces(b"bbr2") && !paces(b"cubic\0"));
    }

    #[tokio::test]
    async fn the_kernel_is_told_for_sockets_that_were_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut dialled, mut accepted) =
            (Socket::from(near.unwrap()), Socket::accepted(far.unwrap().0));
        let lowat = |socket: &Socket| SockRef::from(&**socket).tcp_notsent_lowat().unwrap();
        let before = lowat(&dialled);
        // Nothing is slower than the clock of a test that was put aside, so that the pace is set by hand.
        if let Some(pace) = &mut accepted.pace {
            pace.looked = Some(Instant::now() + Duration::from_secs(3600));
        }
        for socket in [&mut dialled, &mut accepted] {
            socket.wrote(&Ok(STEP_BYTES));
        }
        assert_eq!((lowat(&dialled), dialled.is_fast()), (before, false));
        assert_eq!((lowat(&accepted), accepted.is_fast()), (2 * UNSENT_BYTES, true));
    }
}
