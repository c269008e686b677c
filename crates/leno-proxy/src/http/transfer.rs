//! Moving one body from a source to a sink, whatever versions the two speak.
//!
//! Between two HTTP/1 connections it is the [`Pump`] alone; a stream's bytes go through here. Each direction of an
//! exchange has its own.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use leno_core::grpc::MessageCount;
use leno_http::h1::{BodyReader, BodyWriter, Piece};
use leno_http::h2::Then;

use super::pump::{Ends, Pump, PumpError, Step, consume};
use super::replay::Replay;
use crate::http2::{self, Moved, Passed, Stream};
use crate::wire::{Outgoing, Wire};

/// Where a body comes from.
pub(super) enum Source<'a> {
    /// The bytes of a connection in their framing.
    Http1 { reader: &'a mut BodyReader, inbox: &'a mut Vec<u8> },
    /// A stream.
    Http2(&'a Stream),
}

/// Where a body goes.
pub(super) enum Sink<'a> {
    /// A connection that frames it.
    Http1 { writer: &'a mut BodyWriter, out: &'a mut Outgoing, to: &'a mut Wire },
    /// A stream.
    Http2(&'a Stream),
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    pump: Pump,
    /// For a stream that takes no more now.
    held: Vec<u8>,
    is_over: bool,
    count: Count,
    /// Bytes that went past between two streams, and when the last of them did.
    passed: (u64, Option<Instant>),
}

/// What is counted of a body on its way.
#[derive(Debug, Default)]
struct Count {
    bytes: u64,
    messages: Option<MessageCount>,
}

impl Count {
    fn on_data(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        if let Some(messages) = &mut self.messages {
            messages.on_data(data);
        }
    }
}

impl Transfer {
    /// A body that is not there: only what waits for the sink's connection is written.
    pub(super) fn nothing() -> Self {
        Self { is_over: true, ..Self::default() }
    }

    /// Begins with bytes that are to go before all others.
    pub(super) fn after(held: &[u8]) -> Self {
        Self { held: held.to_vec(), ..Self::default() }
    }

    /// Bytes that wait here.
    pub(super) fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Body bytes moved.
    pub(super) fn moved(&self) -> u64 {
        self.handled() + self.passed.0
    }

    /// Those of them that were moved by [`Self::poll`].
    pub(super) fn handled(&self) -> u64 {
        self.pump.moved + self.count.bytes
    }

    /// When the last of the others moved, once for each time that was learnt.
    pub(super) fn take_passed_at(&mut self) -> Option<Instant> {
        self.passed.1.take()
    }

    /// Counts gRPC's messages from now on.
    pub(super) fn count_messages(&mut self) {
        self.count.messages = Some(MessageCount::default());
    }

    /// gRPC's messages, where they are counted.
    pub(super) fn messages(&self) -> u64 {
        self.count.messages.as_ref().map_or(0, MessageCount::messages)
    }

    /// Moves what can be moved, with a copy to `tap` while one is wanted. `Pending` only when the receiver is full (its
    /// waker is registered).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, sink): (Source<'_>, Sink<'_>),
        tap: Option<&mut Replay>,
    ) -> Poll<Result<Step, PumpError>> {
        match (source, sink) {
            (Source::Http1 { reader, inbox }, Sink::Http1 { writer, out, to }) => {
                self.pump.poll(cx, &mut Ends { reader, writer, inbox, out, to, tap })
            }
            (Source::Http1 { reader, inbox }, Sink::Http2(to)) => {
                self.unframe(cx, (reader, inbox), to, tap)
            }
            (Source::Http2(from), Sink::Http1 { writer, out, to }) => {
                self.frame(cx, from, (writer, out, to), tap)
            }
            (Source::Http2(from), Sink::Http2(to)) => {
                from.register(cx);
                to.register(cx);
                self.between_streams(from, to, tap)
            }
        }
    }

    /// From a connection to a stream.
    fn unframe(
        &mut self,
        cx: &mut Context<'_>,
        (reader, inbox): (&mut BodyReader, &mut Vec<u8>),
        to: &Stream,
        mut tap: Option<&mut Replay>,
    ) -> Poll<Result<Step, PumpError>> {
        to.register(cx);
        loop {
            ready!(self.send_held(to)).map_err(PumpError::Write)?;
            if self.is_over {
                return Poll::Ready(Ok(Step::Done));
            }
            let decoded = reader.decode(inbox).map_err(PumpError::Invalid)?;
            let (consumed, mut is_end) = (decoded.consumed, false);
            match decoded.piece {
                Piece::Data(data) => {
                    if let Some(tap) = &mut tap {
                        tap.keep(data);
                    }
                    self.count.on_data(data);
                    // The end is known already where the length was announced: it goes with the last bytes.
                    let is_last = reader.is_done() && reader.trailers().is_empty();
                    let sent = to.send_data(data, if is_last { Then::End } else { Then::More });
                    self.is_over = is_last && sent == data.len();
                    self.held.extend_from_slice(&data[sent..]);
                }
                Piece::End => is_end = true,
                Piece::More => {
                    consume(inbox, consumed);
                    return Poll::Ready(Ok(Step::Starved));
                }
            }
            consume(inbox, consumed);
            if is_end {
                if let Some(tap) = tap.as_deref_mut().filter(|_| !reader.trailers().is_empty()) {
                    tap.lose();
                }
                to.send_end(reader.trailers());
                self.is_over = true;
            }
        }
    }

    /// Sends what is held; `Pending` when the stream takes no more.
    fn send_held(&mut self, to: &Stream) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let sent = to.send_data(&self.held, Then::More);
            consume(&mut self.held, sent);
        }
        if self.held.is_empty() { Poll::Ready(Ok(())) } else { wait_for(to).map(Err) }
    }

    /// From a stream to a connection.
    fn frame(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        (writer, out, to): (&mut BodyWriter, &mut Outgoing, &mut Wire),
        mut tap: Option<&mut Replay>,
    ) -> Poll<Result<Step, PumpError>> {
        from.register(cx);
        loop {
            let moved = if self.is_over {
                Moved::Done
            } else {
                let keep =
                    |piece: http2::Piece<'_>| keep(tap.as_deref_mut(), &mut self.count, piece);
                from.write_to(writer, out, keep).map_err(PumpError::Invalid)?
            };
            self.is_over = moved == Moved::Done;
            ready!(out.poll_drain(to, cx)).map_err(PumpError::Write)?;
            match moved {
                Moved::Done => return Poll::Ready(Ok(Step::Done)),
                Moved::All(_) => return Poll::Ready(Ok(Step::Starved)),
                Moved::Some(_) => {}
            }
        }
    }

    fn between_streams(
        &mut self,
        from: &Stream,
        to: &Stream,
        mut tap: Option<&mut Replay>,
    ) -> Poll<Result<Step, PumpError>> {
        self.take_relayed(from);
        ready!(self.send_held(to)).map_err(PumpError::Write)?;
        if self.is_over {
            return Poll::Ready(Ok(Step::Done));
        }
        let keep = |piece: http2::Piece<'_>| keep(tap.as_deref_mut(), &mut self.count, piece);
        match from.move_to(to, keep) {
            Moved::Done => {
                self.is_over = true;
                Poll::Ready(Ok(Step::Done))
            }
            Moved::All(_) => {
                if !tap.is_some_and(|tap| tap.is_recording()) {
                    from.relay_to(to, self.count.messages);
                }
                Poll::Ready(Ok(Step::Starved))
            }
            Moved::Some(_) => wait_for(to).map(|error| Err(PumpError::Write(error))),
        }
    }

    /// Counts what went past since the last time.
    fn take_relayed(&mut self, from: &Stream) {
        let Some(Passed { bytes, at, messages }) = from.take_relayed() else { return };
        self.passed.0 += bytes;
        self.passed.1 = at.or(self.passed.1);
        self.count.messages = messages;
    }
}

/// Waits for a stream that takes no more now; one that never will is an error, at once.
fn wait_for(to: &Stream) -> Poll<io::Error> {
    let is_lost = to.is_cut_off() || to.broken().is_some();
    if is_lost { Poll::Ready(io::ErrorKind::BrokenPipe.into()) } else { Poll::Pending }
}

fn keep(tap: Option<&mut Replay>, count: &mut Count, piece: http2::Piece<'_>) {
    match piece {
        http2::Piece::Data(data) => {
            count.on_data(data);
            if let Some(tap) = tap {
                tap.keep(data);
            }
        }
        http2::Piece::Trailers => {
            if let Some(tap) = tap {
                tap.lose();
            }
        }
    }
}
