//! One HTTP/2 connection, of either end.
//!
//! Shared by the task that drives it, the tasks of its streams and the worker's flusher. What changes is in
//! [`State`].

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use leno_http::h2::{self, NotNow, Settings, Then};
use leno_http::{Http2Limits, Known, RequestHead};

use super::changes::Changes;
use super::state::State;
use super::stream::Stream;
use crate::budget::Charge;
use crate::limits;
use crate::listener::Proof;
use crate::wire::Wire;
use crate::worker::Worker;

/// Said before the first frame to a client that asked for HTTP/2 in HTTP/1.1.
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

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
    /// For what it holds, where a downstream peer is the cause.
    charge: Option<Charge>,
}

impl Connection {
    /// The server's end; `early` was read from the socket before.
    pub(crate) fn server(
        worker: &Rc<Worker>,
        wire: Wire,
        early: &[u8],
        (settings, charge): (Settings, Option<Charge>),
    ) -> Rc<Self> {
        let machine = h2::Connection::server(settings);
        let connection = Self::new(worker, wire, machine, (Peerage::default(), charge));
        {
            let mut state = connection.state.borrow_mut();
            let State { machine, out, .. } = &mut *state;
            machine.start(&mut out.bytes);
            state.receive(worker, early);
        }
        connection.mark(&mut connection.state.borrow_mut());
        connection
    }

    /// The server's end of a connection whose first request came in HTTP/1.1 and asked for HTTP/2 (RFC 7540 §3.2); `None`
    /// where the settings that came with it are wrong.
    pub(crate) fn upgraded(
        worker: &Rc<Worker>,
        wire: Wire,
        (early, request): (&[u8], RequestHead),
        (limits, charge): (Http2Limits, Option<Charge>),
    ) -> Option<Rc<Self>> {
        let machine = h2::Connection::server(Settings { limits, ..Settings::DEFAULT });
        let connection = Self::new(worker, wire, machine, (Peerage::default(), charge));
        {
            let mut state = connection.state.borrow_mut();
            let State { machine, out, .. } = &mut *state;
            out.bytes.extend_from_slice(SWITCHING);
            machine.start(&mut out.bytes);
            let settings = request.fields().get(Known::Http2Settings).unwrap_or_default();
            let stream = machine.upgraded(settings, &request).ok()?;
            state.begin(stream, &worker.buffers).on_upgrade(request);
            state.accepted.push_back(stream);
            state.receive(worker, early);
        }
        connection.mark(&mut connection.state.borrow_mut());
        Some(connection)
    }

    /// The client's end. Whoever waits for `place` is told when a stream ends.
    pub(crate) fn client(
        worker: &Rc<Worker>,
        wire: Wire,
        peerage: Peerage,
        place: Rc<Changes>,
    ) -> Rc<Self> {
        let spelling = peerage.proof.spelling;
        let machine = h2::Connection::client(Settings { spelling, ..Settings::DEFAULT });
        let connection = Self::new(worker, wire, machine, (peerage, None));
        {
            let mut state = connection.state.borrow_mut();
            state.place = Some(place);
            let State { machine, out, .. } = &mut *state;
            machine.start(&mut out.bytes);
            connection.mark(&mut state);
        }
        connection
    }

    fn new(
        worker: &Rc<Worker>,
        wire: Wire,
        machine: h2::Connection,
        (peerage, charge): (Peerage, Option<Charge>),
    ) -> Rc<Self> {
        let state = State::new(machine, wire, &worker.buffers);
        let (worker, state, served) = (Rc::clone(worker), RefCell::new(state), Cell::new(0));
        Rc::new(Self { worker, state, peerage, served, charge })
    }

    /// Who is at the other end.
    pub(crate) fn peerage(&self) -> &Peerage {
        &self.peerage
    }

    /// Reads what is there, up to one buffer a turn, and hands it out. Ready when the connection is over.
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
        state.read_at = None;
        let mut buffer = self.worker.read_buffer.take();
        let mut read = 0;
        while state.ended.is_none() && !state.is_closing && self.may_read(&state) {
            if state.out.pending() >= limits::HTTP2_OUT_BYTES {
                state.is_paused = true;
                break;
            }
            if read >= limits::HTTP2_READ_BYTES {
                // Streams and the flusher have their turn before more is read.
                cx.waker().wake_by_ref();
                break;
            }
            buffer.clear();
            match state.wire.poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {
                    read += buffer.len();
                    state.receive(&self.worker, &buffer);
                }
                Poll::Ready(Ok(0) | Err(_)) => state.end(Ended::Gone),
            }
        }
        self.worker.read_buffer.replace(buffer);
        self.settle(&state);
        if !state.out.is_empty() || state.is_closing {
            self.mark(&mut state);
        }
        state.ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// When what [`Self::poll_drive`] handed out last was read, for those that it woke: they need no clock of their own.
    /// `None` where it read nothing.
    pub(crate) fn read_at(&self) -> Option<Instant> {
        self.state.borrow().read_at
    }

    /// Whether streams came in that nobody has.
    pub(crate) fn has_more(&self) -> bool {
        !self.state.borrow().accepted.is_empty()
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
        state.begin(stream, &self.worker.buffers);
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

    /// Gives back what is kept ready for streams, when there is none.
    pub(crate) fn shrink(&self) {
        self.state.borrow_mut().shrink();
    }

    /// Since when the other side owes the rest of a frame or header block that it began.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.state.borrow().machine.waits_since()
    }

    /// Ends it because that took too long.
    pub(crate) fn give_up(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let State { machine, out, .. } = &mut *state;
        machine.give_up(&mut out.bytes);
        state.is_closing = true;
        self.mark(&mut state);
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
        self.settle(&state);
    }

    /// Puts what it holds on the books.
    fn settle(&self, state: &State) {
        if let Some(charge) = &self.charge {
            charge.set(state.held());
        }
    }

    /// Whether the memory budget allows more. What waits for the peer's windows does not count: they open only when it is
    /// read from.
    fn may_read(&self, state: &State) -> bool {
        self.charge.as_ref().is_none_or(|charge| charge.may_read(state.held()))
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
