//! Words that must not be in the tree: a path of somebody's machine, a package registry's host, a left-over.

use super::{Finding, TextFile};

/// Assembled here so that this file does not find itself.
fn forbidden() -> Vec<(String, &'static str)> {
    let host = |parts: &[&str]| parts.join(".");
    vec![
        (["/wo", "rk/"].concat(), "a path of one machine"),
        (["/ro", "ot/"].concat(), "a path of one machine"),
        (["/home", "/"].concat(), "a path of one machine"),
        (["bash_", "jobs"].concat(), "a path of one machine"),
        (host(&["index", "crates", "io"]), "a package registry's host"),
        (host(&["static", "crates", "io"]), "a package registry's host"),
        (host(&["registry", "npmjs", "org"]), "a package registry's host"),
        (host(&["proxy", "golang", "org"]), "a package registry's host"),
        (host(&["pypi", "org"]), "a package registry's host"),
        (host(&["repo", "maven", "apache", "org"]), "a package registry's host"),
        (host(&["deb", "debian", "org"]), "a package registry's host"),
        (["FIX", "ME"].concat(), "a left-over: finish it or write an issue"),
        (["XX", "X:"].concat(), "a left-over: finish it or write an issue"),
    ]
}

pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let forbidden = forbidden();
    files
        .iter()
        .filter(|file| !file.path.ends_with("Cargo.lock"))
        .flat_map(|f| in_file(f, &forbidden))
        .collect()
}

fn in_file(file: &TextFile, forbidden: &[(String, &'static str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (word, what) in forbidden {
            if line.contains(word.as_str()) {
                findings.push(Finding::new(
                    format!("{}:{}", file.path, number + 1),
                    format!("{word}: {what}"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forbidden_word_is_found_with_its_line() {
        for (word, _) in forbidden() {
            let file =
                TextFile { path: "docs/a.md".into(), text: format!("fine\nsee {word} there\n") };
            let findings = check(&[file]);
            assert_eq!(findings.len(), 1, "{word}");
            assert_eq!(findings[0].at, "docs/a.md:2");
        }
    }
}
