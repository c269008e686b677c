//! `leno explain CODE`: what a code or response flag means and what to do.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use leno_api::code::{self, Code};

use crate::exit::{self, WithCode as _};
use crate::output::{Document, Format};

/// `leno explain [CODE]`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// An `LNxxxx` code or a response flag of the access log (`UO`, `DC`); without it, all are listed.
    code: Option<String>,
    /// How to print.
    #[arg(short, long, default_value_t)]
    output: Format,
}

#[derive(serde::Serialize)]
struct Entry {
    id: &'static str,
    title: &'static str,
    meaning: &'static str,
    advice: &'static str,
}

impl From<&Code> for Entry {
    fn from(code: &Code) -> Self {
        Self { id: code.id, title: code.title, meaning: code.meaning, advice: code.advice }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let entries: Vec<Entry> = match &args.code {
        Some(id) => vec![find(id)?],
        None => code::all().map(Entry::from).collect(),
    };
    let mut stdout = anstream::stdout().lock();
    if args.output != Format::Table {
        return args.output.print(&mut stdout, &Document::new("CodeList", &entries));
    }
    match (&args.code, entries.as_slice()) {
        (Some(_), [entry]) => {
            writeln!(
                stdout,
                "{}  {}\n\n{}\n{}",
                entry.id, entry.title, entry.meaning, entry.advice
            )?;
        }
        _ => {
            for entry in &entries {
                writeln!(stdout, "{:<8}{}", entry.id, entry.title)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(id: &str) -> Result<Entry> {
    let unknown = || anyhow!("no code {id}; leno explain lists them");
    code::find(id).map(Entry::from).ok_or_else(unknown).code(exit::Code::Usage)
}
