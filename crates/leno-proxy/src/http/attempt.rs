//! One attempt at one endpoint: the request goes out, the response comes back.
//!
//! Full duplex: an early response is passed on while the request's body is still on its way, and a client that leaves
//! ends the attempt at once. Owned by [`super::forward`]; dropping it before the end closes the upstream connection,
//! which is how an abandoned exchange reaches the endpoint.

use std::io;
use std::task::{Context, Poll};

use leno_http::h1::{Client, Persistence};
use leno_http::{Invalid, Limits, RequestHead, ResponseHead};
use tokio::time::Instant;

use super::pump::{Ends, Pump, PumpError, Step, consume};
use super::replay::Replay;
use super::session::Downstream;
use super::timers::{Expired, Timers};
use crate::limits::BODY_BUFFER_BYTES;
use crate::upstream::cluster::UpstreamConnection;
use crate::wire::Outgoing;

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
    /// The upstream's response is malformed.
    Response(Invalid),
    /// A deadline passed.
    Expired(Expired),
}

/// One attempt.
pub(super) struct Attempt {
    pub(super) connection: UpstreamConnection,
    client: Client,
    inbox: Vec<u8>,
    out: Outgoing,
    request: Pump,
    response: Pump,
    /// The whole request was handed to the socket.
    is_sent: bool,
    /// Writing failed; the endpoint may have answered before it closed, so the response is still waited for.
    write_error: Option<io::Error>,
    /// Whether any byte of a response arrived.
    has_answered: bool,
}

impl Attempt {
    /// Encodes the head, and what a former attempt kept of the body.
    pub(super) fn begin(
        connection: UpstreamConnection,
        buffers: &crate::buffers::Buffers,
        head: &RequestHead,
        replay: &Replay,
    ) -> Box<Self> {
        let mut client = Client::new(Limits::DEFAULT);
        let mut out = Outgoing::default();
        buffers.ensure(&mut out.bytes);
        client.request(head, &mut out.bytes);
        replay.resend(client.request_body(), &mut out.bytes);
        // Boxed: it is handed on by every stage of the exchange, and copying it each time costs more than parsing.
        Box::new(Self {
            connection,
            client,
            inbox: Vec::new(),
            out,
            request: Pump::default(),
            response: Pump::default(),
            is_sent: false,
            write_error: None,
            has_answered: false,
        })
    }

    /// Whether the failure of this attempt can be the closing of a kept connection that nobody could foresee.
    pub(super) fn is_stale_candidate(&self) -> bool {
        self.connection.served > 0 && !self.has_answered
    }

    /// Whether this is the connection's first exchange, and nothing was said in it.
    pub(super) fn is_first(&self) -> bool {
        self.connection.served == 0 && !self.has_answered
    }

    /// Whether no byte of the request reached the socket.
    pub(super) fn is_unsent(&self) -> bool {
        !self.out.has_written()
    }

    /// Body bytes received from downstream.
    pub(super) fn sent(&self) -> u64 {
        self.request.moved
    }

    /// Body bytes received from the endpoint.
    pub(super) fn received(&self) -> u64 {
        self.response.moved
    }

