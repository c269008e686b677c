//! HTTP/1.1 and HTTP/2 as sans-I/O machines: bytes in, decisions out.
//!
//! The proxy's one exchange path works on [`RequestHead`], [`ResponseHead`] and [`Fields`], which say nothing of the
//! version they came in; [`h1`] and [`h2`] make them from received bytes and write them back. No sockets, no clocks and no policy
//! live here: a caller reads bytes into a buffer of its own, hands the buffer to a machine, and writes what the
//! machine appended to an output buffer. Every buffer belongs to the caller and is reused from request to request.

mod fields;
pub mod h1;
pub mod h2;
mod invalid;
mod known;
mod limits;
mod method;
mod name;
mod request;
mod response;

pub use fields::{Field, Fields};
pub use invalid::Invalid;
pub use known::Known;
pub use limits::{Http2Limits, Limits, Rate};
pub use method::Method;
pub use name::{FieldName, Name};
pub use request::{RequestHead, Scheme};
pub use response::ResponseHead;

/// The protocol version a head arrived in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no persistent connection unless asked for, no chunked coding.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As access records print it: `HTTP/1.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// What a head promises about the body that follows it, in whatever framing the version uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// No body follows.
    #[default]
    Empty,
    /// Exactly this many bytes follow.
    Exactly(u64),
    /// A body follows whose end only the framing tells.
    Unknown,
}
