//! The chunked transfer coding, read strictly (RFC 9112 §7.1).
//!
//! A size line or a trailer section is looked at only when all of it is there, which its limit keeps short; data passes
//! as it comes. What was read says where the caller's bytes were framing and where they were data.

use super::parse;
use crate::{Fields, Invalid, Limits};

/// Where in the coding the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// One step over the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing can be said before more bytes come.
    More,
    /// This many bytes were framing.
    Framing(usize),
    /// This many bytes are data.
    Data(usize),
}

/// Reads one chunked body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    extension_bytes: u64,
}

impl Chunked {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the next byte begins a chunk, the last one included.
    pub(super) const fn is_between_chunks(&self) -> bool {
        matches!(self.state, State::Size)
    }

    /// Takes one step; trailers go to `trailers` when the last step ends the body.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        limits: &Limits,
        trailers: &mut Fields,
    ) -> Result<Step, Invalid> {
        match self.state {
            State::Size => self.size_line(input, limits),
            State::Data(left) => {
                let length = left.min(input.len() as u64);
                if length == 0 {
                    return Ok(Step::More);
                }
                self.state =
                    if length == left { State::DataEnd } else { State::Data(left - length) };
                Ok(Step::Data(length as usize))
            }
            State::DataEnd => match input {
                [] | [b'\r'] => Ok(Step::More),
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Step::Framing(2))
                }
                _ => Err(Invalid::ChunkEnd),
            },
            State::Trailers => match parse::trailers(input, limits, trailers)? {
                Some(length) => {
                    self.state = State::Done;
                    Ok(Step::Framing(length))
                }
                None => Ok(Step::More),
            },
            State::Done => Ok(Step::More),
        }
    }

    fn size_line(&mut self, input: &[u8], limits: &Limits) -> Result<Step, Invalid> {
        let line = &input[..input.len().min(limits.chunk_line_bytes)];
        let Some((size, line)) = read_size_line(line)? else {
            let is_full = input.len() >= limits.chunk_line_bytes;
            return if is_full { Err(Invalid::ChunkLineTooLong) } else { Ok(Step::More) };
        };
        self.extension_bytes += line.extension_bytes as u64;
        if self.extension_bytes > limits.chunk_extension_bytes {
            return Err(Invalid::ChunkLineTooLong);
        }
        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        Ok(Step::Framing(line.length))
    }
}

struct Line {
    length: usize,
    extension_bytes: usize,
}

/// `chunk-size [chunk-ext] CRLF`; `None` when the line has no end yet.
fn read_size_line(input: &[u8]) -> Result<Option<(u64, Line)>, Invalid> {
    let (mut size, mut at) = (0_u64, 0);
    while let Some(digit) = input.get(at).and_then(|&byte| (byte as char).to_digit(16)) {
        if size > u64::MAX >> 4 {
            return Err(Invalid::ChunkSize);
        }
        size = size << 4 | u64::from(digit);
        at += 1;
    }
    let digits = at;
    match input.get(at) {
        None => return Ok(None),
        Some(_) if digits == 0 => return Err(Invalid::ChunkSize),
        Some(b'\r' | b'\n') => {}
        Some(b';') => {
            let is_extension_byte = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
            at += input[at..].iter().take_while(|byte| is_extension_byte(byte)).count();
        }
        Some(_) => return Err(Invalid::ChunkSize),
    }
    match input[at..] {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => {
            Ok(Some((size, Line { length: at + 2, extension_bytes: at - digits })))
        }
        [b'\r', ..] => Err(Invalid::BareCr),
        [b'\n', ..] => Err(Invalid::BareLf),
        _ => Err(Invalid::ChunkExtension),
    }
}
