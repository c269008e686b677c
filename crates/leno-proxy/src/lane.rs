//! Turns for work that can wait: long bodies, and the ends of connections, go behind what answers.
//!
//! The runtime's queue is first in, first out: a small request would wait, at each of its steps, for every connection that
//! can move a piece of a long body just then. So whoever has moved much asks for its next turn, and pays for it. A turn of
//! the loop has [`limits::LANE_BYTES`] to give; who comes later stands in line until the sockets were looked at once more and
//! what they woke has run. While the loop finds time to wait, nobody stands in line. One in line gets in with each turn of
//! the loop at least.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use crate::limits;

/// What was paid in this turn of the loop. Shared with the runtime's hook, which must be `Sync`; one thread touches it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent(Arc<AtomicUsize>);

impl Spent {
    /// The loop waited for its sockets: nothing it was woken for before is left.
    pub(crate) fn forget(&self) {
        self.0.store(0, Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.store(self.0.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    fn is_used_up(&self) -> bool {
        self.0.load(Relaxed) >= limits::LANE_BYTES
    }
}

/// One worker's.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    spent: Spent,
    line: RefCell<VecDeque<Waker>>,
    /// How many of the line were ever called.
    called: Cell<u64>,
    /// Of the task that calls them.
    waker: RefCell<Option<Waker>>,
    is_calling: Cell<bool>,
}

/// A task's place in line, kept from one poll to the next. One that is dropped is called in vain.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<u64>);

impl Lane {
    pub(crate) fn new(spent: Spent) -> Self {
        Self { spent, ..Self::default() }
    }

    /// Ready when the task may work on; [`Self::pay`] is to follow in the same poll. `Pending`: it is woken in its turn.
    pub(crate) fn poll_turn(&self, turn: &mut Turn, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(number) = turn.0 {
            if number >= self.called.get() {
                return Poll::Pending;
            }
            turn.0 = None;
            return Poll::Ready(());
        }
        let mut line = self.line.borrow_mut();
        if line.is_empty() && !self.spent.is_used_up() {
            return Poll::Ready(());
        }
        turn.0 = Some(self.called.get() + line.len() as u64);
        line.push_back(cx.waker().clone());
        if !self.is_calling.replace(true)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
        Poll::Pending
    }

    /// Pays for what was done with a turn, and lets the next one in where something is left.
    pub(crate) fn pay(&self, bytes: usize) {
        self.spent.add(bytes);
        if !self.spent.is_used_up() {
            self.call();
        }
    }

    /// Waits for a turn and pays for it.
    pub(crate) async fn turn(&self, bytes: usize) {
        let mut turn = Turn::default();
        poll_fn(|cx| self.poll_turn(&mut turn, cx)).await;
        self.pay(bytes);
    }

    fn call(&self) {
        if let Some(waker) = self.line.borrow_mut().pop_front() {
            self.called.set(self.called.get() + 1);
            waker.wake();
        }
    }

    /// Calls those in line, for ever; the worker runs it as a task.
    pub(crate) async fn run(&self) {
        loop {
            poll_fn(|cx| {
                self.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
                if self.is_calling.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            while !self.line.borrow().is_empty() {
                // The runtime looks at its sockets before it goes on here, and what they wake runs before those who are called.
                tokio::task::yield_now().await;
                self.spent.forget();
                self.call();
            }
            self.is_calling.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use super::{Lane, Turn};
    use crate::limits::LANE_BYTES;

    fn asks(lane: &Lane, turn: &mut Turn) -> bool {
        lane.poll_turn(turn, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn nobody_stands_in_line_before_a_turn_of_the_loop_is_used_up() {
        let lane = Lane::default();
        let (mut first, mut second, mut third) =
            (Turn::default(), Turn::default(), Turn::default());
        assert!(asks(&lane, &mut first));
        lane.pay(LANE_BYTES - 1);
        assert!(asks(&lane, &mut first));
        lane.pay(1);
        assert!(!asks(&lane, &mut first) && !asks(&lane, &mut second));
        lane.spent.forget();
        assert!(!asks(&lane, &mut third), "others were first");
        assert!(!asks(&lane, &mut first), "nobody was called");
        lane.call();
        assert!(!asks(&lane, &mut second) && asks(&lane, &mut first));
        lane.pay(LANE_BYTES / 2);
        assert!(asks(&lane, &mut second), "something was left");
        lane.pay(LANE_BYTES / 2);
        assert!(!asks(&lane, &mut third), "and is not any more");
    }

    #[test]
    fn all_get_their_turns_in_order_and_who_answers_goes_between() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        let told = runtime.block_on(async {
            let lane = Rc::new(Lane::default());
            let calling = Rc::clone(&lane);
            tokio::task::spawn_local(async move { calling.run().await });
            let told = Rc::new(RefCell::new(Vec::new()));
            let bulk = ["a", "b", "c"].map(|name| {
                let (lane, told) = (Rc::clone(&lane), Rc::clone(&told));
                tokio::task::spawn_local(async move {
                    for _ in 0..3 {
                        lane.turn(LANE_BYTES).await;
                        told.borrow_mut().push(name);
                    }
                })
            });
            let also = Rc::clone(&told);
            let small = tokio::task::spawn_local(async move {
                for _ in 0..3 {
                    also.borrow_mut().push("small");
                    tokio::task::yield_now().await;
                }
            });
            for task in bulk {
                task.await.unwrap();
            }
            small.await.unwrap();
            told.take()
        });
        let bulk: Vec<_> = told.iter().filter(|name| **name != "small").collect();
        // The first needs no line, and stands in it before the others.
        assert_eq!(bulk, [&"a", &"a", &"b", &"c", &"a", &"b", &"c", &"b", &"c"]);
        let last = told.iter().rposition(|name| *name == "small").unwrap();
        assert!(last < 7, "{told:?}");
    }

    #[test]
    fn one_that_left_the_line_keeps_nobody_back() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let lane = Rc::new(Lane::default());
            let calling = Rc::clone(&lane);
            tokio::task::spawn_local(async move { calling.run().await });
            lane.pay(LANE_BYTES);
            let mut gone = Box::pin(lane.turn(1));
            assert!(matches!(poll(gone.as_mut()), Poll::Pending));
            drop(gone);
            lane.turn(1).await;
        });
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }
}
