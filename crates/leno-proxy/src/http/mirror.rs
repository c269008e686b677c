//! Copies of requests, fire and forget: the answers are read and thrown away, and nobody waits for them.
//!
//! A copy is complete or not sent at all: a body beyond the replay limit is not mirrored. Copies run in tasks of their
//! own on the same worker, at most [`limits::MIRRORS_IN_FLIGHT`].

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::circuit::Limited;
use leno_core::random::Random as _;
use leno_core::retry::Idempotence;
use leno_core::route_table::Forward;
use leno_http::h1::{BodyReader, Client, Piece};
use leno_http::h2::Then;
use leno_http::{Fields, Limits, RequestHead, ResponseHead};
use tokio::time::timeout;

use super::pump::consume;
use super::session::Session;
use crate::http2;
use crate::limits;
use crate::listener::Facts;
use crate::upstream::cluster::{ClusterState, UpstreamConnection};
use crate::upstream::connect::{self, Carries, Link, Purpose};
use crate::wire::Outgoing;
use crate::worker::{View, Worker};

/// The clusters that get a copy of this request.
pub(super) type Mirrors = Vec<Rc<ClusterState>>;

/// Draws each mirror's share. Empty, and without allocation, for routes that mirror nothing.
pub(super) fn choose(session: &Session, configuration: &View, forward: &Forward) -> Mirrors {
    let mut random = session.worker.random.borrow_mut();
    let drawn = forward.mirrors.iter().filter(|mirror| random.hits(mirror.fraction));
    let cluster_of = |name| configuration.cluster(&session.worker, name).cloned();
    drawn.filter_map(|mirror| cluster_of(&mirror.cluster)).collect()
}

/// Sends the copies of a complete request.
pub(super) fn send(session: &Session, mirrors: &Mirrors, body: &[u8]) {
    for cluster in mirrors {
        let worker = Rc::clone(&session.worker);
        if worker.mirrors_in_flight.get() >= limits::MIRRORS_IN_FLIGHT {
            continue;
        }
        worker.mirrors_in_flight.set(worker.mirrors_in_flight.get() + 1);
        let mut head = session.request.clone();
        head.set_authority(&shadow(head.authority()));
        let copy = Copy {
            cluster: Rc::clone(cluster),
            facts: Rc::clone(&session.facts),
            head,
            body: body.to_vec(),
        };
        tokio::task::spawn_local(async move {
            // Nobody waits for it; the cluster's own counters tell of its failures.
            let _ = timeout(limits::MIRROR, copy.run(&worker)).await;
            worker.mirrors_in_flight.set(worker.mirrors_in_flight.get() - 1);
        });
    }
}

/// `host:port` becomes `host-shadow:port`, as Envoy does it.
fn shadow(authority: &str) -> String {
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = authority.split_at(port.unwrap_or(authority.len()));
    format!("{host}-shadow{port}")
}

struct Copy {
    cluster: Rc<ClusterState>,
    facts: Rc<Facts>,
    head: RequestHead,
    body: Vec<u8>,
}

impl Copy {
    async fn run(self, worker: &Rc<Worker>) -> Option<()> {
        let _request = self.cluster.acquire(Limited::Requests).ok()?;
        let now = Instant::now();
        let destination: SocketAddr = self.facts.destination;
        let pick = Pick { now, tried: &[] };
        let endpoint = self.cluster.pick(pick, destination, &mut *worker.random.borrow_mut())?;
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
            Link::Shared(connection) => self.share(&connection).await?,
            Link::Exclusive(mut connection) => {
                if self.exchange(&mut connection).await? {
                    connection.served += 1;
                    self.cluster.give_back(&endpoint, connection, Instant::now());
                }
            }
        }
        Some(())
    }

    /// Sends the copy among the requests of others and reads the answer.
    async fn share(&self, connection: &Rc<http2::Connection>) -> Option<()> {
        let then = if self.body.is_empty() { Then::End } else { Then::More };
        let stream = connection.request(&self.head, then).ok()?;
        let mut rest = self.body.as_slice();
        while !rest.is_empty() {
            let sent = poll_fn(|cx| stream.poll_write(cx, rest)).await.ok()?;
            rest = &rest[sent..];
        }
        if then == Then::More {
            stream.send_end(&Fields::new());
        }
        let mut answer = Vec::with_capacity(limits::READ_BUFFER_BYTES);
        while poll_fn(|cx| stream.poll_read(cx, &mut answer)).await.ok()? > 0 {
            answer.clear();
        }
        Some(())
    }

    /// Sends the copy and reads the answer; whether the connection can be used again.
    async fn exchange(&self, connection: &mut UpstreamConnection) -> Option<bool> {
        let mut client = Client::new(Limits::DEFAULT);
        let mut out = Outgoing::default();
        client.request(&self.head, &mut out.bytes);
        client.request_body().data(&self.body, &mut out.bytes).ok()?;
        client.request_body().end(&Fields::new(), &mut out.bytes).ok()?;
        poll_fn(|cx| out.poll_drain(&mut connection.wire, cx)).await.ok()?;
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
        Some(client.finish(&inbox) == leno_http::h1::Persistence::Keep)
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

#[cfg(test)]
mod tests {
    use super::shadow;

    #[test]
    fn the_host_gets_the_suffix_and_the_port_stays() {
        let table = [
            ("reviews", "reviews-shadow"),
            ("reviews:9080", "reviews-shadow:9080"),
            ("[::1]:80", "[::1]-shadow:80"),
            ("[::1]", "[::1]-shadow"),
        ];
        for (authority, expected) in table {
            assert_eq!(shadow(authority), expected);
        }
    }
}
