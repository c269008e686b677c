//! One connection's state, and what can be asked of it. [`super::receive`] feeds it, [`super::send`] speaks for it.

use std::time::Instant;

use super::bucket::Bucket;
use super::frame::{self, Header};
use super::hpack::{Decoder, Encoder};
use super::settings::{PeerSettings, Settings, WINDOW_DEFAULT, WINDOW_MAX};
use super::streams::{State, Streams};
use super::window::Windows;
use super::{Code, PREFACE, Stream, Then, Violation};
use crate::Http2Limits;

/// One end of an HTTP/2 connection.
///
/// Every method that has something to say to the peer appends it to `out`; nothing else is ever queued. A call for a
/// stream that is over does nothing, so a caller need not know of a reset before it learns of it from an event.
#[derive(Debug)]
pub struct Connection {
    pub(super) role: Role,
    pub(super) settings: Settings,
    pub(super) peer: PeerSettings,
    pub(super) streams: Streams,
    pub(super) windows: Windows,
    /// What we may still send on all streams together.
    pub(super) send_window: i64,
    /// Whether some stream took less than it was offered because of the connection's window.
    pub(super) is_blocked: bool,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    /// The identifier of the next stream of ours.
    pub(super) next_id: u32,
    /// The highest stream the peer has opened.
    pub(super) last_id: u32,
    /// Whether the peer's first SETTINGS have come.
    pub(super) has_settings: bool,
    /// Whether the peer keeps to our SETTINGS: it has acknowledged them.
    pub(super) keeps_settings: bool,
    pub(super) reading: Reading,
    /// A frame's header or payload of which a part has come.
    pub(super) held: Vec<u8>,
    /// A header block that CONTINUATION frames go on with.
    pub(super) block: Option<Block>,
    /// Since when the peer owes the rest of what it began: see [`Connection::waits_since`].
    pub(super) waits_since: Option<Instant>,
    pub(super) closing: Closing,
    pub(super) peer_is_going_away: bool,
    /// Streams above this identifier are still to be reported as refused, from this slot on.
    pub(super) sweep: Option<(usize, u32)>,
    pub(super) floods: Floods,
    pub(super) retired: Retired,
    /// Spellings that did not fit their heads.
    pub(super) misspelt: u32,
}

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// What the next byte of input belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// So many bytes of the preface have come.
    Preface(usize),
    Header,
    Payload(Header),
    Data(Body),
    /// Nothing is read any more.
    Failed,
}

/// A DATA frame of which the header has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// `None`: the payload is skipped.
    pub(super) stream: Option<Stream>,
    pub(super) left: u32,
    pub(super) padding: Padding,
    pub(super) then: Then,
}

/// Padding of a DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// The next byte says how much.
    Unread,
    /// So many bytes after the data.
    Known(u32),
}

/// The header block that is being received.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) id: u32,
    pub(super) then: Then,
    pub(super) fault: Option<Violation>,
    pub(super) continuations: u32,
    /// Length of the frames so far, their headers included.
    pub(super) wire_bytes: usize,
    pub(super) bytes: Vec<u8>,
}

/// How far our own going away is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// The peer was told to stop; what it has sent until it reads that is still served.
    Announced,
    /// Streams up to this one are served.
    Final(u32),
}

/// The rates a peer must keep to.
#[derive(Debug)]
pub(super) struct Floods {
    pub(super) resets: Bucket,
    pub(super) refusals: Bucket,
    pub(super) pings: Bucket,
    pub(super) settings: Bucket,
    pub(super) ignored: Bucket,
    pub(super) empties: Bucket,
    pub(super) window_updates: Bucket,
}

impl Floods {
    const fn new(limits: &Http2Limits) -> Self {
        Self {
            resets: Bucket::new(limits.resets),
            refusals: Bucket::new(limits.refusals),
            pings: Bucket::new(limits.pings),
            settings: Bucket::new(limits.settings),
            ignored: Bucket::new(limits.ignored),
            empties: Bucket::new(limits.empties),
            window_updates: Bucket::new(limits.window_updates),
        }
    }
}

/// The streams we reset last: frames that were under way then are not the peer's fault.
#[derive(Debug, Default)]
pub(super) struct Retired {
    ids: Vec<u32>,
    next: usize,
}

impl Retired {
    const MAX: usize = 512;

    pub(super) fn push(&mut self, id: u32) {
        if self.ids.len() < Self::MAX {
            self.ids.push(id);
        } else {
            self.ids[self.next] = id;
            self.next = (self.next + 1) % Self::MAX;
        }
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }

    /// Whether some that were reset may have been forgotten.
    pub(super) const fn is_full(&self) -> bool {
        self.ids.len() == Self::MAX
    }
}

/// Payloads of our own PING frames.
pub(super) const PING_SAMPLE: u64 = 0x6c65_6e6f_0000_0001;
pub(super) const PING_SHUTDOWN: u64 = 0x6c65_6e6f_0000_0002;

impl Connection {
    /// The end that faces downstream.
    pub fn server(settings: Settings) -> Self {
        Self::new(Role::Server, settings)
    }

    /// The end that faces upstream.
    pub fn client(settings: Settings) -> Self {
        Self::new(Role::Client, settings)
    }

    fn new(role: Role, settings: Settings) -> Self {
        let limits = &settings.limits;
        Self {
            role,
            settings,
            peer: PeerSettings::INITIAL,
            streams: Streams::default(),
            windows: Windows::new(limits),
            send_window: i64::from(WINDOW_DEFAULT),
            is_blocked: false,
            decoder: Decoder::new(),
            encoder: Encoder::new(limits.table_bytes),
            next_id: 1,
            last_id: 0,
            has_settings: false,
            keeps_settings: false,
            reading: if role == Role::Server { Reading::Preface(0) } else { Reading::Header },
            held: Vec::new(),
            block: None,
            waits_since: None,
            closing: Closing::No,
            peer_is_going_away: false,
            sweep: None,
            floods: Floods::new(limits),
            retired: Retired::default(),
            misspelt: 0,
        }
    }

