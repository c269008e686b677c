//! A downstream HTTP/1 connection: its bytes and its machine.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_core::reply::Failure;
use leno_http::h1::{Persistence, Server};
use leno_http::{Invalid, Limits, RequestHead, ResponseHead};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::After;
use super::super::attempt::Broken;
use super::super::pump::consume;
use super::super::session::{Arrival, Next};
use crate::budget::Charge;
use crate::buffers::{Buffers, Size};
use crate::deadline::Deadline;
use crate::lifecycle::{Phase, Watcher};
use crate::limits;
use crate::listener::sniff::H2_PREFACE;
use crate::wire::hangup::{Hangup, Parting};
use crate::wire::{Outgoing, Wire};
use crate::worker::Worker;

/// One connection that carries one exchange after the other.
pub(in crate::http) struct Http1 {
    pub(in crate::http) wire: Wire,
    /// Received and not yet used.
    pub(in crate::http) inbox: Vec<u8>,
    /// Whether a read of the request's body took all the room there was: the next ones get more.
    is_bulk: bool,
    /// To be written.
    pub(in crate::http) out: Outgoing,
    pub(in crate::http) server: Server,
    /// For its two buffers.
    charge: Option<Charge>,
    /// Watches the client while its request is not taken.
    hangup: Hangup,
    /// The socket was found empty, and wakes the task once it is not any more.
    is_awaited: bool,
}

/// What a connection turned out to speak.
pub(in crate::http) enum Recognised {
    /// Not HTTP/2.
    Http1,
    /// HTTP/2, told by its preface (RFC 9113 §3.4).
    Http2,
    /// Nothing: the client is gone.
    Left,
    /// Nothing came.
    Nothing,
}

/// What waiting for a request depends on besides the connection.
pub(in crate::http) struct Wait<'a> {
    pub(in crate::http) buffers: &'a Buffers,
    pub(in crate::http) deadline: &'a mut Deadline,
    pub(in crate::http) watcher: &'a Watcher,
    /// When the wait began.
    pub(in crate::http) now: Instant,
    /// How long a connection may be idle.
    pub(in crate::http) idle: Duration,
    /// How long a head may take from its first byte on.
    pub(in crate::http) head: Duration,
    /// Whether this is the connection's first request.
    pub(in crate::http) is_first: bool,
}

/// How long a connection that says nothing is kept in a drain: what it says may be on its way already.
fn last_wait(watcher: &Watcher) -> Instant {
    let now = Instant::now();
    watcher.turn().map_or(now, |turn| turn.max(now)) + limits::DRAIN_IDLE
}

impl Http1 {
    /// `inbox` holds what the inspectors read.
    pub(in crate::http) fn new(
        wire: Wire,
        inbox: Vec<u8>,
        limits: Limits,
        charge: Option<Charge>,
    ) -> Self {
        let (out, server) = (Outgoing::default(), Server::new(limits));
        let (hangup, is_awaited) = (Hangup::default(), false);
        Self { wire, inbox, is_bulk: false, out, server, charge, hangup, is_awaited }
    }

