//! h2spec through each proxy: its cases of RFC 9113 and RFC 7541, the strict ones too.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Common;
use super::bed::Bed;
use crate::bench::{Running, Wire, serve_http2};
use crate::peers;

pub(super) fn run(root: &Path, common: &Common) -> Result<ExitCode> {
    let bed = Bed::make(root, common)?;
    let (_server, behind) = serve_http2(bed.root(), bed.folder())?;
    let program = peers::path("h2spec")?;
    let running = bed.start(&[Wire::Http2, Wire::Http2], behind);
    ensure!(!running.is_empty(), "no proxy could be started");
    let (mut table, mut failed) =
        ("| proxy | passed | strict too |\n|---|---|---|\n".to_owned(), String::new());
    let mut is_whole = true;
    for proxy in &running {
        let name = proxy.contender.name;
        let (cases, strict) = (check(&program, proxy, false)?, check(&program, proxy, true)?);
        table.push_str(&format!("| {name} | {} | {} |\n", cases.summary, strict.summary));
        for case in &strict.failed {
            failed.push_str(&format!("- {name}: {case}\n"));
        }
        is_whole &= name != "leno" || strict.failed.is_empty();
    }
    println!("{table}\n{failed}");
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Checked {
    /// `146 of 146`.
    summary: String,
    failed: Vec<String>,
}

fn check(program: &Path, proxy: &Running, strict: bool) -> Result<Checked> {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &proxy.address.port().to_string(), "-o", "2"]);
    if strict {
        command.arg("-S");
    }
    // It ends with 1 where a case failed, which is an answer.
    let output = command.stdin(Stdio::null()).output().context("run h2spec")?;
    read(&String::from_utf8_lossy(&output.stdout))
}

/// `146 tests, 146 passed, 0 skipped, 0 failed`, and before it a list of failures.
fn read(text: &str) -> Result<Checked> {
    let summary = text.lines().rev().find(|line| line.contains(" tests, "));
    let summary = summary.context("h2spec printed no summary")?;
    let count = |what: &str| {
        let part = summary.split(',').find(|part| part.trim_end().ends_with(what));
        part.and_then(|part| part.split_whitespace().next()).unwrap_or("?").to_owned()
    };
    let failures = text.split("Failures:").nth(1).unwrap_or_default();
    let is_case = |line: &&str| {
        line.trim_start().starts_with('×') || line.trim_start().starts_with('\u{2717}')
    };
    let failed = failures.lines().filter(is_case).map(|line| line.trim().to_owned()).collect();
    Ok(Checked { summary: format!("{} of {}", count("passed"), count("tests")), failed })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_h2spec_prints_is_read() {
        let text = "Failures: \n\nGeneric\n  3. Frames\n    3.5. PING\n      × 1: Sends a PING frame\n        -> x\n\n\
                    Finished in 1.0 seconds\n146 tests, 144 passed, 1 skipped, 1 failed\n";
        let checked = super::read(text).unwrap();
        assert_eq!(checked.summary, "144 of 146");
        assert_eq!(checked.failed, ["× 1: Sends a PING frame"]);
        assert!(super::read("").is_err());
    }
}