    /// Appends what this side starts with: preface (clients), SETTINGS, and the connection's window. To be called once,
    /// before anything else.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if self.role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        self.settings.write(self.role == Role::Server, out);
        let increment = self.windows.open();
        if increment > 0 {
            frame::number(out, frame::WINDOW_UPDATE, 0, increment);
        }
    }

    /// How many heads said since this was asked that they were spelt in a way that they could not be. They are taken as they
    /// are.
    pub const fn take_misspelt(&mut self) -> u32 {
        std::mem::replace(&mut self.misspelt, 0)
    }

    /// What the peer announced last.
    pub const fn peer(&self) -> &PeerSettings {
        &self.peer
    }

    /// Streams of which at least one direction is not over.
    pub const fn active(&self) -> usize {
        self.streams.open() as usize
    }

    /// Slots in use: streams that are open, and those whose owner has not [finished](Connection::finish) with them.
    pub const fn in_use(&self) -> usize {
        self.streams.used()
    }

    /// Since when the peer owes the rest of a frame other than DATA, of a header block or of the preface. Only the
    /// caller knows how long that may take; when it was too long, see [`Connection::give_up`].
    pub const fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    /// Ends the connection because the peer did not go on with what it began.
    pub fn give_up(&mut self, out: &mut Vec<u8>) {
        self.fail(Violation::SlowHead, out);
    }

    /// Clients: how many more requests may be started now.
    pub const fn available(&self) -> usize {
        if self.is_going_away() || self.next_id > MAX_ID {
            return 0;
        }
        self.peer.streams_max.saturating_sub(self.streams.open()) as usize
    }

    /// Whether a direction of the stream is not over.
    pub fn is_open(&self, stream: Stream) -> bool {
        self.streams.peek(stream).is_some_and(|state| !state.is_over())
    }

    /// Whether our direction of the stream is not over.
    pub fn can_send(&self, stream: Stream) -> bool {
        self.streams.peek(stream).is_some_and(|state| state.sent != super::streams::Phase::Done)
    }

    /// How many bytes [`Connection::data`] would take of the stream now.
    pub fn send_window(&self, stream: Stream) -> usize {
        let window = self.streams.peek(stream).map_or(0, |state| state.send_window);
        usize::try_from(window.min(self.send_window)).unwrap_or_default()
    }

    /// Whether no new streams will be taken, or may be opened, because either side said GOAWAY.
    pub const fn is_going_away(&self) -> bool {
        self.peer_is_going_away || !matches!(self.closing, Closing::No)
    }

    /// Whether there is nothing left to wait for: a connection error, or going away and no stream open.
    pub const fn is_finished(&self) -> bool {
        let has_failed = matches!(self.reading, Reading::Failed);
        let is_last = matches!(self.closing, Closing::Final(_))
            || (self.peer_is_going_away && matches!(self.role, Role::Client));
        has_failed || (is_last && self.streams.open() == 0 && self.sweep.is_none())
    }

    /// Whether the peer may use a stream identifier that has not been used: a frame on it is then an error of the
    /// connection.
    pub(super) const fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.last_id,
            Role::Client => id.is_multiple_of(2) || id >= self.next_id,
        }
    }

    /// A stream that begins now.
    pub(super) fn new_state(&self, id: u32) -> State {
        let early = if self.keeps_settings { 0 } else { self.early_window() };
        State::new(id, self.peer.initial_window_bytes, (self.stream_window(), early))
    }

    /// The window that a stream starts with.
    pub(super) fn stream_window(&self) -> u32 {
        self.settings.limits.stream_window_bytes.min(WINDOW_MAX as u32)
    }

    /// How much more than our window a stream may use while the peer does not know ours (RFC 9113 §6.9.3).
    const fn early_window(&self) -> u32 {
        WINDOW_DEFAULT.saturating_sub(self.settings.limits.stream_window_bytes)
    }

    /// The peer has acknowledged our SETTINGS, so that it counts by them now.
    pub(super) fn settings_kept(&mut self) {
        if std::mem::replace(&mut self.keeps_settings, true) {
            return;
        }
        self.decoder.limit(self.settings.limits.table_bytes);
        let early = i64::from(self.early_window());
        for state in self.streams.states() {
            state.receive_window -= early;
        }
    }

    /// Resets a stream on the wire and remembers that frames on it may still come.
    pub(super) fn write_reset(&mut self, id: u32, code: Code, out: &mut Vec<u8>) {
        frame::number(out, frame::RST_STREAM, id, code.0);
        self.retired.push(id);
    }

    /// Ends the connection: GOAWAY with the reason, and nothing is read after that.
    pub(super) fn fail(&mut self, why: Violation, out: &mut Vec<u8>) {
        self.write_goaway(self.last_id, why.error_code(), why.code().as_bytes(), out);
        self.reading = Reading::Failed;
        (self.held, self.block, self.waits_since) = (Vec::new(), None, None);
    }

    pub(super) fn write_goaway(&self, last: u32, code: Code, debug: &[u8], out: &mut Vec<u8>) {
        frame::header(out, 8 + debug.len(), frame::GOAWAY, 0, 0);
        out.extend_from_slice(&last.to_be_bytes());
        out.extend_from_slice(&code.0.to_be_bytes());
        out.extend_from_slice(debug);
    }
}

/// The highest stream identifier.
pub(super) const MAX_ID: u32 = 0x7fff_ffff;