    /// Reads until it shows whether HTTP/2 is spoken; what was read stays in the inbox.
    pub(in crate::http) async fn recognise(&mut self, arrival: &Arrival) -> Recognised {
        let buffers = &arrival.worker.buffers;
        let idle = arrival.manager.settings.idle_timeout.unwrap_or(limits::DOWNSTREAM_IDLE);
        let idle_end = Instant::now() + idle;
        let mut deadline = Deadline::new();
        deadline.set(Some(idle_end));
        let (mut is_registered, mut is_draining) = (false, false);
        poll_fn(|cx| {
            if !is_registered {
                is_registered = true;
                arrival.watcher.register(cx);
            }
            loop {
                if self.inbox.starts_with(H2_PREFACE) {
                    return Poll::Ready(Recognised::Http2);
                }
                if !H2_PREFACE.starts_with(&self.inbox) {
                    return Poll::Ready(Recognised::Http1);
                }
                match self.poll_fill(cx, buffers) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0)) if !self.inbox.is_empty() => {
                        return Poll::Ready(Recognised::Http1);
                    }
                    Poll::Ready(Ok(0)) if matches!(self.wire, Wire::Tcp(_)) => {
                        return Poll::Ready(Recognised::Left);
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Recognised::Nothing),
                    Poll::Pending => {}
                }
                match arrival.watcher.phase() {
                    Phase::Serving => {}
                    Phase::Closing => return Poll::Ready(Recognised::Nothing),
                    // A preface may be on its way already, and must not be taken for a request of HTTP/1.
                    Phase::Draining if !is_draining => {
                        is_draining = true;
                        deadline.set(Some(idle_end.min(last_wait(&arrival.watcher))));
                    }
                    Phase::Draining => {}
                }
                return deadline.poll(cx).map(|()| Recognised::Nothing);
            }
        })
        .await
    }

    /// Waits for the next request's head.
    pub(in crate::http) async fn next_request(
        &mut self,
        request: &mut RequestHead,
        wait: Wait<'_>,
    ) -> Next {
        let Wait { buffers, deadline, watcher, now, idle, head, is_first } = wait;
        let (mut begun, mut is_draining) = (false, false);
        // A connection that is to end by age does so in order, as in a drain.
        let turn = watcher.turn().map(|turn| turn.max(now) + limits::DRAIN_IDLE);
        let idle_end = turn.map_or(now + idle, |turn| turn.min(now + idle));
        if self.inbox.is_empty() {
            deadline.set(Some(idle_end));
            if watcher.phase() == Phase::Closing {
                return Next::End;
            }
        }
        poll_fn(|cx| {
            if is_first {
                watcher.register(cx);
            }
            loop {
                if !self.inbox.is_empty() {
                    match self.server.head(&self.inbox, request) {
                        Ok(Some(length)) => {
                            consume(&mut self.inbox, length);
                            return Poll::Ready(Next::Request(length));
                        }
                        // Whether more may be read depends on it.
                        Ok(None) => self.settle(),
                        Err(invalid) => return Poll::Ready(Next::Invalid(invalid)),
                    }
                    if !begun {
                        begun = true;
                        deadline.set(Some(Instant::now() + head));
                    }
                }
                let filled = if watcher.may_read() {
                    self.poll_fill(cx, buffers)
                } else {
                    self.settle();
                    Poll::Pending
                };
                match filled {
                    Poll::Ready(Ok(0)) if begun => {
                        return Poll::Ready(Next::Invalid(Invalid::Truncated));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Pending => {}
                }
                match watcher.phase() {
                    Phase::Serving => {}
                    Phase::Closing => return Poll::Ready(Next::End),
                    // A request may be on its way already: it is answered, and the answer says that it was the last.
                    Phase::Draining if !begun && !is_draining => {
                        is_draining = true;
                        deadline.set(Some(idle_end.min(last_wait(watcher))));
                    }
                    Phase::Draining => {}
                }
                if deadline.poll(cx).is_ready() {
                    let late = Next::Refused(Failure::RequestHeaderTimeout);
                    return Poll::Ready(if begun { late } else { Next::End });
                }
                return Poll::Pending;
            }
        })
        .await
    }

    /// Appends the head of the final response; the length of what waits to be written is the head's.
    pub(super) fn begin(&mut self, head: &ResponseHead, is_last: bool, buffers: &Buffers) -> usize {
        buffers.ensure(&mut self.out.bytes);
        // An early answer: what is left of the request's body may never be read, so nothing is to be sent behind it.
        if is_last || !self.server.request_body().is_done() {
            self.server.close_after();
        }
        self.server.response(head, &mut self.out.bytes);
        self.out.pending()
    }

    /// Writes a whole answer.
    pub(super) async fn answer(
        &mut self,
        head: &ResponseHead,
        body: &[u8],
        is_last: bool,
        buffers: &Buffers,
    ) -> io::Result<()> {
        self.begin(head, is_last, buffers);
        // A body where none may be (HEAD) is dropped by the writer, never too long.
        let written = self.server.response_body().data(body, &mut self.out.bytes);
        debug_assert!(written.is_ok(), "the length was announced a moment ago");
        self.flush().await
    }

    pub(super) fn finish(&mut self, buffers: &Buffers) -> After {
        self.is_bulk = false;
        buffers.release(&mut self.out.bytes);
        match self.server.finish() {
            Persistence::Keep => After::Next,
            Persistence::Close => After::Close,
        }
    }

    /// Writes what waits; never waits itself.
    pub(super) fn nudge(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        if !self.out.is_empty()
            && let Poll::Ready(Err(_)) = self.out.poll_drain(&mut self.wire, cx)
        {
            return Err(Broken::Downstream);
        }
        Ok(())
    }

    /// Reads more into the inbox; a connection that waits holds no buffer. 0 is the end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if self.is_still_empty() || self.wire.poll_readable(cx).is_pending() {
            self.is_awaited = true;
            buffers.release(&mut self.inbox);
            self.settle();
            return Poll::Pending;
        }
        self.is_awaited = false;
        buffers.ensure(&mut self.inbox);
        if self.inbox.len() == self.inbox.capacity() {
            self.inbox.reserve(limits::READ_BUFFER_BYTES);
        }
        self.hangup.rest();
        let polled = self.wire.poll_read(cx, &mut self.inbox);
        if polled.is_pending() {
            buffers.release(&mut self.inbox);
        }
        if polled.is_pending() || self.is_bulk {
            self.settle();
        }
        polled
    }

    /// Whether nothing came since the task was told that nothing was there: then its waker need not be registered again,
    /// which takes a lock. A connection stays in one task.
    fn is_still_empty(&self) -> bool {
        let came = |stream: &TcpStream| stream.try_io(Interest::READABLE, || Ok(())).is_ok();
        self.is_awaited && self.wire.tcp().is_some_and(|stream| !came(stream))
    }

    /// The same for more of a request's body, in larger pieces where it comes in bulk.
    pub(super) fn poll_fill_body(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        watcher: &Watcher,
    ) -> Poll<io::Result<usize>> {
        if self.is_bulk && watcher.buffer_max() >= limits::BODY_BUFFER_BYTES {
            worker.buffers.resize(&mut self.inbox, worker.room(Size::Body));
        }
        let polled = self.poll_fill(cx, &worker.buffers);
        self.is_bulk |= polled.is_ready() && self.inbox.len() == self.inbox.capacity();
        polled
    }

    /// Puts its buffers on the books, before it waits for something.
    pub(super) fn settle(&self) {
        if let Some(charge) = &self.charge {
            charge.set(self.inbox.capacity() + self.out.bytes.capacity());
        }
    }

    /// Ready when the client has gone. Pipelined bytes are kept, within bounds.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<()> {
        while self.inbox.len() < limits::READ_BUFFER_BYTES {
            match self.poll_fill(cx, buffers) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        self.poll_parted(cx)
    }

    /// The same for a client whose bytes wait unread.
    pub(super) fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.hangup.poll(&self.wire, Parting::Any, cx)
    }

    /// Writes everything that waits.
    pub(in crate::http) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.out.poll_drain(&mut self.wire, cx)).await
    }

    /// Ends the connection in order: what was written must arrive, so what still comes is read and dropped for a while.
    pub(in crate::http) async fn end(&mut self, buffers: &Buffers) {
        let mut dropped = 0;
        let farewell = poll_fn(|cx| {
            if self.wire.poll_shutdown(cx)?.is_pending() {
                return Poll::Pending;
            }
            loop {
                dropped += self.inbox.len();
                self.inbox.clear();
                if dropped > limits::LINGER_BYTES {
                    return Poll::Ready(Ok::<(), io::Error>(()));
                }
                if std::task::ready!(self.poll_fill(cx, buffers))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        });
        // Neither a broken connection nor a client that stays matters any more.
        let _ = tokio::time::timeout(limits::LINGER, farewell).await;
        buffers.give(std::mem::take(&mut self.inbox));
    }
}
