//! One downstream HTTP/1 connection: its bytes, its machine, its timer.
//!
//! Made by the listener, driven by [`super::serve`]; everything in it is reused from request to request, so a request on
//! a warm connection allocates nothing here.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_core::config::HttpFilter;
use leno_core::filter_chain::HttpManager;
use leno_core::random::Random as _;
use leno_core::reply::Failure;
use leno_http::h1::Server;
use leno_http::{Invalid, Limits, RequestHead, ResponseHead};
use leno_telemetry::peer::PeerCache;
use leno_telemetry::{PartyId, ProcessStat};
use tokio::time::Instant;

use super::attempt::Broken;
use super::pump::consume;
use super::record::Record;
use super::timers::Timers;
use crate::deadline::Deadline;
use crate::lifecycle::{Phase, Watcher};
use crate::limits;
use crate::listener::Facts;
use crate::telemetry::SharedWriter;
use crate::wire::{Outgoing, Wire};
use crate::worker::Worker;

/// One downstream connection with everything its exchanges need.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    /// Who the peer is and where it was going.
    pub(crate) facts: Rc<Facts>,
    pub(crate) manager: std::sync::Arc<HttpManager>,
    pub(crate) downstream: Downstream,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(super) record: Record,
    pub(super) logs: Vec<SharedWriter>,
    /// Who the peer is, for metrics of inbound requests.
    pub(super) peer_party: PartyId,
    pub(super) peers: PeerCache,
    /// Whether proxies tell each other whom they stand for (`istio.peer_metadata`).
    pub(super) exchanges_metadata: bool,
}

/// The connection itself.
pub(crate) struct Downstream {
    pub(crate) worker: Rc<Worker>,
    pub(crate) wire: Wire,
    /// Received and not yet used.
    pub(crate) inbox: Vec<u8>,
    /// To be written.
    pub(crate) out: Outgoing,
    pub(crate) server: Server,
    pub(crate) deadline: Deadline,
    pub(crate) watcher: Watcher,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub(crate) enum Next {
    /// A head of so many bytes is in [`Session::request`].
    Request(usize),
    /// Bytes that are no request; answer and close.
    Invalid(Invalid),
    /// The head did not arrive in time.
    HeadTimeout,
    /// Nothing more comes: the end, an idle timeout, a drain.
    End,
}

impl Session {
    /// `inbox` holds what the inspectors read.
    pub(crate) fn new(
        worker: Rc<Worker>,
        facts: Rc<Facts>,
        manager: std::sync::Arc<HttpManager>,
        wire: Wire,
        inbox: Vec<u8>,
        watcher: Watcher,
    ) -> Self {
        let downstream = Downstream {
            worker: Rc::clone(&worker),
            wire,
            inbox,
            out: Outgoing::default(),
            server: Server::new(Limits::DEFAULT),
            deadline: Deadline::new(),
            watcher,
        };
        let principal = facts.proof.peer.clone();
        let exchanges_metadata = manager.settings.http_filters.contains(&HttpFilter::PeerMetadata);
        let logs = worker.telemetry.writers(&manager.settings.access_log);
        Self {
            worker,
            facts,
            manager,
            downstream,
            request: RequestHead::new(),
            response: ResponseHead::new(),
            record: Record::default(),
            logs,
            peer_party: PartyId::UNKNOWN,
            peers: PeerCache::new(principal.as_deref()),
            exchanges_metadata,
        }
    }

    /// A uniformly distributed number.
    pub(super) fn draw(&self) -> u64 {
        self.worker.random.borrow_mut().next_u64()
    }

