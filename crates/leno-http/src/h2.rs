//! HTTP/2 (RFC 9113): one machine for both ends of a connection.
//!
//! [`Connection`] takes received bytes and gives [`Event`]s; what is to be sent is appended to an output buffer of the
//! caller's, so that one write per turn carries whatever all streams had to say. It queues nothing: what a window does
//! not allow stays with the caller, who is told when it may go on. DATA is never copied on its way in. Everything a
//! peer can make it hold or do is bounded by [`Http2Limits`](crate::Http2Limits).

mod block;
mod bucket;
mod code;
mod connection;
mod event;
mod frame;
mod hpack;
mod message;
mod receive;
mod send;
mod settings;
mod streams;
mod violation;
mod window;

pub(crate) use hpack::Tag;

pub use code::Code;
pub use connection::Connection;
pub use event::{Cause, ConnectionError, Event, Heads, NotNow, Stream, Then};
pub use settings::{ExtendedConnect, PeerSettings, Settings, Spelling};
pub use violation::Violation;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
