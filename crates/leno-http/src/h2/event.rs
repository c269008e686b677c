//! What a connection tells its caller.

use super::{Code, Violation};
use crate::{Fields, RequestHead, ResponseHead};

/// One stream of one connection. The slot is a small dense index, so that a caller's own state for the stream is an
/// element of a vector; it is used again only after [`Connection::finish`](super::Connection::finish).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    pub(super) slot: u32,
    pub(super) id: u32,
}

impl Stream {
    /// Position of the stream among the connection's streams.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The identifier on the wire, never used twice on a connection.
    pub const fn id(self) -> u32 {
        self.id
    }
}

/// What follows a frame in its direction of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More of the message.
    More,
    /// Nothing: END_STREAM.
    End,
}

impl Then {
    /// Whether this was the last of its direction.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::End)
    }

    pub(super) const fn from_flag(flags: u8) -> Self {
        if flags & super::frame::END_STREAM != 0 { Self::End } else { Self::More }
    }
}

/// Why a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer reset it.
    Peer(Code),
    /// The peer did not process the request at all: RST_STREAM with REFUSED_STREAM, or beyond its GOAWAY. Trying it
    /// again elsewhere is safe whatever the method.
    Refused,
    /// The peer broke the protocol on it; RST_STREAM is written.
    Violation(Violation),
}

/// Something that happened on a connection. Heads and trailers are in the [`Heads`] that were handed in, until the next
/// call; take them by swap.
#[derive(Debug)]
pub enum Event<'i> {
    /// A request's head, on a server.
    Request {
        /// A stream the caller has not seen before.
        stream: Stream,
        /// Whether a body follows.
        then: Then,
    },
    /// A response's head, interim or final, on a client.
    Response {
        /// The request's stream.
        stream: Stream,
        /// Whether a body follows.
        then: Then,
    },
    /// Bytes of a body; never empty unless they end it.
    Data {
        /// The message's stream.
        stream: Stream,
        /// Part of what was received, not copied. Call [`Connection::release`](super::Connection::release) when the
        /// bytes have been passed on.
        bytes: &'i [u8],
        /// Whether more follows.
        then: Then,
    },
    /// The trailers, with which the peer's direction ends.
    Trailers {
        /// The message's stream.
        stream: Stream,
    },
    /// The stream is over. What was received before stands.
    Reset {
        /// The stream.
        stream: Stream,
        /// Who ended it, and why.
        cause: Cause,
    },
    /// A request's head is larger than the limits allow, so it is not handed out. Answer 431 or reset the stream.
    Oversized {
        /// A stream the caller has not seen before.
        stream: Stream,
        /// Whether a body follows.
        then: Then,
    },
    /// A request that is not one. It was reset and the caller never saw it; there is nothing to do but to record it.
    Malformed {
        /// The stream's identifier.
        id: u32,
        /// What is wrong with it.
        why: Violation,
    },
    /// More may be sent on a stream that had taken less than it was offered.
    Writable {
        /// The stream.
        stream: Stream,
    },
    /// More may be sent on any stream that had taken less than it was offered.
    AllWritable,
    /// The peer's settings changed: see [`Connection::peer`](super::Connection::peer).
    Settings,
    /// The peer is going away: no new requests. Those it will not process are reset one by one after this.
    GoAway {
        /// The last stream the peer may have processed.
        last: u32,
        /// Why.
        code: Code,
    },
    /// The answer to [`Connection::ping`](super::Connection::ping).
    Pong {
        /// What the ping carried.
        opaque: u64,
    },
}

/// Where heads are decoded: a worker needs one for all its connections.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// Of the last [`Event::Request`].
    pub request: RequestHead,
    /// Of the last [`Event::Response`].
    pub response: ResponseHead,
    /// Of the last [`Event::Trailers`].
    pub trailers: Fields,
    /// Length of the frames that the last of these came in, as they were on the wire.
    pub wire_bytes: usize,
}

/// The connection cannot go on. GOAWAY is in the output: write it, and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ConnectionError {
    /// What the peer did.
    pub why: Violation,
}

impl ConnectionError {
    /// What the peer was told.
    pub const fn code(self) -> Code {
        self.why.error_code()
    }
}

/// Why no request can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// As many streams are open as the peer allows; one that ends makes room.
    #[error("peer's limit of concurrent streams is reached")]
    Limit,
    /// One side said GOAWAY.
    #[error("connection is going away")]
    GoingAway,
    /// Stream identifiers have run out.
    #[error("stream identifiers have run out")]
    Exhausted,
    /// The peer does not allow extended CONNECT (RFC 8441 §3).
    #[error("peer does not allow extended CONNECT")]
    ExtendedConnect,
}
