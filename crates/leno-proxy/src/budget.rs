//! The memory budget: what connections make this process hold, and what is done when that is too much.
//!
//! Whatever holds bytes for a connection has a [`Charge`] to the connection's [`Account`] and says how much it holds now.
//! A worker adds up in a cell of its own; it tells the other workers in steps of [`limits::MEMORY_STEP_BYTES`], and reads
//! what they told, so nothing is shared on the path of a request. The sum may be wrong by one step for each worker.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use leno_telemetry::{LimitReached, Metrics};

use crate::limits;

mod shared;

pub(crate) use shared::{Grade, MemoryBudget};

/// One worker's part of the budget.
pub(crate) struct WorkerBudget {
    shared: Arc<MemoryBudget>,
    metrics: Arc<Metrics>,
    worker: usize,
    held: Cell<usize>,
    /// What the other workers were told.
    told: Cell<usize>,
    grade: Cell<Grade>,
    accounts: RefCell<Accounts>,
}

#[derive(Default)]
struct Accounts {
    slots: Vec<Weak<Inner>>,
    free: Vec<usize>,
    /// Whether any connection was paused since reading went on the last time.
    has_paused: bool,
    /// What connections hold that were told to end and have not ended yet.
    ending_bytes: usize,
}

/// One connection's account; clones are the same account.
#[derive(Clone)]
pub(crate) struct Account(Rc<Inner>);

struct Inner {
    budget: Rc<WorkerBudget>,
    slot: usize,
    held: Cell<usize>,
    is_shed: Cell<bool>,
    is_paused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What one holder of bytes has on the books, until it is dropped.
pub(crate) struct Charge {
    account: Account,
    bytes: Cell<usize>,
}

impl WorkerBudget {
    pub(crate) fn new(shared: Arc<MemoryBudget>, metrics: Arc<Metrics>, worker: usize) -> Rc<Self> {
        Rc::new(Self {
            shared,
            metrics,
            worker,
            held: Cell::new(0),
            told: Cell::new(0),
            grade: Cell::new(Grade::Normal),
            accounts: RefCell::default(),
        })
    }

    /// What is done about the process' memory now.
    pub(crate) fn grade(&self) -> Grade {
        self.grade.get()
    }

    /// Opens a connection's account, with what every connection costs already on it.
    pub(crate) fn open(self: &Rc<Self>) -> Account {
        let mut accounts = self.accounts.borrow_mut();
        let slot = accounts.free.pop().unwrap_or_else(|| {
            accounts.slots.push(Weak::new());
            accounts.slots.len() - 1
        });
        let account = Account(Rc::new(Inner {
            budget: Rc::clone(self),
            slot,
            held: Cell::new(0),
            is_shed: Cell::new(false),
            is_paused: Cell::new(false),
            waker: RefCell::default(),
        }));
        accounts.slots[slot] = Rc::downgrade(&account.0);
        drop(accounts);
        account.0.add(limits::CONNECTION_BYTES);
        account
    }

    /// Notes that a request was refused.
    pub(crate) fn note_refused(&self) {
        self.metrics.reached(LimitReached::MemoryStreams);
    }

    fn change(&self, before: usize, now: usize) {
        let held = self.held.get() + now - before;
        self.held.set(held);
        if held.abs_diff(self.told.get()) >= self.shared.step_bytes() {
            self.settle();
        }
    }

    /// Tells the other workers what this one holds, reads what they told, and does what follows. Called when enough
    /// changed, and now and then.
    pub(crate) fn settle(&self) {
        self.told.set(self.held.get());
        let total = self.shared.tell(self.worker, self.held.get());
        let before = self.grade.get();
        let grade = Grade::of(total, self.shared.limit_bytes(), before);
        if grade != before {
            self.grade.set(grade);
            self.shared.note(grade, total);
            if grade == Grade::Normal {
                self.resume();
            }
        }
        if grade == Grade::Shed {
            self.shed(total);
        }
    }

    /// Has paused connections read again.
    fn resume(&self) {
        let mut accounts = self.accounts.borrow_mut();
        if !std::mem::take(&mut accounts.has_paused) {
            return;
        }
        for inner in accounts.slots.iter().filter_map(Weak::upgrade) {
            if inner.is_paused.replace(false) {
                inner.wake();
            }
        }
    }

