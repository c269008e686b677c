//! A place on a downstream HTTP/2 connection that serves one stream after the other, as an HTTP/1 connection serves
//! requests.
//!
//! A place is a task with a session of its own; the connection keeps those that are idle and makes a new one only when
//! none is, so that a request on a warm connection allocates nothing and spawns nothing.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use leno_core::reply::Failure;
use leno_http::h2::{Code, Then};
use leno_http::{Method, RequestHead, ResponseHead};
use tokio::time::Instant;

use super::super::session::Next;
use super::http1::Wait;
use crate::http2::Stream;
use crate::lifecycle::Phase;
use crate::limits;

/// The idle places of one connection.
#[derive(Default)]
pub(in crate::http) struct Places {
    idle: RefCell<Vec<Rc<Place>>>,
    is_over: Cell<bool>,
}

/// Where a stream waits for the task that serves it.
#[derive(Default)]
struct Place {
    stream: RefCell<Option<Stream>>,
    waker: RefCell<Option<Waker>>,
    is_over: Cell<bool>,
}

impl Place {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Places {
    /// Gives the stream to an idle place; back to the caller when there is none.
    pub(in crate::http) fn hand(&self, stream: Stream) -> Result<(), Stream> {
        let Some(place) = self.idle.borrow_mut().pop() else { return Err(stream) };
        *place.stream.borrow_mut() = Some(stream);
        place.wake();
        Ok(())
    }

    /// Ends the idle places; others can be made.
    pub(in crate::http) fn shrink(&self) {
        for place in self.idle.take() {
            place.is_over.set(true);
            place.wake();
        }
    }

    /// Ends them all, each with the stream it has.
    pub(in crate::http) fn end(&self) {
        self.is_over.set(true);
        self.shrink();
    }
}

/// One place and the stream it serves.
pub(in crate::http) struct Http2 {
    places: Rc<Places>,
    place: Rc<Place>,
    stream: Option<Stream>,
    is_head: bool,
}

impl Http2 {
    /// A place for this stream, and for others after it.
    pub(in crate::http) fn new(places: &Rc<Places>, stream: Stream) -> Self {
        let place = Rc::new(Place::default());
        *place.stream.borrow_mut() = Some(stream);
        Self { places: Rc::clone(places), place, stream: None, is_head: false }
    }

    /// The stream of the exchange that is under way.
    pub(in crate::http) fn stream(&self) -> &Stream {
        self.stream.as_ref().expect("an exchange has a stream until it is finished")
    }

    /// The same, for a tunnel.
    pub(in crate::http) fn stream_mut(&mut self) -> &mut Stream {
        self.stream.as_mut().expect("an exchange has a stream until it is finished")
    }

    /// When its request arrived, as far as that is known without the clock.
    pub(in crate::http) fn arrived_at(&self) -> Option<std::time::Instant> {
        self.stream.as_ref()?.read_at()
    }

    /// Gives the stream away, to a tunnel that outlives the exchange's reading of it.
    pub(in crate::http) fn take_stream(&mut self) -> Option<Stream> {
        self.stream.take()
    }

    /// Waits for a stream.
    pub(in crate::http) async fn next_request(
        &mut self,
        request: &mut RequestHead,
        wait: Wait<'_>,
    ) -> Next {
        let watcher = wait.watcher;
        if self.stream.is_some() {
            // Boxed: rare, and the future of every place would carry it.
            Box::pin(self.linger(wait)).await;
            self.finish();
        }
        let stream = match self.place.stream.take() {
            Some(stream) => stream,
            // Where memory is short no place waits for another stream.
            None if self.places.is_over.get() || !watcher.may_grow() => return Next::End,
            None => {
                self.places.idle.borrow_mut().push(Rc::clone(&self.place));
                match self.wait().await {
                    Some(stream) => stream,
                    None => return Next::End,
                }
            }
        };
        let taken = stream.take_request(request);
        self.stream = Some(stream);
        self.is_head = taken.is_some() && request.method() == Method::Head;
        match taken {
            Some(length) => Next::Request(length),
            None => Next::Refused(Failure::HeadersTooLarge),
        }
    }

    /// Takes and drops what is left of a request that was answered early: there are clients that lose the answer to a reset
    /// which comes while they send. RFC 9113 §8.1 asks them not to, and lets the rest be refused: it is, when it is long.
    async fn linger(&mut self, wait: Wait<'_>) {
        let Some(stream) = &self.stream else { return };
        stream.take_relayed();
        let mut left = limits::LINGER_BYTES;
        wait.deadline.set(Some(Instant::now() + limits::LINGER));
        poll_fn(|cx| {
            loop {
                match stream.poll_take(cx, left, |_| ()) {
                    Poll::Ready(Ok(count @ 1..)) if count < left => left -= count,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if wait.watcher.phase() == Phase::Closing => {
                        return Poll::Ready(());
                    }
                    Poll::Pending => return wait.deadline.poll(cx),
                }
            }
        })
        .await;
    }

    async fn wait(&self) -> Option<Stream> {
        let place = &self.place;
        poll_fn(|cx| {
            if let Some(stream) = place.stream.take() {
                return Poll::Ready(Some(stream));
            }
            if place.is_over.get() {
                return Poll::Ready(None);
            }
            let mut waker = place.waker.borrow_mut();
            match &mut *waker {
                Some(waker) => waker.clone_from(cx.waker()),
                waker => *waker = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// Sends the head of the final response.
    pub(super) fn begin(&mut self, head: &ResponseHead, then: Then) -> usize {
        let then = if self.is_head { Then::End } else { then };
        self.stream().respond(head, then)
    }

    /// Sends a whole answer.
    pub(super) async fn answer(&mut self, head: &ResponseHead, body: &[u8]) -> io::Result<()> {
        let is_over = self.is_head || body.is_empty();
        self.begin(head, if is_over { Then::End } else { Then::More });
        let mut sent = if is_over { body.len() } else { 0 };
        poll_fn(|cx| {
            if sent < body.len() {
                sent += self.stream().send_data(&body[sent..], Then::End);
            }
            if sent == body.len() {
                return Poll::Ready(Ok(()));
            }
            self.stream().poll_gone(cx).map(|()| Err(io::ErrorKind::ConnectionReset.into()))
        })
        .await
    }

    /// Ends the exchange: what is not over of its stream is reset.
    pub(in crate::http) fn finish(&mut self) {
        self.stream = None;
    }

    /// The same after a whole answer: what is left of the request is taken for a while before.
    pub(super) fn finish_answered(&mut self) {
        self.stream = self.stream.take().filter(Stream::is_owed);
    }

    /// Ends the exchange before anything was done about it (RFC 9113 §8.7).
    pub(super) fn refuse(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.reset(Code::REFUSED_STREAM);
        }
    }

    /// Ends the exchange in the middle of its response.
    pub(super) fn abandon(&mut self, code: Code) {
        if let Some(stream) = self.stream.take() {
            stream.reset(code);
        }
    }

    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream().poll_gone(cx)
    }
}
