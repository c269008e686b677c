//! One HTTP/2 connection: its socket, its machine, and what arrived for each stream.
//!
//! Shared by the task that drives it, the tasks of its streams and the worker's flusher; borrowed for the length of one
//! call, never across an await.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use leno_http::RequestHead;
use leno_http::h2::{self, Event, NotNow, Settings, Then};
use tokio::sync::Notify;

use super::received::Received;
use super::stream::Stream;
use crate::limits;
use crate::listener::Proof;
use crate::wire::{Outgoing, Wire};
use crate::worker::Worker;

/// Who is at the other end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peerage {
    /// What its TLS handshake proved.
    pub(crate) proof: Proof,
    /// Our address, for access records.
    pub(crate) local: Option<SocketAddr>,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The other side closed it, or it broke.
    Gone,
    /// We ended it.
    Closed,
}

/// One connection.
pub(crate) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) state: RefCell<State>,
    peerage: Peerage,
    /// Streams begun on it.
    pub(crate) served: Cell<u32>,
}

/// What changes.
pub(super) struct State {
    pub(super) machine: h2::Connection,
    pub(super) out: Outgoing,
    wire: Wire,
    /// By the machine's slots.
    streams: Vec<Received>,
    /// Streams that came in and were handed to nobody.
    accepted: VecDeque<h2::Stream>,
    driver: Option<Waker>,
    is_dirty: bool,
    /// The socket is full: the driver waits for it.
    is_blocked: bool,
    /// A stream's sender waits for room.
    wants_room: bool,
    /// Said to the other side to be the last bytes; end when they are written.
    is_closing: bool,
    /// The peer said what it allows.
    is_settled: bool,
    /// Who waits for that.
    unsettled: Vec<Waker>,
    /// The peer's limits changed.
    has_changed: bool,
    /// Who waits for a stream to end.
    place: Option<Rc<Notify>>,
    pub(super) ended: Option<Ended>,
}

impl State {
    pub(super) fn stream(&mut self, stream: h2::Stream) -> &mut Received {
        &mut self.streams[stream.slot()]
    }

