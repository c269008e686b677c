//! What a client asked to see: whole documents, only their metadata, or rows of a table. Pure but for ages.

use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use leno_api::Kind;
use serde_json::{Value, json};

use super::path::Target;
use super::status::Failure;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The documents themselves.
    Whole,
    /// `as=Table`.
    Table,
    /// `as=PartialObjectMetadata` and its list.
    Metadata,
}

/// What each row of a table carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowObject {
    None,
    Metadata,
    Whole,
}

impl RowObject {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Whole),
            Some(other) => Err(Failure::bad_request(format!(
                "includeObject: {other:?} must be None, Metadata or Object"
            ))),
        }
    }
}

impl Form {
    /// The first form in `Accept` that is served.
    pub(crate) fn accepted(headers: &HeaderMap) -> Result<Self, Failure> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let accept = accept.unwrap_or("*/*");
        accept.split(',').find_map(Self::of_media_type).ok_or_else(|| {
            Failure::not_acceptable(format!("only application/json is served, not {accept}"))
        })
    }

    fn of_media_type(media: &str) -> Option<Self> {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let (mut form, mut meta, mut version) = (Some(Self::Whole), true, true);
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match name {
                "as" => {
                    form = match value {
                        "Table" => Some(Self::Table),
                        "PartialObjectMetadata" | "PartialObjectMetadataList" => {
                            Some(Self::Metadata)
                        }
                        _ => None,
                    }
                }
                "g" => meta = value == "meta.k8s.io",
                "v" => version = value == "v1",
                "stream" => form = form.filter(|_| value == "watch"),
                _ => {}
            }
        }
        form.filter(|form| *form == Self::Whole || meta && version)
    }
}

/// Presents documents of one kind in one version and form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    kind: &'static Kind,
    version: &'static str,
    form: Form,
    rows: RowObject,
}

impl View {
    pub(crate) fn new(target: &Target, form: Form, rows: RowObject) -> Self {
        Self { kind: target.kind, version: target.version, form, rows }
    }

    /// One document, as itself.
    pub(crate) fn whole(&self, document: &Value) -> Value {
        let mut document = document.clone();
        document["apiVersion"] = self.kind.api_version(self.version).into();
        document
    }

    /// One document in this form.
    pub(crate) fn one(&self, document: &Value) -> Value {
        match self.form {
            Form::Whole => self.whole(document),
            Form::Metadata => metadata_of(document),
            Form::Table => {
                let version = &document["metadata"]["resourceVersion"];
                self.table(&[document], json!({"resourceVersion": version}), true)
            }
        }
    }

    /// One event's document; a table has its heading only in the first.
    pub(crate) fn event(&self, document: &Value, first: bool) -> Value {
        match self.form {
            Form::Table => {
                let version = &document["metadata"]["resourceVersion"];
                self.table(&[document], json!({"resourceVersion": version}), first)
            }
            Form::Whole | Form::Metadata => self.one(document),
        }
    }

    /// A document that says nothing but a revision.
    pub(crate) fn bookmark(&self, revision: u64, is_initial_end: bool) -> Value {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if is_initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let bare = json!({
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(self.version),
            "metadata": metadata,
        });
        match self.form {
            Form::Whole => bare,
            Form::Metadata => metadata_of(&bare),
            Form::Table => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": null,
                // The row tells a bookmark's reader what the whole document would.
                "rows": [{"cells": [], "object": metadata_of(&bare)}],
            }),
        }
    }

    /// A list in this form; `metadata` is the list's.
    pub(crate) fn list(&self, documents: &[&Value], metadata: Value) -> Value {
        let (kind, version, items) = match self.form {
            Form::Table => return self.table(documents, metadata, true),
            Form::Metadata => (
                "PartialObjectMetadataList",
                "meta.k8s.io/v1".to_owned(),
                documents.iter().map(|document| metadata_of(document)).collect::<Vec<_>>(),
            ),
            Form::Whole => (
                self.kind.list_kind,
                self.kind.api_version(self.version),
                documents.iter().map(|document| self.whole(document)).collect(),
            ),
        };
        json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})
    }

    fn table(&self, documents: &[&Value], metadata: Value, heading: bool) -> Value {
        let now = SystemTime::now();
        let row = |document: &&Value| {
            let mut cells = vec![document["metadata"]["name"].clone()];
            cells.extend(self.kind.cells(document, now));
            let mut row = json!({"cells": cells});
            match self.rows {
                RowObject::None => {}
                RowObject::Metadata => row["object"] = metadata_of(document),
                RowObject::Whole => row["object"] = self.whole(document),
            }
            row
        };
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": if heading { self.heading() } else { Value::Null },
            "rows": documents.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn heading(&self) -> Value {
        let name = json!({
            "name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": "Name must be unique within a namespace.",
        });
        let columns = self.kind.columns.iter().map(|column| {
            // Cells of dates are ages already.
            let kind = if column.kind == "date" { "string" } else { column.kind };
            json!({
                "name": column.name, "type": kind, "format": "", "priority": column.priority,
                "description": column.description,
            })
        });
        std::iter::once(name).chain(columns).collect()
    }
}

fn metadata_of(document: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": document["metadata"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_served_is_taken() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let table = [
            (kubectl, Some(Form::Table)),
            ("application/json", Some(Form::Whole)),
            ("*/*", Some(Form::Whole)),
            ("application/vnd.kubernetes.protobuf, */*", Some(Form::Whole)),
            ("application/vnd.kubernetes.protobuf", None),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some(Form::Metadata),
            ),
            ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", None),
            (
                "application/json;as=Sculpture;g=meta.k8s.io;v=v1,application/json",
                Some(Form::Whole),
            ),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(Form::accepted(&headers).ok(), expected, "{accept}");
        }
    }
}
