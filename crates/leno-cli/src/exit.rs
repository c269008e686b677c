//! What the process answers its caller: one table of exit codes, and how an error is printed.
//!
//! A subcommand returns `anyhow::Result<ExitCode>`; an error that should end with another code than 1 carries a
//! [`Code`] as its context.

use std::io::Write as _;
use std::process::ExitCode;

/// Why a command ended; the number is the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// It ran and found something bad: a failed check, a difference, a refused document.
    Found = 1,
    /// The command line or an input file is wrong.
    Usage = 2,
    /// The control plane or a proxy could not be reached, or did not answer in time.
    Unreachable = 3,
    /// The caller is not who it says, or may not do this.
    Refused = 4,
    /// Somebody else changed it, or a precondition does not hold.
    Conflict = 5,
    /// Some targets failed, others did not.
    Partial = 6,
}

const TABLE: [(Code, &str); 6] = [
    (Code::Found, "ran, and found something bad (check failed, difference, document refused)"),
    (Code::Usage, "usage: the command line or an input is wrong"),
    (Code::Unreachable, "control plane or proxy unreachable, or no answer in time"),
    (Code::Refused, "not authenticated, or not allowed"),
    (Code::Conflict, "conflict or precondition: somebody changed it, or something is in the way"),
    (Code::Partial, "partial: some targets failed"),
];

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meaning =
            TABLE.iter().find(|(code, _)| code == self).map_or("", |(_, meaning)| meaning);
        f.write_str(meaning)
    }
}

impl std::error::Error for Code {}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Marks an error with the code the process should end with; its message stays the error's own.
pub(crate) trait WithCode<T> {
    /// Ends the process with `code` if this is an error.
    fn code(self, code: Code) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithCode<T> for Result<T, E> {
    fn code(self, code: Code) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::Error::new(Coded { code, source: error.into() }))
    }
}

/// An error and the exit code that goes with it.
#[derive(Debug)]
struct Coded {
    code: Code,
    source: anyhow::Error,
}

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.source, f)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// Prints the error and its causes on stderr, one line, and gives the exit code (1 where none was set).
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let mut stderr = anstream::stderr().lock();
    // A closed stderr leaves nobody to tell; the exit code still does.
    let _ = writeln!(stderr, "leno: {error:#}");
    error.downcast_ref::<Coded>().map_or(Code::Found, |coded| coded.code).into()
}

/// `leno exit-codes`: prints the table.
pub(crate) fn explain() -> anyhow::Result<ExitCode> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "  0  all well")?;
    for (code, meaning) in TABLE {
        writeln!(stdout, "{:>3}  {meaning}", code as u8)?;
    }
    writeln!(stdout, "130  interrupted")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn an_error_keeps_its_message_and_its_code_through_context() {
        let refused: anyhow::Result<()> = Err(anyhow!("token expired")).code(Code::Refused);
        let error = refused.context("apply reviews.yaml").unwrap_err();
        assert_eq!(format!("{error:#}"), "apply reviews.yaml: token expired");
        assert_eq!(error.downcast_ref::<Coded>().map(|c| c.code), Some(Code::Refused));
    }

    #[test]
    fn every_code_is_in_the_table_once() {
        let mut numbers: Vec<u8> = TABLE.iter().map(|(code, _)| *code as u8).collect();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    }
}