    /// Ends the connection in order: what was written must arrive, so what still comes is read and dropped for a while.
    pub(super) async fn end(&mut self) {
        let (downstream, worker) = (&mut self.downstream, &self.worker);
        let mut dropped = 0;
        let farewell = poll_fn(|cx| {
            if downstream.wire.poll_shutdown(cx)?.is_pending() {
                return Poll::Pending;
            }
            loop {
                dropped += downstream.inbox.len();
                downstream.inbox.clear();
                if dropped > limits::LINGER_BYTES {
                    return Poll::Ready(Ok::<(), io::Error>(()));
                }
                if std::task::ready!(downstream.poll_fill(cx))? == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        });
        // Neither a broken connection nor a client that stays matters any more.
        let _ = tokio::time::timeout(limits::LINGER, farewell).await;
        worker.buffers.give(std::mem::take(&mut downstream.inbox));
    }

    /// Waits for the next request's head.
    pub(crate) async fn next_request(&mut self, served: u64) -> Next {
        let settings = &self.manager.settings;
        let idle = settings.idle_timeout.unwrap_or(limits::DOWNSTREAM_IDLE);
        let head_limit = settings.request_headers_timeout.unwrap_or(limits::REQUEST_HEAD);
        let (downstream, request) = (&mut self.downstream, &mut self.request);
        let (mut begun, mut is_draining) = (false, false);
        let idle_end = Instant::from_std(self.record.now()) + idle;
        if downstream.inbox.is_empty() && downstream.set_wait(idle_end) {
            return Next::End;
        }
        poll_fn(|cx| {
            if served == 0 {
                downstream.watcher.register(cx);
            }
            loop {
                if !downstream.inbox.is_empty() {
                    match downstream.server.head(&downstream.inbox, request) {
                        Ok(Some(length)) => {
                            consume(&mut downstream.inbox, length);
                            return Poll::Ready(Next::Request(length));
                        }
                        Ok(None) => {}
                        Err(invalid) => return Poll::Ready(Next::Invalid(invalid)),
                    }
                    if !begun {
                        begun = true;
                        downstream.deadline.set(Some(Instant::now() + head_limit));
                    }
                }
                match downstream.poll_fill(cx) {
                    Poll::Ready(Ok(0)) if begun => {
                        return Poll::Ready(Next::Invalid(Invalid::Truncated));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Pending => {}
                }
                match downstream.watcher.phase() {
                    Phase::Serving => {}
                    Phase::Closing => return Poll::Ready(Next::End),
                    // A request may be on its way already: it is answered, and the answer says that it was the last.
                    Phase::Draining if !begun && !is_draining => {
                        is_draining = true;
                        let now = Instant::now();
                        let turn = downstream.watcher.turn().map_or(now, |turn| turn.max(now));
                        downstream.deadline.set(Some(idle_end.min(turn + limits::DRAIN_IDLE)));
                    }
                    Phase::Draining => {}
                }
                if downstream.deadline.poll(cx).is_ready() {
                    return Poll::Ready(if begun { Next::HeadTimeout } else { Next::End });
                }
                return Poll::Pending;
            }
        })
        .await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A defect of ours: this connection is lost, the worker goes on.
            self.worker.process.metrics.add(ProcessStat::ExchangePanics, 1);
        } else if self.record.is_open() {
            self.record.failed(Failure::DownstreamDisconnect, self.facts.side());
            self.finish_record();
        }
    }
}

impl Downstream {
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
        if self.watcher.phase() == Phase::Closing {
            return Poll::Ready(Broken::Downstream);
        }
        Poll::Pending
    }

    /// Arms the idle timer; `true` when a drain says not to wait at all.
    fn set_wait(&mut self, idle_end: Instant) -> bool {
        self.deadline.set(Some(idle_end));
        self.watcher.phase() == Phase::Closing
    }

    /// Reads more into the inbox; a connection that waits holds no buffer. 0 is the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.worker.buffers.ensure(&mut self.inbox);
        if self.inbox.len() == self.inbox.capacity() {
            self.inbox.reserve(limits::READ_BUFFER_BYTES);
        }
        let polled = self.wire.poll_read(cx, &mut self.inbox);
        if polled.is_pending() {
            self.worker.buffers.release(&mut self.inbox);
        }
        polled
    }

    /// Watches a client that waits for its answer: ready when it has gone. Pipelined bytes are kept, within bounds.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.inbox.len() < limits::READ_BUFFER_BYTES {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.out.poll_drain(&mut self.wire, cx)).await
    }
}
