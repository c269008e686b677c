//! DATA frames: accounted for when their header comes, handed on as their bytes come.

use super::{Outcome, Turn};
use crate::h2::connection::{Body, Connection, PING_SAMPLE, Padding, Reading};
use crate::h2::frame::{self, Header};
use crate::h2::streams::Phase;
use crate::h2::{Event, Stream, Then, Violation};

impl Body {
    /// Whether no byte of the frame is still to come, but its event may be.
    pub(super) const fn is_complete(&self) -> bool {
        self.left == 0 && matches!(self.padding, Padding::Known(0))
    }
}

impl Connection {
    pub(super) fn begin_data(&mut self, header: Header, turn: &mut Turn<'_>) -> Outcome {
        self.waits_since = None;
        if header.stream == 0 {
            return Err(Violation::StreamZero);
        }
        if self.is_idle(header.stream) {
            return Err(Violation::IdleStream);
        }
        if !self.windows.receive(header.length) {
            return Err(Violation::FlowControl);
        }
        if let Some(increment) = self.windows.update() {
            frame::number(turn.out, frame::WINDOW_UPDATE, 0, increment);
            self.sample(turn);
        }
        let is_padded = header.has(frame::PADDED);
        if is_padded && header.length == 0 {
            return Err(Violation::FrameSize);
        }
        let mut body = Body {
            stream: None,
            left: header.length,
            padding: if is_padded { Padding::Unread } else { Padding::Known(0) },
            then: Then::from_flag(header.flags),
        };
        let found = self.streams.find(header.stream);
        let outcome = match self.admit(found, header, turn) {
            Ok(stream) => {
                body.stream = stream;
                if is_padded { Ok(None) } else { self.count(&mut body, header.length, turn) }
            }
            Err(why) => self.stream_error((header.stream, found), why, turn),
        };
        self.reading = Reading::Data(body);
        outcome
    }

    /// The stream that the frame's data goes to; `None` when it is to be dropped, an error when it should not have come.
    fn admit(
        &mut self,
        found: Option<Stream>,
        header: Header,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Stream>, Violation> {
        if let Some(stream) = found
            && let Some(state) = self.streams.state(stream)
        {
            match state.received {
                Phase::Head => return Err(Violation::MessageOrder),
                Phase::Done if self.retired.contains(stream.id) => return Ok(None),
                Phase::Done => return Err(Violation::StreamClosed),
                Phase::Body => {}
            }
            state.receive_window -= i64::from(header.length);
            if state.receive_window < 0 {
                return Err(Violation::FlowControl);
            }
            if state.receive_window < i64::from(state.window_size / 2) {
                self.sample(turn);
            }
            return Ok(Some(stream));
        }
        let may_be_late = self.retired.contains(header.stream) || !self.is_peers(header.stream);
        if may_be_late { Ok(None) } else { Err(Violation::StreamClosed) }
    }

    /// The frame's data is `bytes` long: does content-length agree, and is it worth a frame?
    fn count(&mut self, body: &mut Body, bytes: u32, turn: &mut Turn<'_>) -> Outcome {
        let ends = body.then.is_end();
        if bytes == 0 && !ends {
            self.floods.empties.spend(turn.now, Violation::EmptyFlood)?;
        }
        let Some(stream) = body.stream else { return Ok(None) };
        let Some(state) = self.streams.state(stream) else { return Ok(None) };
        let Err(why) = state.count_body(bytes.into(), ends) else { return Ok(None) };
        let is_answered = state.sent != Phase::Head;
        body.stream = None;
        if ends && is_answered && self.is_peers(stream.id) {
            // A client may end its request where it is when an answer comes before it has sent everything, and shall have
            // the rest of that answer: the caller waits for a body that does not come, until it has given its answer.
            self.received_end(stream);
            return Ok(None);
        }
        self.stream_error((stream.id, Some(stream)), why, turn)
    }

    /// Goes on with a DATA frame.
    pub(super) fn read_data<'i>(
        &mut self,
        mut body: Body,
        input: &mut &'i [u8],
        turn: &mut Turn<'_>,
    ) -> Result<Option<Event<'i>>, Violation> {
        if body.padding == Padding::Unread {
            let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            let padding = u32::from(padding);
            body.left = (body.left - 1).checked_sub(padding).ok_or(Violation::Padding)?;
            body.padding = Padding::Known(padding);
            if let Some(stream) = body.stream {
                self.release(stream, padding as usize + 1, turn.out);
            }
            let bytes = body.left;
            let outcome = self.count(&mut body, bytes, turn);
            self.reading = Reading::Data(body);
            return outcome;
        }
        let (bytes, rest) = input.split_at(input.len().min(body.left as usize));
        *input = rest;
        body.left -= bytes.len() as u32;
        if body.left > 0 {
            self.reading = Reading::Data(body);
            let stream = body.stream.filter(|stream| self.is_receiving(*stream));
            return Ok(stream.map(|stream| Event::Data { stream, bytes, then: Then::More }));
        }
        let stream = body.stream.take().filter(|stream| self.is_receiving(*stream));
        self.skip_padding(body, input);
        let Some(stream) = stream else { return Ok(None) };
        if body.then.is_end() {
            self.received_end(stream);
        } else if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Event::Data { stream, bytes, then: body.then }))
    }

    fn skip_padding(&mut self, body: Body, input: &mut &[u8]) {
        let Padding::Known(padding) = body.padding else { return };
        let skipped = input.len().min(padding as usize);
        *input = &input[skipped..];
        let padding = padding - skipped as u32;
        self.reading = if padding == 0 {
            Reading::Header
        } else {
            Reading::Data(Body { padding: Padding::Known(padding), ..body })
        };
    }

    /// Whether the caller still wants the peer's direction of the stream.
    fn is_receiving(&self, stream: Stream) -> bool {
        self.streams.peek(stream).is_some_and(|state| state.received == Phase::Body)
    }

    /// Measures the path when a window is half used.
    fn sample(&mut self, turn: &mut Turn<'_>) {
        if self.windows.begin_sample(turn.now) {
            self.ping(PING_SAMPLE, turn.out);
        }
    }
}
