//! What a connection says. Every call appends whole frames; DATA is bounded by the windows, the rest stays with the
//! caller.

use super::connection::{Closing, Connection, MAX_ID, PING_SHUTDOWN, Role};
use super::streams::{Phase, State, Tunnel};
use super::{Code, ExtendedConnect, NotNow, Stream, Then, Violation, block, frame};
use crate::{Fields, Method, RequestHead, ResponseHead};

/// Bytes of ours that a peer may answer with a WINDOW_UPDATE, beside two for each frame: some credit every few kilobytes
/// they read, stream and connection each.
const BYTES_PER_UPDATE: usize = 1024;

impl Connection {
    /// Starts a request. A head with an upgrade becomes extended CONNECT.
    pub fn request(
        &mut self,
        head: &RequestHead,
        then: Then,
        out: &mut Vec<u8>,
    ) -> Result<Stream, NotNow> {
        assert!(self.role == Role::Client, "clients send requests");
        if self.is_going_away() {
            return Err(NotNow::GoingAway);
        }
        if self.next_id > MAX_ID {
            return Err(NotNow::Exhausted);
        }
        if self.streams.open() >= self.peer.streams_max {
            return Err(NotNow::Limit);
        }
        let tunnel = match (head.upgrade(), head.method()) {
            (Some(_), _) if self.peer.extended_connect == ExtendedConnect::Refused => {
                return Err(NotNow::ExtendedConnect);
            }
            (Some(_), _) => Tunnel::Extended,
            (None, Method::Connect) => Tunnel::Connect,
            (None, _) => Tunnel::No,
        };
        let id = self.next_id;
        self.next_id += 2;
        let start = begin_headers(id, then, out);
        block::request(&mut self.encoder, head, self.settings.spelling, out);
        frame::finish_headers(out, start, id, self.peer.frame_bytes_max as usize);
        let state = State {
            sent: phase_after(then),
            tunnel,
            is_head: head.method() == Method::Head,
            ..self.new_state(id)
        };
        Ok(self.streams.insert(state))
    }

    /// Sends the head of the final response. 101 to an extended CONNECT, and only there, becomes 200.
    pub fn response(&mut self, stream: Stream, head: &ResponseHead, then: Then, out: &mut Vec<u8>) {
        assert!(!head.is_interim(), "interim responses precede the final one");
        let Some(state) = self.sendable(stream, Phase::Head) else { return };
        state.sent = Phase::Body;
        let as_is = state.is_head || head.status() == 304;
        let is_tunnel = match state.tunnel {
            Tunnel::Extended => head.status() == 101,
            Tunnel::Connect => (200..300).contains(&head.status()),
            Tunnel::No => false,
        };
        assert!(is_tunnel || head.status() != 101, "only extended CONNECT is answered 101");
        let start = begin_headers(stream.id, then, out);
        let how = (block::Length::of(head, as_is, is_tunnel), self.settings.spelling);
        block::response(&mut self.encoder, head, how, out);
        frame::finish_headers(out, start, stream.id, self.peer.frame_bytes_max as usize);
        self.sent(stream, then);
    }

    /// Sends an interim response (1xx but 101).
    pub fn interim(&mut self, stream: Stream, head: &ResponseHead, out: &mut Vec<u8>) {
        assert!(head.is_interim(), "a final response is no interim one");
        if self.sendable(stream, Phase::Head).is_none() {
            return;
        }
        let start = begin_headers(stream.id, Then::More, out);
        let how = (block::Length::Absent, self.settings.spelling);
        block::response(&mut self.encoder, head, how, out);
        frame::finish_headers(out, start, stream.id, self.peer.frame_bytes_max as usize);
    }

