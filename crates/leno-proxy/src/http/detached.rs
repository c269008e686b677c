//! A whole request that belongs to no session: a mirrored copy, a batch of spans. It goes through its cluster like any
//! other (balancing, TLS, pools, circuit), once, and nothing of its answer is kept but how it went.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::circuit::Limited;
use leno_core::retry::Idempotence;
use leno_http::h1::{BodyReader, Client, Persistence, Piece};
use leno_http::h2::Then;
use leno_http::{Fields, Known, Limits, RequestHead, ResponseHead};

use super::pump::consume;
use crate::http2;
use crate::limits;
use crate::upstream::cluster::{ClusterState, UpstreamConnection};
use crate::upstream::connect::{self, Carries, Link, Purpose};
use crate::wire::Outgoing;
use crate::worker::Worker;

/// The request.
pub(crate) struct Detached<'a> {
    pub(crate) cluster: Rc<ClusterState>,
    /// Where it goes in a cluster of original destinations.
    pub(crate) destination: SocketAddr,
    pub(crate) head: RequestHead,
    /// In two parts, of which the first leaves together with the head.
    pub(crate) body: [&'a [u8]; 2],
}

/// How it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `grpc-status`, from the trailers or from a head without a body.
    pub(crate) grpc_status: Option<u8>,
}

impl Answer {
    fn of(head: &ResponseHead, trailers: &Fields) -> Self {
        let read = |fields: &Fields| fields.get_str(Known::GrpcStatus)?.parse().ok();
        let grpc_status = read(trailers).or_else(|| read(head.fields()));
        Self { status: head.status(), grpc_status }
    }
}

impl Detached<'_> {
    /// Sends it and reads the answer to its end; `None` when there was none.
    pub(crate) async fn run(&self, worker: &Rc<Worker>) -> Option<Answer> {
        let _request = self.cluster.acquire(Limited::Requests).ok()?;
        let now = Instant::now();
        let pick = Pick { now, tried: &[] };
        let picked =
            self.cluster.pick(pick, self.destination.into(), &mut *worker.random.borrow_mut());
        let endpoint = picked?;
        let _active = endpoint.live.begin();
        let spoken = self.cluster.spoken(&endpoint, self.head.version());
        let ready = self.cluster.ready(&endpoint, spoken, (Idempotence::NotIdempotent, now));
        let link = match ready {
            Some(ready) => ready,
            None => {
                let purpose = Purpose { carries: Carries::Requests, ends: None };
                connect::link(worker, &self.cluster, &endpoint, (purpose, spoken)).await.ok()?
            }
        };
        match link {
            Link::Shared(connection) => self.share(&connection).await,
            Link::Exclusive(mut connection) => {
                let (answer, persistence) = self.exchange(&mut connection).await?;
                if persistence == Persistence::Keep {
                    connection.served += 1;
                    self.cluster.give_back(&endpoint, connection, Instant::now());
                }
                Some(answer)
            }
        }
    }

    /// Sends it among the requests of others.
    async fn share(&self, connection: &Rc<http2::Connection>) -> Option<Answer> {
        let is_empty = self.body.iter().all(|part| part.is_empty());
        let then = if is_empty { Then::End } else { Then::More };
        let stream = connection.request(&self.head, then).ok()?;
        for mut rest in self.body {
            while !rest.is_empty() {
                let sent = poll_fn(|cx| stream.poll_write(cx, rest)).await.ok()?;
                rest = &rest[sent..];
            }
        }
        if then == Then::More {
            stream.send_end(&Fields::new());
        }
        let mut head = ResponseHead::new();
        poll_fn(|cx| {
            stream.register(cx);
            while stream.take_response(&mut head) {
                if !head.is_interim() {
                    return Poll::Ready(Some(()));
                }
            }
            if stream.broken().is_some() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await?;
        let mut body = Vec::with_capacity(limits::READ_BUFFER_BYTES);
        while poll_fn(|cx| stream.poll_read(cx, &mut body)).await.ok()? > 0 {
            body.clear();
        }
        Some(stream.with_trailers(|trailers| Answer::of(&head, trailers)))
    }

    /// Sends it on a connection of its own.
    async fn exchange(&self, connection: &mut UpstreamConnection) -> Option<(Answer, Persistence)> {
        let mut client = Client::new(Limits::DEFAULT);
        let mut out = Outgoing::default();
        client.request(&self.head, &mut out.bytes);
        let [first, mut rest] = self.body;
        client.request_body().data(first, &mut out.bytes).ok()?;
        if !client.request_body().spare(rest.len()) {
            client.request_body().data(rest, &mut out.bytes).ok()?;
            rest = &[];
        }
        client.request_body().end(&Fields::new(), &mut out.bytes).ok()?;
        poll_fn(|cx| out.poll_drain(&mut connection.wire, cx)).await.ok()?;
        while !rest.is_empty() {
            let sent = poll_fn(|cx| connection.wire.poll_write(cx, rest)).await.ok()?;
            rest = rest.split_at_checked(sent).filter(|_| sent > 0)?.1;
        }
        poll_fn(|cx| connection.wire.poll_flush(cx)).await.ok()?;
        let (mut inbox, mut head) = (Vec::new(), ResponseHead::new());
        loop {
            if let Some(length) = client.response(&inbox, &mut head).ok()? {
                consume(&mut inbox, length);
                if head.is_upgrade() {
                    return None;
                }
                if !head.is_interim() {
                    break;
                }
            } else {
                fill(connection, &mut inbox).await?;
            }
        }
        while !discard(client.response_body(), &mut inbox)? {
            if fill(connection, &mut inbox).await.is_none() {
                client.end_of_input().ok()?;
            }
        }
        let answer = Answer::of(&head, client.response_body().trailers());
        Some((answer, client.finish(&inbox)))
    }
}

/// Drops what is there of a body; whether it is over.
fn discard(body: &mut BodyReader, inbox: &mut Vec<u8>) -> Option<bool> {
    loop {
        let decoded = body.decode(inbox).ok()?;
        let (consumed, is_end, is_starved) = match decoded.piece {
            Piece::Data(_) => (decoded.consumed, false, false),
            Piece::More => (decoded.consumed, false, true),
            Piece::End => (decoded.consumed, true, false),
        };
        consume(inbox, consumed);
        if is_end || is_starved {
            return Some(is_end);
        }
    }
}

async fn fill(connection: &mut UpstreamConnection, inbox: &mut Vec<u8>) -> Option<()> {
    inbox.reserve(limits::READ_BUFFER_BYTES);
    let read = poll_fn(|cx| match connection.wire.poll_read(cx, inbox) {
        Poll::Ready(Ok(count)) => Poll::Ready(count),
        Poll::Ready(Err(_)) => Poll::Ready(0),
        Poll::Pending => Poll::Pending,
    });
    (read.await > 0).then_some(())
}
