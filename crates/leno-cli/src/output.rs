//! What a command prints on stdout: a table for people, or exactly one document for programs.
//!
//! Every document names its `apiVersion` and `kind`. Tables end each line without trailing blanks, drop the header
//! line on request and are never wrapped.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

/// Says a line on stderr. A terminal that was closed leaves nobody to tell, which is no reason to stop half-way.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "leno: {line}");
}

/// Shows a line on stdout, as [`say`] does on stderr, for commands whose work is not what they print.
pub(crate) fn show(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Yaml => "yaml",
        })
    }
}

/// The one document of a machine format.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a, T> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [T],
}

impl<'a, T: Serialize> Document<'a, T> {
    /// A list under `cli.leno/v1`.
    pub(crate) fn new(kind: &'static str, items: &'a [T]) -> Self {
        Self { api_version: "cli.leno/v1", kind, items }
    }
}

impl Format {
    /// Prints a document; as a table it is JSON, which only a caller without a table of its own asks for.
    pub(crate) fn print(self, out: &mut impl Write, document: &impl Serialize) -> Result<ExitCode> {
        match self {
            Self::Yaml => write!(out, "{}", serde_saphyr::to_string(document)?)?,
            Self::Json | Self::Table => {
                serde_json::to_writer_pretty(&mut *out, document)?;
                writeln!(out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Rows of text under a header, each column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins with the header.
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row; an empty cell is shown as `-` so that columns can be cut apart.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown =
            cells.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell });
        self.rows.push(shown.collect());
    }

    /// Writes everything.
    pub(crate) fn print(&self, out: &mut impl Write) -> Result<ExitCode> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let padded = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_empty_cells_are_dashes() {
        let mut table = Table::new(&["NAME", "RATE"]);
        table.row(["reviews".into(), "1/s".into()]);
        table.row(["a".into(), String::new()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME     RATE\nreviews  1/s\na        -\n");
    }

    #[test]
    fn machine_formats_are_one_document_with_version_and_kind() {
        let mut out = Vec::new();
        Format::Json.print(&mut out, &Document::new("StatList", &["x"])).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document["apiVersion"], "cli.leno/v1");
        assert_eq!(document["kind"], "StatList");
        assert_eq!(document["items"][0], "x");
    }
}
