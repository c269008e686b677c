//! HTTP/2 through one hop without sockets: the machines of a client, of both ends of a proxy, and of an endpoint, whose
//! bytes go from one to the next.

use std::hint::black_box;
use std::time::Instant;

use leno_http::h2::{self, Event, Then};
use leno_http::{Fields, Known, RequestHead, ResponseHead, Version};

/// A client, the two machines of a proxy, and an endpoint: what each has to say to the next.
struct Hop {
    ends: [(h2::Connection, Vec<u8>); 4],
    heads: h2::Heads,
    now: Instant,
    response: ResponseHead,
    /// The proxy's two streams of each call.
    streams: Vec<(h2::Stream, h2::Stream)>,
}

const CLIENT: usize = 0;
const DOWN: usize = 1;
const UP: usize = 2;
const ORIGIN: usize = 3;
/// Streams at a time.
const STREAMS: usize = 50;
const BODY: [u8; 1024] = [b'x'; 1024];

impl Hop {
    fn new() -> Self {
        let settings = h2::Settings::DEFAULT;
        let ends = [
            h2::Connection::client(settings),
            h2::Connection::server(settings),
            h2::Connection::client(settings),
            h2::Connection::server(settings),
        ];
        let mut response = ResponseHead::new();
        response.start(Version::Http2, 200);
        response.fields_mut().append(Known::ContentType, b"application/grpc");
        let mut hop = Self {
            ends: ends.map(|machine| (machine, Vec::with_capacity(1 << 20))),
            heads: h2::Heads::default(),
            now: Instant::now(),
            response,
            streams: Vec::new(),
        };
        hop.ends.iter_mut().for_each(|(machine, out)| machine.start(out));
        for _ in 0..4 {
            hop.pass(CLIENT, DOWN, |_, _| {});
            hop.pass(DOWN, CLIENT, |_, _| {});
            hop.pass(UP, ORIGIN, |_, _| {});
            hop.pass(ORIGIN, UP, |_, _| {});
        }
        hop
    }

    /// Moves what `from` said to `to`, and has each event looked at.
    fn pass(&mut self, from: usize, to: usize, mut on: impl FnMut(&mut Self, Event<'_>)) {
        let said = std::mem::take(&mut self.ends[from].1);
        let mut input = said.as_slice();
        loop {
            let (machine, out) = &mut self.ends[to];
            let event = machine.receive(self.now, &mut input, &mut self.heads, out).unwrap();
            let Some(event) = event else { break };
            on(self, event);
        }
        let mut said = said;
        said.clear();
        // What was said meanwhile, such as acknowledgements, goes first.
        said.extend_from_slice(&self.ends[from].1);
        self.ends[from].1 = said;
    }

    /// What the proxy's downstream end received goes up.
    fn up(&mut self, event: Event<'_>) {
        let (machine, out) = &mut self.ends[UP];
        match event {
            Event::Request { stream, then } => {
                let up = machine.request(&self.heads.request, then, out).unwrap();
                self.streams.push((stream, up));
            }
            Event::Data { stream, bytes, then } => {
                let (_, up) = self.streams[call_of(stream)];
                assert_eq!(machine.data(up, bytes, then, out), bytes.len());
                let (machine, out) = &mut self.ends[DOWN];
                machine.release(stream, bytes.len(), out);
            }
            _ => {}
        }
    }

    /// What its upstream end received goes down.
    fn down(&mut self, event: Event<'_>) {
        let stream = match event {
            Event::Response { stream, .. } | Event::Data { stream, .. } => stream,
            Event::Trailers { stream } => stream,
            _ => return,
        };
        let (down, _) = self.streams[call_of(stream)];
        let (machine, out) = &mut self.ends[DOWN];
        match event {
            Event::Response { then, .. } => machine.response(down, &self.heads.response, then, out),
            Event::Data { bytes, then, .. } => {
                assert_eq!(machine.data(down, bytes, then, out), bytes.len());
                let (machine, out) = &mut self.ends[UP];
                machine.release(stream, bytes.len(), out);
            }
            _ => machine.trailers(down, &self.heads.trailers, out),
        }
    }

    /// Fifty calls at a time, from heads to heads, each with a body of 100 bytes and back as many as `answer` says.
    fn calls(&mut self, request: &RequestHead, answer: &mut impl FnMut(&mut Self, h2::Stream)) {
        let mut calls = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let (machine, out) = &mut self.ends[CLIENT];
            let stream = machine.request(request, Then::More, out).unwrap();
            machine.data(stream, &BODY[..100], Then::End, out);
            calls.push(stream);
        }
        self.streams.clear();
        self.pass(CLIENT, DOWN, |hop, event| hop.up(event));
        let mut asked = Vec::with_capacity(STREAMS);
        self.pass(UP, ORIGIN, |_, event| {
            if let Event::Request { stream, .. } = event {
                asked.push(stream);
            }
        });
        for stream in &asked {
            answer(self, *stream);
        }
        self.pass(ORIGIN, UP, |hop, event| hop.down(event));
        self.pass(DOWN, CLIENT, |hop, event| {
            if let Event::Data { stream, bytes, .. } = event {
                let (machine, out) = &mut hop.ends[CLIENT];
                machine.release(stream, bytes.len(), out);
            }
        });
        for at in 0..STREAMS {
            let (down, up) = self.streams[at];
            for (end, stream) in [(CLIENT, calls[at]), (DOWN, down), (UP, up), (ORIGIN, asked[at])]
            {
                let (machine, out) = &mut self.ends[end];
                machine.finish(stream, out);
            }
        }
    }
}

