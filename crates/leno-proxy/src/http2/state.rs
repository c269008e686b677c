//! What changes of one HTTP/2 connection: its socket, its machine, and what arrived for each stream.
//!
//! Borrowed for the length of one call, never across an await. Hands out what was read and writes what waits; whoever is
//! concerned is told by its waker.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::changes::Changes;
use super::connection::Ended;
use super::received::Received;
use crate::buffers::Buffers;
use crate::limits;
use crate::wire::{Outgoing, Wire};
use crate::worker::Worker;
use leno_http::h2::{self, Event, Then};
use leno_telemetry::{LimitReached, ProcessStat};

/// What changes.
pub(super) struct State {
    pub(super) machine: h2::Connection,
    pub(super) out: Outgoing,
    pub(super) wire: Wire,
    /// By the machine's slots.
    streams: Vec<Received>,
    /// Body bytes in all of them.
    held: usize,
    /// Streams that came in and were handed to nobody.
    pub(super) accepted: VecDeque<h2::Stream>,
    pub(super) driver: Option<Waker>,
    pub(super) is_dirty: bool,
    /// The socket is full: the driver waits for it.
    pub(super) is_blocked: bool,
    /// A stream's sender waits for room.
    wants_room: bool,
    /// The driver does not read until there is room.
    pub(super) is_paused: bool,
    /// Said to the other side to be the last bytes; end when they are written.
    pub(super) is_closing: bool,
    /// The peer said what it allows.
    pub(super) is_settled: bool,
    /// Who waits for that.
    pub(super) unsettled: Vec<Waker>,
    /// The peer's limits changed.
    pub(super) has_changed: bool,
    /// When the driver read what it hands out in this turn; `None` where it read nothing.
    pub(super) read_at: Option<Instant>,
    /// Who waits for a stream to end.
    pub(super) place: Option<Rc<Changes>>,
    pub(super) ended: Option<Ended>,
}

/// One stream's mail box, and what taking from it touches.
pub(super) struct Parts<'s> {
    machine: &'s mut h2::Connection,
    pub(super) received: &'s mut Received,
    out: &'s mut Vec<u8>,
    held: &'s mut usize,
}

impl Parts<'_> {
    /// Forgets the first `count` body bytes: they were passed on, so as many may come.
    pub(super) fn take(&mut self, stream: h2::Stream, count: usize, buffers: &Buffers) {
        self.received.take(count, buffers);
        *self.held -= count;
        self.machine.release(stream, count, self.out);
    }

    /// What comes is passed on at once: more of it may be under way.
    pub(super) fn widen(&mut self, stream: h2::Stream) {
        self.machine.widen(stream, self.out);
    }
}

impl State {
    pub(super) fn new(machine: h2::Connection, wire: Wire, buffers: &Buffers) -> Self {
        let mut out = Outgoing::default();
        buffers.ensure(&mut out.bytes);
        Self {
            machine,
            out,
            wire,
            streams: Vec::new(),
            held: 0,
            accepted: VecDeque::new(),
            driver: None,
            is_dirty: false,
            is_blocked: false,
            wants_room: false,
            is_paused: false,
            is_closing: false,
            is_settled: false,
            unsettled: Vec::new(),
            has_changed: false,
            read_at: None,
            place: None,
            ended: None,
        }
    }

    pub(super) fn stream(&mut self, stream: h2::Stream) -> &mut Received {
        &mut self.streams[stream.slot()]
    }

