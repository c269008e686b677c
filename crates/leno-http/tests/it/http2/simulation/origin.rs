//! The origin: reads requests at random paces and answers as the plan says.

use std::time::Instant;

use leno_http::h2::{Code, Connection, Event, Stream, Then};
use leno_http::{BodyLength, Fields, Known};

use super::plan::{self, Fate, Plan};
use super::{Random, SETTINGS};
use crate::http2::pair::{End, append, response};

/// The origin's side.
pub(super) struct Origin {
    pub(super) end: End,
    plan: Plan,
    running: Vec<Option<Running>>,
    /// The most that may be held of one stream.
    held_max: u32,
}

struct Running {
    number: usize,
    stream: Stream,
    received: usize,
    held: usize,
    request_is_over: bool,
    has_answered: bool,
    sent: usize,
}

impl Origin {
    pub(super) fn new(plan: Plan, held_max: u32) -> Self {
        Self { end: End::new(Connection::server(SETTINGS)), plan, running: Vec::new(), held_max }
    }

    pub(super) fn receive(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            let End { machine, heads, out } = &mut self.end;
            let event = machine.receive(now, &mut input, heads, out).expect("the relay is sound");
            let Some(event) = event else { return };
            match event {
                Event::Request { stream, then } => {
                    let target = self.end.heads.request.target();
                    let number = target[1..].parse().expect("targets are numbers");
                    self.learn(stream, number, then);
                }
                Event::Data { stream, bytes, then } => {
                    let Some(running) = &mut self.running[stream.slot()] else { continue };
                    plan::check(running.number, false, running.received, bytes);
                    running.received += bytes.len();
                    running.held += bytes.len();
                    assert!(running.held <= self.held_max as usize);
                    running.request_is_over |= then.is_end();
                }
                Event::Trailers { stream } => {
                    let Some(running) = &mut self.running[stream.slot()] else { continue };
                    assert!(self.plan.exchanges[running.number].request_trailers);
                    running.request_is_over = true;
                }
                Event::Reset { stream, .. } => self.finish(stream.slot()),
                _ => {}
            }
        }
    }

    fn learn(&mut self, stream: Stream, number: usize, then: Then) {
        if self.running.len() <= stream.slot() {
            self.running.resize_with(stream.slot() + 1, || None);
        }
        self.running[stream.slot()] = Some(Running {
            number,
            stream,
            received: 0,
            held: 0,
            request_is_over: then.is_end(),
            has_answered: false,
            sent: 0,
        });
    }

    fn finish(&mut self, at: usize) {
        if let Some(running) = self.running[at].take() {
            self.end.machine.finish(running.stream, &mut self.end.out);
        }
    }

    pub(super) fn act(&mut self, random: &mut Random) {
        if self.running.is_empty() {
            return;
        }
        let at = random.below(self.running.len() as u64) as usize;
        let Some(mut running) = self.running[at].take() else { return };
        let bytes = random.below(1 + running.held as u64) as usize;
        running.held -= bytes;
        self.end.machine.release(running.stream, bytes, &mut self.end.out);
        let exchange = self.plan.exchanges[running.number];
        let may_answer = running.request_is_over || exchange.fate == Fate::Early;
        let is_over = may_answer && self.answer(&mut running, random);
        if running.request_is_over {
            assert_eq!(running.received, exchange.request_bytes, "exchange {}", running.number);
        }
        self.running[at] = Some(running);
        if is_over {
            self.finish(at);
        }
    }

    /// Goes on with the response; true when it is over.
    fn answer(&mut self, running: &mut Running, random: &mut Random) -> bool {
        let exchange = self.plan.exchanges[running.number];
        let End { machine, out, .. } = &mut self.end;
        let has_body = exchange.response_bytes > 0 || exchange.response_trailers;
        if !running.has_answered {
            if exchange.has_interim {
                machine.interim(running.stream, &response(103, &[("link", "</a>")]), out);
            }
            let number = running.number.to_string();
            let mut head = response(200, &[("etag", &number), ("server", "sim")]);
            head.set_body(match (has_body, exchange.says_length) {
                (false, _) => BodyLength::Empty,
                (true, true) => BodyLength::Exactly(exchange.response_bytes as u64),
                (true, false) => BodyLength::Unknown,
            });
            running.has_answered = true;
            let is_broken = matches!(exchange.fate, Fate::Broken(_));
            let then = if has_body || is_broken { Then::More } else { Then::End };
            machine.response(running.stream, &head, then, out);
            if then.is_end() {
                return true;
            }
        }
        if let Fate::Broken(after) = exchange.fate
            && running.sent >= after
        {
            machine.reset(running.stream, Code::INTERNAL_ERROR, out);
            return true;
        }
        let left = exchange.response_bytes - running.sent;
        let offered = left.min(random.below(9000) as usize);
        let is_broken = matches!(exchange.fate, Fate::Broken(_));
        let is_last = offered == left && !is_broken;
        let then = if is_last && !exchange.response_trailers { Then::End } else { Then::More };
        let bytes = plan::body(running.number, true, running.sent..running.sent + offered);
        let taken = machine.data(running.stream, bytes, then, out);
        running.sent += taken;
        if !is_last || taken < offered {
            return false;
        }
        if exchange.response_trailers {
            let mut trailers = Fields::new();
            append(&mut trailers, &[(Known::GrpcStatus.as_str(), "0")]);
            machine.trailers(running.stream, &trailers, out);
        }
        true
    }
}
