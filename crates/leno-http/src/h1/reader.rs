//! The body of a message that is being received.

use super::chunked::{Chunked, Step};
use super::framing::Framing;
use crate::{Fields, Invalid, Limits};

/// Reads one body in its framing. Done at once where no body follows.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    limits: Limits,
    trailers: Fields,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Closed,
}

/// What the next bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// More input is needed.
    More,
    /// The body is over; its trailers are in [`BodyReader::trailers`].
    End,
}

/// The result of [`BodyReader::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// Bytes of input that are spent, framing included.
    pub consumed: usize,
    /// What they held.
    pub piece: Piece<'a>,
}

/// The result of [`BodyReader::pass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Bytes of input, framing included, that belong to this body and are valid.
    pub length: usize,
    /// Whether they end it.
    pub is_end: bool,
}

impl BodyReader {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { state: State::Length(0), limits, trailers: Fields::new() }
    }

    pub(super) fn begin(&mut self, framing: Framing) {
        self.trailers.clear();
        self.state = match framing {
            Framing::Empty => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// Whether the whole body was taken.
    pub const fn is_done(&self) -> bool {
        match &self.state {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_done(),
            State::UntilClose => false,
            State::Closed => true,
        }
    }

    /// The trailers of a body that is done.
    pub const fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// The next piece of body in `input`, without its framing.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, Invalid> {
        let mut consumed = 0;
        loop {
            if self.is_done() {
                return Ok(Decoded { consumed, piece: Piece::End });
            }
            match self.step(&input[consumed..])? {
                Step::More => return Ok(Decoded { consumed, piece: Piece::More }),
                Step::Framing(length) => consumed += length,
                Step::Data(length) => {
                    let data = &input[consumed..consumed + length];
                    return Ok(Decoded { consumed: consumed + length, piece: Piece::Data(data) });
                }
            }
        }
    }

    /// As much of `input` as belongs to this body, framing and all, checked, to be sent on as it is.
    pub fn pass(&mut self, input: &[u8]) -> Result<Passed, Invalid> {
        let mut length = 0;
        while !self.is_done() {
            match self.step(&input[length..])? {
                Step::More => return Ok(Passed { length, is_end: false }),
                Step::Framing(bytes) | Step::Data(bytes) => length += bytes,
            }
        }
        Ok(Passed { length, is_end: true })
    }

    /// The peer closed: the end of a body that lasts until then, an error inside any other.
    pub fn end_of_input(&mut self) -> Result<(), Invalid> {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Closed;
        }
        if self.is_done() { Ok(()) } else { Err(Invalid::Truncated) }
    }

    pub(super) const fn is_chunked(&self) -> bool {
        matches!(self.state, State::Chunked(_))
    }

    /// Whether the next byte begins a chunk of a chunked body.
    pub(super) const fn is_between_chunks(&self) -> bool {
        matches!(&self.state, State::Chunked(chunked) if chunked.is_between_chunks())
    }

    pub(super) const fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Closed)
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, Invalid> {
        match &mut self.state {
            State::Length(left) => {
                let length = (*left).min(input.len() as u64);
                *left -= length;
                Ok(if length == 0 { Step::More } else { Step::Data(length as usize) })
            }
            State::Chunked(chunked) => chunked.step(input, &self.limits, &mut self.trailers),
            State::UntilClose if !input.is_empty() => Ok(Step::Data(input.len())),
            State::UntilClose | State::Closed => Ok(Step::More),
        }
    }
}
