//! HEADERS and CONTINUATION: header blocks put together, decoded into heads, and what they do to their stream.

use super::{Outcome, Turn};
use crate::h2::connection::{Block, Closing, Connection, Role};
use crate::h2::frame::{self, Header};
use crate::h2::message::{self, Decoded};
use crate::h2::streams::{LENGTH_UNKNOWN, Phase, State, Tunnel};
use crate::h2::{Event, Stream, Then, Violation};
use crate::{BodyLength, Method};

/// A complete header block.
struct Complete<'b> {
    id: u32,
    then: Then,
    /// What was wrong with the frame, for the stream only: the block must be decoded all the same.
    fault: Option<Violation>,
    bytes: &'b [u8],
    /// Length of its frames.
    wire_bytes: usize,
}

impl Connection {
    pub(super) fn headers(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if header.stream == 0 {
            return Err(Violation::StreamZero);
        }
        if header.stream.is_multiple_of(2) {
            return Err(Violation::StreamIdentifier);
        }
        let mut bytes = frame::unpad(header, payload)?;
        let mut fault = None;
        if header.has(frame::PRIORITY_FLAG) {
            let (priority, rest) = bytes.split_at_checked(5).ok_or(Violation::FrameSize)?;
            if frame::read_u32(priority) & 0x7fff_ffff == header.stream {
                fault = Some(Violation::SelfDependency);
            }
            bytes = rest;
        }
        let (id, then) = (header.stream, Then::from_flag(header.flags));
        let wire_bytes = frame::HEADER_BYTES + payload.len();
        if header.has(frame::END_HEADERS) {
            return self.head(Complete { id, then, fault, bytes, wire_bytes }, turn);
        }
        let bytes = bytes.to_vec();
        self.block = Some(Block { id, then, fault, continuations: 0, wire_bytes, bytes });
        Ok(None)
    }

    pub(super) fn continuation(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let limits = &self.settings.limits;
        let block = self.block.as_mut().ok_or(Violation::Continuation)?;
        block.continuations += 1;
        if block.continuations > limits.continuations {
            return Err(Violation::ContinuationFlood);
        }
        if block.bytes.len() + payload.len() > limits.header_block_bytes as usize {
            return Err(Violation::HeaderBlock);
        }
        if payload.is_empty() {
            self.floods.empties.spend(turn.now, Violation::EmptyFlood)?;
        }
        block.bytes.extend_from_slice(payload);
        block.wire_bytes += frame::HEADER_BYTES + payload.len();
        if !header.has(frame::END_HEADERS) {
            return Ok(None);
        }
        let block = self.block.take().ok_or(Violation::Continuation)?;
        self.waits_since = None;
        let Block { id, then, fault, bytes, wire_bytes, .. } = block;
        self.head(Complete { id, then, fault, bytes: &bytes, wire_bytes }, turn)
    }

    fn head(&mut self, block: Complete<'_>, turn: &mut Turn<'_>) -> Outcome {
        turn.heads.wire_bytes = block.wire_bytes;
        let found = self.streams.find(block.id);
        let phase = found.and_then(|stream| self.streams.peek(stream)).map(|state| state.received);
        match (found, phase, self.role) {
            (Some(stream), Some(Phase::Body), _) => self.trailing(stream, block, turn),
            (Some(stream), Some(Phase::Head), Role::Client) => self.answer(stream, block, turn),
            (None, _, Role::Server) if block.id > self.last_id => self.open(block, turn),
            (None, _, Role::Client) if block.id >= self.next_id => Err(Violation::IdleStream),
            _ => self.late(found, block, turn),
        }
    }

