//! HTTP/2 on sockets: one connection shared by the tasks of its streams, on either side of the proxy.
//!
//! One task per connection reads and hands out what arrived; the tasks of the streams append what they send to the
//! connection's buffer; one task per worker writes every connection that has something, once a turn. So a turn of the
//! worker costs one read and one write for each connection, however many streams moved. A body that flows between two
//! streams goes from the reading connection into the writing one's buffer without their task.

mod changes;
mod connection;
mod flusher;
mod received;
mod relay;
mod state;
mod stream;

pub(crate) use changes::Changes;
pub(crate) use connection::{Connection, Ended, Peerage};
pub(crate) use flusher::Flusher;
pub(crate) use relay::Passed;
pub(crate) use stream::{Broken, Moved, Piece, Stream};

#[cfg(test)]
mod tests;
