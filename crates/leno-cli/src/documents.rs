//! `leno get`, `describe`, `apply` and `delete`: documents through the same API that kubectl uses.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Result, anyhow, bail};
use leno_api::client::{Client, Documents};
use leno_api::kind::{Kind, kind_of, kinds};
use serde_json::Value;

use crate::exit::{Code, WithCode as _};
use crate::front_door::{Connection, block_on, said};
use crate::output::{Document, Format, Table};

mod file;

/// Who owns the fields that `leno apply` sets.
const MANAGER: &str = "leno";

/// Which documents.
#[derive(clap::Args)]
pub(crate) struct Selection {
    /// A kind, its plural or a short name (`virtualservices`, `vs`), or `KIND/NAME`.
    kind: String,
    /// One document's name.
    name: Option<String>,
    /// Its namespace.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Every namespace.
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Only those with these labels (`app=reviews,version!=v1`).
    #[arg(short = 'l', long, default_value = "", conflicts_with = "name")]
    selector: String,
    #[command(flatten)]
    connection: Connection,
}

/// `leno get`
#[derive(clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    selection: Selection,
    /// How to print.
    #[arg(short, long, default_value_t)]
    output: Format,
}

/// `leno apply` and `leno delete -f`
#[derive(clap::Args)]
pub(crate) struct ApplyArgs {
    /// A YAML or JSON file with one or more documents; `-` reads stdin.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// For documents that name no namespace.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    #[command(flatten)]
    connection: Connection,
}

/// Prints documents.
pub(crate) fn get(args: &GetArgs) -> Result<ExitCode> {
    let (kind, items) = args.selection.fetch()?;
    let mut stdout = anstream::stdout().lock();
    if args.output != Format::Table {
        return args.output.print(&mut stdout, &Document::new("DocumentList", &items));
    }
    table(kind, &items).print(&mut stdout)
}

