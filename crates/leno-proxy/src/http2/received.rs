//! What arrived on one stream and was not taken yet.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

use leno_http::h2::{Cause, Heads, Then};
use leno_http::{Fields, RequestHead, ResponseHead};

use super::relay::Relay;
use crate::buffers::Buffers;
use crate::limits::BODY_BUFFER_BYTES;

/// A body up to this length lies in a buffer of the slot's own; a longer one borrows a buffer of the worker's.
const SMALL_BODY_BYTES: usize = 1024;

/// One stream's mail box; reused by the streams that come after it in the same slot.
#[derive(Default)]
pub(super) struct Received {
    /// The task to tell.
    waker: Option<Waker>,
    /// It was told, and did not look since.
    is_told: bool,
    /// Where body bytes go without it.
    pub(super) relay: Option<Relay>,
    /// Length of the request's head as it came.
    pub(super) head_bytes: usize,
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    /// Interim responses that came before it, in order.
    pub(super) interim: VecDeque<ResponseHead>,
    pub(super) has_head: bool,
    /// A head beyond the limits, of which nothing is known.
    pub(super) is_oversized: bool,
    body: Vec<u8>,
    taken: usize,
    pub(super) trailers: Fields,
    pub(super) has_trailers: bool,
    /// Nothing comes after what is here.
    pub(super) is_ended: bool,
    pub(super) cause: Option<Cause>,
    /// Its sender waits until the connection's buffer was written.
    pub(super) wants_room: bool,
}

impl Received {
    /// Starts over for another stream.
    pub(super) fn begin(&mut self, buffers: &Buffers) {
        self.empty(buffers);
        self.interim.clear();
        (self.has_head, self.is_oversized, self.has_trailers) = (false, false, false);
        (self.is_ended, self.cause, self.wants_room) = (false, None, false);
        (self.waker, self.is_told, self.relay) = (None, false, None);
    }

    pub(super) fn on_request(&mut self, heads: &mut Heads, then: Then) {
        std::mem::swap(&mut self.request, &mut heads.request);
        (self.has_head, self.head_bytes) = (true, heads.wire_bytes);
        self.end(then);
    }

    /// A request without a body that came before the first frame.
    pub(super) fn on_upgrade(&mut self, request: RequestHead) {
        (self.request, self.has_head, self.is_ended) = (request, true, true);
    }

    pub(super) fn on_response(&mut self, heads: &mut Heads, then: Then) {
        if heads.response.is_interim() {
            self.interim.push_back(std::mem::take(&mut heads.response));
        } else {
            std::mem::swap(&mut self.response, &mut heads.response);
            self.has_head = true;
            self.end(then);
        }
    }

    /// Passes body bytes on without the task, where that is set up and nothing waits before them; tells how many.
    pub(super) fn pass_on(&mut self, bytes: &[u8], then: Then, now: Instant) -> usize {
        match &mut self.relay {
            Some(relay) if self.taken == self.body.len() => relay.pass(bytes, then, now),
            _ => 0,
        }
    }

    pub(super) fn on_data(&mut self, bytes: &[u8], then: Then, buffers: &Buffers) {
        if !bytes.is_empty() {
            self.make_room(bytes.len(), buffers);
            self.body.extend_from_slice(bytes);
        }
        self.end(then);
    }

    fn make_room(&mut self, count: usize, buffers: &Buffers) {
        let length = self.body.len() + count;
        if length <= self.body.capacity() {
            return;
        }
        if length <= SMALL_BODY_BYTES {
            // What waits for a reader that does not come is most often all there is.
            let room = length.max(2 * self.body.capacity()).min(SMALL_BODY_BYTES);
            self.body.reserve_exact(room - self.body.len());
        } else if self.body.capacity() <= SMALL_BODY_BYTES {
            let small = std::mem::replace(&mut self.body, buffers.take());
            self.body.extend_from_slice(&small);
        }
    }

    /// Nothing waits: a borrowed buffer goes back.
    fn empty(&mut self, buffers: &Buffers) {
        self.taken = 0;
        self.body.clear();
        if self.body.capacity() > SMALL_BODY_BYTES {
            buffers.release(&mut self.body);
        }
    }

    pub(super) fn on_trailers(&mut self, heads: &mut Heads) {
        std::mem::swap(&mut self.trailers, &mut heads.trailers);
        (self.has_trailers, self.is_ended) = (true, true);
    }

    fn end(&mut self, then: Then) {
        self.is_ended |= then == Then::End;
    }

    /// What it takes to keep them, in bytes.
    pub(super) fn held(&self) -> usize {
        self.body.capacity()
    }

    /// The body bytes that wait.
    pub(super) fn body(&self) -> &[u8] {
        &self.body[self.taken..]
    }

    /// Forgets the first `count` of them.
    pub(super) fn take(&mut self, count: usize, buffers: &Buffers) {
        self.taken += count;
        if self.taken == self.body.len() {
            self.empty(buffers);
        } else if self.taken >= BODY_BUFFER_BYTES {
            // A reader that never quite catches up must not make it grow.
            self.body.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Whether the message is over and all of it was taken but the trailers.
    pub(super) fn is_done(&self) -> bool {
        self.is_ended && self.body().is_empty()
    }

    /// Names the task that is told of whatever comes. It is told once until it does so again.
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        self.is_told = false;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    /// Tells it.
    pub(super) fn wake(&mut self) {
        if let (false, Some(waker)) = (self.is_told, &self.waker) {
            self.is_told = true;
            waker.wake_by_ref();
        }
    }
}