    /// The parts that a send of one stream's received bytes touches.
    pub(super) fn parts(
        &mut self,
        stream: h2::Stream,
    ) -> (&mut h2::Connection, &mut Received, &mut Vec<u8>) {
        (&mut self.machine, &mut self.streams[stream.slot()], &mut self.out.bytes)
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

    fn slot(&mut self, stream: h2::Stream) -> &mut Received {
        if self.streams.len() <= stream.slot() {
            self.streams.resize_with(stream.slot() + 1, Received::default);
        }
        &mut self.streams[stream.slot()]
    }

    /// A stream is over: a connection that takes no more ends with its last one.
    pub(super) fn note_end(&self) {
        if let Some(place) = &self.place {
            place.notify_waiters();
        }
        if self.machine.is_going_away()
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    fn settle(&mut self, event: Event<'_>) {
        if matches!(event, Event::Settings) {
            self.is_settled = true;
            self.unsettled.drain(..).for_each(Waker::wake);
        }
    }

    fn end(&mut self, ended: Ended) {
        self.unsettled.drain(..).for_each(Waker::wake);
        self.ended.get_or_insert(ended);
        self.has_changed = true;
        for stream in &self.streams {
            stream.wake();
        }
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// Writes what waits. `Pending`: the socket is full.
    fn write(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
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
        Poll::Ready(())
    }

    /// Hands out what arrived.
    fn receive(&mut self, worker: &Worker, mut input: &[u8]) {
        let now = Instant::now();
        let mut heads = worker.heads.borrow_mut();
        loop {
            let event = match self.machine.receive(now, &mut input, &mut heads, &mut self.out.bytes)
            {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(why = error.why.code(), "HTTP/2 connection error");
                    self.is_closing = true;
                    return;
                }
            };
            self.on_event(worker, event, &mut heads);
        }
    }

    fn on_event(&mut self, worker: &Worker, event: Event<'_>, heads: &mut h2::Heads) {
        let stream = match event {
            Event::Request { stream, then } => {
                let slot = self.slot(stream);
                slot.begin(&worker.buffers);
                slot.on_request(heads, then);
                self.accepted.push_back(stream);
                return;
            }
            Event::Oversized { stream, then } => {
                let slot = self.slot(stream);
                slot.begin(&worker.buffers);
                slot.is_oversized = true;
                slot.is_ended = then == Then::End;
                self.accepted.push_back(stream);
                return;
            }
            Event::Response { stream, then } => {
                self.slot(stream).on_response(heads, then);
                stream
            }
            Event::Data { stream, bytes, then } => {
                self.slot(stream).on_data(bytes, then, &worker.buffers);
                stream
            }
            Event::Trailers { stream } => {
                self.slot(stream).on_trailers(heads);
                stream
            }
            Event::Reset { stream, cause } => {
                self.slot(stream).cause = Some(cause);
                stream
            }
            Event::Writable { stream } => stream,
            // Windows may have grown, and the number of streams.
            Event::AllWritable | Event::Settings => {
                self.settle(event);
                self.has_changed = true;
                self.streams.iter().for_each(Received::wake);
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
            Event::Pong { .. } => return,
        };
        self.slot(stream).wake();
    }
}

impl Connection {
    /// The server's end; `early` was read from the socket before.
    pub(crate) fn server(worker: &Rc<Worker>, wire: Wire, early: &[u8]) -> Rc<Self> {
        let machine = h2::Connection::server(Settings::DEFAULT);
        let connection = Self::new(worker, wire, machine, Peerage::default());
        {
            let mut state = connection.state.borrow_mut();
            let State { machine, out, .. } = &mut *state;
            machine.start(&mut out.bytes);
            state.receive(worker, early);
        }
        connection.mark(&mut connection.state.borrow_mut());
        connection
    }

    /// The client's end. Whoever waits for `place` is told when a stream ends.
    pub(crate) fn client(
        worker: &Rc<Worker>,
        wire: Wire,
        peerage: Peerage,
        place: Rc<Notify>,
    ) -> Rc<Self> {
        let machine = h2::Connection::client(Settings::DEFAULT);
        let connection = Self::new(worker, wire, machine, peerage);
        {
            let mut state = connection.state.borrow_mut();
            state.place = Some(place);
            let State { machine, out, .. } = &mut *state;
            machine.start(&mut out.bytes);
            connection.mark(&mut state);
        }
        connection
    }

    fn new(worker: &Rc<Worker>, wire: Wire, machine: h2::Connection, peerage: Peerage) -> Rc<Self> {
        let mut out = Outgoing::default();
        worker.buffers.ensure(&mut out.bytes);
        let state = State {
            machine,
            out,
            wire,
            streams: Vec::new(),
            accepted: VecDeque::new(),
            driver: None,
            is_dirty: false,
            is_blocked: false,
            wants_room: false,
            is_closing: false,
            is_settled: false,
            unsettled: Vec::new(),
            has_changed: false,
            place: None,
            ended: None,
        };
        let (worker, state, served) = (Rc::clone(worker), RefCell::new(state), Cell::new(0));
        Rc::new(Self { worker, state, peerage, served })
    }

    /// Who is at the other end.
    pub(crate) fn peerage(&self) -> &Peerage {
        &self.peerage
    }

    /// Reads and hands out until nothing more is there. Ready when the connection is over.
    pub(crate) fn poll_drive(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut state = self.state.borrow_mut();
        if state.driver.is_none() {
            state.driver = Some(cx.waker().clone());
        }
        if state.is_blocked {
            // While the other side does not read, nothing more is read from it.
            if state.write(&self.worker, cx).is_pending() {
                return Poll::Pending;
            }
        }
        let mut buffer = self.worker.read_buffer.take();
        while state.ended.is_none() && !state.is_closing {
            if state.out.pending() >= limits::HTTP2_OUT_BYTES {
                break;
            }
            buffer.clear();
            match state.wire.poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => state.receive(&self.worker, &buffer),
                Poll::Ready(Ok(0) | Err(_)) => state.end(Ended::Gone),
            }
        }
        self.worker.read_buffer.replace(buffer);
        if !state.out.is_empty() || state.is_closing {
            self.mark(&mut state);
        }
        state.ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// The next stream that came in.
    pub(crate) fn accept(self: &Rc<Self>) -> Option<Stream> {
        let stream = self.state.borrow_mut().accepted.pop_front()?;
        self.served.set(self.served.get() + 1);
        Some(Stream::new(Rc::clone(self), stream))
    }

    /// Begins a request.
    pub(crate) fn request(
        self: &Rc<Self>,
        head: &RequestHead,
        then: Then,
    ) -> Result<Stream, NotNow> {
        let mut state = self.state.borrow_mut();
        if state.ended.is_some() || state.is_closing {
            return Err(NotNow::GoingAway);
        }
        let State { machine, out, .. } = &mut *state;
        if out.bytes.capacity() == 0 {
            self.worker.buffers.ensure(&mut out.bytes);
        }
        let stream = machine.request(head, then, &mut out.bytes)?;
        state.slot(stream).begin(&self.worker.buffers);
        self.served.set(self.served.get() + 1);
        self.mark(&mut state);
        drop(state);
        Ok(Stream::new(Rc::clone(self), stream))
    }

    /// Waits until the other side said what it allows (RFC 9113 §3.4): extended CONNECT must not be tried before.
    pub(crate) async fn settled(&self) {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.is_settled || state.ended.is_some() {
                return Poll::Ready(());
            }
            state.unsettled.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// How many more requests may begin now.
    pub(crate) fn available(&self) -> usize {
        let state = self.state.borrow();
        if state.ended.is_some() || state.is_closing { 0 } else { state.machine.available() }
    }

    /// Streams that are not over.
    pub(crate) fn active(&self) -> usize {
        self.state.borrow().machine.active()
    }

    /// Whether it takes no more requests, now and later.
    pub(crate) fn is_retired(&self) -> bool {
        let state = self.state.borrow();
        state.ended.is_some() || state.is_closing || state.machine.is_going_away()
    }

    /// Whether what it may take changed since this was asked.
    pub(crate) fn take_change(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().has_changed)
    }

    /// Says that no further stream is wanted; the streams that are there go on.
    pub(crate) fn retire(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let State { machine, out, .. } = &mut *state;
        machine.shutdown(&mut out.bytes);
        self.mark(&mut state);
        // Without a stream under way nothing else would tell the driver that this was all.
        state.note_end();
    }

    /// Whether the streams are over after [`Self::retire`], so that it can be closed.
    pub(crate) fn is_finished(&self) -> bool {
        self.state.borrow().machine.is_finished()
    }

    /// Whether it ends as soon as what waits is written.
    pub(crate) fn is_closing(&self) -> bool {
        self.state.borrow().is_closing
    }

    /// Ends it once what waits is written.
    pub(crate) fn close(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        state.is_closing = true;
        self.mark(&mut state);
    }

    /// Ends it at once, with all its streams.
    pub(crate) fn cut(&self) {
        self.state.borrow_mut().end(Ended::Gone);
    }

    /// Has what waits written at the end of this turn.
    pub(super) fn mark(self: &Rc<Self>, state: &mut RefMut<'_, State>) {
        if !state.is_dirty && !state.is_blocked {
            state.is_dirty = true;
            self.worker.flusher.add(self);
        }
    }

    /// Writes what waits; where the socket is full the driver goes on.
    pub(super) fn flush(&self) {
        let mut state = self.state.borrow_mut();
        state.is_dirty = false;
        if state.ended.is_some() || state.is_blocked {
            return;
        }
        let mut nobody = Context::from_waker(Waker::noop());
        if state.write(&self.worker, &mut nobody).is_pending()
            && let Some(driver) = &state.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Waits in order: what was written must arrive.
    pub(crate) fn poll_farewell(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        if state.wire.poll_shutdown(cx)?.is_pending() {
            return Poll::Pending;
        }
        let mut buffer = self.worker.read_buffer.take();
        let read = loop {
            buffer.clear();
            match state.wire.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(1..)) => {}
                other => break other,
            }
        };
        self.worker.read_buffer.replace(buffer);
        read.map_ok(|_| ())
    }
}
