//! What the style asks of a source file and no compiler checks: an opening, tests in their place, rules without
//! clocks, nothing put off.

use super::{Finding, TextFile};

/// Tests at the bottom of a file beyond this have a file of their own.
const INLINE_TEST_LINES_MAX: usize = 150;

/// Crates whose rules take time, randomness and bytes as arguments.
const PURE: [&str; 3] = ["crates/leno-core/src/", "crates/leno-http/src/", "crates/leno-xds/src/"];

/// What such a crate would need to have them otherwise.
const IMPURE: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "rand::rng",
    "thread::spawn",
    "thread::sleep",
    "std::fs",
    "std::env",
    "std::net::Tcp",
];

/// On the request path nothing waits for a lock or queues without an end.
const REQUEST_PATH: &str = "crates/leno-proxy/src/";
const UNBOUNDED: [&str; 2] = ["unbounded_channel", "RwLock"];

pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    rust.flat_map(|file| {
        let whole = [opening(file), inline_tests(file), test_binary(file)];
        whole.into_iter().flatten().chain(lines(file))
    })
    .collect()
}

/// Tests need not say what they are: their names are sentences.
fn opening(file: &TextFile) -> Option<Finding> {
    let is_told = file.text.starts_with("//!") || is_test(&file.path);
    (!is_told).then(|| {
        Finding::new(&file.path, "opens with //!: what it is, who calls it, its invariant")
    })
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn inline_tests(file: &TextFile) -> Option<Finding> {
    let (_, tests) = file.text.split_once("\n#[cfg(test)]\nmod tests {\n")?;
    let count = tests.lines().count();
    let what = format!("{count} lines of tests at its bottom: they get a file of their own");
    (count > INLINE_TEST_LINES_MAX).then(|| Finding::new(&file.path, what))
}

/// `crates/x/tests/it/` and its `main.rs` are one binary; a file beside it is another to link.
fn test_binary(file: &TextFile) -> Option<Finding> {
    let (_, name) = file.path.strip_prefix("crates/")?.split_once("/tests/")?;
    // A program with an allocator of its own cannot share one.
    let is_own = name.contains('/') || file.text.contains("#[global_allocator]");
    (!is_own && file.path.split('/').nth(2) == Some("tests"))
        .then(|| Finding::new(&file.path, "a crate has one test binary: tests/it/main.rs"))
}

fn lines(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_code = !is_test(&file.path);
    let is_pure = is_code && PURE.iter().any(|folder| file.path.starts_with(folder));
    let is_served = is_code && file.path.starts_with(REQUEST_PATH);
    let put_off =
        [["#[ign", "ore"].concat(), ["TO", "DO"].concat(), ["unimple", "mented!"].concat()];
    let mut in_tests = false;
    for (number, line) in file.text.lines().enumerate() {
        in_tests |= line == "#[cfg(test)]";
        let mut found = |what: String| {
            findings.push(Finding::new(format!("{}:{}", file.path, number + 1), what));
        };
        for word in put_off.iter().filter(|word| line.contains(word.as_str())) {
            found(format!("{word}: finish it, or write an issue"));
        }
        let code = line.split("//").next().unwrap_or_default();
        for word in IMPURE.iter().filter(|word| is_pure && !in_tests && code.contains(**word)) {
            found(format!("{word}: rules take time, randomness and bytes as arguments"));
        }
        for word in UNBOUNDED.iter().filter(|word| is_served && !in_tests && code.contains(**word))
        {
            found(format!("{word}: no lock and no queue without an end on the request path"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let tests = |count: usize| {
            format!("//! x\n\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn a() {}\n".repeat(count))
        };
        let put_off = ["//! x\n#[ign", "ore]\n"].concat();
        // (path, text, findings)
        let table = [
            ("crates/leno-core/src/retry.rs", "//! Retries.\n".to_owned(), 0),
            ("crates/leno-core/src/retry.rs", "use std::fmt;\n".to_owned(), 1),
            ("crates/leno-core/src/retry/tests.rs", "use super::*;\n".to_owned(), 0),
            ("crates/leno-core/src/retry.rs", tests(149), 0),
            ("crates/leno-core/src/retry.rs", tests(150), 1),
            ("crates/leno-core/src/retry.rs", "//! x\nlet n = Instant::now();\n".to_owned(), 1),
            ("crates/leno-core/src/retry.rs", "//! x\n// not Instant::now()\n".to_owned(), 0),
            ("crates/leno-proxy/src/dns.rs", "//! x\nlet n = Instant::now();\n".to_owned(), 0),
            ("crates/leno-proxy/src/dns.rs", "//! x\nuse std::sync::RwLock;\n".to_owned(), 1),
            ("crates/leno-control/src/store.rs", "//! x\nuse std::sync::RwLock;\n".to_owned(), 0),
            ("crates/leno-control/src/store.rs", put_off, 1),
            ("crates/leno-http/tests/it/main.rs", "mod a;\n".to_owned(), 0),
            ("crates/leno-http/tests/other.rs", "mod a;\n".to_owned(), 1),
        ];
        for (path, text, findings) in table {
            let file = TextFile { path: path.to_owned(), text };
            assert_eq!(check(std::slice::from_ref(&file)).len(), findings, "{path}: {}", file.text);
        }
    }
}
