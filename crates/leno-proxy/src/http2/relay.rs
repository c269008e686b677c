//! From one stream to another without their task: once a body flows, what one connection reads goes straight into the
//! other's buffer.
//!
//! Set up by the exchange that both streams belong to when its receiver has taken all that was there, and taken away
//! whenever that exchange runs: it sees the end, a break, and bytes that the receiver did not take.

use std::rc::Rc;
use std::time::Instant;

use leno_core::grpc::MessageCount;
use leno_http::h2::{self, Then};

use super::connection::Connection;
use super::state::State;

/// Where a stream's body goes.
pub(super) struct Relay {
    to: Rc<Connection>,
    stream: h2::Stream,
    pub(super) passed: Passed,
}

/// What went past an exchange.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Body bytes.
    pub(crate) bytes: u64,
    /// When the last of them came.
    pub(crate) at: Option<Instant>,
    /// gRPC's messages in them, where these are counted.
    pub(crate) messages: Option<MessageCount>,
}

impl Relay {
    /// To this stream of that connection.
    pub(super) fn new(
        to: &Rc<Connection>,
        stream: h2::Stream,
        messages: Option<MessageCount>,
    ) -> Self {
        Self { to: Rc::clone(to), stream, passed: Passed { messages, ..Passed::default() } }
    }

    /// Passes a prefix of `bytes` on, as much as may be sent now; `then` counts when that is all.
    pub(super) fn pass(&mut self, bytes: &[u8], then: Then, now: Instant) -> usize {
        let mut state = self.to.state.borrow_mut();
        if state.ended.is_some() || !bytes.is_empty() && !state.has_room(self.stream) {
            return 0;
        }
        let State { machine, out, .. } = &mut *state;
        if out.bytes.capacity() == 0 {
            self.to.worker.buffers.ensure(&mut out.bytes);
        }
        let sent = machine.data(self.stream, bytes, then, &mut out.bytes);
        self.to.mark(&mut state);
        self.passed.bytes += sent as u64;
        self.passed.at = Some(now);
        if let Some(messages) = &mut self.passed.messages {
            messages.on_data(&bytes[..sent]);
        }
        sent
    }
}
