//! The registry of kinds. Everything that lists, serves, prints, checks or explains documents reads it.
//!
//! A new kind is a module below and a line in [`kinds`].

use std::sync::LazyLock;
use std::time::SystemTime;

use serde_json::Value;

use crate::problem::{Problem, Warning};
use crate::schema::{Node, Table};

mod column;
mod config_map;
mod custom_resource_definition;
mod destination_rule;
mod endpoint_slice;
mod event;
mod metadata;
mod namespace;
mod peer_authentication;
mod pod;
mod secret;
mod service;
mod service_account;
mod service_entry;
mod shared_rules;
mod virtual_service;

pub use column::{Cell, Column};
pub use custom_resource_definition::definitions;

/// One kind of document.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Served versions; the first is the one stored.
    pub versions: &'static [&'static str],
    /// `VirtualService`.
    pub kind: &'static str,
    /// `VirtualServiceList`.
    pub list_kind: &'static str,
    /// `virtualservices`.
    pub plural: &'static str,
    /// `virtualservice`.
    pub singular: &'static str,
    /// `vs`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds, such as `all`.
    pub categories: &'static [&'static str],
    /// Where names are unique.
    pub scope: Scope,
    /// Who may write documents of this kind.
    pub access: Access,
    /// Whether status is written apart, through `/status`.
    pub status: StatusWrites,
    /// Every field.
    pub schema: Node,
    /// What `kubectl get` prints after the name.
    pub columns: &'static [Column],
    /// Fills in what was left out. Idempotent.
    pub default: fn(&mut Value),
    /// The rules beyond the schema, on a document of any shape.
    pub validate: fn(&Value) -> Vec<Problem>,
    /// What is accepted and has no effect, beyond the fields marked in the schema.
    pub remarks: fn(&Value) -> Vec<Warning>,
}

/// Where names are unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' words")]
pub enum Scope {
    Cluster,
    Namespaced,
}

/// Who may write documents of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody who may write at all.
    ReadWrite,
    /// Nobody: they are generated.
    ReadOnly,
}

/// Whether status is written apart from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWrites {
    /// There is no status, or it is written with the rest.
    Inline,
    /// Only through the `/status` subresource; a plain write leaves it alone.
    Subresource,
}

impl Kind {
    /// The version documents are stored in.
    #[must_use]
    pub fn storage_version(&self) -> &'static str {
        self.versions.first().expect("every kind serves a version; a test looks")
    }

    /// `group/version`, or only the version for the core group.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Whether names are unique per namespace.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Everything wrong with `document`: shape, metadata, and the kind's own rules.
    #[must_use]
    pub fn problems(&self, document: &Value) -> Vec<Problem> {
        let mut problems = self.schema.problems(document);
        problems.extend(metadata::problems(self, document));
        let of_schema = problems.len();
        for problem in (self.validate)(document) {
            // The schema may have said the same about the same place already.
            let said = &problems[..of_schema];
            if !said.iter().any(|p| p.field == problem.field && p.cause == problem.cause) {
                problems.push(problem);
            }
        }
        problems
    }

    /// Everything in `document` that is accepted and has no effect.
    #[must_use]
    pub fn warnings(&self, document: &Value) -> Vec<Warning> {
        let mut warnings = self.schema.not_enforced(document);
        warnings.extend((self.remarks)(document));
        warnings
    }

    /// The paths of fields that this kind does not have.
    #[must_use]
    pub fn unknown_fields(&self, document: &Value) -> Vec<String> {
        self.schema.unknown_fields(document)
    }

    /// The cells of a document's row, in the order of [`Kind::columns`].
    #[must_use]
    pub fn cells(&self, document: &Value, now: SystemTime) -> Vec<Value> {
        self.columns.iter().map(|column| column.cell(document, now)).collect()
    }
}

/// Every kind, in the order of discovery.
#[must_use]
pub fn kinds() -> &'static [Kind] {
    static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
        vec![
            namespace::kind(),
            service::kind(),
            service_account::kind(),
            secret::kind(),
            config_map::kind(),
            pod::kind(),
            event::kind(),
            endpoint_slice::kind(),
            custom_resource_definition::kind(),
            virtual_service::kind(),
            destination_rule::kind(),
            service_entry::kind(),
            peer_authentication::kind(),
        ]
    });
    &KINDS
}

/// The kind of this group and name (`VirtualService`), if there is one.
#[must_use]
pub fn kind_of(group: &str, kind: &str) -> Option<&'static Kind> {
    kinds().iter().find(|known| known.group == group && known.kind == kind)
}

fn schema(fields: &'static str, groups: &'static [(&'static str, &'static str)]) -> Node {
    Table { fields, groups }.to_node()
}

fn no_defaults(_: &mut Value) {}

fn no_rules(_: &Value) -> Vec<Problem> {
    Vec::new()
}

fn no_remarks(_: &Value) -> Vec<Warning> {
    Vec::new()
}

/// Sets `map[name]` when it is absent or null.
fn default_to(map: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(map) = map
        && map.get(name).is_none_or(Value::is_null)
    {
        map.insert(name.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests;
