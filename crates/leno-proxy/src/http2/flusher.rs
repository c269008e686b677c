//! The task that writes: one for a worker, woken by the first connection that has something to send.
//!
//! The runtime's queue is first in, first out: woken by the first of a turn, it runs behind all tasks of that turn, and
//! what they sent leaves in one write for each connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::connection::Connection;

/// Connections with something to send.
#[derive(Default)]
pub(crate) struct Flusher {
    dirty: RefCell<Vec<Rc<Connection>>>,
    waker: RefCell<Option<Waker>>,
    is_called: Cell<bool>,
}

impl Flusher {
    /// Has the connection written at the end of this turn. To be called once for each time it becomes dirty.
    pub(super) fn add(&self, connection: &Rc<Connection>) {
        self.dirty.borrow_mut().push(Rc::clone(connection));
        if !self.is_called.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Writes for ever; the worker runs it as a task.
    pub(crate) async fn run(&self) {
        let mut taken = Vec::new();
        let writing = poll_fn(|cx| {
            self.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            self.is_called.set(false);
            std::mem::swap(&mut taken, &mut *self.dirty.borrow_mut());
            for connection in taken.drain(..) {
                connection.flush();
            }
            Poll::<()>::Pending
        });
        // Its share of a turn is not the runtime's to cut: a connection that is left out would wait for another.
        tokio::task::coop::unconstrained(writing).await;
    }
}
