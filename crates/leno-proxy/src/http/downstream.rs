//! The client's end of an exchange: the request comes from here, the answer goes here.
//!
//! Owned by the session. The stages of the exchange ask it for what they need and never look at the framing behind it;
//! what each version does is in [`http1`] and [`http2`].

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_http::ResponseHead;
use leno_http::h2::{Code, Then};
use leno_telemetry::LimitReached;
use tokio::time::Instant;

use super::After;
use super::attempt::Broken;
use super::timers::Timers;
use super::transfer::{Sink, Source};
use crate::budget::Charge;
use crate::buffers::Size;
use crate::deadline::Deadline;
use crate::lifecycle::{Phase, Watcher};
use crate::limits;
use crate::worker::Worker;

pub(super) mod http1;
pub(super) mod http2;

pub(super) use http1::Http1;
pub(super) use http2::Http2;

/// The client's end, with the one timer of what happens on it.
pub(crate) struct Downstream {
    pub(super) worker: Rc<Worker>,
    pub(super) carrier: Carrier,
    pub(super) deadline: Deadline,
    pub(super) watcher: Watcher,
    /// For what the exchange under way holds besides the carrier's own buffers.
    charge: Option<Charge>,
    /// Body bytes of the exchanges that are over.
    pub(super) taken: u64,
}

/// What carries the exchanges.
pub(super) enum Carrier {
    /// A connection of its own. Boxed: a place on a shared one, of which there are many more, needs a tenth of it.
    Http1(Box<Http1>),
    /// A place on a connection that many share.
    Http2(Http2),
}

impl Downstream {
    pub(super) fn new(worker: Rc<Worker>, carrier: Carrier, watcher: Watcher) -> Self {
        let charge = watcher.charge();
        if let (Some(charge), Carrier::Http2(_)) = (&charge, &carrier) {
            charge.set(limits::STREAM_BYTES);
        }
        Self { worker, carrier, deadline: Deadline::new(), watcher, charge, taken: 0 }
    }

    /// Room for a read of what comes for it in bulk, once the exchange brought so much: who has taken little gets it in small
    /// pieces.
    pub(super) fn piece(&self, received: u64) -> Size {
        match &self.carrier {
            Carrier::Http1(end) if end.wire.is_fast() => Size::Large,
            _ if self.taken + received >= limits::PROVEN_BYTES => Size::Body,
            _ => Size::Ordinary,
        }
    }

    /// When the request that is under way arrived, as far as that is known without the clock.
    pub(super) fn arrived_at(&self) -> Option<std::time::Instant> {
        match &self.carrier {
            Carrier::Http1(_) => None,
            Carrier::Http2(end) => end.arrived_at(),
        }
    }

    /// Whether all of the request was taken.
    pub(super) fn is_request_done(&mut self) -> bool {
        match &mut self.carrier {
            Carrier::Http1(end) => end.server.request_body().is_done(),
            Carrier::Http2(end) => end.stream().is_empty(),
        }
    }

    /// Passes an interim response on; it leaves with the next write.
    pub(super) fn interim(&mut self, head: &ResponseHead) {
        match &mut self.carrier {
            Carrier::Http1(end) => end.server.interim(head, &mut end.out.bytes),
            Carrier::Http2(end) => end.stream().interim(head),
        }
    }

    /// Writes what waits; never waits itself.
    pub(super) fn nudge(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        match &mut self.carrier {
            Carrier::Http1(end) => end.nudge(cx),
            Carrier::Http2(_) => Ok(()),
        }
    }

    /// Begins the final response, which may be nothing but its head, and tells the head's length. Nothing leaves yet.
    pub(super) fn begin(&mut self, head: &ResponseHead, then: Then) -> usize {
        let is_last = self.watcher.is_last();
        match &mut self.carrier {
            Carrier::Http1(end) => end.begin(head, is_last, &self.worker.buffers),
            Carrier::Http2(end) => end.begin(head, then),
        }
    }