    pub(super) fn parts(&mut self, stream: h2::Stream) -> Parts<'_> {
        let Self { machine, streams, out, held, .. } = self;
        Parts { machine, received: &mut streams[stream.slot()], out: &mut out.bytes, held }
    }

    /// Makes a slot ready for another stream; what the last one left there is dropped.
    pub(super) fn begin(&mut self, stream: h2::Stream, buffers: &Buffers) -> &mut Received {
        if self.streams.len() <= stream.slot() {
            // Most connections have few; those that have many grow by a quarter.
            let missing = stream.slot() + 1 - self.streams.len();
            if self.streams.capacity() <= stream.slot() {
                self.streams.reserve_exact(missing + self.streams.len() / 4);
            }
            self.streams.resize_with(stream.slot() + 1, Received::default);
        }
        let received = &mut self.streams[stream.slot()];
        self.held -= received.body().len();
        received.begin(buffers);
        received
    }

    /// Bytes that wait here: bodies that nobody took, and what the socket did not take.
    pub(super) fn held(&self) -> usize {
        self.held + self.out.pending()
    }

    /// Gives back what is kept ready for streams, when there is none.
    pub(super) fn shrink(&mut self) {
        if self.machine.in_use() == 0 && self.held() == 0 {
            self.streams = Vec::new();
            self.accepted.shrink_to_fit();
        }
    }

    /// Whether more may be appended to what waits to be written; else the stream is told when.
    pub(super) fn has_room(&mut self, stream: h2::Stream) -> bool {
        if self.out.pending() < limits::HTTP2_OUT_BYTES {
            return true;
        }
        self.streams[stream.slot()].wants_room = true;
        self.wants_room = true;
        false
    }

    /// A stream is over: a connection that takes no more ends with its last one.
    pub(super) fn note_end(&self) {
        if let Some(place) = &self.place {
            place.tell();
        }
        if self.machine.is_going_away() {
            self.wake_driver();
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        self.unsettled.drain(..).for_each(Waker::wake);
        self.ended.get_or_insert(ended);
        self.has_changed = true;
        self.streams.iter_mut().for_each(Received::wake);
        self.wake_driver();
    }

    /// Writes what waits. `Pending`: the socket is full.
    pub(super) fn write(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        let Self { out, wire, .. } = self;
        match out.poll_drain(wire, cx) {
            Poll::Pending => {
                self.is_blocked = true;
                self.out.compact();
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) => self.end(Ended::Gone),
            Poll::Ready(Ok(())) if self.is_closing => self.end(Ended::Closed),
            Poll::Ready(Ok(())) => {}
        }
        self.is_blocked = false;
        if self.machine.active() == 0 {
            worker.buffers.release(&mut self.out.bytes);
        }
        if std::mem::take(&mut self.wants_room) {
            for stream in &mut self.streams {
                if std::mem::take(&mut stream.wants_room) {
                    stream.wake();
                }
            }
        }
        if std::mem::take(&mut self.is_paused) {
            self.wake_driver();
        }
        Poll::Ready(())
    }

    /// Hands out what arrived.
    pub(super) fn receive(&mut self, worker: &Worker, mut input: &[u8]) {
        let now = Instant::now();
        self.read_at = Some(now);
        let mut heads = worker.heads.borrow_mut();
        loop {
            let event = match self.machine.receive(now, &mut input, &mut heads, &mut self.out.bytes)
            {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(why = error.why.code(), "HTTP/2 connection error");
                    if error.code() == h2::Code::ENHANCE_YOUR_CALM {
                        worker.process.metrics.reached(LimitReached::Http2);
                    }
                    self.is_closing = true;
                    return;
                }
            };
            match event {
                Event::Data { stream, bytes, then } => {
                    self.on_data(stream, (bytes, then), now, &worker.buffers);
                }
                event => self.on_event(worker, event, &mut heads),
            }
        }
        let misspelt = self.machine.take_misspelt();
        if misspelt > 0 {
            worker.process.metrics.add(ProcessStat::MisspeltHeads, i64::from(misspelt));
        }
    }

    /// Body bytes: straight on where they may, else into the stream's mail box.
    fn on_data(
        &mut self,
        stream: h2::Stream,
        (bytes, then): (&[u8], Then),
        now: Instant,
        buffers: &Buffers,
    ) {
        let Self { machine, out, streams, held, .. } = self;
        let received = &mut streams[stream.slot()];
        let passed = received.pass_on(bytes, then, now);
        if passed > 0 {
            machine.release(stream, passed, &mut out.bytes);
            if passed == bytes.len() && then == Then::More {
                // Nothing that its task has to do.
                return;
            }
        }
        *held += bytes.len() - passed;
        received.on_data(&bytes[passed..], then, buffers);
        received.wake();
    }

    fn on_event(&mut self, worker: &Worker, event: Event<'_>, heads: &mut h2::Heads) {
        let stream = match event {
            Event::Request { stream, then } => {
                self.begin(stream, &worker.buffers).on_request(heads, then);
                self.accepted.push_back(stream);
                return;
            }
            Event::Oversized { stream, then } => {
                let received = self.begin(stream, &worker.buffers);
                received.is_oversized = true;
                received.is_ended = then == Then::End;
                self.accepted.push_back(stream);
                return;
            }
            Event::Response { stream, then } => {
                self.stream(stream).on_response(heads, then);
                stream
            }
            Event::Trailers { stream } => {
                self.stream(stream).on_trailers(heads);
                stream
            }
            Event::Reset { stream, cause } => {
                self.stream(stream).cause = Some(cause);
                stream
            }
            Event::Writable { stream } => stream,
            // Windows may have grown, and the number of streams.
            Event::AllWritable | Event::Settings => {
                if matches!(event, Event::Settings) {
                    self.is_settled = true;
                    self.unsettled.drain(..).for_each(Waker::wake);
                }
                self.has_changed = true;
                self.streams.iter_mut().for_each(Received::wake);
                return;
            }
            Event::GoAway { .. } => {
                self.has_changed = true;
                return;
            }
            Event::Malformed { id, why } => {
                tracing::debug!(stream = id, why = why.code(), "HTTP/2 stream error");
                return;
            }
            // Data went its own way.
            Event::Data { .. } | Event::Pong { .. } => return,
        };
        self.stream(stream).wake();
    }
}
