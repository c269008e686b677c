//! A client and a server machine under arbitrary interleavings of calls and deliveries: what one says is never an error
//! to the other, no window is overrun, every stream ends at both, and nothing is left behind.
#![no_main]

use std::time::{Duration, Instant};

use leno_http::h2::{Code, Connection, Event, Heads, Settings, Stream, Then};
use leno_http::{BodyLength, Fields, Http2Limits, Known, Rate, RequestHead, ResponseHead, Version};
use libfuzzer_sys::fuzz_target;

/// Small windows, so that they fill; and no bound on rates, since the program may call as often as it likes, which is
/// what a bound on rates is there to refuse.
const SETTINGS: Settings = Settings {
    limits: Http2Limits {
        streams: 5,
        stream_window_bytes: 300,
        stream_window_bytes_max: 2000,
        resets: ANY,
        refusals: ANY,
        pings: ANY,
        settings: ANY,
        ignored: ANY,
        empties: ANY,
        window_updates: ANY,
        ..Http2Limits::DEFAULT
    },
    ..Settings::DEFAULT
};

const ANY: Rate = Rate::new(u32::MAX, 0);

/// One end, and what it knows of each slot's stream.
struct End {
    machine: Connection,
    heads: Heads,
    out: Vec<u8>,
    streams: Vec<Option<Held>>,
}

/// A stream in the caller's hands.
#[derive(Clone, Copy)]
struct Held {
    stream: Stream,
    /// Received and not released.
    held: usize,
}

fuzz_target!(|program: &[u8]| {
    let mut now = Instant::now();
    let mut ends = [End::new(Connection::client(SETTINGS)), End::new(Connection::server(SETTINGS))];
    deliver(&mut ends, 0, usize::MAX, now);
    deliver(&mut ends, 1, usize::MAX, now);
    for operation in program.as_chunks::<3>().0 {
        let [kind, pick, size] = *operation;
        now += Duration::from_millis(u64::from(kind >> 4));
        run(&mut ends, kind & 0xf, usize::from(pick), usize::from(size), now);
    }
    // Let everything end, and see that it does.
    for _ in 0..4 {
        for side in [0, 1] {
            for at in 0..ends[side].streams.len() {
                if let Some(known) = ends[side].streams[at].take() {
                    ends[side].machine.finish(known.stream, &mut ends[side].out);
                }
            }
        }
        deliver(&mut ends, 0, usize::MAX, now);
        deliver(&mut ends, 1, usize::MAX, now);
    }
    for end in &ends {
        assert_eq!(end.machine.active(), 0, "a stream is left behind");
    }
});

impl End {
    fn new(mut machine: Connection) -> Self {
        let mut out = Vec::new();
        machine.start(&mut out);
        Self { machine, heads: Heads::default(), out, streams: Vec::new() }
    }

    fn learn(&mut self, stream: Stream) {
        if self.streams.len() <= stream.slot() {
            self.streams.resize(stream.slot() + 1, None);
        }
        let place = &mut self.streams[stream.slot()];
        assert!(place.is_none(), "a slot is used again before it was given back");
        *place = Some(Held { stream, held: 0 });
    }

    fn pick(&self, pick: usize) -> Option<Held> {
        let count = self.streams.len();
        (0..count).find_map(|offset| self.streams[(pick + offset) % count])
    }
}

/// Moves so many bytes from one end to the other.
fn deliver(ends: &mut [End; 2], from: usize, bytes: usize, now: Instant) {
    let length = ends[from].out.len().min(bytes);
    let moved: Vec<u8> = ends[from].out.drain(..length).collect();
    let to = &mut ends[1 - from];
    let mut input = &moved[..];
    while let Some(event) = to
        .machine
        .receive(now, &mut input, &mut to.heads, &mut to.out)
        .expect("what one says is no error to the other")
    {
        match event {
            Event::Request { stream, .. } | Event::Oversized { stream, .. } => to.learn(stream),
            Event::Data { stream, bytes, .. } => {
                let known = to.streams[stream.slot()].as_mut().expect("data of a known stream");
                assert_eq!(known.stream, stream);
                known.held += bytes.len();
                assert!(known.held <= 2000, "more is held than the largest window");
            }
            Event::Malformed { id, why } => panic!("stream {id}: {why}"),
            _ => {}
        }
    }
}

fn run(ends: &mut [End; 2], kind: u8, pick: usize, size: usize, now: Instant) {
    let side = pick & 1;
    let then = if size & 1 == 0 { Then::More } else { Then::End };
    let end = &mut ends[side];
    let known = end.pick(pick >> 1);
    match (kind, known) {
        (0..=3, _) => deliver(ends, side, size * 4, now),
        (4 | 5, _) if side == 0 => {
            let mut head = RequestHead::new();
            head.start(Version::Http2, ["GET", "POST", "HEAD"][size % 3], "a", "/p");
            head.set_body(if then.is_end() { BodyLength::Empty } else { BodyLength::Unknown });
            head.fields_mut().append(Known::UserAgent, &[b'a' + (size % 26) as u8]);
            if let Ok(stream) = end.machine.request(&head, then, &mut end.out) {
                end.learn(stream);
            }
        }
        (4 | 5, Some(Held { stream, .. })) => {
            let mut head = ResponseHead::new();
            head.start(Version::Http2, if size % 7 == 0 { 103 } else { 200 });
            if head.is_interim() {
                end.machine.interim(stream, &head, &mut end.out);
            } else {
                end.machine.response(stream, &head, then, &mut end.out);
            }
        }
        (6..=8, Some(Held { stream, .. })) => {
            let window = end.machine.send_window(stream);
            let taken = end.machine.data(stream, &[b'x'; 2000][..size * 7], then, &mut end.out);
            assert!(taken <= window || !end.machine.can_send(stream) || taken == size * 7);
        }
        (9, Some(Held { stream, .. })) => {
            let mut trailers = Fields::new();
            trailers.append(Known::GrpcStatus, b"0");
            end.machine.trailers(stream, &trailers, &mut end.out);
        }
        (10, Some(Held { stream, .. })) => {
            end.machine.reset(stream, Code::CANCEL, &mut end.out);
        }
        (11 | 12, Some(Held { stream, held })) => {
            end.machine.release(stream, held, &mut end.out);
            if let Some(known) = &mut end.streams[stream.slot()] {
                known.held = 0;
            }
        }
        (13, Some(Held { stream, .. })) => {
            end.streams[stream.slot()] = None;
            end.machine.finish(stream, &mut end.out);
        }
        (14, _) => end.machine.ping(size as u64, &mut end.out),
        (15, _) if size > 250 => end.machine.shutdown(&mut end.out),
        (15, Some(Held { stream, .. })) => end.machine.widen(stream, &mut end.out),
        _ => {}
    }
}
