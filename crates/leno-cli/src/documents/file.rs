//! A file of documents, read whole before anything is sent: every document that is none is told at once, by its line.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use leno_api::kind::{Kind, kind_of, kinds};
use serde_json::Value;

/// The API takes no document that is longer; a file holds many.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// One document of a file, of a kind there is.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) kind: &'static Kind,
    pub(super) name: String,
    pub(super) value: Value,
}

impl Described {
    /// The namespace it names itself.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }
}

/// Reads a file, or stdin for `-`.
///
/// # Errors
/// It cannot be read, holds nothing, or something in it is no document: `FILE:LINE: what is wrong`, a line for each.
pub(super) fn read(path: &Path) -> Result<Vec<Described>> {
    let mut bytes = Vec::new();
    let shown =
        if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    let length = read.with_context(|| shown.clone())?;
    if length as u64 > FILE_BYTES_MAX {
        bail!("{shown}: longer than {FILE_BYTES_MAX} bytes; split it");
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("{shown}:{line}: not UTF-8")
    })?;
    let (documents, problems) = parse(text);
    if !problems.is_empty() {
        let lines: Vec<String> =
            problems.iter().map(|(place, what)| format!("{shown}:{place}: {what}")).collect();
        bail!("{}", lines.join("\n"));
    }
    if documents.is_empty() {
        bail!("{shown}: there is no document in it");
    }
    Ok(documents)
}

/// A line, and perhaps `:COLUMN`; what is wrong there.
type Problem = (String, String);

fn parse(text: &str) -> (Vec<Described>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (before, part) in parts(text) {
        if is_blank(part) {
            continue;
        }
        let first = before + 1 + part.lines().take_while(|line| is_blank(line)).count();
        let Ok(value) = serde_saphyr::from_str::<Value>(part) else {
            problems.push(place(before, part));
            continue;
        };
        for described in describe_all(value) {
            match described {
                Ok(document) => documents.push(document),
                Err(what) => problems.push((first.to_string(), what)),
            }
        }
    }
    (documents, problems)
}

/// The text between `---` lines, each with the number of lines before it.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut begin, mut before, mut offset) = (0, 0, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']);
        if line.strip_prefix("---").is_some_and(ends) {
            found.push((before, &text[begin..offset]));
            (begin, before) = (offset, index);
        }
        offset += line.len();
    }
    found.push((before, &text[begin..]));
    found
}

/// Nothing but markers and comments.
fn is_blank(text: &str) -> bool {
    let says_nothing = |line: &str| line.is_empty() || line == "---" || line.starts_with('#');
    text.lines().map(str::trim).all(says_nothing)
}

/// Where a part that cannot be parsed breaks, counted from the file's beginning.
fn place(before: usize, part: &str) -> Problem {
    let padded = "\n".repeat(before) + part;
    let Err(error) = serde_saphyr::from_str::<Value>(&padded) else {
        return ((before + 1).to_string(), "cannot be read".to_owned());
    };
    let said = error.without_snippet().to_string();
    let what = said.split(" at line ").next().unwrap_or_default().to_owned();
    match error.location() {
        Some(at) => (format!("{}:{}", at.line(), at.column()), what),
        None => ((before + 1).to_string(), what),
    }
}

/// One document, or those of a `List`, as `kubectl get -o yaml` prints several.
fn describe_all(mut value: Value) -> Vec<Result<Described, String>> {
    if value["apiVersion"] != "v1" || value["kind"] != "List" {
        return vec![describe(value)];
    }
    let Value::Array(items) = value["items"].take() else {
        return vec![Err("items: a List must have them".to_owned())];
    };
    let item = |(index, item)| describe(item).map_err(|what| format!("items[{index}]: {what}"));
    items.into_iter().enumerate().map(item).collect()
}

fn describe(value: Value) -> Result<Described, String> {
    if !value.is_object() {
        return Err("not a document: it has no apiVersion, kind and metadata".to_owned());
    }
    let word = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (api_version, word) = (word("apiVersion"), word("kind"));
    if api_version.is_empty() || word.is_empty() {
        return Err("apiVersion and kind: both must be there".to_owned());
    }
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let Some(kind) = kind_of(group, &word) else {
        let known: Vec<&str> = kinds().iter().map(|kind| kind.kind).collect();
        return Err(format!("no kind {word} in {api_version}; there are {}", known.join(", ")));
    };
    let Some(name) = value["metadata"]["name"].as_str().map(str::to_owned) else {
        return Err(format!("metadata.name: a {word} must have one"));
    };
    Ok(Described { kind, name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_several_documents() {
        let text = "# first\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\n---\n";
        let (documents, problems) = parse(text);
        assert_eq!(problems, []);
        let found: Vec<_> = documents.iter().map(|one| (one.kind.kind, &*one.name)).collect();
        assert_eq!(found, [("ConfigMap", "a"), ("VirtualService", "b")]);
    }

    #[test]
    fn a_list_is_its_items() {
        let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems: {items}\n");
        let item = |name: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {name}}}");
        let (a, b) = (item("{name: a}"), item("{name: b}"));
        let (documents, problems) = parse(&list(&format!("[{a}, {b}]")));
        let names: Vec<&str> = documents.iter().map(|one| &*one.name).collect();
        assert_eq!((names, problems), (vec!["a", "b"], vec![]));
        let (_, problems) = parse(&list(&format!("[{a}, {}]", item("{}"))));
        let said = "items[1]: metadata.name: a ConfigMap must have one".to_owned();
        assert_eq!(problems, [("1".to_owned(), said)]);
        let (_, problems) = parse(&list("3"));
        assert_eq!(problems[0].1, "items: a List must have them");
    }

    #[test]
    fn every_problem_has_its_line() {
        let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        // (text, places, part of the last problem)
        let table = [
            (format!("{good}---\n{good}data: [\n"), "8:7", "bracket"),
            (format!("{good}---\nkind: ConfigMap\n"), "5", "apiVersion and kind"),
            (format!("{good}---\n\n\njust text\n"), "7", "not a document"),
            (
                format!("kind: X\n---\n{good}---\n{}", good.replace("ConfigMap", "Gizmo")),
                "1 7",
                "no kind Gizmo in v1",
            ),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n".to_owned(), "1", "metadata.name"),
        ];
        for (text, places, part) in table {
            let (_, problems) = parse(&text);
            let found: Vec<&str> = problems.iter().map(|(place, _)| &**place).collect();
            assert!(found.join(" ").starts_with(places), "{text}: {problems:?}");
            assert!(problems.last().unwrap().1.contains(part), "{text}: {problems:?}");
        }
    }
}
