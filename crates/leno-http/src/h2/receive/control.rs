//! Frames that move no message: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM, PRIORITY.

use super::{Outcome, Turn};
use crate::h2::connection::{Closing, Connection, PING_SAMPLE, PING_SHUTDOWN, Role};
use crate::h2::frame::{self, Header};
use crate::h2::settings::{self, ExtendedConnect, FRAME_BYTES_MAX, WINDOW_MAX};
use crate::h2::streams::Phase;
use crate::h2::{Cause, Code, Event, Violation};

/// The largest payload we ever send, whatever more the peer would take: one stream shall not hold up the others.
const PAYLOAD_MAX: u32 = 64 * 1024;

impl Connection {
    pub(super) fn settings(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if header.stream != 0 {
            return Err(Violation::StreamZero);
        }
        if header.has(frame::ACK) {
            self.settings_kept();
            return if payload.is_empty() { Ok(None) } else { Err(Violation::FrameSize) };
        }
        if self.has_settings {
            self.floods.settings.spend(turn.now, Violation::SettingsFlood)?;
        }
        self.has_settings = true;
        self.apply_settings(payload)?;
        frame::header(turn.out, 0, frame::SETTINGS, frame::ACK, 0);
        Ok(Some(Event::Settings))
    }

    /// Applies the payload of a SETTINGS frame.
    pub(in crate::h2) fn apply_settings(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Violation::FrameSize);
        }
        for &[a, b, c, d, e, f] in entries {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                settings::HEADER_TABLE_SIZE => self.encoder.peer_limit(value),
                settings::ENABLE_PUSH if value > 1 => return Err(Violation::Setting),
                // RFC 9113 §6.5.2: a server must not say 1.
                settings::ENABLE_PUSH if value == 1 && self.role == Role::Client => {
                    return Err(Violation::Setting);
                }
                settings::MAX_CONCURRENT_STREAMS => self.peer.streams_max = value,
                settings::INITIAL_WINDOW_SIZE => self.set_initial_window(value)?,
                settings::MAX_FRAME_SIZE => {
                    if !(FRAME_BYTES_MAX as u32..=0x00ff_ffff).contains(&value) {
                        return Err(Violation::Setting);
                    }
                    self.peer.frame_bytes_max = value.min(PAYLOAD_MAX);
                }
                settings::MAX_HEADER_LIST_SIZE => self.peer.header_list_bytes_max = value,
                settings::ENABLE_CONNECT_PROTOCOL => match value {
                    0 if self.peer.extended_connect == ExtendedConnect::Allowed => {
                        // RFC 8441 §3: not to be taken back.
                        return Err(Violation::Setting);
                    }
                    0 => {}
                    1 => self.peer.extended_connect = ExtendedConnect::Allowed,
                    _ => return Err(Violation::Setting),
                },
                // RFC 9113 §6.5.2: unknown settings are ignored.
                _ => {}
            }
        }
        Ok(())
    }

    /// RFC 9113 §6.9.2: the difference applies to open streams too, whose windows may become negative.
    fn set_initial_window(&mut self, value: u32) -> Result<(), Violation> {
        if i64::from(value) > WINDOW_MAX {
            return Err(Violation::InitialWindow);
        }
        let difference = i64::from(value) - i64::from(self.peer.initial_window_bytes);
        self.peer.initial_window_bytes = value;
        if difference == 0 {
            return Ok(());
        }
        for state in self.streams.states() {
            state.send_window += difference;
            if state.send_window > WINDOW_MAX {
                return Err(Violation::WindowOverflow);
            }
        }
        Ok(())
    }

    pub(super) fn pinged(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if header.stream != 0 {
            return Err(Violation::StreamZero);
        }
        let opaque: [u8; 8] = payload.try_into().map_err(|_| Violation::FrameSize)?;
        if !header.has(frame::ACK) {
            self.floods.pings.spend(turn.now, Violation::PingFlood)?;
            frame::header(turn.out, 8, frame::PING, frame::ACK, 0);
            turn.out.extend_from_slice(&opaque);
            return Ok(None);
        }
        match u64::from_be_bytes(opaque) {
            PING_SAMPLE => self.windows.end_sample(turn.now),
            PING_SHUTDOWN if self.closing == Closing::Announced => self.shutdown(turn.out),
            PING_SHUTDOWN => {}
            opaque => return Ok(Some(Event::Pong { opaque })),
        }
        Ok(None)
    }

    pub(super) fn goaway(&mut self, header: Header, payload: &[u8]) -> Outcome {
        if header.stream != 0 {
            return Err(Violation::StreamZero);
        }
        if payload.len() < 8 {
            return Err(Violation::FrameSize);
        }
        let last = frame::read_u32(payload) & 0x7fff_ffff;
        let code = Code(frame::read_u32(&payload[4..]));
        self.peer_is_going_away = true;
        if self.role == Role::Client {
            self.sweep = Some((0, last));
        }
        Ok(Some(Event::GoAway { last, code }))
    }

    pub(super) fn window_update(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if payload.len() != 4 {
            return Err(Violation::FrameSize);
        }
        self.floods.window_updates.spend(turn.now, Violation::WindowFlood)?;
        let increment = i64::from(frame::read_u32(payload) & 0x7fff_ffff);
        if header.stream == 0 {
            if increment == 0 {
                return Err(Violation::ZeroIncrement);
            }
            self.send_window += increment;
            if self.send_window > WINDOW_MAX {
                return Err(Violation::WindowOverflow);
            }
            return Ok(std::mem::take(&mut self.is_blocked).then_some(Event::AllWritable));
        }
        if self.is_idle(header.stream) {
            return Err(Violation::IdleStream);
        }
        let Some(stream) = self.streams.find(header.stream) else { return Ok(None) };
        let Some(state) = self.streams.state(stream).filter(|state| !state.is_over()) else {
            return Ok(None);
        };
        state.send_window += increment;
        if increment == 0 || state.send_window > WINDOW_MAX {
            let why =
                if increment == 0 { Violation::ZeroIncrement } else { Violation::WindowOverflow };
            return self.stream_error((stream.id, Some(stream)), why, turn);
        }
        let may_go_on = state.is_blocked && state.send_window > 0;
        state.is_blocked &= !may_go_on;
        Ok(may_go_on.then_some(Event::Writable { stream }))
    }

    pub(super) fn rst_stream(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if header.stream == 0 {
            return Err(Violation::StreamZero);
        }
        if payload.len() != 4 {
            return Err(Violation::FrameSize);
        }
        if self.is_idle(header.stream) {
            return Err(Violation::IdleStream);
        }
        let code = Code(frame::read_u32(payload));
        let found = self.streams.find(header.stream);
        let state = found.and_then(|stream| self.streams.state(stream));
        let (Some(stream), Some(state)) = (found, state) else {
            return self.floods.ignored.spend(turn.now, Violation::IgnoredFlood).map(|()| None);
        };
        if state.is_over() {
            return self.floods.ignored.spend(turn.now, Violation::IgnoredFlood).map(|()| None);
        }
        let is_early = state.sent != Phase::Done;
        state.close();
        self.streams.closed();
        if self.role == Role::Server && is_early {
            self.floods.resets.spend(turn.now, Violation::ResetFlood)?;
        }
        let is_refused = code == Code::REFUSED_STREAM && self.role == Role::Client;
        let cause = if is_refused { Cause::Refused } else { Cause::Peer(code) };
        Ok(Some(Event::Reset { stream, cause }))
    }

    /// RFC 9113 §5.3.2: priorities are ignored, malformed ones are not.
    pub(super) fn priority(
        &mut self,
        header: Header,
        payload: &[u8],
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if header.stream == 0 {
            return Err(Violation::StreamZero);
        }
        self.floods.ignored.spend(turn.now, Violation::IgnoredFlood)?;
        let found = self.streams.find(header.stream);
        if payload.len() != 5 {
            return self.stream_error((header.stream, found), Violation::FrameSize, turn);
        }
        if frame::read_u32(payload) & 0x7fff_ffff == header.stream {
            return self.stream_error((header.stream, found), Violation::SelfDependency, turn);
        }
        Ok(None)
    }
}