    /// Sends body bytes as far as the windows allow and returns how many. [`Then::End`] counts only when all were taken.
    /// When fewer were, [`Event::Writable`](super::Event::Writable) or
    /// [`Event::AllWritable`](super::Event::AllWritable) tells when to go on. A stream that is over takes everything
    /// and sends nothing.
    pub fn data(&mut self, stream: Stream, bytes: &[u8], then: Then, out: &mut Vec<u8>) -> usize {
        let connection_window = self.send_window;
        let payload_max = self.peer.frame_bytes_max as usize;
        let Some(state) = self.sendable(stream, Phase::Body) else { return bytes.len() };
        let window = usize::try_from(state.send_window.min(connection_window)).unwrap_or_default();
        let taken = window.min(bytes.len());
        state.send_window -= taken as i64;
        if taken < bytes.len() {
            state.is_blocked = true;
            self.is_blocked |= connection_window <= taken as i64;
        }
        self.send_window -= taken as i64;
        let ends = then.is_end() && taken == bytes.len();
        if taken > 0 || ends {
            let frames = write_data(stream.id, &bytes[..taken], ends, payload_max, out);
            // Peers that measure the path ping once a round trip while data comes.
            self.floods.pings.earn(frames);
            self.floods.window_updates.earn(frames * 2 + (taken / BYTES_PER_UPDATE) as u32);
        }
        if ends {
            self.sent(stream, Then::End);
        }
        taken
    }

    /// Sends trailers, which end our direction. Without any it ends by an empty DATA frame.
    pub fn trailers(&mut self, stream: Stream, trailers: &Fields, out: &mut Vec<u8>) {
        if self.sendable(stream, Phase::Body).is_none() {
            return;
        }
        if trailers.forwarded().next().is_none() {
            frame::header(out, 0, frame::DATA, frame::END_STREAM, stream.id);
        } else {
            let start = begin_headers(stream.id, Then::End, out);
            block::trailers(&mut self.encoder, trailers, self.settings.spelling, out);
            frame::finish_headers(out, start, stream.id, self.peer.frame_bytes_max as usize);
        }
        self.sent(stream, Then::End);
    }

    /// Ends both directions of the stream at once.
    pub fn reset(&mut self, stream: Stream, code: Code, out: &mut Vec<u8>) {
        let Some(state) = self.streams.state(stream).filter(|state| !state.is_over()) else {
            return;
        };
        state.close();
        self.streams.closed();
        self.write_reset(stream.id, code, out);
    }

    /// Gives the stream's slot back. What is not over is reset: by NO_ERROR when our message is complete (RFC 9113
    /// §8.1), else by CANCEL.
    pub fn finish(&mut self, stream: Stream, out: &mut Vec<u8>) {
        let Some(state) = self.streams.peek(stream) else { return };
        let is_complete = self.role == Role::Server && state.sent == Phase::Done;
        let growth = state.window_size - self.stream_window();
        self.reset(stream, if is_complete { Code::NO_ERROR } else { Code::CANCEL }, out);
        self.streams.remove(stream);
        self.windows.give_back(growth);
    }

    /// Says that received bytes have been passed on: the peer may send as many again. Announced half a window at a time.
    pub fn release(&mut self, stream: Stream, bytes: usize, out: &mut Vec<u8>) {
        let Some(state) = self.streams.state(stream) else { return };
        if state.received == Phase::Done {
            return;
        }
        state.credit += bytes as u32;
        if state.credit < state.window_size / 2 || state.credit == 0 {
            return;
        }
        let growth = self.windows.widen(state.window_size);
        announce(stream.id, state, growth, out);
    }

    /// Says that what comes on the stream is passed on at once, before much of it came: a window that was small for
    /// fear of a receiver that takes nothing is widened.
    pub fn widen(&mut self, stream: Stream, out: &mut Vec<u8>) {
        let Some(state) = self.streams.state(stream) else { return };
        if state.received == Phase::Done {
            return;
        }
        let growth = self.windows.widen(state.window_size);
        if growth > 0 {
            announce(stream.id, state, growth, out);
        }
    }

