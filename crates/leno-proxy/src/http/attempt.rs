//! One attempt at one endpoint: the request goes out, the response comes back.
//!
//! Full duplex: an early response is passed on while the request's body is still on its way, and a client that leaves
//! ends the attempt at once. Owned by [`super::forward`]; dropping it before the end tells the endpoint: its connection
//! is closed.

use std::io;
use std::task::{Context, Poll, ready};

use leno_http::h2::{NotNow, Then};
use leno_http::{BodyLength, Invalid, Method, RequestHead, ResponseHead};
use tokio::time::Instant;

use super::downstream::Downstream;
use super::pump::{PumpError, Step};
use super::replay::Replay;
use super::timers::{Expired, Timers};
use super::transfer::Transfer;
use super::upstream::{Http1, Http2, Upstream};
use crate::buffers::{Buffers, Size};
use crate::lane::Turn;
use crate::limits;
use crate::upstream::connect::Link;

/// Why an attempt ended before its time.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client left or its connection broke.
    Downstream,
    /// The client's body is not what it announced.
    Request(Invalid),
    /// The upstream connection broke.
    Upstream(io::Error),
    /// The upstream closed before the response was complete.
    UpstreamEnded,
    /// The upstream reset the stream.
    Reset,
    /// The upstream did not process the request, and said so.
    Refused,
    /// The upstream's response is malformed.
    Response(Invalid),
    /// A deadline passed.
    Expired(Expired),
    /// The memory budget needs what the connection holds.
    Shed,
}

/// One attempt.
pub(super) struct Attempt {
    pub(super) upstream: Upstream,
    request: Transfer,
    response: Transfer,
    /// The whole request was handed over.
    is_sent: bool,
    /// Writing failed; the endpoint may have answered before it closed, so the response is still waited for.
    write_error: Option<io::Error>,
    /// Whether any byte of a response arrived.
    has_answered: bool,
    /// Its place in line, once its bodies are long.
    turn: Turn,
    /// Body bytes that were paid for.
    paid: u64,
}

impl Attempt {
    /// Encodes the head, and what a former attempt kept of the body; no more than `piece_max` is read of the answer at once.
    /// `Err` when the connection takes no more requests after all.
    pub(super) fn begin(
        link: Link,
        (buffers, piece_max): (&Buffers, Size),
        head: &RequestHead,
        replay: &Replay,
    ) -> Result<Box<Self>, NotNow> {
        // What follows a request for a tunnel is the tunnel's, once it was agreed to.
        let is_tunnel = asks_for_tunnel(head);
        let (upstream, request, is_sent) = match link {
            Link::Exclusive(connection) => {
                let end = Http1::begin(connection, (buffers, piece_max), head, replay);
                let request = if is_tunnel { Transfer::nothing() } else { Transfer::default() };
                (Upstream::Http1(end), request, false)
            }
            Link::Shared(connection) => {
                let end = Http2::begin(&connection, head)?;
                let request = Transfer::after(replay.body().unwrap_or_default());
                (Upstream::Http2(end), request, is_tunnel)
            }
        };
        // Boxed: it is handed on by every stage of the exchange, and copying it each time costs more than parsing.
        Ok(Box::new(Self {
            upstream,
            request,
            response: Transfer::default(),
            is_sent,
            write_error: None,
            has_answered: false,
            turn: Turn::default(),
            paid: 0,
        }))
    }

    /// Whether the response has a body, or trailers.
    pub(super) fn rest(&mut self) -> Then {
        if self.upstream.is_response_over() { Then::End } else { Then::More }
    }

    /// Whether the failure of this attempt can be the closing of a kept connection that nobody could foresee.
    pub(super) fn is_stale_candidate(&self) -> bool {
        !self.upstream.is_new() && !self.has_answered
    }

    /// Whether this is the connection's first exchange, and nothing was said in it.
    pub(super) fn is_first(&self) -> bool {
        self.upstream.is_new() && !self.has_answered
    }

    /// Whether no byte of the request reached the socket.
    pub(super) fn is_unsent(&self) -> bool {
        self.upstream.is_unsent()
    }

