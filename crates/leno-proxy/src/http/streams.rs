//! Serving a downstream HTTP/2 connection: its streams go to places, each of which is [`super::serve`]d like an HTTP/1
//! connection.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use leno_http::h2::Settings;
use tokio::time::Instant;

use super::downstream::Carrier;
use super::downstream::http2::{Http2, Places};
use super::session::{Arrival, Session};
use crate::deadline::Deadline;
use crate::http2::{Connection, Ended, Stream};
use crate::lane::Turn;
use crate::lifecycle::Phase;
use crate::limits;
use crate::wire::Wire;

/// What every place of a connection is made of.
struct Serving {
    arrival: Arrival,
    connection: Rc<Connection>,
    places: Rc<Places>,
    rest: Rest,
    has_retired: bool,
    /// Its place in line, where more streams came than one turn begins.
    turn: Turn,
}

/// When a connection without streams gives back what it holds, and when it is closed.
struct Rest {
    deadline: Deadline,
    since: Instant,
    served: u32,
}

/// Serves a connection until it ends. `inbox` holds what the inspectors read.
pub(super) async fn serve_streams(arrival: Arrival, wire: Wire, inbox: Vec<u8>) {
    let limits = limits::http::http2(&arrival.manager.settings.limits);
    let limits = limits::http::buffering(limits, arrival.watcher.buffer_max());
    let settings = Settings { limits, spelling: arrival.facts.proof.spelling, ..Settings::DEFAULT };
    let connection =
        Connection::server(&arrival.worker, wire, &inbox, (settings, arrival.watcher.charge()));
    arrival.worker.buffers.give(inbox);
    serve_on(arrival, connection).await;
}

/// The same for a connection that stands.
pub(super) async fn serve_on(arrival: Arrival, connection: Rc<Connection>) {
    let rest = Rest { deadline: Deadline::new(), since: Instant::now(), served: 0 };
    let places = Rc::default();
    let turn = Turn::default();
    let mut serving = Serving { arrival, connection, places, rest, has_retired: false, turn };
    let mut is_registered = false;
    let ended = poll_fn(|cx| {
        if !is_registered {
            is_registered = true;
            serving.arrival.watcher.register(cx);
        }
        serving.poll(cx)
    })
    .await;
    serving.places.end();
    if ended != Ended::Gone {
        let farewell = poll_fn(|cx| serving.connection.poll_farewell(cx));
        // Neither a broken connection nor a client that stays matters any more.
        let _ = tokio::time::timeout(limits::LINGER, farewell).await;
    }
}

impl Serving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.arrival.watcher.is_shed() {
            self.connection.cut();
            return Poll::Ready(Ended::Gone);
        }
        loop {
            if self.connection.has_more() {
                // Those of the last turn were many: the rest is begun before more is read.
                ready!(self.arrival.worker.lane.poll_turn(&mut self.turn, cx));
                let begun = self.begin();
                self.arrival.worker.lane.pay(begun * limits::STREAM_TURN_BYTES);
                if self.connection.has_more() {
                    continue;
                }
            }
            let driven = self.connection.poll_drive(cx);
            let begun = self.begin();
            if self.connection.has_more() {
                self.arrival.worker.lane.pay(begun * limits::STREAM_TURN_BYTES);
                continue;
            }
            if driven.is_ready() {
                return driven;
            }
            if self.poll_leave(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Begins streams that came in, as many as a turn has; how many it were.
    fn begin(&self) -> usize {
        let mut begun = 0;
        while begun < limits::HTTP2_STREAMS_PER_TURN
            && let Some(stream) = self.connection.accept()
        {
            begun += 1;
            if let Err(stream) = self.places.hand(stream) {
                self.serve(stream);
            }
        }
        begun
    }

    fn serve(&self, stream: Stream) {
        let carrier = Carrier::Http2(Http2::new(&self.places, stream));
        let session = Box::new(Session::new(self.arrival.another(), carrier));
        tokio::task::spawn_local(super::serve(session));
    }

    /// Until when the client must complete the head that it has begun.
    fn head_due(&self) -> Option<Instant> {
        let since = self.connection.waits_since()?;
        let limit = self.arrival.manager.settings.request_headers_timeout;
        Some(Instant::from_std(since) + limit.unwrap_or(limits::REQUEST_HEAD))
    }

    /// Ready when something was done about an idle or a draining connection.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.connection.read_at().map_or_else(Instant::now, Instant::from_std);
        let idle = self.arrival.manager.settings.idle_timeout.unwrap_or(limits::DOWNSTREAM_IDLE);
        if self.connection.active() > 0 || self.rest.served != self.connection.served.get() {
            self.rest.served = self.connection.served.get();
            self.rest.since = now;
        }
        let mut next = self.rest.since + idle.min(limits::HTTP2_REST);
        if next <= now {
            self.places.shrink();
            self.connection.shrink();
            next = self.rest.since + idle;
        }
        if let Some(due) = self.head_due() {
            if due <= now {
                self.connection.give_up();
                return Poll::Pending;
            }
            next = next.min(due);
        }
        let is_closing = self.arrival.watcher.phase() == Phase::Closing
            || self.has_retired && self.connection.is_finished();
        if is_closing {
            self.connection.close();
            return Poll::Pending;
        }
        let max_requests = self.arrival.manager.settings.max_requests_per_connection;
        let is_used_up = max_requests.is_some_and(|max| self.rest.served >= max);
        let is_idle = self.rest.since + idle <= now || is_used_up;
        let turn = self.arrival.watcher.turn().filter(|_| !self.has_retired);
        if turn.is_some_and(|turn| turn <= now) || is_idle && !self.has_retired {
            self.has_retired = true;
            self.connection.retire();
            return Poll::Ready(());
        }
        self.rest.deadline.set(Some(turn.map_or(next, |turn| turn.min(next))));
        if self.has_retired {
            // The client was told; it has this long to say that it heard.
            self.rest.deadline.set(Some(now + limits::DRAIN_IDLE));
        }
        self.rest.deadline.poll(cx)
    }
}