    /// Ends connections, those first that hold the most, until this worker has done its share.
    fn shed(&self, total: usize) {
        let excess = total.saturating_sub(self.shared.at_bytes(Grade::RefuseStreams));
        // In proportion to what this worker holds of it; the others do theirs.
        let share = (excess as u128 * self.held.get() as u128 / total.max(1) as u128) as usize;
        let mut accounts = self.accounts.borrow_mut();
        let Some(mut wanted) = share.checked_sub(accounts.ending_bytes).filter(|left| *left > 0)
        else {
            return;
        };
        let mut all: Vec<Rc<Inner>> = accounts.slots.iter().filter_map(Weak::upgrade).collect();
        all.retain(|inner| !inner.is_shed.get());
        all.sort_unstable_by_key(|inner| std::cmp::Reverse(inner.held.get()));
        for inner in all {
            if wanted == 0 {
                break;
            }
            let held = inner.held.get();
            wanted = wanted.saturating_sub(held);
            accounts.ending_bytes += held;
            inner.is_shed.set(true);
            inner.wake();
            self.metrics.reached(LimitReached::MemoryShed);
        }
    }
}

impl Inner {
    fn add(&self, bytes: usize) {
        self.change(0, bytes);
    }

    fn change(&self, before: usize, now: usize) {
        let held = self.held.get() + now - before;
        self.held.set(held);
        if self.is_paused.get() && held <= limits::CONNECTION_BYTES + limits::MEMORY_FREE_BYTES {
            self.is_paused.set(false);
            self.wake();
        }
        if self.is_shed.get() {
            let mut accounts = self.budget.accounts.borrow_mut();
            accounts.ending_bytes = (accounts.ending_bytes + now).saturating_sub(before);
        }
        self.budget.change(before, now);
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.change(limits::CONNECTION_BYTES, 0);
        let mut accounts = self.budget.accounts.borrow_mut();
        accounts.slots[self.slot] = Weak::new();
        accounts.free.push(self.slot);
    }
}

impl Account {
    /// A charge to this account.
    pub(crate) fn charge(&self) -> Charge {
        Charge { account: self.clone(), bytes: Cell::new(0) }
    }

    /// What is on the books.
    pub(crate) fn held(&self) -> usize {
        self.0.held.get()
    }

    /// Whether the connection is to end at once, to give back what it holds.
    pub(crate) fn is_shed(&self) -> bool {
        self.0.is_shed.get()
    }

    /// Names the task to wake when the connection is to end, or may read again.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.0.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    /// Whether more may be read that this connection would hold. If not, the registered task is woken when it may.
    pub(crate) fn may_read(&self) -> bool {
        self.may_read_with(self.held().saturating_sub(limits::CONNECTION_BYTES))
    }

    fn may_read_with(&self, held: usize) -> bool {
        if self.0.budget.grade.get() == Grade::Normal || held <= limits::MEMORY_FREE_BYTES {
            return true;
        }
        if !self.0.is_paused.replace(true) {
            self.0.budget.accounts.borrow_mut().has_paused = true;
            self.0.budget.metrics.reached(LimitReached::MemoryReading);
        }
        false
    }

    /// Whether buffers may be larger than the smallest.
    pub(crate) fn may_grow(&self) -> bool {
        self.0.budget.grade.get() == Grade::Normal
    }

    /// Runs `work` unless the connection is to end before it is done.
    pub(crate) async fn unless_shed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            self.register(cx);
            if self.is_shed() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("held", &self.held()).finish()
    }
}

impl Charge {
    /// So much is held now.
    pub(crate) fn set(&self, bytes: usize) {
        let before = self.bytes.replace(bytes);
        if before == bytes {
            return;
        }
        self.account.0.change(before, bytes);
        if bytes <= limits::MEMORY_FREE_BYTES && self.account.0.is_paused.replace(false) {
            self.account.0.wake();
        }
    }

    /// Whether its holder, which holds so much, may read more; the account's task is woken when it may.
    pub(crate) fn may_read(&self, held: usize) -> bool {
        self.account.may_read_with(held)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests;
