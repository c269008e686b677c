//! What the workers of a process know of each other's memory, and the rule for what is done about it.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use crate::limits;

/// What is done about the memory that connections hold. Each grade does what those before it do, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Grade {
    /// Nothing.
    Normal,
    /// Connections that hold more than a buffer are not read from.
    StopReading,
    /// New requests are refused: 503 with flag `OM`, REFUSED_STREAM.
    RefuseStreams,
    /// New connections are refused, and those that hold the most are cut.
    Shed,
}

const GRADES: [Grade; 4] = [Grade::Normal, Grade::StopReading, Grade::RefuseStreams, Grade::Shed];

impl Grade {
    /// The share of the budget, in percent, at which it begins.
    const fn percent(self) -> usize {
        match self {
            Self::Normal => 0,
            Self::StopReading => limits::MEMORY_STOP_READING_PERCENT,
            Self::RefuseStreams => limits::MEMORY_REFUSE_STREAMS_PERCENT,
            Self::Shed => limits::MEMORY_SHED_PERCENT,
        }
    }

    /// The grade for `held` of `limit` bytes after `before`: it rises at once, and falls when it is left behind by
    /// [`limits::MEMORY_EASE_PERCENT`], so that it does not flap.
    pub(crate) fn of(held: usize, limit: usize, before: Self) -> Self {
        let at = |percent: usize| (limit as u128 * percent as u128 / 100) as usize;
        let reached = |grade: &Self| {
            let ease = if *grade <= before { limits::MEMORY_EASE_PERCENT } else { 0 };
            held >= at(grade.percent().saturating_sub(ease))
        };
        GRADES.into_iter().rfind(reached).unwrap_or(Self::Normal)
    }

    /// The word in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::StopReading => "stop-reading",
            Self::RefuseStreams => "refuse-streams",
            Self::Shed => "shed",
        }
    }
}

/// The budget of a process.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit_bytes: usize,
    /// Each written by its worker alone.
    held: Box<[Line]>,
    grade: AtomicU8,
}

/// A cache line of its own: workers write at their own pace.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicUsize);

impl MemoryBudget {
    pub(crate) fn new(limit_bytes: usize, workers: usize) -> Self {
        let held = (0..workers).map(|_| Line::default()).collect();
        Self { limit_bytes, held, grade: AtomicU8::new(Grade::Normal as u8) }
    }

    /// What may be held.
    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// What is held, by what the workers told last.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.iter().map(|line| line.0.load(Relaxed)).sum()
    }

    /// The grade that a worker found last.
    pub(crate) fn grade(&self) -> u8 {
        self.grade.load(Relaxed)
    }

    /// Where a grade begins.
    pub(super) fn at_bytes(&self, grade: Grade) -> usize {
        (self.limit_bytes as u128 * grade.percent() as u128 / 100) as usize
    }

    /// How much may change before a worker tells the others.
    pub(super) fn step_bytes(&self) -> usize {
        limits::MEMORY_STEP_BYTES.min(self.limit_bytes / 64).max(1)
    }

    /// One worker holds so much now; what they all hold.
    pub(super) fn tell(&self, worker: usize, held: usize) -> usize {
        self.held[worker].0.store(held, Relaxed);
        self.held_bytes()
    }

    pub(super) fn note(&self, grade: Grade, held_bytes: usize) {
        let before = self.grade.swap(grade as u8, Relaxed);
        let (word, budget_bytes) = (grade.as_str(), self.limit_bytes);
        if grade as u8 > before {
            tracing::warn!(held_bytes, budget_bytes, grade = word, "memory budget");
        } else {
            tracing::info!(held_bytes, budget_bytes, grade = word, "memory budget");
        }
    }
}
