//! Upstream HTTP/2 connections of one endpoint on one worker, each shared by many requests.
//!
//! The first connection is filled up before another is opened, so that few connections carry all there is. Only one is
//! opened at a time; requests wait for it, as many as the circuit allows.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use leno_core::cluster::Transport;
use tokio::sync::futures::Notified;

use super::cluster::UpstreamConnection;
use super::pool;
use crate::http2::{Changes, Connection, Peerage};
use crate::limits;
use crate::worker::Worker;

/// Which version is spoken with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// What its TLS handshake agrees on.
    Negotiated,
}

/// How much one connection may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// Requests at once.
    pub(crate) streams: usize,
    /// Requests in all.
    pub(crate) requests: u32,
    /// How long it may have stood when it takes one.
    pub(crate) age: Duration,
}

/// The connections.
#[derive(Default)]
pub(crate) struct Shared {
    connections: RefCell<Vec<Rc<Member>>>,
    is_dialing: Cell<bool>,
    /// What the last handshake agreed on, where that is asked.
    agreed: Cell<Option<Spoken>>,
    changed: Rc<Changes>,
}

struct Member {
    connection: Rc<Connection>,
    opened: Instant,
    transport: Arc<Transport>,
    /// How many requests it had carried when it was last looked at, and when that was.
    seen: Cell<(u32, Instant)>,
}

impl Member {
    fn is_aged(&self, limit: Use, now: Instant) -> bool {
        now.saturating_duration_since(self.opened) >= limit.age
    }
}

/// A connection that is being opened; over on drop.
pub(crate) struct Dialing(Rc<Shared>);

impl Drop for Dialing {
    fn drop(&mut self) {
        self.0.is_dialing.set(false);
        self.0.changed.tell();
    }
}

impl Shared {
    /// A connection that takes one more request now.
    pub(crate) fn find(
        &self,
        transport: &Arc<Transport>,
        limit: Use,
        now: Instant,
    ) -> Option<Rc<Connection>> {
        let members = self.connections.borrow();
        let free = members.iter().find(|member| {
            let connection = &member.connection;
            connection.available() > 0
                && connection.active() < limit.streams
                && connection.served.get() < limit.requests
                && !member.is_aged(limit, now)
                && pool::fits(&member.transport, transport)
        })?;
        Some(Rc::clone(&free.connection))
    }

    /// Whether somebody opens a connection.
    pub(crate) fn is_dialing(&self) -> bool {
        self.is_dialing.get()
    }

    /// Opens a connection while nobody else does.
    pub(crate) fn dial(self: &Rc<Self>) -> Dialing {
        self.is_dialing.set(true);
        Dialing(Rc::clone(self))
    }

    /// Ready when another request may have become possible.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.wait()
    }

    /// What the endpoint agreed to last.
    pub(crate) fn agreed(&self) -> Option<Spoken> {
        self.agreed.get()
    }

    /// Keeps what a handshake agreed on.
    pub(crate) fn agree(&self, spoken: Spoken) {
        self.agreed.set(Some(spoken));
    }

    /// Takes a connection in, and drives it until it ends.
    pub(crate) fn add(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        opened: UpstreamConnection,
    ) -> Rc<Connection> {
        let pool::Connection { wire, transport, proof, local, opened, _slot: slot, .. } = *opened;
        let connection =
            Connection::client(worker, wire, Peerage { proof, local }, Rc::clone(&self.changed));
        let member = Rc::new(Member {
            connection: Rc::clone(&connection),
            opened,
            transport,
            seen: Cell::new((0, Instant::now())),
        });
        self.connections.borrow_mut().push(Rc::clone(&member));
        let (shared, driven) = (Rc::clone(self), Rc::clone(&connection));
        tokio::task::spawn_local(async move {
            shared.drive(&member, &driven).await;
            drop(slot);
        });
        connection
    }

    async fn drive(&self, member: &Rc<Member>, connection: &Rc<Connection>) {
        poll_fn(|cx| {
            loop {
                let driven = connection.poll_drive(cx);
                if connection.take_change() {
                    self.changed.tell();
                }
                if connection.is_retired() {
                    self.forget(member);
                }
                if driven.is_ready() {
                    return Poll::Ready(());
                }
                // Nothing comes back after a GOAWAY but what is under way.
                if connection.is_retired() && connection.active() == 0 && !connection.is_closing() {
                    connection.close();
                    continue;
                }
                return Poll::Pending;
            }
        })
        .await;
        self.forget(member);
        self.changed.tell();
    }

    /// Ends a connection that nobody uses, if there is one.
    pub(crate) fn evict(&self) -> bool {
        let members = self.connections.borrow();
        let idle = members.iter().find(|member| member.connection.active() == 0).cloned();
        drop(members);
        if let Some(idle) = &idle {
            idle.connection.close();
            self.forget(idle);
        }
        idle.is_some()
    }

    fn forget(&self, member: &Rc<Member>) {
        self.connections.borrow_mut().retain(|other| !Rc::ptr_eq(other, member));
    }

    /// Closes what nobody used for so long or was used enough, and what stopped in the middle of a head. Says how many have
    /// reached their age: they end with the requests that they carry.
    pub(crate) fn sweep(&self, now: Instant, idle_max: Duration, limit: Use) -> u32 {
        let members = self.connections.borrow().clone();
        let mut aged = 0;
        for member in members {
            let (connection, (served, since)) = (&member.connection, member.seen.get());
            let owes = connection.waits_since().map(|since| now.saturating_duration_since(since));
            if owes.is_some_and(|owes| owes >= limits::REQUEST_HEAD) {
                connection.give_up();
                self.forget(&member);
            } else if connection.served.get() >= limit.requests || member.is_aged(limit, now) {
                aged += u32::from(member.is_aged(limit, now));
                connection.retire();
                self.forget(&member);
            } else if connection.active() > 0 || connection.served.get() != served {
                member.seen.set((connection.served.get(), now));
            } else if now.duration_since(since) >= idle_max {
                connection.close();
                self.forget(&member);
            }
        }
        aged
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty() && !self.is_dialing.get()
    }
}
