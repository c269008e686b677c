//! Every code that something says is one that `leno explain` knows, and every code it knows is said somewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::mesh::LENO;

/// `LN` and four digits, wherever they stand in a file.
fn codes_in(text: &str, found: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices("LN") {
        let digits = text[at + 2..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 4 {
            found.insert(text[at..at + 6].to_owned());
        }
    }
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "tests" {
            collect(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "md")
            && name != "tests.rs"
            && !path.ends_with("leno-api/src/code.rs")
        {
            codes_in(&std::fs::read_to_string(&path).unwrap(), found);
        }
    }
}

#[test]
fn every_code_that_is_said_is_explained() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut said = BTreeSet::new();
    collect(crates, &mut said);
    collect(&crates.with_file_name("docs"), &mut said);
    assert!(said.len() > 5, "{said:?}");
    let listed = Command::new(LENO).args(["explain"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for code in said {
        let output = Command::new(LENO).args(["explain", &code]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{code} is said and not explained");
        assert!(text.starts_with(&code) && text.lines().count() >= 4, "{text}");
        assert!(listed.contains(&code), "{code} is not listed");
    }
}
