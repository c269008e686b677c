//! HTTP/1.1: strict parsing, framing, and one machine for each end of a connection.
//!
//! [`Server`] faces downstream, [`Client`] faces upstream. Both are fed from a buffer the caller owns: they say how many
//! bytes they took and expect the rest again with more behind it. An [`Invalid`](crate::Invalid) is final for the
//! connection. [`relay`] moves a body from one machine to the other.

mod attempts;
mod body;
mod chunked;
mod client;
mod connection;
mod diagnose;
mod encode;
mod framing;
mod parse;
mod reader;
mod server;
mod target;

use attempts::Attempts;
pub(crate) use framing::decimal;
pub(crate) use target::{is_authority, is_connect_authority};

pub use body::{BodyWriter, Relayed, WrongLength, pass, relay};
pub use client::Client;
pub use reader::{BodyReader, Decoded, Passed, Piece};
pub use server::Server;

/// What the other side may do next on a connection whose exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Another exchange may follow.
    Keep,
    /// The connection must be closed.
    Close,
}
