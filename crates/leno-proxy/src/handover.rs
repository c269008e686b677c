//! Hot handover: a new process takes the listening sockets of the running one, which drains and ends.
//!
//! ```text
//! new                          running
//!  ├─ Hello ──────────────────────▶│ who comes is checked by the kernel's word
//!  │◀────────────────── Sockets… ──┤ every listening socket, its queue with it
//!  │ reads its configuration       │ goes on serving
//!  ├─ Ready ──────────────────────▶│ stops accepting: what comes waits in the queues
//!  │◀───────────────────── Yours ──┤
//!  │ accepts                       │
//!  ├─ Serving ────────────────────▶│ drains and ends
//! ```
//! Until `Serving` the running process can take everything back, and does so when the new one ends or dawdles: no
//! connection was the new one's before. A socket is never closed by one of them before the other holds it, so no
//! queue is lost, however many workers each has.

mod message;
mod offer;
mod sockets;
mod take;

pub(crate) use message::{Entry, Role};
pub(crate) use offer::Offer;
pub(crate) use sockets::Handed;
pub(crate) use take::Taking;

/// Why there was no handover.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The other process does not want to; it says why.
    #[error("the other process refuses: {0}")]
    Refused(String),
    /// The line to the other process broke, or it did not answer in time.
    #[error(transparent)]
    Line(#[from] std::io::Error),
    /// What the other process said cannot be understood.
    #[error("the other process speaks another protocol: {0}")]
    Protocol(&'static str),
    /// The new process was not ready in time.
    #[error("not ready within {} s", .0.as_secs())]
    NotReady(std::time::Duration),
    /// The other process ended before the handover was complete.
    #[error("the other process ended in the middle")]
    Ended,
}
