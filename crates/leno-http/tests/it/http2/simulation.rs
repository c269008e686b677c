//! A client, a relay of two machines, and an origin, joined by byte pipes that split, delay, stall and cut as a seed
//! says. Every exchange must end once: complete and byte for byte right, or reset for a reason that is in the plan.

mod client;
mod origin;
mod pipe;
mod plan;
mod relay;

use std::time::{Duration, Instant};

use client::Client;
use leno_http::Http2Limits;
use leno_http::h2::Settings;
use origin::Origin;
use pipe::{Pipe, Random};
use plan::Plan;
use relay::Relay;

/// Small windows, so that they fill again and again.
const SETTINGS: Settings = Settings {
    limits: Http2Limits {
        streams: 6,
        stream_window_bytes: 3000,
        stream_window_bytes_max: WINDOW_MAX,
        connection_window_bytes: 65_535,
        connection_window_bytes_max: 100_000,
        ..Http2Limits::DEFAULT
    },
    ..Settings::DEFAULT
};

/// What may be held for a stream at most.
const WINDOW_MAX: u32 = 12_000;

/// Everything there is.
struct World {
    random: Random,
    now: Instant,
    client: Client,
    relay: Relay,
    origin: Origin,
    /// Client to relay and back, relay to origin and back.
    pipes: [Pipe; 4],
    is_cut: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random);
        // Before it knows our SETTINGS a peer may use the window that every stream starts with.
        let is_warm = !random.one_in(4);
        let held_max = if is_warm { WINDOW_MAX } else { 65_535 };
        let mut world = Self {
            client: Client::new(plan.clone(), held_max),
            relay: Relay::new(held_max),
            origin: Origin::new(plan, held_max),
            pipes: Default::default(),
            is_cut: false,
            now: Instant::now(),
            random,
        };
        if is_warm {
            world.settle();
        }
        world
    }

    /// Everything arrives, and the answers to it.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.collect();
            let [to_relay, to_client, to_origin, from_origin] =
                self.pipes.each_mut().map(Pipe::take_all);
            self.relay.receive_down(self.now, &to_relay);
            self.client.receive(self.now, &to_client);
            self.origin.receive(self.now, &to_origin);
            self.relay.receive_up(self.now, &from_origin);
        }
    }

    /// One thing happens.
    fn step(&mut self) {
        self.now += Duration::from_micros(self.random.below(2000));
        self.collect();
        match self.random.below(7) {
            0 => {
                let bytes = self.pipes[0].take(&mut self.random);
                self.relay.receive_down(self.now, &bytes);
            }
            1 => {
                let bytes = self.pipes[1].take(&mut self.random);
                self.client.receive(self.now, &bytes);
            }
            2 => {
                let bytes = self.pipes[2].take(&mut self.random);
                self.origin.receive(self.now, &bytes);
            }
            3 => {
                let bytes = self.pipes[3].take(&mut self.random);
                self.relay.receive_up(self.now, &bytes);
            }
            4 => self.client.act(&mut self.random),
            5 => self.origin.act(&mut self.random),
            _ => self.relay.act(),
        }
    }

    /// Outputs into their pipes: one write of everything, as a flush is.
    fn collect(&mut self) {
        let [to_relay, to_client, to_origin, from_origin] = &mut self.pipes;
        to_relay.put(&mut self.client.end.out);
        to_client.put(&mut self.relay.down.out);
        if self.is_cut {
            self.relay.up.out.clear();
            self.origin.end.out.clear();
        }
        to_origin.put(&mut self.relay.up.out);
        from_origin.put(&mut self.origin.end.out);
    }

    /// The origin is gone, and what was under way with it.
    fn cut(&mut self) {
        self.is_cut = true;
        (self.pipes[2], self.pipes[3]) = (Pipe::default(), Pipe::default());
        self.relay.lose_origin();
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let cut_at = world.client.plan.cut_at;
    let mut steps = 0_u32;
    while !world.client.is_done() {
        world.step();
        steps += 1;
        if Some(steps) == cut_at {
            world.cut();
        }
        assert!(steps < 2_000_000, "seed {seed}: stuck with {:?}", world.client.undone());
    }
    for _ in 0..100 {
        world.client.act(&mut world.random);
        world.origin.act(&mut world.random);
        world.relay.act();
        world.settle();
    }
    let has_cut = cut_at.is_some_and(|at| at <= steps);
    world.client.check(seed, has_cut);
    assert_eq!(world.client.end.machine.active(), 0, "seed {seed}: the client");
    assert_eq!(world.relay.down.machine.active(), 0, "seed {seed}: the relay's server");
    assert!(world.relay.is_idle(), "seed {seed}: the relay");
    if !has_cut {
        assert_eq!(world.relay.up.machine.active(), 0, "seed {seed}: the relay's client");
        assert_eq!(world.origin.end.machine.active(), 0, "seed {seed}: the origin");
    }
}

#[test]
fn every_exchange_ends_once_whatever_the_pipes_do() {
    let seeds = std::env::var("LENO_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2500);
    for seed in 0..seeds {
        run(seed);
    }
}