    /// Sends the request and waits for the head of the final response; interim ones are passed on.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        head: &mut ResponseHead,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            self.poll_send(cx, downstream, kept)?;
            if !self.inbox.is_empty() {
                let parsed = self.client.response(&self.inbox, head).map_err(Broken::Response)?;
                if let Some(length) = parsed {
                    consume(&mut self.inbox, length);
                    if !head.is_interim() {
                        return Poll::Ready(Ok(()));
                    }
                    downstream.server.interim(head, &mut downstream.out.bytes);
                    continue;
                }
            }
            if !downstream.out.is_empty()
                && let Poll::Ready(Err(_)) = downstream.out.poll_drain(&mut downstream.wire, cx)
            {
                return Poll::Ready(Err(Broken::Downstream));
            }
            match self.poll_receive(cx, downstream) {
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
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Upstream(error))),
                Poll::Pending => {}
            }
            if self.is_sent && downstream.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Broken::Downstream));
            }
            return downstream.poll_expired(cx, kept.timers).map(Err);
        }
    }

    /// Passes the response's body on, and what is left of the request's.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream,
        kept: &mut Kept<'_>,
    ) -> Poll<Result<(), Broken>> {
        let before = self.request.moved + self.response.moved;
        loop {
            self.poll_send(cx, downstream, kept)?;
            let mut ends = Ends {
                reader: self.client.response_body(),
                writer: downstream.server.response_body(),
                inbox: &mut self.inbox,
                out: &mut downstream.out,
                to: &mut downstream.wire,
                tap: None,
            };
            let is_blocked = match self.response.poll(cx, &mut ends) {
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
            if !is_blocked {
                match self.poll_receive(cx, downstream) {
                    Poll::Ready(Ok(0)) => {
                        self.client.end_of_input().map_err(|_| Broken::UpstreamEnded)?;
                        continue;
                    }
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Upstream(error))),
                    Poll::Pending => {}
                }
                if self.is_sent && downstream.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Broken::Downstream));
                }
            }
            if self.request.moved + self.response.moved != before {
                kept.timers.moved(Instant::now());
            }
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
        while !self.is_sent && self.write_error.is_none() {
            let mut ends = Ends {
                reader: downstream.server.request_body(),
                writer: self.client.request_body(),
                inbox: &mut downstream.inbox,
                out: &mut self.out,
                to: &mut self.connection.wire,
                tap: Some(kept.replay),
            };
            match self.request.poll(cx, &mut ends) {
                Poll::Ready(Ok(Step::Done)) => {
                    self.is_sent = true;
                    kept.timers.request_received();
                    return Ok(());
                }
                Poll::Ready(Ok(Step::Starved)) => {}
                Poll::Ready(Err(PumpError::Invalid(invalid))) => {
                    return Err(Broken::Request(invalid));
                }
                Poll::Ready(Err(PumpError::Write(error))) => {
                    self.write_error = Some(error);
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
            match downstream.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(Broken::Downstream),
                Poll::Ready(Ok(_)) => kept.timers.moved(Instant::now()),
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &Downstream,
    ) -> Poll<io::Result<usize>> {
        let buffers = &downstream.worker.buffers;
        buffers.ensure(&mut self.inbox);
        if self.inbox.len() == self.inbox.capacity() {
            // Full reads: a long body, worth fewer and larger system calls.
            let room = self.inbox.capacity().min(BODY_BUFFER_BYTES);
            self.inbox.reserve_exact(room);
        }
        self.connection.wire.poll_read(cx, &mut self.inbox)
    }

    /// Ends the attempt and tells whether the connection can carry another exchange.
    pub(super) fn finish(
        mut self: Box<Self>,
        buffers: &crate::buffers::Buffers,
    ) -> Option<UpstreamConnection> {
        let persistence = self.client.finish(&self.inbox);
        buffers.give(std::mem::take(&mut self.inbox));
        buffers.give(std::mem::take(&mut self.out.bytes));
        self.connection.served += 1;
        (persistence == Persistence::Keep).then_some(self.connection)
    }

    /// The parts of a connection that became a tunnel: its bytes, and those that came behind the head.
    pub(super) fn into_tunnel(self: Box<Self>) -> Option<(UpstreamConnection, Vec<u8>)> {
        self.client.is_upgraded().then_some((self.connection, self.inbox))
    }

    /// Whether the endpoint agreed to an upgrade.
    pub(super) fn is_upgraded(&self) -> bool {
        self.client.is_upgraded()
    }
}

/// What outlives one attempt of an exchange.
pub(super) struct Kept<'a> {
    pub(super) replay: &'a mut Replay,
    pub(super) timers: &'a mut Timers,
}