    /// Whether nobody at the endpoint can have read any of the request, though it was sent; `broken` is how the attempt
    /// ended.
    pub(super) async fn was_refused(&self, broken: &Broken) -> bool {
        let has_ended = match broken {
            Broken::UpstreamEnded => true,
            // What the kernel says when the end came first: a broken pipe, and not a reset.
            Broken::Upstream(error) => {
                matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        };
        has_ended && self.is_stale_candidate() && self.upstream.was_refused().await
    }

    /// Counts gRPC's messages from now on.
    pub(super) fn count_messages(&mut self) {
        self.request.count_messages();
        self.response.count_messages();
    }

    /// gRPC's messages, received from downstream and from the endpoint.
    pub(super) fn messages(&self) -> (u64, u64) {
        (self.request.messages(), self.response.messages())
    }

    /// Body bytes received from downstream.
    pub(super) fn sent(&self) -> u64 {
        self.request.moved()
    }

    /// Body bytes received from the endpoint.
    pub(super) fn received(&self) -> u64 {
        self.response.moved()
    }

    /// Body bytes moved by its own polls, in both directions.
    fn handled(&self) -> u64 {
        self.request.handled() + self.response.handled()
    }

    /// Pushes the idle deadline where a byte moved: by this poll, which had handled `before` when it began, or past it.
    fn note_movement(&mut self, before: u64, timers: &mut Timers) {
        let passed = self.request.take_passed_at().max(self.response.take_passed_at());
        if self.handled() != before {
            timers.moved(Instant::now());
        } else if let Some(passed) = passed {
            timers.moved(passed.into());
        }
    }

    /// Sends the request and waits for the head of the final response; interim ones are passed on. A long body waits for its
    /// turn.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        head: &mut ResponseHead,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        ready!(self.poll_turn(cx, downstream));
        let polled = self.ask(cx, downstream, head, kept);
        self.pay(downstream);
        polled
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        head: &mut ResponseHead,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        let before = self.handled();
        loop {
            self.poll_send(cx, downstream, kept)?;
            self.note_movement(before, kept.timers);
            if self.upstream.take_head(head)? {
                if !head.is_interim() {
                    return Poll::Ready(Ok(()));
                }
                downstream.interim(head);
                continue;
            }
            downstream.nudge(cx)?;
            match self.upstream.poll_receive(cx, &downstream.worker, Size::Ordinary) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(self
                        .write_error
                        .take()
                        .map_or(Broken::UpstreamEnded, Broken::Upstream)));
                }
                Poll::Ready(Ok(_)) => {
                    self.has_answered = true;
                    continue;
                }
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => {}
            }
            if self.is_sent {
                self.upstream.release(&downstream.worker.buffers);
                if downstream.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Broken::Downstream));
                }
            }
            downstream.hold(self.held(kept.replay));
            return downstream.poll_expired(cx, kept.timers).map(Err);
        }
    }

    /// Passes the response's body on, and what is left of the request's. A long body waits for its turn.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        ready!(self.poll_turn(cx, downstream));
        let polled = self.pass(cx, downstream, kept);
        self.pay(downstream);
        polled
    }

    /// Ready when its turn has come, which for a body that is not long is always.
    fn poll_turn(&mut self, cx: &mut Context<'_>, downstream: &Downstream) -> Poll<()> {
        if !self.is_long(downstream) {
            return Poll::Ready(());
        }
        downstream.worker.lane.poll_turn(&mut self.turn, cx)
    }

    /// Whether its bodies have turns. Between two streams they need none: what a connection reads or writes at a time bounds
    /// them, and a stream that waits keeps its window closed.
    fn is_long(&self, downstream: &Downstream) -> bool {
        self.handled() >= limits::LONG_BODY_BYTES
            && (downstream.ends_with_exchange() || matches!(self.upstream, Upstream::Http1(_)))
    }

    /// Pays for what moved of a long body.
    fn pay(&mut self, downstream: &Downstream) {
        if self.is_long(downstream) {
            let moved = self.handled();
            let unpaid = moved - std::mem::replace(&mut self.paid, moved);
            downstream.worker.lane.pay(usize::try_from(unpaid).unwrap_or(usize::MAX));
        }
    }

    /// Asks for another turn where the one it has is over.
    fn poll_next_turn(&mut self, cx: &mut Context<'_>, downstream: &Downstream) -> Poll<()> {
        let is_over = self.handled() - self.paid >= limits::BODY_TURN_BYTES;
        if !is_over || !self.is_long(downstream) {
            return Poll::Ready(());
        }
        self.pay(downstream);
        self.poll_turn(cx, downstream)
    }

    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        let before = self.handled();
        loop {
            self.poll_send(cx, downstream, kept)?;
            let ends = (self.upstream.source(), downstream.sink());
            let is_blocked = match self.response.poll(cx, ends, None) {
                Poll::Ready(Ok(Step::Done)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Step::Starved)) => false,
                Poll::Ready(Err(PumpError::Invalid(invalid))) => {
                    return Poll::Ready(Err(Broken::Response(invalid)));
                }
                Poll::Ready(Err(PumpError::Write(_))) => {
                    return Poll::Ready(Err(Broken::Downstream));
                }
                Poll::Pending => true,
            };
            let is_its_turn = is_blocked || self.poll_next_turn(cx, downstream).is_ready();
            if !is_blocked && is_its_turn {
                let piece = downstream.piece(self.received());
                match self.upstream.poll_receive(cx, &downstream.worker, piece) {
                    Poll::Ready(Ok(0)) => {
                        self.upstream.end_of_input()?;
                        continue;
                    }
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                    Poll::Pending => {}
                }
                if self.is_sent && downstream.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Broken::Downstream));
                }
            }
            self.note_movement(before, kept.timers);
            if is_blocked {
                self.upstream.release(&downstream.worker.buffers);
                downstream.release();
                kept.timers.blocked(Instant::now(), self.received());
            } else {
                kept.timers.flows();
            }
            downstream.hold(self.held(kept.replay));
            return downstream.poll_expired(cx, kept.timers).map(Err);
        }
    }

    /// Writes what can be written of the request. Never waits for anything itself.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        kept: &mut Kept<'_>,
    ) -> Result<(), Broken> {
        let is_awaited = self.send(cx, downstream, kept)?;
        if kept.timers.watches_body() {
            kept.timers.body_came(Instant::now(), self.sent(), is_awaited);
        }
        Ok(())
    }

    /// The same; tells whether more of the request is waited for.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        kept: &mut Kept<'_>,
    ) -> Result<bool, Broken> {
        while !self.is_sent && self.write_error.is_none() {
            if self.poll_next_turn(cx, downstream).is_pending() {
                return Ok(false);
            }
            let ends = (downstream.source(), self.upstream.sink());
            match self.request.poll(cx, ends, Some(kept.replay)) {
                Poll::Ready(Ok(Step::Done)) => {
                    self.is_sent = true;
                    kept.timers.request_received();
                    return Ok(false);
                }
                Poll::Ready(Ok(Step::Starved)) => {}
                Poll::Ready(Err(PumpError::Invalid(invalid))) => {
                    return Err(Broken::Request(invalid));
                }
                Poll::Ready(Err(PumpError::Write(error))) => {
                    self.write_error = Some(error);
                    return Ok(false);
                }
                Poll::Pending if downstream.poll_parted(cx).is_ready() => return Err(self.left()),
                Poll::Pending => return Ok(false),
            }
            match downstream.poll_fill(cx) {
                Poll::Ready(false) => return Err(self.left()),
                Poll::Ready(true) => kept.timers.moved(Instant::now()),
                // A client that is not read from cannot come on.
                Poll::Pending => return Ok(downstream.watcher.may_read()),
            }
        }
        Ok(false)
    }

    /// Bytes that it holds now, the copy for another attempt included. What the downstream connection holds is on the books
    /// by itself.
    fn held(&self, replay: &Replay) -> usize {
        self.upstream.held() + self.request.held() + self.response.held() + replay.held()
    }

    /// The client left in the middle of its request: nobody must take what was sent of it for the whole.
    fn left(&self) -> Broken {
        self.upstream.reset_on_drop();
        Broken::Downstream
    }

    /// Whether the endpoint agreed to an upgrade.
    pub(super) fn is_upgraded(&self) -> bool {
        self.upstream.is_upgraded()
    }
}

/// Whether the request is one for a tunnel: then nothing follows its head but the tunnel.
pub(super) fn asks_for_tunnel(head: &RequestHead) -> bool {
    head.method() == Method::Connect
        || head.upgrade().is_some() && !matches!(head.body(), BodyLength::Exactly(_))
}

/// What outlives one attempt of an exchange.
pub(super) struct Kept<'a> {
    pub(super) replay: &'a mut Replay,
    pub(super) timers: &'a mut Timers,
}
