//! How connections learn that they should finish: the drain signal of one filter chain on one worker.
//!
//! Each connection registers its task's waker once and then only reads a flag, so waiting for a drain costs a
//! request nothing. A drain does not end all connections at once: each has its turn within the first half of the
//! time, so that clients come back one after the other. Per worker, no lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::{Account, Charge};

/// What a connection should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Go on.
    Serving,
    /// From the connection's turn on finish the request in flight and take no other.
    Draining,
    /// End now.
    Closing,
}

/// One drain signal; connections hold a [`Watcher`] each.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    phase: Cell<Phase>,
    /// When the drain began, and over how long the turns are spread.
    turns: Cell<Option<(Instant, Duration)>>,
    watchers: RefCell<Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
    alive: usize,
    /// The next connection's place among the turns, in parts of 65536.
    share: u16,
}

/// Steps of the golden ratio: however many connections there are, their turns lie evenly.
const SHARE_STEP: u16 = 0x9E37;

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            phase: Cell::new(Phase::Serving),
            turns: Cell::default(),
            watchers: RefCell::default(),
        }
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
        let share = watchers.share;
        watchers.share = share.wrapping_add(SHARE_STEP);
        let (retire_at, is_used_up) = (Cell::default(), Cell::default());
        let (account, is_told, buffer_max) = (None, false, usize::MAX);
        let lifecycle = Rc::clone(self);
        Watcher { lifecycle, slot, share, retire_at, is_used_up, buffer_max, account, is_told }
    }

    /// Begins a drain that may take `limit`, and wakes every connection; `false` when one began before.
    pub(crate) fn drain(&self, limit: Duration) -> bool {
        if self.phase.get() != Phase::Serving {
            return false;
        }
        self.turns.set(Some((Instant::now(), limit / 2)));
        self.advance(Phase::Draining);
        true
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
    share: u16,
    /// When it is too old.
    retire_at: Cell<Option<Instant>>,
    /// It has carried as many requests as it may.
    is_used_up: Cell<bool>,
    /// What may be held of what it brings, softly.
    buffer_max: usize,
    /// What the connection holds; who holds too much ends as at the end of a drain.
    account: Option<Account>,
    /// Its task is the one that the account wakes.
    is_told: bool,
}

impl Watcher {
    /// The phase now.
    #[must_use]
    pub(crate) fn phase(&self) -> Phase {
        if self.is_shed() { Phase::Closing } else { self.lifecycle.phase.get() }
    }

    /// Watches the connection's account, too.
    #[must_use]
    pub(crate) fn of(mut self, account: Account) -> Self {
        self.account = Some(account);
        self.is_told = true;
        self
    }

    /// Holds no more of what the connection brings than a read beyond `max`.
    #[must_use]
    pub(crate) fn buffering(mut self, max: Option<u32>) -> Self {
        self.buffer_max = max.map_or(usize::MAX, |max| max as usize);
        self
    }

    /// What may be held of what the connection brings, softly.
    pub(crate) fn buffer_max(&self) -> usize {
        self.buffer_max
    }

    /// A charge to the connection's account; tests may have none.
    pub(crate) fn charge(&self) -> Option<Charge> {
        self.account.as_ref().map(Account::charge)
    }

    /// Whether more may be read that the connection would hold; its task is woken when it may.
    pub(crate) fn may_read(&self) -> bool {
        self.account.as_ref().is_none_or(Account::may_read)
    }

    /// Whether memory is plentiful enough for more than the smallest buffers.
    pub(crate) fn may_grow(&self) -> bool {
        self.account.as_ref().is_none_or(Account::may_grow)
    }

    /// Whether the connection is to end because of the memory budget.
    pub(crate) fn is_shed(&self) -> bool {
        self.account.as_ref().is_some_and(Account::is_shed)
    }

    /// When this connection is to end: from then on its next answer is the last. `None` while nothing ends it.
    #[must_use]
    pub(crate) fn turn(&self) -> Option<Instant> {
        let draining = self
            .lifecycle
            .turns
            .get()
            .map(|(begun, spread)| begun + spread.mul_f64(f64::from(self.share) / 65536.0));
        match (draining, self.retire_at.get()) {
            (Some(draining), Some(retire_at)) => Some(draining.min(retire_at)),
            (one, other) => one.or(other),
        }
    }

    /// Whether the answer that leaves now is the connection's last.
    #[must_use]
    pub(crate) fn is_last(&self) -> bool {
        self.phase() == Phase::Closing
            || self.is_used_up.get()
            || self.turn().is_some_and(|turn| turn <= Instant::now())
    }

    /// Ends the connection in order at `at`, drain or no drain.
    pub(crate) fn retire_at(&self, at: Option<Instant>) {
        self.retire_at.set(at);
    }

    /// Makes the next answer the last.
    pub(crate) fn use_up(&self) {
        self.is_used_up.set(true);
    }

    /// A watcher of the same signal, for another task of a connection that is as old.
    #[must_use]
    pub(crate) fn another(&self) -> Self {
        let mut another = self.lifecycle.watch();
        another.account.clone_from(&self.account);
        another.buffer_max = self.buffer_max;
        another.retire_at(self.retire_at.get());
        another
    }

    /// Names the task to wake when the phase changes; called once, since a connection stays in one task.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.lifecycle.watchers.borrow_mut().slots[self.slot] = Some(cx.waker().clone());
        if let Some(account) = self.account.as_ref().filter(|_| self.is_told) {
            account.register(cx);
        }
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
    use std::time::Duration;

    use super::{Lifecycle, Phase, Watcher};

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

    #[test]
    fn turns_lie_evenly_in_the_first_half_and_the_first_is_at_once() {
        let lifecycle = Rc::new(Lifecycle::default());
        let watchers: Vec<Watcher> = (0..1000).map(|_| lifecycle.watch()).collect();
        assert!(watchers[0].turn().is_none() && !watchers[0].is_last());
        let second = Duration::from_secs(1);
        assert!(lifecycle.drain(20 * second) && !lifecycle.drain(second), "a drain begins once");
        let begun = watchers[0].turn().unwrap();
        assert!(watchers[0].is_last() && !watchers[1].is_last());
        let mut by_second = [0; 10];
        for watcher in &watchers {
            by_second[(watcher.turn().unwrap() - begun).as_secs() as usize] += 1;
        }
        assert!(by_second.iter().all(|count| (95..=105).contains(count)), "{by_second:?}");
        lifecycle.advance(Phase::Closing);
        assert!(watchers.iter().all(Watcher::is_last));
    }

    #[test]
    fn a_connection_ends_by_age_and_by_use_without_a_drain() {
        let lifecycle = Rc::new(Lifecycle::default());
        let (old, young, used) = (lifecycle.watch(), lifecycle.watch(), lifecycle.watch());
        let now = tokio::time::Instant::now();
        old.retire_at(Some(now));
        young.retire_at(Some(now + Duration::from_secs(3600)));
        used.use_up();
        assert!(old.is_last() && !young.is_last() && used.is_last());
        assert_eq!((old.turn(), used.turn(), young.phase()), (Some(now), None, Phase::Serving));
    }
}
