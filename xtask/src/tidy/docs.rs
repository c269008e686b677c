//! What the documentation names must exist: files that are linked or named, `make` targets, `leno` and `cargo xtask`
//! subcommands in code blocks. And every page is reached from another, every decision has its status.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, TextFile};

pub(super) fn check(root: &Path, files: &[TextFile]) -> Vec<Finding> {
    let known = Known::read(root, files);
    let pages = files
        .iter()
        .filter(|file| file.path.ends_with(".md") && !file.path.starts_with("bench/results/"));
    let pages: Vec<_> = pages.collect();
    let mut findings: Vec<_> = pages.iter().flat_map(|page| in_page(root, page, &known)).collect();
    findings.extend(pages.iter().filter_map(|page| unreached(page, &pages)));
    findings.extend(pages.iter().filter_map(|page| undecided(page)));
    findings
}

/// A guide page that no other page links to is read by nobody.
fn unreached(page: &TextFile, pages: &[&TextFile]) -> Option<Finding> {
    let name = page.path.strip_prefix("docs/").filter(|name| !name.contains('/'))?;
    let to = |link: &str| link.split('#').next()?.rsplit('/').next().map(|last| last == name);
    let leads = |other: &&TextFile| {
        other.path != page.path
            && other.text.lines().any(|l| links(l).into_iter().any(|k| to(k) == Some(true)))
    };
    (!pages.iter().any(leads)).then(|| Finding::new(&page.path, "no page links here"))
}

fn undecided(page: &TextFile) -> Option<Finding> {
    let is_decision = page.path.starts_with("docs/adr/");
    let has_status = page.text.lines().any(|line| line.starts_with("Status: "));
    (is_decision && !has_status)
        .then(|| Finding::new(&page.path, "a decision says `Status: accepted` or what replaced it"))
}

/// The commands that exist, read from where they are declared.
struct Known {
    leno: BTreeSet<String>,
    xtask: BTreeSet<String>,
    make: BTreeSet<String>,
}

impl Known {
    fn read(root: &Path, files: &[TextFile]) -> Self {
        let source =
            |path: &str| files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
        let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap_or_default();
        let targets =
            makefile.lines().filter_map(|line| line.split_once(':')).map(|(target, _)| target);
        Self {
            leno: subcommands(source("crates/leno-cli/src/main.rs")),
            xtask: subcommands(source("xtask/src/main.rs")),
            make: targets.flat_map(str::split_whitespace).map(str::to_owned).collect(),
        }
    }

    /// What a command line names that does not exist.
    fn missing(&self, line: &str) -> Option<String> {
        let mut words = line.split_whitespace().skip_while(|word| word.contains('=')).peekable();
        let (family, word) = match (words.next()?, words.next()) {
            ("leno" | "bin/leno" | "./bin/leno", Some(word)) => (&self.leno, word),
            ("make", Some(word)) => (&self.make, word),
            ("cargo", Some("xtask")) => (&self.xtask, words.next()?),
            _ => return None,
        };
        let plain =
            word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        (plain && word != "help" && !family.contains(word)).then(|| word.to_owned())
    }
}

/// The variants of `enum Command`, in clap's kebab case, and names given by hand.
fn subcommands(source: &str) -> BTreeSet<String> {
    let body = source.split_once("enum Command {").map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or(body, |(body, _)| body);
    let mut names = BTreeSet::new();
    for line in body.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("name = \"") {
            names.extend(rest.split('"').next().map(str::to_owned));
        }
        let variant: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        if variant.starts_with(|c: char| c.is_ascii_uppercase()) {
            names.insert(kebab(&variant));
        }
    }
    names
}

fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for (index, letter) in variant.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn in_page(root: &Path, page: &TextFile, known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_block = false;
    for (number, line) in page.text.lines().enumerate() {
        let at = || format!("{}:{}", page.path, number + 1);
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let command = line.trim_start().trim_start_matches("$ ");
            if let Some(name) = known.missing(command) {
                findings.push(Finding::new(at(), format!("no such command: {name}")));
            }
        } else {
            let missing = links(line).into_iter().filter(|link| !exists(root, &page.path, link));
            let named = paths(line).into_iter().filter(|path| !root.join(path).exists());
            let gone = missing.chain(named);
            findings.extend(gone.map(|file| Finding::new(at(), format!("no such file: {file}"))));
        }
    }
    findings
}

/// Relative targets of `[text](target)`.
fn links(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|link| {
            !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:")
        })
        .collect()
}

/// Files of this tree in `code`. A word in capitals stands for a name.
fn paths(line: &str) -> Vec<&str> {
    const FOLDERS: [&str; 8] =
        ["bench", "crates", "deploy", "docs", "fuzz", "portal", "scripts", "xtask"];
    let is_path = |text: &&str| {
        let folder = text.split_once('/').map(|(folder, _)| folder);
        let is_plain = !text.contains(|c: char| c.is_ascii_uppercase() || " *{<…".contains(c));
        is_plain && folder.is_some_and(|folder| FOLDERS.contains(&folder))
    };
    line.split('`').skip(1).step_by(2).filter(is_path).collect()
}

fn exists(root: &Path, page: &str, link: &str) -> bool {
    let file = link.split('#').next().unwrap_or(link);
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    root.join(folder).join(file).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_do_not_exist_are_named() {
        let source = "enum Command {\n    Up(up::Args),\n    ExitCodes,\n    #[command(name = \"proxy\")]\n    P,\n}\n";
        let leno = subcommands(source);
        let known = Known { leno, xtask: ["tidy".into()].into(), make: ["test".into()].into() };
        // (line, what is missing)
        let table = [
            ("leno up --data x", None),
            ("bin/leno exit-codes", None),
            ("leno proxy status", None),
            ("leno fly", Some("fly")),
            ("LENO=1 make tset", Some("tset")),
            ("make test", None),
            ("cargo xtask tidy", None),
            ("cargo xtask nope", Some("nope")),
            ("kubectl get pods", None),
            ("leno --help", None),
        ];
        for (line, missing) in table {
            assert_eq!(known.missing(line).as_deref(), missing, "{line}");
        }
    }

    #[test]
    fn files_named_in_code_are_found_and_placeholders_left_alone() {
        let line = "see `crates/a/src/b.rs`, `crates/a/src/NAME.rs`, `a/b` and docs/x.md in `make`";
        assert_eq!(paths(line), ["crates/a/src/b.rs"]);
    }

    #[test]
    fn a_page_nobody_links_to_and_a_decision_without_status_are_found() {
        let page = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
        let (lost, start) = (page("docs/a.md", "x"), page("README.md", "see [b](docs/b.md#x)"));
        let (found, open) = (page("docs/b.md", "[a](b.md)"), page("docs/adr/1.md", "x"));
        let pages = [&lost, &start, &found, &open];
        let unreached: Vec<_> = pages.iter().filter_map(|p| unreached(p, &pages)).collect();
        assert_eq!(unreached.iter().map(|f| f.at.as_str()).collect::<Vec<_>>(), ["docs/a.md"]);
        assert_eq!(pages.iter().filter(|page| undecided(page).is_some()).count(), 1);
    }

    #[test]
    fn links_are_found_and_outside_ones_left_alone() {
        let line = "see [a](b.md#part), [c](https://example.com) and [d](#here)";
        assert_eq!(links(line), ["b.md#part"]);
    }
}
