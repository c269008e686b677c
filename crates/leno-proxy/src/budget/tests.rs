use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use leno_telemetry::{LimitReached, Metrics, Party, SeriesLimits};

use super::{Account, Grade, MemoryBudget, WorkerBudget};
use crate::limits::{CONNECTION_BYTES, MEMORY_FREE_BYTES};

const LIMIT: usize = 100 * 1024 * 1024;
const PERCENT: usize = LIMIT / 100;

fn metrics() -> Arc<Metrics> {
    Metrics::new(Party::default(), "proxy", SeriesLimits::SIDECAR)
}

fn workers<const N: usize>() -> ([Rc<WorkerBudget>; N], Arc<Metrics>) {
    let (shared, metrics) = (Arc::new(MemoryBudget::new(LIMIT, N)), metrics());
    let worker = |id| WorkerBudget::new(Arc::clone(&shared), Arc::clone(&metrics), id);
    (std::array::from_fn(worker), metrics)
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn registered(account: &Account) -> Arc<Woken> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    account.register(&Context::from_waker(&waker));
    woken
}

#[test]
fn grades_rise_at_their_share_and_fall_behind_it() {
    use Grade::{Normal, RefuseStreams, Shed, StopReading};
    // (percent held, grade before, grade)
    let table = [
        (0, Normal, Normal),
        (74, Normal, Normal),
        (75, Normal, StopReading),
        (90, Normal, RefuseStreams),
        (100, StopReading, Shed),
        (250, Normal, Shed),
        (96, Shed, Shed),
        (94, Shed, RefuseStreams),
        (84, Shed, StopReading),
        (71, RefuseStreams, StopReading),
        (69, Shed, Normal),
    ];
    for (percent, before, expected) in table {
        let grade = Grade::of(percent * PERCENT, LIMIT, before);
        assert_eq!(grade, expected, "{percent} % after {before:?}");
    }
}

#[test]
fn what_is_held_is_what_charges_say_and_ends_with_them() {
    let ([worker], _) = workers::<1>();
    let account = worker.open();
    assert_eq!(account.held(), CONNECTION_BYTES);
    let (one, two) = (account.charge(), account.charge());
    one.set(1000);
    two.set(500);
    one.set(200);
    assert_eq!(
        (account.held(), worker.held.get()),
        (CONNECTION_BYTES + 700, CONNECTION_BYTES + 700)
    );
    drop(two);
    drop(account);
    assert_eq!(worker.held.get(), CONNECTION_BYTES + 200, "a charge keeps its account");
    drop(one);
    assert_eq!(worker.held.get(), 0);
    assert_eq!(worker.open().0.slot, 0, "slots are used again");
}

#[test]
fn only_those_that_hold_much_wait_and_all_go_on() {
    let ([worker], metrics) = workers::<1>();
    let (large, small) = (worker.open(), worker.open());
    let (woken, untouched) = (registered(&large), registered(&small));
    let (much, little) = (large.charge(), small.charge());
    much.set(80 * PERCENT);
    little.set(MEMORY_FREE_BYTES);
    assert_eq!(worker.grade(), Grade::StopReading);
    assert!(!large.may_read() && !large.may_read() && small.may_read());
    assert_eq!(metrics.times_reached(LimitReached::MemoryReading), 1);
    much.set(60 * PERCENT);
    assert_eq!(worker.grade(), Grade::Normal);
    assert!(large.may_read());
    assert_eq!((woken.0.load(Ordering::Relaxed), untouched.0.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn the_largest_are_shed_and_no_more_than_needed() {
    let ([worker], metrics) = workers::<1>();
    let accounts: Vec<Account> = (0..50).map(|_| worker.open()).collect();
    let woken: Vec<_> = accounts.iter().map(registered).collect();
    let charges: Vec<_> = accounts.iter().map(Account::charge).collect();
    for (at, charge) in charges.iter().enumerate() {
        charge.set(if at % 5 == 0 { 9 * PERCENT } else { PERCENT / 4 });
    }
    assert_eq!(worker.grade(), Grade::Shed, "100 % and what connections cost");
    let shed: Vec<usize> = (0..50).filter(|at| accounts[*at].is_shed()).collect();
    assert!(!shed.is_empty() && shed.len() <= 2, "{shed:?}");
    assert!(shed.iter().all(|at| at % 5 == 0), "{shed:?}");
    assert!(shed.iter().all(|at| woken[*at].0.load(Ordering::Relaxed) == 1));
    worker.settle();
    let again = (0..50).filter(|at| accounts[*at].is_shed()).count();
    assert_eq!(again, shed.len(), "those that are on their way out count");
    for at in &shed {
        charges[*at].set(0);
    }
    worker.settle();
    assert!(worker.grade() < Grade::Shed);
    assert_eq!(metrics.times_reached(LimitReached::MemoryShed), shed.len() as u64);
    drop((charges, accounts));
    assert_eq!((worker.held.get(), worker.accounts.borrow().ending_bytes), (0, 0));
    worker.settle();
    assert_eq!(worker.grade(), Grade::Normal);
}

#[test]
fn a_worker_learns_what_the_others_hold_and_sheds_in_proportion() {
    let ([one, two], metrics) = workers::<2>();
    let (first, second) = (one.open(), two.open());
    let (large, small) = (first.charge(), second.charge());
    large.set(89 * PERCENT);
    small.set(2 * PERCENT);
    assert_eq!((one.grade(), two.grade()), (Grade::StopReading, Grade::RefuseStreams));
    one.settle();
    assert_eq!(one.grade(), Grade::RefuseStreams);
    large.set(110 * PERCENT);
    assert!(first.is_shed() && !second.is_shed());
    assert_eq!(metrics.times_reached(LimitReached::MemoryShed), 1);
    large.set(0);
    two.settle();
    assert_eq!((one.grade(), two.grade()), (Grade::Normal, Grade::Normal));
}