/// Which of the fifty calls a stream is: identifiers are given in their order.
fn call_of(stream: h2::Stream) -> usize {
    (stream.id() / 2) as usize % STREAMS
}

fn grpc_request() -> RequestHead {
    let mut request = RequestHead::new();
    request.start(Version::Http2, "POST", "svc7.ns.svc.cluster.local", "/shop.Cart/Add");
    for (name, value) in [
        (Known::ContentType, "application/grpc"),
        (Known::Te, "trailers"),
        (Known::UserAgent, "grpc-go/1.85.0"),
        (Known::Authorization, "Bearer 0123456789abcdef0123456789abcdef"),
    ] {
        request.fields_mut().append(name, value.as_bytes());
    }
    request
}

/// A unary call through the machines of client, proxy and endpoint, with trailers; fifty at a time.
pub(crate) fn h2_exchange(count: usize) {
    let (mut hop, request) = (Hop::new(), grpc_request());
    let mut trailers = Fields::new();
    trailers.append(Known::GrpcStatus, b"0");
    for _ in 0..count / STREAMS {
        hop.calls(black_box(&request), &mut |hop: &mut Hop, stream: h2::Stream| {
            let (machine, out) = &mut hop.ends[ORIGIN];
            machine.response(stream, &hop.response, Then::More, out);
            machine.data(stream, &BODY[..100], Then::More, out);
            machine.trailers(stream, &trailers, out);
        });
    }
}

/// A DATA frame of 1 KiB from an endpoint through the proxy's machines to a client's, ten of each of fifty streams.
pub(crate) fn h2_data(count: usize) {
    const FRAMES: usize = 10;
    let (mut hop, request) = (Hop::new(), grpc_request());
    for _ in 0..count / (STREAMS * FRAMES) {
        hop.calls(black_box(&request), &mut |hop: &mut Hop, stream: h2::Stream| {
            let (machine, out) = &mut hop.ends[ORIGIN];
            machine.response(stream, &hop.response, Then::More, out);
            for frame in 1..=FRAMES {
                let then = if frame == FRAMES { Then::End } else { Then::More };
                assert_eq!(machine.data(stream, black_box(&BODY), then, out), BODY.len());
            }
        });
    }
}
