//! Tests that documentation names must be there: who reads that an attack is tested can look at the test.

use super::{Finding, TextFile};

/// Rows of tables that begin so end with the name of a test.
const ROW: &str = "| CVE-";

pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let is_source = |file: &&TextFile| file.path.ends_with(".rs");
    let sources: Vec<_> = files.iter().filter(is_source).collect();
    let mut findings = Vec::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (number, row) in page.text.lines().enumerate().filter(|(_, l)| l.starts_with(ROW)) {
            let at = || format!("{}:{}", page.path, number + 1);
            let Some(name) = row.trim_end_matches(" |").strip_suffix('`').and_then(last_word)
            else {
                findings.push(Finding::new(at(), "a row of an attack ends with its test"));
                continue;
            };
            let test = format!("fn {name}(");
            if !sources.iter().any(|source| source.text.contains(&test)) {
                findings.push(Finding::new(at(), format!("no such test: {name}")));
            }
        }
    }
    findings
}

/// What follows the last opening backtick.
fn last_word(text: &str) -> Option<&str> {
    text.rsplit_once('`').map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_test_that_is_not_there_is_found() {
        let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let page = "| CVE-1 | x | `y` | `there` |\n| CVE-2 | `gone` |\n| CVE-3 | nothing |\n| other | `z` |\n";
        let files = [file("a.md", page), file("a.rs", "#[test]\nfn there() {}\n")];
        let found: Vec<_> = check(&files).into_iter().map(|finding| finding.at).collect();
        assert_eq!(found, ["a.md:2", "a.md:3"]);
    }
}