    /// Goes away in order. A server first tells the peer to stop and still serves what is under way, and says the last
    /// stream it serves when the peer has answered, or when this is called again. A client only says that it opens
    /// nothing more.
    pub fn shutdown(&mut self, out: &mut Vec<u8>) {
        match (self.role, self.closing) {
            (_, Closing::Final(_)) => {}
            (Role::Server, Closing::No) => {
                self.closing = Closing::Announced;
                self.write_goaway(MAX_ID, Code::NO_ERROR, b"", out);
                self.ping(PING_SHUTDOWN, out);
            }
            (Role::Server, Closing::Announced) | (Role::Client, _) => {
                self.closing = Closing::Final(self.last_id);
                self.write_goaway(self.last_id, Code::NO_ERROR, b"", out);
            }
        }
    }

    /// Asks for a sign of life; [`Event::Pong`](super::Event::Pong) is the answer.
    pub fn ping(&mut self, opaque: u64, out: &mut Vec<u8>) {
        frame::header(out, 8, frame::PING, 0, 0);
        out.extend_from_slice(&opaque.to_be_bytes());
    }

    /// Takes over an HTTP/1.1 connection whose client asked for `Upgrade: h2c` (RFC 7540 §3.2): its request becomes
    /// stream 1, half closed. `settings` is the value of its HTTP2-Settings. Call it after [`Connection::start`], and
    /// write 101 before all.
    pub fn upgraded(&mut self, settings: &[u8], head: &RequestHead) -> Result<Stream, Violation> {
        assert!(
            self.role == Role::Server && self.last_id == 0,
            "the upgrade's request is a server's first"
        );
        let payload = super::settings::decode_base64url(settings).ok_or(Violation::Setting)?;
        self.apply_settings(&payload)?;
        self.last_id = 1;
        let state = State {
            received: Phase::Done,
            is_head: head.method() == Method::Head,
            ..self.new_state(1)
        };
        Ok(self.streams.insert(state))
    }

    /// The stream, when our direction of it is at `phase`.
    fn sendable(&mut self, stream: Stream, phase: Phase) -> Option<&mut State> {
        self.streams.state(stream).filter(|state| state.sent == phase)
    }

    /// Our direction of the stream went on, and maybe ended.
    fn sent(&mut self, stream: Stream, then: Then) {
        let Some(state) = self.streams.state(stream) else { return };
        if then.is_end() {
            state.sent = Phase::Done;
            state.is_blocked = false;
            if state.is_over() {
                self.streams.closed();
            }
            self.floods.resets.earn(1);
        }
    }
}

/// Lets the peer send what was passed on, and `growth` more than before.
fn announce(id: u32, state: &mut State, growth: u32, out: &mut Vec<u8>) {
    let increment = state.credit + growth;
    (state.credit, state.window_size) = (0, state.window_size + growth);
    state.receive_window += i64::from(increment);
    frame::number(out, frame::WINDOW_UPDATE, id, increment);
}

const fn phase_after(then: Then) -> Phase {
    if then.is_end() { Phase::Done } else { Phase::Body }
}

fn begin_headers(id: u32, then: Then, out: &mut Vec<u8>) -> usize {
    let end = if then.is_end() { frame::END_STREAM } else { 0 };
    frame::begin(out, frame::HEADERS, frame::END_HEADERS | end, id)
}

/// Writes DATA frames and returns how many.
fn write_data(id: u32, bytes: &[u8], ends: bool, payload_max: usize, out: &mut Vec<u8>) -> u32 {
    let (mut rest, mut frames) = (bytes, 1);
    out.reserve(bytes.len() + (bytes.len() / payload_max + 1) * frame::HEADER_BYTES);
    while rest.len() > payload_max {
        let (part, after) = rest.split_at(payload_max);
        frame::header(out, payload_max, frame::DATA, 0, id);
        out.extend_from_slice(part);
        (rest, frames) = (after, frames + 1);
    }
    let flags = if ends { frame::END_STREAM } else { 0 };
    frame::header(out, rest.len(), frame::DATA, flags, id);
    out.extend_from_slice(rest);
    frames
}
