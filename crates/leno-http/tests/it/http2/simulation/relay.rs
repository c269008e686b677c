//! The relay: a server towards the client, a client towards the origin, and what is held between them.

use std::collections::VecDeque;
use std::time::Instant;

use leno_http::h2::{Cause, Code, Connection, Event, NotNow, Stream, Then};
use leno_http::{Fields, RequestHead};

use super::SETTINGS;
use crate::http2::pair::End;

/// Both ends and the exchanges between them.
pub(super) struct Relay {
    pub(super) down: End,
    pub(super) up: End,
    exchanges: Vec<Option<Exchange>>,
    /// Slots of the two ends to exchanges.
    by_down: Vec<usize>,
    by_up: Vec<usize>,
    /// Requests for which the origin has no stream yet.
    waiting: VecDeque<(Stream, RequestHead, Then)>,
    has_origin: bool,
    /// The most that may be held of one direction.
    held_max: usize,
}

struct Exchange {
    down: Stream,
    up: Option<Stream>,
    request: Flow,
    response: Flow,
}

/// One direction: what was received and has not been passed on.
#[derive(Default)]
struct Flow {
    held: Vec<u8>,
    has_begun: bool,
    is_over: bool,
    trailers: Option<Fields>,
    is_passed_on: bool,
}

impl Flow {
    /// Passes on what the windows allow and gives the sender room for as much.
    fn pump(&mut self, from: (&mut End, Stream), to: (&mut End, Stream)) {
        if self.is_passed_on || !self.has_begun {
            return;
        }
        let ((from, source), (to, sink)) = (from, to);
        let ends = self.is_over && self.trailers.is_none();
        let then = if ends { Then::End } else { Then::More };
        let taken = to.machine.data(sink, &self.held, then, &mut to.out);
        self.held.drain(..taken);
        from.machine.release(source, taken, &mut from.out);
        if self.held.is_empty() && self.is_over {
            if let Some(trailers) = self.trailers.take() {
                to.machine.trailers(sink, &trailers, &mut to.out);
            }
            self.is_passed_on = true;
        }
    }

    fn receive(&mut self, bytes: &[u8], then: Then, held_max: usize) {
        self.held.extend_from_slice(bytes);
        assert!(self.held.len() <= held_max, "more is held than was allowed");
        self.is_over |= then.is_end();
    }
}

impl Relay {
    pub(super) fn new(held_max: u32) -> Self {
        Self {
            down: End::new(Connection::server(SETTINGS)),
            up: End::new(Connection::client(SETTINGS)),
            exchanges: Vec::new(),
            by_down: Vec::new(),
            by_up: Vec::new(),
            waiting: VecDeque::new(),
            has_origin: true,
            held_max: held_max as usize,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.exchanges.iter().all(Option::is_none) && self.waiting.is_empty()
    }

    pub(super) fn receive_down(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            let End { machine, heads, out } = &mut self.down;
            let event = machine.receive(now, &mut input, heads, out).expect("the client is sound");
            let Some(event) = event else { return };
            match event {
                Event::Request { stream, then } => {
                    let head = std::mem::take(&mut self.down.heads.request);
                    self.open(stream, head, then);
                }
                Event::Data { stream, bytes, then } => {
                    if let Some(exchange) = self.exchanges[self.by_down[stream.slot()]].as_mut() {
                        exchange.request.receive(bytes, then, self.held_max);
                    }
                }
                Event::Trailers { stream } => {
                    let trailers = std::mem::take(&mut self.down.heads.trailers);
                    if let Some(exchange) = self.exchanges[self.by_down[stream.slot()]].as_mut() {
                        (exchange.request.trailers, exchange.request.is_over) =
                            (Some(trailers), true);
                    }
                }
                Event::Reset { stream, .. } => self.drop_exchange(self.by_down[stream.slot()]),
                _ => {}
            }
        }
    }

    fn open(&mut self, stream: Stream, head: RequestHead, then: Then) {
        let exchange = Exchange {
            down: stream,
            up: None,
            request: Flow {
                is_over: then.is_end(),
                is_passed_on: then.is_end(),
                ..Flow::default()
            },
            response: Flow::default(),
        };
        if self.by_down.len() <= stream.slot() {
            self.by_down.resize(stream.slot() + 1, 0);
        }
        self.by_down[stream.slot()] = self.exchanges.len();
        self.exchanges.push(Some(exchange));
        self.waiting.push_back((stream, head, then));
        self.dial();
    }

