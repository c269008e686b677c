//! Telling those who wait for a place on a connection, at next to no cost while nobody does.

use std::cell::Cell;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Whoever waits for another request to become possible.
#[derive(Default)]
pub(crate) struct Changes {
    notify: Notify,
    is_awaited: Cell<bool>,
}

impl Changes {
    /// Ready when another request may have become possible; to be asked for again after each time.
    pub(crate) fn wait(&self) -> Notified<'_> {
        self.is_awaited.set(true);
        self.notify.notified()
    }

    /// Another request may have become possible.
    pub(crate) fn tell(&self) {
        if self.is_awaited.take() {
            self.notify.notify_waiters();
        }
    }
}
