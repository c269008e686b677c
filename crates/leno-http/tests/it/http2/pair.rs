//! A client and a server machine, their outputs joined to their inputs, and what they tell as plain values.

use std::time::Instant;

use leno_http::h2::{Cause, Connection, ConnectionError, Event, Heads, Settings, Stream, Then};
use leno_http::{Fields, RequestHead, ResponseHead, Version};

pub(crate) type Pairs = Vec<(String, String)>;

/// An event with what it borrows copied out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Request(Stream, String, Pairs, Then),
    Response(Stream, u16, Pairs, Then),
    Data(Stream, Vec<u8>, Then),
    Trailers(Stream, Pairs),
    Reset(Stream, Cause),
    Other(String),
}

pub(crate) fn pairs(fields: &Fields) -> Pairs {
    fields
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
        .collect()
}

/// One machine with what it wants to send.
pub(crate) struct End {
    pub(crate) machine: Connection,
    pub(crate) heads: Heads,
    pub(crate) out: Vec<u8>,
}

impl End {
    pub(crate) fn new(mut machine: Connection) -> Self {
        let mut out = Vec::new();
        machine.start(&mut out);
        Self { machine, heads: Heads::default(), out }
    }

    /// Hands in bytes and collects the events, data of one stream joined.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        mut input: &[u8],
    ) -> Result<Vec<Seen>, ConnectionError> {
        let mut seen = Vec::new();
        while let Some(event) =
            self.machine.receive(now, &mut input, &mut self.heads, &mut self.out)?
        {
            let next = match event {
                Event::Request { stream, then } => {
                    let head = &self.heads.request;
                    let line = format!("{} {}", head.method_str(), head.target());
                    Seen::Request(stream, line, pairs(head.fields()), then)
                }
                Event::Response { stream, then } => {
                    let head = &self.heads.response;
                    Seen::Response(stream, head.status(), pairs(head.fields()), then)
                }
                Event::Data { stream, bytes, then } => match seen.last_mut() {
                    Some(Seen::Data(last, joined, so_far))
                        if *last == stream && *so_far == Then::More =>
                    {
                        joined.extend_from_slice(bytes);
                        *so_far = then;
                        continue;
                    }
                    _ => Seen::Data(stream, bytes.to_vec(), then),
                },
                Event::Trailers { stream } => Seen::Trailers(stream, pairs(&self.heads.trailers)),
                Event::Reset { stream, cause } => Seen::Reset(stream, cause),
                other => Seen::Other(format!("{other:?}")),
            };
            seen.push(next);
        }
        assert!(input.is_empty(), "everything is taken before there is nothing to tell");
        Ok(seen)
    }
}

/// A client and a server.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) now: Instant,
}

impl Pair {
    /// After both have said and seen SETTINGS.
    pub(crate) fn new(client: Settings, server: Settings) -> Self {
        let mut pair = Self {
            client: End::new(Connection::client(client)),
            server: End::new(Connection::server(server)),
            now: Instant::now(),
        };
        pair.settle();
        pair
    }

    /// Moves bytes both ways until nobody has anything to say; what server and client saw.
    pub(crate) fn settle(&mut self) -> (Vec<Seen>, Vec<Seen>) {
        let (mut by_server, mut by_client) = (Vec::new(), Vec::new());
        while !self.client.out.is_empty() || !self.server.out.is_empty() {
            let bytes = std::mem::take(&mut self.client.out);
            by_server.extend(self.server.receive(self.now, &bytes).expect("the client is sound"));
            let bytes = std::mem::take(&mut self.server.out);
            by_client.extend(self.client.receive(self.now, &bytes).expect("the server is sound"));
        }
        (by_server, by_client)
    }

    /// Sends a request from the client.
    pub(crate) fn request(&mut self, head: &RequestHead, then: Then) -> Stream {
        self.client.machine.request(head, then, &mut self.client.out).expect("there is room")
    }
}

pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.start(Version::Http2, method, "svc.example:80", target);
    append(head.fields_mut(), fields);
    head
}

pub(crate) fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.start(Version::Http2, status);
    append(head.fields_mut(), fields);
    head
}

pub(crate) fn append(list: &mut Fields, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        list.append(leno_http::Name::parse(name).expect("a token"), value.as_bytes());
    }
}

pub(crate) fn owned(fields: &[(&str, &str)]) -> Pairs {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
