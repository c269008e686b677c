//! The body of a message that is being sent, and moving one from reader to writer.

use super::framing::Framing;
use super::reader::{BodyReader, Passed, Piece};
use crate::{Fields, Invalid};

/// Writes one body in the framing its head announced. Done at once where no body may follow.
#[derive(Debug)]
pub struct BodyWriter {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No body may be sent: what is written is dropped.
    Empty,
    Length(u64),
    Chunked {
        /// What was sent on as it was received ends inside a chunk: the rest of it has to follow likewise.
        is_inside: bool,
    },
    UntilClose,
    Ended {
        until_close: bool,
    },
}

/// A body longer or shorter than its head said. The connection cannot be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body differs from its announced length")]
pub struct WrongLength;

impl From<WrongLength> for Invalid {
    fn from(_: WrongLength) -> Self {
        Self::Truncated
    }
}

impl BodyWriter {
    pub(super) const fn new() -> Self {
        Self { state: State::Empty }
    }

    pub(super) const fn begin(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Empty => State::Empty,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked { is_inside: false },
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// Whether nothing is left to send.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Empty | State::Length(0) | State::Ended { .. })
    }

    /// Appends a piece of body in its framing to `out`. Dropped where the message can have no body (HEAD, 304).
    pub fn data(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), WrongLength> {
        match &mut self.state {
            State::Empty => {}
            State::Length(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or(WrongLength)?;
                out.extend_from_slice(piece);
            }
            // Data would be taken for the rest of somebody else's chunk.
            State::Chunked { is_inside: true } => return Err(WrongLength),
            // An empty chunk would end the body.
            State::Chunked { .. } if piece.is_empty() => {}
            State::Chunked { .. } => {
                push_hex(piece.len(), out);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            State::UntilClose => out.extend_from_slice(piece),
            State::Ended { .. } => return Err(WrongLength),
        }
        Ok(())
    }

    /// Counts so many bytes of body that the caller writes itself, behind all that was appended: `false`, and nothing is
    /// counted, where they must not be sent as they are.
    pub const fn spare(&mut self, bytes: usize) -> bool {
        match &mut self.state {
            State::Length(left) if bytes as u64 <= *left => {
                *left -= bytes as u64;
                true
            }
            State::UntilClose => true,
            _ => false,
        }
    }

    /// Ends the body, with trailers where the framing has a place for them.
    pub fn end(&mut self, trailers: &Fields, out: &mut Vec<u8>) -> Result<(), WrongLength> {
        match self.state {
            State::Empty | State::Length(0) | State::Ended { .. } => {}
            State::Length(_) | State::Chunked { is_inside: true } => return Err(WrongLength),
            State::Chunked { is_inside: false } => {
                out.extend_from_slice(b"0\r\n");
                trailers.copy_lines(out, |known, _| !known.is_forbidden_in_trailers());
                out.extend_from_slice(b"\r\n");
                self.state = State::Ended { until_close: false };
            }
            State::UntilClose => self.state = State::Ended { until_close: true },
        }
        Ok(())
    }

    pub(super) const fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Ended { until_close: true })
    }

    /// Whether the reader's bytes can be sent on as they are. A chunk whose beginning was framed anew has another size
    /// line before it, so the rest of it cannot.
    const fn matches(&self, reader: &BodyReader) -> bool {
        match self.state {
            State::Chunked { is_inside } => is_inside || reader.is_between_chunks(),
            State::UntilClose => reader.is_until_close(),
            State::Length(_) => !reader.is_chunked() && !reader.is_until_close(),
            State::Empty | State::Ended { .. } => false,
        }
    }

    /// Notes bytes that were sent on as they were received.
    fn passed(&mut self, passed: Passed, reader: &BodyReader) -> Result<(), WrongLength> {
        match &mut self.state {
            State::Length(left) => {
                *left = left.checked_sub(passed.length as u64).ok_or(WrongLength)?
            }
            State::Chunked { .. } if passed.is_end => {
                self.state = State::Ended { until_close: false };
            }
            State::Chunked { is_inside } => *is_inside = !reader.is_between_chunks(),
            State::UntilClose if passed.is_end => self.state = State::Ended { until_close: true },
            State::UntilClose | State::Empty | State::Ended { .. } => {}
        }
        Ok(())
    }
}

/// The result of [`relay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes of input that are spent.
    pub consumed: usize,
    /// Whether the body is over, on both sides.
    pub is_end: bool,
}

/// Moves what `input` holds of a body from one machine to the other, appending it to `out`: untouched where both sides
/// frame it alike, else decoded and framed anew, trailers included. A caller may decode and write pieces itself first.
pub fn relay(
    reader: &mut BodyReader,
    writer: &mut BodyWriter,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<Relayed, Invalid> {
    if let Some(passed) = pass(reader, writer, input)? {
        out.extend_from_slice(&input[..passed.length]);
        return Ok(Relayed { consumed: passed.length, is_end: passed.is_end });
    }
    let mut consumed = 0;
    loop {
        let decoded = reader.decode(&input[consumed..])?;
        consumed += decoded.consumed;
        match decoded.piece {
            Piece::Data(data) => writer.data(data, out)?,
            Piece::More => return Ok(Relayed { consumed, is_end: false }),
            Piece::End => {
                writer.end(reader.trailers(), out)?;
                return Ok(Relayed { consumed, is_end: true });
            }
        }
    }
}

/// As [`relay`] without the copy: how many bytes of `input` the caller may write to the other side as they are. `None`
/// when the two sides frame the body differently, or stand inside a chunk that was framed anew; nothing was taken then.
pub fn pass(
    reader: &mut BodyReader,
    writer: &mut BodyWriter,
    input: &[u8],
) -> Result<Option<Passed>, Invalid> {
    if !writer.matches(reader) {
        return Ok(None);
    }
    let passed = reader.pass(input)?;
    writer.passed(passed, reader)?;
    Ok(Some(passed))
}

fn push_hex(value: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[value >> (at * 4) & 15]);
    }
}
