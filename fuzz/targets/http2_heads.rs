//! Header blocks of one connection from arbitrary bytes: whatever a server accepts, a client says again so that the next
//! server reads the same.
#![no_main]

use std::time::Instant;

use leno_http::h2::{Connection, Event, Heads, PREFACE, Settings, Then};
use leno_http::{Fields, Known, RequestHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut hop = Hop::new();
    // Blocks are parted by a byte that says how long the next is.
    let (mut rest, mut id) = (data, 1_u32);
    while let Some((&length, after)) = rest.split_first() {
        let (block, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        if hop.pass(id, block).is_none() {
            return;
        }
        id += 2;
    }
});

/// A server, and the client and the server behind it.
struct Hop {
    now: Instant,
    first: Connection,
    client: Connection,
    second: Connection,
    heads: Heads,
    sink: Vec<u8>,
}

impl Hop {
    fn new() -> Self {
        let mut hop = Self {
            now: Instant::now(),
            first: Connection::server(Settings::DEFAULT),
            client: Connection::client(Settings::DEFAULT),
            second: Connection::server(Settings::DEFAULT),
            heads: Heads::default(),
            sink: Vec::new(),
        };
        let preface = [&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        receive(&mut hop.first, hop.now, &preface, &mut hop.heads, &mut hop.sink);
        let mut out = Vec::new();
        hop.client.start(&mut out);
        receive(&mut hop.second, hop.now, &out, &mut hop.heads, &mut hop.sink);
        let mut settings = Vec::new();
        hop.second.start(&mut settings);
        receive(&mut hop.client, hop.now, &settings, &mut hop.heads, &mut hop.sink);
        hop
    }

    /// `None` when the connection cannot go on.
    fn pass(&mut self, id: u32, block: &[u8]) -> Option<()> {
        let mut input = vec![0, 0, block.len() as u8, 1, 5];
        input.extend_from_slice(&id.to_be_bytes());
        input.extend_from_slice(block);
        self.sink.clear();
        let mut head = RequestHead::new();
        let accepted = {
            let mut bytes = &input[..];
            let mut accepted = None;
            while let Some(event) =
                self.first.receive(self.now, &mut bytes, &mut self.heads, &mut self.sink).ok()?
            {
                if let Event::Request { stream, .. } = event {
                    std::mem::swap(&mut head, &mut self.heads.request);
                    accepted = Some(stream);
                }
            }
            accepted
        };
        let Some(stream) = accepted else { return Some(()) };
        self.first.finish(stream, &mut self.sink);
        self.forward(&head);
        Some(())
    }

    fn forward(&mut self, head: &RequestHead) {
        let mut out = Vec::new();
        let stream = self.client.request(head, Then::End, &mut out).expect("there is room");
        self.client.finish(stream, &mut self.sink);
        let mut bytes = &out[..];
        let event = self
            .second
            .receive(self.now, &mut bytes, &mut self.heads, &mut self.sink)
            .expect("what we write is valid");
        let Some(Event::Request { stream, .. }) = event else { panic!("{event:?}: {head:?}") };
        self.second.finish(stream, &mut self.sink);
        let next = &self.heads.request;
        assert_eq!(next.method_str(), head.method_str());
        assert_eq!(next.target(), head.target());
        assert_eq!(lines(next.fields()), lines(head.fields()));
    }
}

/// The fields, in order but for those that are moved: the host to the front, TE to the end. HTTP2-Settings means nothing
/// in HTTP/2 and stays behind.
fn lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let mut lines: Vec<_> = fields
        .iter()
        .filter(|field| field.known != Known::Http2Settings)
        .map(|field| (field.name.to_lowercase(), field.value.to_ascii_lowercase()))
        .collect();
    lines.sort_by_key(|(name, _)| match name.as_str() {
        "host" => 0,
        "te" => 2,
        _ => 1,
    });
    lines
}

fn receive(
    machine: &mut Connection,
    now: Instant,
    mut bytes: &[u8],
    heads: &mut Heads,
    out: &mut Vec<u8>,
) {
    while machine.receive(now, &mut bytes, heads, out).expect("what we write is valid").is_some() {}
}
