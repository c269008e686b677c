//! The client: starts the exchanges in order, sends and reads at random paces, and keeps what came of each.

use std::collections::VecDeque;
use std::time::Instant;

use leno_http::h2::{Cause, Code, Connection, Event, Stream, Then};
use leno_http::{BodyLength, Fields, Known};

use super::plan::{self, Exchange, Fate, Plan};
use super::{Random, SETTINGS};
use crate::http2::pair::{End, append, request};

/// The client's side.
pub(super) struct Client {
    pub(super) end: End,
    pub(super) plan: Plan,
    /// Exchanges to start, in order.
    queue: VecDeque<usize>,
    /// Exchanges under way, by slot.
    running: Vec<Option<Running>>,
    /// The most that may be held of one stream.
    held_max: u32,
    outcomes: Vec<Option<Outcome>>,
}

struct Running {
    number: usize,
    stream: Stream,
    sent: usize,
    request_is_over: bool,
    received: usize,
    held: usize,
    has_head: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Complete,
    Cancelled,
    Reset(Cause),
}

impl Client {
    pub(super) fn new(plan: Plan, held_max: u32) -> Self {
        let outcomes = vec![None; plan.exchanges.len()];
        let end = End::new(Connection::client(SETTINGS));
        let queue = (0..plan.exchanges.len()).collect();
        Self { end, plan, queue, running: Vec::new(), outcomes, held_max }
    }

