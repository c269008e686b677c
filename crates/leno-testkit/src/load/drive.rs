//! Requests over keep-alive connections, as fast as they are answered or at a fixed rate, and what they took.
//!
//! At a fixed rate latency counts from the moment a request was due, not from when it could be sent: a server that
//! stalls is charged for everybody it kept waiting.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::event::epoll::Event;
use serde::Serialize;

use super::connection::{self, Connection, Received};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub address: SocketAddr,
    /// The `Host` field.
    pub host: String,
    /// The path.
    pub path: String,
    /// How many connections, each with one request at a time.
    pub connections: usize,
    /// Requests per second over all of them; as many as are answered if none.
    pub rate: Option<f64>,
    /// How long, the warm-up not counted.
    pub duration: Duration,
    /// How long before latencies count.
    pub warm_up: Duration,
}

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Requests answered after the warm-up.
    pub requests: u64,
    /// Requests answered, the warm-up included.
    pub requests_total: u64,
    /// Answers other than 200.
    pub not_ok: u64,
    /// Answers per second after the warm-up.
    pub rps: f64,
    /// Half were faster.
    pub p50_us: u32,
    /// One in ten was slower.
    pub p90_us: u32,
    /// One in a hundred was slower.
    pub p99_us: u32,
    /// The slowest.
    pub max_us: u32,
}

/// Carries out the plan.
pub fn drive(plan: &Plan) -> anyhow::Result<Outcome> {
    ensure!(plan.connections > 0, "at least one connection");
    // Timers are late by the slack, by default as long as a whole exchange.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let set = connection::set()?;
    let lanes = (0..plan.connections).map(|at| Lane::connect(&set, plan.address, at as u64));
    let lanes = lanes.collect::<anyhow::Result<Vec<_>>>()?;
    let mut driver = Driver {
        request: format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: load/1.0\r\nAccept: application/json\r\n\
             Accept-Encoding: gzip\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n",
            plan.path, plan.host
        )
        .into_bytes(),
        idle: (0..plan.connections).collect(),
        lanes,
        latencies: Vec::with_capacity(1 << 20),
        answered: 0,
        not_ok: 0,
        sent: 0,
        started: Instant::now(),
    };
    driver.run(plan, &set)?;
    Ok(driver.outcome(plan))
}

struct Lane {
    connection: Connection,
    is_busy: bool,
    due: Duration,
    received: Vec<u8>,
    /// How long the answer is, once its head is here.
    expected: Option<usize>,
}

impl Lane {
    fn connect(set: &OwnedFd, address: SocketAddr, token: u64) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        let connection = Connection::add(set, stream, token)?;
        Ok(Self {
            connection,
            is_busy: false,
            due: Duration::ZERO,
            received: Vec::new(),
            expected: None,
        })
    }

    /// Reads all there is; whether the answer is complete now.
    fn receive(&mut self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        loop {
            let length = match self.connection.receive(buffer)? {
                Received::Nothing => return Ok(false),
                Received::End => bail!("the peer closed a connection"),
                Received::Bytes(length) => length,
            };
            self.received.extend_from_slice(&buffer[..length]);
            if self.expected.is_none() {
                self.expected = length_of(&self.received)?;
            }
            if self.expected.is_some_and(|expected| self.received.len() >= expected) {
                return Ok(true);
            }
            if length < buffer.len() {
                return Ok(false);
            }
        }
    }
}

/// Length of head and body, `None` until the head is complete.
fn length_of(received: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    for line in received[..end].split(|&byte| byte == b'\n') {
        let Some((name, value)) = line.split_at_checked(15) else { continue };
        if name.eq_ignore_ascii_case(b"content-length:") {
            let length: usize = std::str::from_utf8(value)?.trim().parse()?;
            return Ok(Some(end + 4 + length));
        }
    }
    bail!("an answer without Content-Length")
}

struct Driver {
    request: Vec<u8>,
    lanes: Vec<Lane>,
    idle: Vec<usize>,
    latencies: Vec<u32>,
    answered: u64,
    not_ok: u64,
    sent: u64,
    started: Instant,
}

impl Driver {
    fn run(&mut self, plan: &Plan, set: &OwnedFd) -> anyhow::Result<()> {
        let end = plan.warm_up + plan.duration;
        let (mut events, mut buffer) = (Vec::<Event>::with_capacity(1024), vec![0; 64 * 1024]);
        loop {
            let now = self.started.elapsed();
            if now >= end && self.idle.len() == self.lanes.len() {
                return Ok(());
            }
            ensure!(now < end + Duration::from_secs(10), "the last answers did not come");
            let limit = self.send_due(plan, now, end)?;
            connection::wait(set, &mut events, Some(limit))?;
            for event in &events {
                let at = event.data.u64() as usize;
                self.lanes[at].connection.flush()?;
                if self.lanes[at].is_busy {
                    self.receive(plan, at, &mut buffer)?;
                }
            }
        }
    }

    /// Sends every request that is due and tells how long until the next.
    fn send_due(&mut self, plan: &Plan, now: Duration, end: Duration) -> anyhow::Result<Duration> {
        let patience = Duration::from_millis(20);
        let mut next = patience;
        while now < end && !self.idle.is_empty() {
            let due = match plan.rate {
                None => self.started.elapsed(),
                Some(rate) => Duration::from_secs_f64(self.sent as f64 / rate),
            };
            if due > now && plan.rate.is_some() {
                next = due - now;
                break;
            }
            let Some(at) = self.idle.pop() else { break };
            self.send(at, due)?;
        }
        Ok(next.min(patience))
    }

    fn send(&mut self, at: usize, due: Duration) -> anyhow::Result<()> {
        let lane = &mut self.lanes[at];
        lane.due = due;
        lane.is_busy = true;
        lane.received.clear();
        lane.expected = None;
        self.sent += 1;
        lane.connection.send(&self.request)
    }

    fn receive(&mut self, plan: &Plan, at: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let lane = &mut self.lanes[at];
        if !lane.receive(buffer)? {
            return Ok(());
        }
        let now = self.started.elapsed();
        self.answered += 1;
        self.not_ok += u64::from(!lane.received.starts_with(b"HTTP/1.1 200"));
        if lane.due >= plan.warm_up {
            let took = now.saturating_sub(lane.due).as_micros();
            self.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        }
        lane.is_busy = false;
        // As fast as they are answered: the next goes out at once, on the same connection.
        if plan.rate.is_none() && now < plan.warm_up + plan.duration {
            return self.send(at, now);
        }
        self.idle.push(at);
        Ok(())
    }

    fn outcome(mut self, plan: &Plan) -> Outcome {
        self.latencies.sort_unstable();
        let at = |part: f64| {
            let last = self.latencies.len().saturating_sub(1);
            self.latencies.get((last as f64 * part) as usize).copied().unwrap_or_default()
        };
        Outcome {
            requests: self.latencies.len() as u64,
            requests_total: self.answered,
            not_ok: self.not_ok,
            rps: self.latencies.len() as f64 / plan.duration.as_secs_f64(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            max_us: at(1.0),
        }
    }
}