    /// What heads are read by.
    const fn reader(&mut self) -> message::Reader<'_> {
        let Self { decoder, settings, misspelt, .. } = self;
        message::Reader { decoder, settings, misspelt }
    }

    /// A head for a stream whose peer's direction is over.
    fn late(&mut self, found: Option<Stream>, block: Complete<'_>, turn: &mut Turn<'_>) -> Outcome {
        message::skip(&mut self.decoder, block.bytes, &self.settings.limits)?;
        if self.retired.contains(block.id) || (found.is_none() && self.role == Role::Client) {
            return Ok(None);
        }
        let is_certain = !self.retired.is_full();
        if is_certain && found.is_none_or(|stream| !self.is_open(stream)) {
            return Err(Violation::StreamClosed);
        }
        self.stream_error((block.id, found), Violation::StreamClosed, turn)
    }

    /// A request.
    fn open(&mut self, block: Complete<'_>, turn: &mut Turn<'_>) -> Outcome {
        self.last_id = block.id;
        let head = &mut turn.heads.request;
        let decoded = message::request(self.reader(), block.bytes, block.then, head)?;
        let limits = &self.settings.limits;
        let is_full = self.streams.open() >= limits.streams
            || self.streams.used() >= (limits.streams + limits.streams / 2) as usize;
        let refused = match self.closing {
            Closing::Final(last) if block.id > last => Some(Violation::GoingAway),
            _ if is_full => Some(Violation::ConcurrentStreams),
            _ => None,
        };
        if let Some(why) = refused {
            return self.stream_error((block.id, None), why, turn);
        }
        let fault = match decoded {
            Decoded::Malformed(why) => Some(why),
            Decoded::Sound | Decoded::Oversized => block.fault,
        };
        if let Some(why) = fault {
            self.stream_error((block.id, None), why, turn)?;
            return Ok(Some(Event::Malformed { id: block.id, why }));
        }
        let head = &turn.heads.request;
        let tunnel = match head.method() {
            _ if head.upgrade().is_some() => Tunnel::Extended,
            Method::Connect => Tunnel::Connect,
            _ => Tunnel::No,
        };
        let then = block.then;
        let state = State {
            received: after(then),
            is_head: head.method() == Method::Head,
            tunnel,
            length_left: if tunnel == Tunnel::No { length_of(head.body()) } else { LENGTH_UNKNOWN },
            ..self.new_state(block.id)
        };
        let stream = self.streams.insert(state);
        Ok(Some(match decoded {
            Decoded::Oversized => Event::Oversized { stream, then },
            Decoded::Sound | Decoded::Malformed(_) => Event::Request { stream, then },
        }))
    }

    /// A response, interim or final.
    fn answer(&mut self, stream: Stream, block: Complete<'_>, turn: &mut Turn<'_>) -> Outcome {
        let Some(state) = self.streams.peek(stream) else { return Ok(None) };
        let asked = message::Asked { tunnel: state.tunnel, is_head: state.is_head };
        let head = &mut turn.heads.response;
        let decoded = message::response(self.reader(), block.bytes, (asked, block.then), head)?;
        let fault = match decoded {
            Decoded::Malformed(why) => Some(why),
            Decoded::Oversized => Some(Violation::HeaderList),
            Decoded::Sound => block.fault,
        };
        if let Some(why) = fault {
            return self.stream_error((stream.id, Some(stream)), why, turn);
        }
        let then = block.then;
        if head.is_interim() {
            // Nobody needs many of them, and each is held until it is passed on.
            self.floods.ignored.spend(turn.now, Violation::IgnoredFlood)?;
        } else if let Some(state) = self.streams.state(stream) {
            state.received = Phase::Body;
            state.length_left =
                if head.is_upgrade() { LENGTH_UNKNOWN } else { length_of(head.body()) };
            if then.is_end() {
                self.received_end(stream);
            }
        }
        Ok(Some(Event::Response { stream, then }))
    }

    /// Trailers.
    fn trailing(&mut self, stream: Stream, block: Complete<'_>, turn: &mut Turn<'_>) -> Outcome {
        let trailers = &mut turn.heads.trailers;
        let decoded = message::trailers(self.reader(), block.bytes, trailers)?;
        let counted = self.streams.state(stream).map_or(Ok(()), |state| state.count_body(0, true));
        let fault = match decoded {
            Decoded::Malformed(why) => Some(why),
            Decoded::Oversized => Some(Violation::HeaderList),
            Decoded::Sound if block.then == Then::More => Some(Violation::Trailers),
            Decoded::Sound => block.fault.or(counted.err()),
        };
        if let Some(why) = fault {
            return self.stream_error((stream.id, Some(stream)), why, turn);
        }
        self.received_end(stream);
        Ok(Some(Event::Trailers { stream }))
    }
}

const fn after(then: Then) -> Phase {
    if then.is_end() { Phase::Done } else { Phase::Body }
}

const fn length_of(body: BodyLength) -> u64 {
    match body {
        BodyLength::Exactly(length) => length,
        BodyLength::Empty => 0,
        BodyLength::Unknown => LENGTH_UNKNOWN,
    }
}
