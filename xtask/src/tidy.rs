//! Checks of the tree that no compiler makes. Each check returns findings; none repairs anything.
//!
//! Run as `cargo xtask tidy` and as a test of this crate, so that a plain `cargo test` refuses what it would refuse.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

mod docs;
mod imports;
mod named;
mod sizes;
mod source;
mod words;

/// One thing out of order, printed as `place: what`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File (and line), or crate.
    at: String,
    /// What is wrong and what would be right.
    what: String,
}

impl Finding {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

/// A tracked text file.
pub(crate) struct TextFile {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

/// Prints every finding; fails if there is one.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{}: {}", finding.at, finding.what);
    }
    println!("tidy: {} findings", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every finding in the tree, in the order of the checks.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = tracked_files(root)?;
    let mut findings = imports::check(root)?;
    findings.extend(sizes::check(&files));
    findings.extend(source::check(&files));
    findings.extend(words::check(&files));
    findings.extend(docs::check(root, &files));
    findings.extend(named::check(&files));
    Ok(findings)
}

/// What git tracks or would add, as text; other files are nobody's business here.
fn tracked_files(root: &Path) -> Result<Vec<TextFile>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    ensure!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8_lossy(&listing.stdout).into_owned();
    let existing = names.split_terminator('\0').map(|name| (name, root.join(name)));
    Ok(existing.filter_map(|(name, path)| read_text(name, &path)).collect())
}

fn read_text(name: &str, path: &PathBuf) -> Option<TextFile> {
    let text = String::from_utf8(std::fs::read(path).ok()?).ok()?;
    Some(TextFile { path: name.to_owned(), text })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        let findings = super::check(&crate::root()).unwrap();
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
