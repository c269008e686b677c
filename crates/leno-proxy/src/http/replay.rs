//! The request's body, kept for another attempt or for a mirror, up to a limit.
//!
//! Recording ends for good when the body is longer than [`limits::REPLAY_BYTES`]: then the request is sent once, and
//! the rest of it passes without a copy.

use leno_http::Invalid;
use leno_http::h1::{BodyReader, BodyWriter, Piece, Relayed};

use crate::limits;

/// What is known of the body so far.
#[derive(Debug)]
pub(super) struct Replay {
    bytes: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no body.
    Empty,
    /// `bytes` is all that was sent so far.
    Recording,
    /// Longer than the limit, or with trailers: cannot be sent again.
    Lost,
}

impl Replay {
    /// Ready to record a body, if the request has one.
    pub(super) fn new(has_body: bool) -> Self {
        let state = if has_body { State::Recording } else { State::Empty };
        Self { bytes: Vec::new(), state }
    }

    /// What the copy takes, in bytes.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether another attempt can send what was sent before.
    pub(super) fn is_replayable(&self) -> bool {
        self.state != State::Lost
    }

    /// Whether a copy is still wanted.
    pub(super) fn is_recording(&self) -> bool {
        self.state == State::Recording
    }

    /// The body so far; `None` when it was too long.
    pub(super) fn body(&self) -> Option<&[u8]> {
        self.is_replayable().then_some(&self.bytes)
    }

    /// Appends what former attempts sent.
    pub(super) fn resend(&self, writer: &mut BodyWriter, out: &mut Vec<u8>) {
        // Cannot exceed the announced length: the same reader counted these bytes before.
        let sent = writer.data(&self.bytes, out);
        debug_assert!(sent.is_ok(), "a replayed body is what was announced");
    }

    /// As [`leno_http::h1::relay`], keeping a copy.
    pub(super) fn relay(
        &mut self,
        reader: &mut BodyReader,
        writer: &mut BodyWriter,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Relayed, Invalid> {
        let mut consumed = 0;
        loop {
            let decoded = reader.decode(&input[consumed..])?;
            consumed += decoded.consumed;
            match decoded.piece {
                Piece::Data(data) => {
                    writer.data(data, out)?;
                    self.keep(data);
                }
                Piece::More => return Ok(Relayed { consumed, is_end: false }),
                Piece::End => {
                    if !reader.trailers().is_empty() {
                        self.lose();
                    }
                    writer.end(reader.trailers(), out)?;
                    return Ok(Relayed { consumed, is_end: true });
                }
            }
        }
    }

    pub(super) fn keep(&mut self, data: &[u8]) {
        if self.state != State::Recording {
            return;
        }
        if self.bytes.len() + data.len() > limits::REPLAY_BYTES {
            self.lose();
        } else {
            self.bytes.extend_from_slice(data);
        }
    }

    pub(super) fn lose(&mut self) {
        self.state = State::Lost;
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::{Replay, limits};

    #[test]
    fn a_body_is_kept_up_to_the_limit_and_then_lost_for_good() {
        let mut replay = Replay::new(true);
        replay.keep(&vec![1; limits::REPLAY_BYTES]);
        assert_eq!(replay.body().map(<[u8]>::len), Some(limits::REPLAY_BYTES));
        replay.keep(&[1]);
        assert!(!replay.is_replayable() && replay.body().is_none());
        replay.keep(&[1]);
        assert!(!replay.is_recording());
        let empty = Replay::new(false);
        assert!(empty.is_replayable() && !empty.is_recording());
    }
}