/// Prints documents with what happened to them.
pub(crate) fn describe(selection: &Selection) -> Result<ExitCode> {
    let (kind, items) = selection.fetch()?;
    let client = selection.connection.client()?;
    let mut stdout = anstream::stdout().lock();
    for item in &items {
        let named = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
        writeln!(stdout, "{} {}/{}", kind.kind, named("namespace"), named("name"))?;
        for condition in item["status"]["conditions"].as_array().into_iter().flatten() {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            writeln!(stdout, "  {}={}  {}", text("type"), text("status"), text("message"))?;
        }
        for event in events(&client, named("namespace"), kind, named("name"))? {
            let text = |field: &str| event[field].as_str().unwrap_or_default();
            writeln!(stdout, "  event {}: {}", text("reason"), text("message"))?;
        }
        let mut shown = item.clone();
        if let Some(metadata) = shown["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        writeln!(stdout, "{}", serde_saphyr::to_string(&shown)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes documents so, by server-side apply.
pub(crate) fn apply(args: &ApplyArgs) -> Result<ExitCode> {
    each(args, |documents, name, document| {
        let applied = said(block_on(documents.apply(name, document, MANAGER))?)?;
        for warning in &applied.warnings {
            writeln!(anstream::stderr(), "warning: {warning}")?;
        }
        Ok("applied")
    })
}

/// Removes documents, by file or by name.
pub(crate) fn delete(args: &DeleteArgs) -> Result<ExitCode> {
    if let Some(file) = &args.file {
        let Selection { namespace, connection, .. } = &args.selection;
        let args = ApplyArgs {
            file: file.clone(),
            namespace: namespace.clone(),
            connection: connection.clone(),
        };
        return each(&args, |documents, name, _| {
            said(block_on(documents.delete(name))?).map(|()| "deleted")
        });
    }
    let (kind, name) = args.selection.named()?;
    let name =
        name.ok_or_else(|| anyhow!("which {}? name one, or give a file with -f", kind.singular));
    let name = name.code(Code::Usage)?;
    let client = args.selection.connection.client()?;
    said(block_on(client.documents(kind, Some(&args.selection.namespace)).delete(&name))?)?;
    writeln!(anstream::stdout(), "{}/{name} deleted", kind.singular)?;
    Ok(ExitCode::SUCCESS)
}

/// `leno delete`
#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    selection: Selection,
    /// Remove the documents of this file instead.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Selection {
    /// Kind and name, also from `KIND/NAME`.
    fn named(&self) -> Result<(&'static Kind, Option<String>)> {
        let (kind, name) = match self.kind.split_once('/') {
            Some((kind, name)) => (kind, Some(name.to_owned())),
            None => (self.kind.as_str(), self.name.clone()),
        };
        let known = || kinds().iter().map(|kind| kind.plural).collect::<Vec<_>>().join(", ");
        let found = find_kind(kind).ok_or_else(|| anyhow!("no kind {kind}; there are {}", known()));
        Ok((found.code(Code::Usage)?, name))
    }

    fn fetch(&self) -> Result<(&'static Kind, Vec<Value>)> {
        let (kind, name) = self.named()?;
        let client = self.connection.client()?;
        let namespace = (!self.all_namespaces).then_some(self.namespace.as_str());
        let documents = client.documents(kind, namespace);
        let items = match name {
            Some(name) => vec![said(block_on(documents.get(&name))?)?],
            None => {
                let mut list = said(block_on(documents.list(&self.selector))?)?;
                match list["items"].take() {
                    Value::Array(items) => items,
                    _ => bail!("the server's list has no items"),
                }
            }
        };
        Ok((kind, items))
    }
}

fn find_kind(word: &str) -> Option<&'static Kind> {
    let word = word.to_ascii_lowercase();
    let named = |kind: &&Kind| {
        kind.plural == word || kind.singular == word || kind.short_names.contains(&word.as_str())
    };
    kinds().iter().find(named)
}

fn table(kind: &Kind, items: &[Value]) -> Table {
    let columns = kind.columns.iter().enumerate().filter(|(_, column)| column.priority == 0);
    let shown: Vec<usize> = columns.map(|(index, _)| index).collect();
    let headings = shown.iter().map(|index| kind.columns[*index].name.to_ascii_uppercase());
    let headings: Vec<String> =
        ["NAMESPACE".to_owned(), "NAME".to_owned()].into_iter().chain(headings).collect();
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let now = SystemTime::now();
    for item in items {
        let cells = kind.cells(item, now);
        // The row's first cell is the name where the kind says so; the rest follow its columns.
        let skip = cells.len().saturating_sub(kind.columns.len());
        let of_columns = shown.iter().filter_map(|index| cells.get(index + skip)).map(text);
        let metadata = &item["metadata"];
        let first = [text(&metadata["namespace"]), text(&metadata["name"])];
        table.row(first.into_iter().chain(of_columns));
    }
    table
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn events(client: &Client, namespace: &str, kind: &Kind, name: &str) -> Result<Vec<Value>> {
    let Some(events) = kind_of("", "Event") else { return Ok(Vec::new()) };
    let mut list = said(block_on(client.documents(events, Some(namespace)).list(""))?)?;
    let Value::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    let about = |event: &Value| {
        event["involvedObject"]["kind"] == kind.kind && event["involvedObject"]["name"] == name
    };
    Ok(items.into_iter().filter(about).collect())
}

/// Does `work` to every document of the file, and says what became of each. A file of which one document is none is
/// refused whole. What the server refuses does not keep the others from being tried; the exit code then says that some
/// failed.
fn each(
    args: &ApplyArgs,
    work: impl Fn(&Documents<'_>, &str, &Value) -> Result<&'static str>,
) -> Result<ExitCode> {
    let documents = file::read(&args.file).code(Code::Usage)?;
    let client = args.connection.client()?;
    let mut failures = Vec::new();
    for document in &documents {
        let namespace = document.namespace().unwrap_or(&args.namespace);
        let named = format!("{}/{}", document.kind.singular, document.name);
        let of_kind = client.documents(document.kind, Some(namespace));
        match work(&of_kind, &document.name, &document.value) {
            Ok(done) => writeln!(anstream::stdout(), "{named} {done}")?,
            Err(error) => failures.push(error.context(named)),
        }
    }
    let Some(last) = failures.pop() else { return Ok(ExitCode::SUCCESS) };
    if documents.len() == 1 {
        return Err(last);
    }
    let count = failures.len() + 1;
    for error in failures.iter().chain([&last]) {
        writeln!(anstream::stderr(), "leno: {error:#}")?;
    }
    let code = if count == documents.len() { Code::Found } else { Code::Partial };
    Err(anyhow!("{count} of {} documents failed", documents.len())).code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_every_name_they_have() {
        for word in ["virtualservices", "VirtualService", "vs", "VS"] {
            assert_eq!(find_kind(word).map(|kind| kind.kind), Some("VirtualService"), "{word}");
        }
        assert!(find_kind("nothing").is_none());
    }
}
