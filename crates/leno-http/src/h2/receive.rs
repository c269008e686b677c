//! Received bytes to events: frames out of the byte stream, and what each does to the connection.

mod body;
mod control;
mod head;

use std::time::Instant;

use super::connection::{Connection, Reading, Role};
use super::frame::{self, HEADER_BYTES, Header};
use super::settings::FRAME_BYTES_MAX;
use super::streams::Phase;
use super::{Cause, ConnectionError, Event, Heads, PREFACE, Stream, Violation};

/// What one turn of reading works with.
pub(super) struct Turn<'t> {
    pub(super) now: Instant,
    pub(super) heads: &'t mut Heads,
    pub(super) out: &'t mut Vec<u8>,
}

/// An event of a frame other than DATA: it borrows nothing.
type Outcome = Result<Option<Event<'static>>, Violation>;

impl Connection {
    /// Takes received bytes from the front of `input` until something happened; `None` when all are taken. Call it again
    /// until then, also with empty input after a GOAWAY event.
    ///
    /// `out` gets what the protocol itself demands: acknowledgements, window updates, resets. Do not go on calling
    /// while much waits there unsent: a peer that does not read is then not answered either, and the socket's own
    /// back-pressure ends what would be a flood. After an error everything is ignored.
    pub fn receive<'i>(
        &mut self,
        now: Instant,
        input: &mut &'i [u8],
        heads: &mut Heads,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'i>>, ConnectionError> {
        let mut turn = Turn { now, heads, out };
        match self.step(input, &mut turn) {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => {
                self.note_wait(now);
                Ok(None)
            }
            Err(why) => {
                self.fail(why, turn.out);
                Err(ConnectionError { why })
            }
        }
    }

    /// All that came was taken: is something begun and not complete?
    fn note_wait(&mut self, now: Instant) {
        let waits = match self.reading {
            Reading::Header => !self.held.is_empty() || self.block.is_some(),
            Reading::Payload(_) => true,
            Reading::Preface(matched) => matched > 0,
            Reading::Data(_) | Reading::Failed => false,
        };
        self.waits_since = if waits { self.waits_since.or(Some(now)) } else { None };
    }

    fn step<'i>(
        &mut self,
        input: &mut &'i [u8],
        turn: &mut Turn<'_>,
    ) -> Result<Option<Event<'i>>, Violation> {
        loop {
            if self.sweep.is_some()
                && let Some(event) = self.next_refused()
            {
                return Ok(Some(event));
            }
            let event = match self.reading {
                Reading::Header => {
                    let Some(header) = self.read_header(input) else { return Ok(None) };
                    self.begin_frame(header, turn)?
                }
                Reading::Payload(header) => {
                    let Some(event) = self.read_payload(header, input, turn)? else {
                        return Ok(None);
                    };
                    event
                }
                Reading::Data(body) => {
                    if input.is_empty() && !body.is_complete() {
                        return Ok(None);
                    }
                    self.read_data(body, input, turn)?
                }
                Reading::Preface(matched) => {
                    let length = input.len().min(PREFACE.len() - matched);
                    let (start, rest) = input.split_at(length);
                    if start != &PREFACE[matched..matched + length] {
                        return Err(Violation::Preface);
                    }
                    *input = rest;
                    if matched + length < PREFACE.len() {
                        self.reading = Reading::Preface(matched + length);
                        return Ok(None);
                    }
                    self.reading = Reading::Header;
                    None
                }
                Reading::Failed => {
                    *input = &[];
                    return Ok(None);
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        if self.held.is_empty()
            && let Some((bytes, rest)) = input.split_first_chunk::<HEADER_BYTES>()
        {
            *input = rest;
            return Some(Header::parse(bytes));
        }
        let (part, rest) = input.split_at(input.len().min(HEADER_BYTES - self.held.len()));
        self.held.extend_from_slice(part);
        *input = rest;
        let header = self.held.first_chunk::<HEADER_BYTES>().map(Header::parse)?;
        self.held.clear();
        Some(header)
    }

    /// What can be said of a frame by its header alone. DATA is then read as it comes, the rest when it is complete.
    fn begin_frame(&mut self, header: Header, turn: &mut Turn<'_>) -> Outcome {
        if header.length as usize > FRAME_BYTES_MAX {
            return Err(Violation::FrameSize);
        }
        if let Some(block) = &self.block
            && (header.kind != frame::CONTINUATION || header.stream != block.id)
        {
            return Err(Violation::Continuation);
        }
        if !self.has_settings && (header.kind != frame::SETTINGS || header.has(frame::ACK)) {
            return Err(Violation::SettingsFirst);
        }
        if header.kind == frame::DATA {
            return self.begin_data(header, turn);
        }
        self.reading = Reading::Payload(header);
        Ok(None)
    }

    /// `None` when the payload is not complete yet.
    fn read_payload(
        &mut self,
        header: Header,
        input: &mut &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<Option<Option<Event<'static>>>, Violation> {
        let length = header.length as usize;
        if self.held.is_empty()
            && let Some((payload, rest)) = input.split_at_checked(length)
        {
            *input = rest;
            self.reading = Reading::Header;
            return self.frame(header, payload, turn).map(Some);
        }
        let (part, rest) = input.split_at(input.len().min(length - self.held.len()));
        self.held.extend_from_slice(part);
        *input = rest;
        if self.held.len() < length {
            return Ok(None);
        }
        self.reading = Reading::Header;
        let mut payload = std::mem::take(&mut self.held);
        let event = self.frame(header, &payload, turn)?;
        // Small ones are worth keeping; a big one would be held by every idle connection.
        if payload.capacity() <= 1024 {
            payload.clear();
            self.held = payload;
        }
        Ok(Some(event))
    }

    fn frame(&mut self, header: Header, payload: &[u8], turn: &mut Turn<'_>) -> Outcome {
        if header.kind != frame::CONTINUATION {
            self.waits_since = None;
        }
        match header.kind {
            frame::HEADERS => self.headers(header, payload, turn),
            frame::CONTINUATION => self.continuation(header, payload, turn),
            frame::WINDOW_UPDATE => self.window_update(header, payload, turn),
            frame::RST_STREAM => self.rst_stream(header, payload, turn),
            frame::SETTINGS => self.settings(header, payload, turn),
            frame::PING => self.pinged(header, payload, turn),
            frame::GOAWAY => self.goaway(header, payload),
            frame::PRIORITY => self.priority(header, payload, turn),
            frame::PUSH_PROMISE => Err(Violation::Push),
            // RFC 9113 §5.5: unknown types are ignored.
            _ => self.floods.ignored.spend(turn.now, Violation::IgnoredFlood).map(|()| None),
        }
    }

    /// Resets a stream because of what the peer did on it. `None` of a stream: the caller does not know it.
    fn stream_error(
        &mut self,
        (id, stream): (u32, Option<Stream>),
        why: Violation,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        self.floods.refusals.spend(turn.now, Violation::RefusalFlood)?;
        self.write_reset(id, why.error_code(), turn.out);
        let Some(stream) = stream else { return Ok(None) };
        let Some(state) = self.streams.state(stream).filter(|state| !state.is_over()) else {
            return Ok(None);
        };
        state.close();
        self.streams.closed();
        Ok(Some(Event::Reset { stream, cause: Cause::Violation(why) }))
    }

    /// The peer's direction of the stream is over.
    fn received_end(&mut self, stream: Stream) {
        let Some(state) = self.streams.state(stream) else { return };
        if state.received != Phase::Done {
            state.received = Phase::Done;
            if state.is_over() {
                self.streams.closed();
            }
        }
    }

    /// After GOAWAY: the next of our requests that the peer will not process.
    fn next_refused(&mut self) -> Option<Event<'static>> {
        let (from, last) = self.sweep?;
        let Some(stream) = self.streams.open_above(from, last) else {
            self.sweep = None;
            return None;
        };
        self.sweep = Some((stream.slot() + 1, last));
        if let Some(state) = self.streams.state(stream) {
            state.close();
            self.streams.closed();
        }
        Some(Event::Reset { stream, cause: Cause::Refused })
    }

    /// Whether the peer opens streams of this identifier.
    fn is_peers(&self, id: u32) -> bool {
        self.role == Role::Server && !id.is_multiple_of(2)
    }
}
