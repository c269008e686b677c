//! Where in a message something is; costs nothing until it is printed.

use std::fmt;

use crate::problem::{Place, Problem};

/// A list of steps, each on its reader's stack frame.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    up: Option<&'p Self>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
pub(crate) enum Step<'p> {
    Root,
    Field(&'p str),
    Index(&'p str, usize),
    Entry(&'p str, &'p str),
}

impl<'p> Path<'p> {
    /// Where everything begins.
    pub(crate) const ROOT: Self = Self { up: None, step: Step::Root };

    /// One step further.
    pub(crate) fn step<'s>(&'s self, step: Step<'s>) -> Path<'s>
    where
        'p: 's,
    {
        Path { up: Some(self), step }
    }

    /// A field of this message.
    pub(crate) fn field<'s>(&'s self, name: &'s str) -> Path<'s>
    where
        'p: 's,
    {
        self.step(Step::Field(name))
    }

    /// A problem here.
    pub(crate) fn problem(&self, what: &str, place: Option<Place>) -> Problem {
        Problem { path: self.to_string(), what: what.to_owned(), place }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            up.fmt(f)?;
            if !matches!(up.step, Step::Root) {
                f.write_str(".")?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => f.write_str(name),
            Step::Index(name, index) => write!(f, "{name}[{index}]"),
            Step::Entry(name, key) => write!(f, "{name}[{key}]"),
        }
    }
}
