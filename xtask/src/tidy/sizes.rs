//! Files stay readable: at most [`CODE_LINES_MAX`] lines of code, modules as `foo.rs` + `foo/`, no bag of a name.

use super::{Finding, TextFile};

/// A Rust or TypeScript file beyond this is split by subject. Tests at the bottom do not count.
const CODE_LINES_MAX: usize = 600;

/// Names that say nothing about what is inside.
const BAGS: [&str; 6] = ["util", "utils", "common", "helpers", "types", "misc"];

pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let ours = files.iter().filter(|file| is_code(&file.path));
    ours.flat_map(|file| [too_long(file), bad_name(file)].into_iter().flatten()).collect()
}

fn is_code(path: &str) -> bool {
    [".rs", ".ts", ".tsx"].iter().any(|end| path.ends_with(end))
}

fn too_long(file: &TextFile) -> Option<Finding> {
    let code = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let what = format!("{code} lines of code; at most {CODE_LINES_MAX}: split by subject");
    (code > CODE_LINES_MAX && !is_test).then(|| Finding::new(&file.path, what))
}

fn bad_name(file: &TextFile) -> Option<Finding> {
    let stem = file.path.rsplit('/').next()?.split('.').next()?;
    if stem == "mod" && file.path.ends_with(".rs") {
        return Some(Finding::new(&file.path, "modules are foo.rs + foo/, never mod.rs"));
    }
    BAGS.contains(&stem)
        .then(|| Finding::new(&file.path, "the name says nothing: name the subject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_bags_are_found() {
        let file =
            |path: &str, lines: usize| TextFile { path: path.into(), text: "x\n".repeat(lines) };
        // (file, findings)
        let table = [
            (file("crates/a/src/lib.rs", 600), 0),
            (file("crates/a/src/lib.rs", 601), 1),
            (file("crates/a/tests/it/big.rs", 900), 0),
            (file("crates/a/src/util.rs", 1), 1),
            (file("crates/a/src/mod.rs", 1), 1),
            (file("README.md", 4000), 0),
        ];
        for (file, findings) in table {
            assert_eq!(check(std::slice::from_ref(&file)).len(), findings, "{}", file.path);
        }
    }
}