    /// Starts what waits for a stream.
    fn dial(&mut self) {
        while let Some((stream, head, then)) = self.waiting.front() {
            let at = self.by_down[stream.slot()];
            if self.exchanges[at].as_ref().is_none_or(|exchange| exchange.down != *stream) {
                self.waiting.pop_front();
                continue;
            }
            if !self.has_origin {
                self.drop_exchange(at);
                continue;
            }
            match self.up.machine.request(head, *then, &mut self.up.out) {
                Ok(up) => {
                    if self.by_up.len() <= up.slot() {
                        self.by_up.resize(up.slot() + 1, 0);
                    }
                    self.by_up[up.slot()] = at;
                    if let Some(exchange) = &mut self.exchanges[at] {
                        (exchange.up, exchange.request.has_begun) = (Some(up), true);
                    }
                    self.waiting.pop_front();
                }
                Err(NotNow::Limit) => return,
                Err(other) => panic!("{other}"),
            }
        }
    }

    pub(super) fn receive_up(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            let End { machine, heads, out } = &mut self.up;
            let event = machine.receive(now, &mut input, heads, out).expect("the origin is sound");
            let Some(event) = event else { return };
            match event {
                Event::Response { stream, then } => self.answer(stream, then),
                Event::Data { stream, bytes, then } => {
                    if let Some(exchange) = self.exchanges[self.by_up[stream.slot()]].as_mut() {
                        exchange.response.receive(bytes, then, self.held_max);
                    }
                }
                Event::Trailers { stream } => {
                    let trailers = std::mem::take(&mut self.up.heads.trailers);
                    if let Some(exchange) = self.exchanges[self.by_up[stream.slot()]].as_mut() {
                        (exchange.response.trailers, exchange.response.is_over) =
                            (Some(trailers), true);
                    }
                }
                Event::Reset { stream, cause } => self.lost(self.by_up[stream.slot()], cause),
                _ => {}
            }
        }
    }

    fn answer(&mut self, stream: Stream, then: Then) {
        let head = &self.up.heads.response;
        let Some(exchange) = self.exchanges[self.by_up[stream.slot()]].as_mut() else { return };
        let End { machine, out, .. } = &mut self.down;
        if head.is_interim() {
            machine.interim(exchange.down, head, out);
            return;
        }
        machine.response(exchange.down, head, then, out);
        exchange.response.has_begun = true;
        (exchange.response.is_over, exchange.response.is_passed_on) =
            (then.is_end(), then.is_end());
    }

    /// The origin ended a stream. When its answer is complete it only wants no more of the request.
    fn lost(&mut self, at: usize, cause: Cause) {
        let Some(exchange) = &mut self.exchanges[at] else { return };
        if exchange.response.is_over {
            exchange.request.is_passed_on = true;
            return;
        }
        let code = match cause {
            Cause::Peer(code) => code,
            Cause::Refused => Code::REFUSED_STREAM,
            Cause::Violation(why) => panic!("{why}"),
        };
        self.down.machine.reset(exchange.down, code, &mut self.down.out);
        self.drop_exchange(at);
    }

    /// Passes on what can be, and ends what is over.
    pub(super) fn act(&mut self) {
        self.dial();
        for at in 0..self.exchanges.len() {
            let Some(exchange) = &mut self.exchanges[at] else { continue };
            let Some(up) = exchange.up else { continue };
            let down = exchange.down;
            exchange.request.pump((&mut self.down, down), (&mut self.up, up));
            exchange.response.pump((&mut self.up, up), (&mut self.down, down));
            if exchange.response.is_passed_on {
                self.drop_exchange(at);
            }
        }
    }

    fn drop_exchange(&mut self, at: usize) {
        let Some(exchange) = self.exchanges[at].take() else { return };
        self.down.machine.finish(exchange.down, &mut self.down.out);
        if let Some(up) = exchange.up {
            self.up.machine.finish(up, &mut self.up.out);
        }
    }

    pub(super) fn lose_origin(&mut self) {
        self.has_origin = false;
        for at in 0..self.exchanges.len() {
            self.drop_exchange(at);
        }
    }
}
