//! Sees that a sender is gone while nothing is read from it, because whoever its bytes are for takes none.
//!
//! What a socket has received and nobody has read hides its end from `read`. The kernel tells the end and a reset apart from
//! the bytes before them (`EPOLLRDHUP`, `EPOLLERR`); a second registration of the socket waits for these alone. It is made only
//! when the receiver has taken nothing for [`limits::BLOCKED`]: most receivers are slow for a moment.

use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Wire;
use crate::deadline::Deadline;
use crate::limits;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// The sender said that it was done, or broke the connection.
    Any,
    /// The sender broke the connection; one that is done may still be listening.
    Reset,
}

/// One connection's watch; costs nothing while its bytes are taken.
#[derive(Default)]
pub(crate) struct Hangup {
    deadline: Deadline,
    is_blocked: bool,
    watch: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl std::fmt::Debug for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hangup").field("is_blocked", &self.is_blocked).finish_non_exhaustive()
    }
}

impl Hangup {
    /// Its bytes are taken again.
    pub(crate) fn rest(&mut self) {
        if self.is_blocked {
            *self = Self { deadline: std::mem::take(&mut self.deadline), ..Self::default() };
            self.deadline.set(None);
        }
    }

    /// Ready when `wire` is gone. A Unix socket is read to its end.
    pub(crate) fn poll(&mut self, wire: &Wire, parting: Parting, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_blocked {
            self.is_blocked = true;
            self.deadline.set(Some(Instant::now() + limits::BLOCKED));
        }
        if self.watch.is_none() {
            std::task::ready!(self.deadline.poll(cx));
            self.watch = Some(Box::pin(watch(wire, parting)));
        }
        self.watch.as_mut().map_or(Poll::Pending, |watch| watch.as_mut().poll(cx))
    }
}

/// Owns a second handle of the socket, so that it can be held beside the wire.
fn watch(wire: &Wire, parting: Parting) -> impl Future<Output = ()> + use<> {
    let second = wire.tcp().map(|stream| SockRef::from(stream).try_clone());
    let second = second.and_then(|second| TcpStream::from_std(second.ok()?.into()).ok());
    let interest = match parting {
        // The interest in urgent data, of which none is waited for, is the one that brings the end and not every byte.
        Parting::Any => Interest::PRIORITY | Interest::ERROR,
        Parting::Reset => Interest::ERROR,
    };
    async move {
        match second {
            // An error would come of the runtime's own end.
            Some(second) => drop(second.ready(interest).await),
            // Nothing can be known; the next read or write tells.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::{Hangup, Parting, Wire};

    async fn pair() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), Wire::Tcp(far.unwrap().0.into()))
    }

    /// Ready within a time that no saturated machine needs.
    async fn parts(hangup: &mut Hangup, wire: &Wire, parting: Parting) -> bool {
        let parted = poll_fn(|cx| hangup.poll(wire, parting, cx));
        tokio::time::timeout(Duration::from_secs(10), parted).await.is_ok()
    }

    #[tokio::test]
    async fn an_end_and_a_reset_are_seen_behind_unread_bytes() {
        for is_reset in [false, true] {
            let (mut sender, wire) = pair().await;
            sender.write_all(&[7; 1000]).await.unwrap();
            if is_reset {
                socket2::SockRef::from(&sender).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(sender);
            assert!(parts(&mut Hangup::default(), &wire, Parting::Any).await);
        }
    }

    #[tokio::test]
    async fn bytes_and_a_half_close_are_no_reset_and_a_reset_after_them_is() {
        let (mut sender, wire) = pair().await;
        let mut hangup = Hangup::default();
        sender.write_all(&[7; 1000]).await.unwrap();
        sender.shutdown().await.unwrap();
        let quiet = async |hangup: &mut Hangup| {
            poll_fn(|cx| Poll::Ready(hangup.poll(&wire, Parting::Reset, cx).is_pending())).await
        };
        assert!(quiet(&mut hangup).await);
        tokio::time::sleep(crate::limits::BLOCKED * 3).await;
        assert!(quiet(&mut hangup).await);
        hangup.rest();
        assert!(quiet(&mut hangup).await);
        socket2::SockRef::from(&sender).set_linger(Some(Duration::ZERO)).unwrap();
        drop(sender);
        assert!(parts(&mut hangup, &wire, Parting::Reset).await);
    }
}