    /// Sends a whole answer of our own. Nobody waits for ever for a client that does not take it.
    pub(super) async fn answer(&mut self, head: &ResponseHead, body: &[u8]) -> io::Result<()> {
        let is_last = self.watcher.is_last();
        let Self { worker, carrier, deadline, watcher, .. } = self;
        let answering = async {
            match carrier {
                Carrier::Http1(end) => end.answer(head, body, is_last, &worker.buffers).await,
                Carrier::Http2(end) => end.answer(head, body).await,
            }
        };
        let (mut answering, mut is_waiting) = (std::pin::pin!(answering), false);
        poll_fn(|cx| {
            if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            if !std::mem::replace(&mut is_waiting, true) {
                deadline.set(Some(Instant::now() + limits::ANSWER));
            }
            if deadline.poll(cx).is_ready() {
                worker.process.metrics.reached(LimitReached::SlowReader);
            } else if watcher.phase() != Phase::Closing {
                return Poll::Pending;
            }
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// The exchange under way, which is about to wait, holds so many bytes besides the carrier's own buffers.
    pub(super) fn hold(&self, bytes: usize) {
        if let Carrier::Http1(end) = &self.carrier {
            end.settle();
        }
        if let Some(charge) = &self.charge {
            charge.set(match self.carrier {
                Carrier::Http1(_) => bytes,
                Carrier::Http2(_) => bytes + limits::STREAM_BYTES,
            });
        }
    }

    /// The exchange under way is over.
    fn let_go(&self) {
        if let Some(charge) = &self.charge {
            charge.set(0);
        }
    }

    /// Refuses the request in a way that says that nothing was done about it; `false` where there is none but an answer.
    pub(super) fn refuse(&mut self) -> bool {
        let Carrier::Http2(end) = &mut self.carrier else { return false };
        end.refuse();
        true
    }

    /// Gives back the buffer that the response's head was written from, once nothing of it waits.
    pub(super) fn release(&mut self) {
        if let Carrier::Http1(end) = &mut self.carrier {
            self.worker.buffers.release(&mut end.out.bytes);
        }
    }

    /// Ends the exchange.
    pub(super) fn finish(&mut self) -> After {
        self.let_go();
        match &mut self.carrier {
            Carrier::Http1(end) => end.finish(&self.worker.buffers),
            Carrier::Http2(end) => {
                end.finish_answered();
                After::Next
            }
        }
    }

    /// Ends the exchange in the middle of its response.
    pub(super) fn abandon(&mut self, code: Code) -> After {
        self.let_go();
        if let Carrier::Http2(end) = &mut self.carrier {
            end.abandon(code);
        }
        After::Close
    }

    /// Whether nothing can follow an exchange that went wrong.
    pub(super) fn ends_with_exchange(&self) -> bool {
        matches!(self.carrier, Carrier::Http1(_))
    }

    /// Where the request's body comes from.
    pub(super) fn source(&mut self) -> Source<'_> {
        match &mut self.carrier {
            Carrier::Http1(end) => {
                Source::Http1 { reader: end.server.request_body(), inbox: &mut end.inbox }
            }
            Carrier::Http2(end) => Source::Http2(end.stream()),
        }
    }

    /// Where the response's body goes.
    pub(super) fn sink(&mut self) -> Sink<'_> {
        match &mut self.carrier {
            Carrier::Http1(end) => Sink::Http1 {
                writer: end.server.response_body(),
                out: &mut end.out,
                to: &mut end.wire,
            },
            Carrier::Http2(end) => Sink::Http2(end.stream()),
        }
    }

    /// Waits for more of the request; `false` is the end of what comes.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.carrier {
            Carrier::Http1(_) if !self.watcher.may_read() => Poll::Pending,
            Carrier::Http1(end) => end
                .poll_fill_body(cx, &self.worker, &self.watcher)
                .map(|read| matches!(read, Ok(1..))),
            Carrier::Http2(end) => end.poll_gone(cx).map(|()| false),
        }
    }

    /// Watches a client that waits for its answer: ready when it has gone.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.carrier {
            Carrier::Http1(end) => end.poll_gone(cx, &self.worker.buffers),
            Carrier::Http2(end) => end.poll_gone(cx),
        }
    }

    /// Watches a client whose request cannot be taken on now: ready when it has gone.
    pub(super) fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.carrier {
            Carrier::Http1(end) => end.poll_parted(cx),
            Carrier::Http2(end) => end.poll_gone(cx),
        }
    }

    /// Whether the stream of the exchange under way is over already.
    pub(super) fn has_left(&self) -> bool {
        match &self.carrier {
            Carrier::Http1(_) => false,
            Carrier::Http2(end) => end.stream().broken().is_some(),
        }
    }

    /// Waits so long, or until the client leaves.
    pub(super) async fn pause(&mut self, length: Duration) -> Result<(), Broken> {
        self.deadline.set(Some(Instant::now() + length));
        poll_fn(|cx| {
            if self.deadline.poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.poll_gone(cx).map(|()| Err(Broken::Downstream))
        })
        .await
    }

    /// Runs `future` as long as the client is there and no deadline passed.
    pub(super) async fn watch<T>(
        &mut self,
        future: impl Future<Output = T>,
        timers: &Timers,
    ) -> Result<T, Broken> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if self.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Broken::Downstream));
            }
            self.poll_expired(cx, timers).map(Err)
        })
        .await
    }

    /// Ready when a deadline of the exchange passed, or the process cannot wait any longer.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>, timers: &Timers) -> Poll<Broken> {
        self.deadline.set(Some(timers.next()));
        if self.deadline.poll(cx).is_ready()
            && let Some(expired) = timers.expired(Instant::now())
        {
            return Poll::Ready(Broken::Expired(expired));
        }
        match self.watcher.phase() {
            Phase::Closing if self.watcher.is_shed() => Poll::Ready(Broken::Shed),
            Phase::Closing => Poll::Ready(Broken::Downstream),
            Phase::Serving | Phase::Draining => Poll::Pending,
        }
    }
}