    pub(super) fn is_done(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    pub(super) fn undone(&self) -> Vec<(usize, Exchange)> {
        let undone = |(at, outcome): (usize, &Option<Outcome>)| outcome.is_none().then_some(at);
        let numbers = self.outcomes.iter().enumerate().filter_map(undone);
        numbers.map(|number| (number, self.plan.exchanges[number])).collect()
    }

    pub(super) fn act(&mut self, random: &mut Random) {
        if let Some(&number) = self.queue.front()
            && self.end.machine.available() > 0
        {
            self.queue.pop_front();
            self.start(number);
        }
        if self.running.is_empty() {
            return;
        }
        let at = random.below(self.running.len() as u64) as usize;
        if let Some(mut running) = self.running[at].take() {
            self.send(&mut running, random);
            self.read(&mut running, random);
            self.running[at] = Some(running);
            self.end_if_cancelled(at);
        }
    }

    fn start(&mut self, number: usize) {
        let exchange = self.plan.exchanges[number];
        let method = if exchange.request_bytes == 0 { "GET" } else { "POST" };
        let mut head = request(method, &format!("/{number}"), &[("user-agent", "sim")]);
        let has_body = exchange.request_bytes > 0 || exchange.request_trailers;
        head.set_body(match (has_body, exchange.says_length) {
            (false, _) => BodyLength::Empty,
            (true, true) => BodyLength::Exactly(exchange.request_bytes as u64),
            (true, false) => BodyLength::Unknown,
        });
        let then = if has_body { Then::More } else { Then::End };
        let End { machine, out, .. } = &mut self.end;
        let stream = machine.request(&head, then, out).expect("a stream is available");
        if self.running.len() <= stream.slot() {
            self.running.resize_with(stream.slot() + 1, || None);
        }
        self.running[stream.slot()] = Some(Running {
            number,
            stream,
            sent: 0,
            request_is_over: !has_body,
            received: 0,
            held: 0,
            has_head: false,
        });
    }

    fn send(&mut self, running: &mut Running, random: &mut Random) {
        let exchange = self.plan.exchanges[running.number];
        if running.request_is_over {
            return;
        }
        let left = exchange.request_bytes - running.sent;
        let offered = left.min(random.below(9000) as usize);
        let is_last = offered == left;
        let then = if is_last && !exchange.request_trailers { Then::End } else { Then::More };
        let bytes = plan::body(running.number, false, running.sent..running.sent + offered);
        let End { machine, out, .. } = &mut self.end;
        let taken = machine.data(running.stream, bytes, then, out);
        running.sent += taken;
        if is_last && taken == offered {
            if exchange.request_trailers {
                let mut trailers = Fields::new();
                append(&mut trailers, &[("x-sum", "1")]);
                machine.trailers(running.stream, &trailers, out);
            }
            running.request_is_over = true;
        }
    }

    fn read(&mut self, running: &mut Running, random: &mut Random) {
        let bytes = random.below(1 + running.held as u64) as usize;
        running.held -= bytes;
        self.end.machine.release(running.stream, bytes, &mut self.end.out);
    }

    fn end_if_cancelled(&mut self, at: usize) {
        let Some(running) = &self.running[at] else { return };
        let fate = self.plan.exchanges[running.number].fate;
        if let Fate::Cancelled(after) = fate
            && running.received >= after
            && running.has_head
        {
            self.end.machine.reset(running.stream, Code::CANCEL, &mut self.end.out);
            self.finish(at, Outcome::Cancelled);
        }
    }

    fn finish(&mut self, at: usize, outcome: Outcome) {
        let Some(running) = self.running[at].take() else { return };
        self.end.machine.finish(running.stream, &mut self.end.out);
        let place = &mut self.outcomes[running.number];
        assert_eq!(*place, None, "exchange {} ends twice", running.number);
        *place = Some(outcome);
    }

    pub(super) fn receive(&mut self, now: Instant, mut input: &[u8]) {
        loop {
            let End { machine, heads, out } = &mut self.end;
            let event = machine.receive(now, &mut input, heads, out).expect("the relay is sound");
            let Some(event) = event else { return };
            match event {
                Event::Response { stream, then } => {
                    let head = &self.end.heads.response;
                    let (status, is_interim) = (head.status(), head.is_interim());
                    let Some(running) = &mut self.running[stream.slot()] else { continue };
                    assert!(!running.has_head, "one head");
                    if is_interim {
                        assert_eq!(status, 103);
                        continue;
                    }
                    assert_eq!(status, 200);
                    let number = head.fields().get_str(Known::Etag).expect("it says for what");
                    assert_eq!(number, running.number.to_string(), "answers are not mixed up");
                    running.has_head = true;
                    if then.is_end() {
                        self.complete(stream, false);
                    }
                }
                Event::Data { stream, bytes, then } => {
                    let Some(running) = &mut self.running[stream.slot()] else { continue };
                    plan::check(running.number, true, running.received, bytes);
                    running.received += bytes.len();
                    running.held += bytes.len();
                    assert!(running.held <= self.held_max as usize);
                    if then.is_end() {
                        self.complete(stream, false);
                    }
                }
                Event::Trailers { stream } => {
                    assert_eq!(self.end.heads.trailers.get(Known::GrpcStatus), Some(&b"0"[..]));
                    self.complete(stream, true);
                }
                // More than the other side allows, which was not known yet: nothing was done, so it starts again.
                Event::Reset { stream, cause: Cause::Refused } => {
                    let Some(running) = self.running[stream.slot()].take() else { continue };
                    assert!(!running.has_head, "what has an answer was not refused");
                    self.end.machine.finish(stream, &mut self.end.out);
                    self.queue.push_back(running.number);
                }
                Event::Reset { stream, cause } => {
                    self.finish(stream.slot(), Outcome::Reset(cause));
                }
                Event::Settings
                | Event::Writable { .. }
                | Event::AllWritable
                | Event::GoAway { .. }
                | Event::Pong { .. } => {}
                Event::Request { .. } | Event::Oversized { .. } | Event::Malformed { .. } => {
                    panic!("not at a client: {event:?}")
                }
            }
        }
    }

    fn complete(&mut self, stream: Stream, has_trailers: bool) {
        let Some(running) = &self.running[stream.slot()] else { return };
        let exchange = self.plan.exchanges[running.number];
        assert_eq!(running.received, exchange.response_bytes, "exchange {}", running.number);
        assert_eq!(has_trailers, exchange.response_trailers, "exchange {}", running.number);
        self.finish(stream.slot(), Outcome::Complete);
    }

    /// Every outcome is one that the plan explains.
    pub(super) fn check(&self, seed: u64, has_cut: bool) {
        for (number, (exchange, outcome)) in
            self.plan.exchanges.iter().zip(&self.outcomes).enumerate()
        {
            let is_explained = match (exchange.fate, outcome) {
                (_, Some(Outcome::Complete)) => !matches!(exchange.fate, Fate::Broken(_)),
                (Fate::Cancelled(_), Some(Outcome::Cancelled)) => true,
                (Fate::Broken(_), Some(Outcome::Reset(Cause::Peer(code)))) => {
                    *code == Code::INTERNAL_ERROR || has_cut
                }
                (_, Some(Outcome::Reset(Cause::Peer(_)))) => has_cut,
                _ => false,
            };
            assert!(is_explained, "seed {seed}, exchange {number}: {exchange:?} ended {outcome:?}");
        }
    }
}
