//! What is wrong with a resource or a file, and what was left out of it.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Serialize;

/// Problems told of one input; more are counted. It bounds what hostile input makes us hold and send.
const TOLD: usize = 64;

/// One thing wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The field, as `filter_chains[0].filters[0].typed_config.rds`.
    pub path: String,
    /// What is wrong and what would be right.
    pub what: String,
    /// Where in the file, if it was one.
    pub place: Option<Place>,
}

/// A place in a text; both count from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the fields are the words")]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

/// A value, and the fields that were given but change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<T> {
    /// What was understood.
    pub value: T,
    /// Fields on the list of harmless ones that are not acted on: to be shown, not to be refused.
    pub unsupported: Vec<Problem>,
}

/// Collects findings while one input is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: RefCell<Vec<Problem>>,
    untold: Cell<usize>,
    unsupported: RefCell<Vec<Problem>>,
}

impl Report {
    pub(crate) fn problem(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < TOLD {
            problems.push(problem);
        } else {
            self.untold.set(self.untold.get() + 1);
        }
    }

    pub(crate) fn unsupported(&self, finding: Problem) {
        let mut findings = self.unsupported.borrow_mut();
        if findings.len() < TOLD {
            findings.push(finding);
        }
    }

    /// Whether another problem would only be counted: then its text need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.borrow().len() >= TOLD
    }

    /// The value if nothing was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<Decoded<T>, Vec<Problem>> {
        let mut problems = self.problems.into_inner();
        if problems.is_empty() {
            return Ok(Decoded { value, unsupported: self.unsupported.into_inner() });
        }
        if self.untold.get() > 0 {
            let what = format!("{} more problems", self.untold.get());
            problems.push(Problem { path: String::new(), what, place: None });
        }
        Err(problems)
    }
}
