//! How connections learn that they should finish: the drain signal of one filter chain on one worker.
//!
//! Each connection registers its task's waker once and then only reads a flag, so waiting for a drain costs a
//! request nothing. Per worker, no lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// What a connection should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Go on.
    Serving,
    /// Finish the request in flight, take no other.
    Draining,
    /// End now.
    Closing,
}

/// One drain signal; connections hold a [`Watcher`] each.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    phase: Cell<Phase>,
    watchers: RefCell<Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
    alive: usize,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { phase: Cell::new(Phase::Serving), watchers: RefCell::default() }
    }
}

impl Lifecycle {
    /// Registers one connection until the watcher is dropped.
    #[must_use]
    pub(crate) fn watch(self: &Rc<Self>) -> Watcher {
        let mut watchers = self.watchers.borrow_mut();
        watchers.alive += 1;
        let slot = watchers.free.pop().unwrap_or_else(|| {
            watchers.slots.push(None);
            watchers.slots.len() - 1
        });
        Watcher { lifecycle: Rc::clone(self), slot }
    }

    /// Moves on to `phase` (never back) and wakes every connection.
    pub(crate) fn advance(&self, phase: Phase) {
        if phase <= self.phase.get() {
            return;
        }
        self.phase.set(phase);
        // Waking may run nothing here: wakers only queue their tasks.
        for waker in self.watchers.borrow().slots.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Connections alive.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.watchers.borrow().alive
    }
}

/// One connection's view of its [`Lifecycle`].
#[derive(Debug)]
pub(crate) struct Watcher {
    lifecycle: Rc<Lifecycle>,
    slot: usize,
}

impl Watcher {
    /// The phase now.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        self.lifecycle.phase.get()
    }

    /// Names the task to wake when the phase changes; called once, since a connection stays in one task.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.lifecycle.watchers.borrow_mut().slots[self.slot] = Some(cx.waker().clone());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = self.lifecycle.watchers.borrow_mut();
        watchers.alive -= 1;
        watchers.slots[self.slot] = None;
        watchers.free.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::{Lifecycle, Phase};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_phase_wakes_each_connection_once_and_never_goes_back() {
        let lifecycle = Rc::new(Lifecycle::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let (first, second) = (lifecycle.watch(), lifecycle.watch());
        first.register(&cx);
        second.register(&cx);
        drop(second);
        lifecycle.advance(Phase::Closing);
        lifecycle.advance(Phase::Draining);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!((first.phase(), lifecycle.connections()), (Phase::Closing, 1));
        drop(first);
        assert_eq!(lifecycle.connections(), 0);
    }
}
