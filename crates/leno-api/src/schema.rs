//! The shape of a kind's documents, read from a compact table of fields: one line per field.
//!
//! ```text
//! spec.http[].timeout duration Give up after this long.
//! ~spec.http[].corsPolicy {} Cross-origin rules.
//! spec.http[].match[].uri @StringMatch The path.
//! spec.ports[port,protocol]* {} The ports.
//! ```
//! `[]` is a list, `[a,b]` a list whose elements are told apart by fields `a` and `b`, `[=]` a set, `{}` after a name a
//! map; `*` marks a required field, `~` one that is accepted and not enforced. The last word before the description is
//! the type; `@Group` pastes a group of lines. A malformed table is a mistake of ours and panics in the first test.

use serde_json::Value;

mod check;
mod openapi;
mod table;

pub use table::Table;

use crate::problem::{Problem, Warning};

/// One field, or one element of a list or map.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// For `kubectl explain`.
    pub description: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// Whether it must be there.
    pub presence: Presence,
    /// Whether setting it has an effect.
    pub effect: Effect,
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words")]
pub enum Presence {
    Optional,
    Required,
}

/// Whether setting a field has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words")]
pub enum Effect {
    Enforced,
    NotEnforced,
}

/// What a field may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Text.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Int64,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Text such as `1h`, `500ms`, `1.5s`.
    Duration,
    /// RFC 3339.
    Time,
    /// Base64.
    Bytes,
    /// A number or a name.
    IntOrString,
    /// One of these words.
    Enum(Vec<&'static str>),
    /// These fields.
    Object(Vec<(&'static str, Node)>),
    /// Any names, each holding the same.
    Map(Box<Node>),
    /// Elements in order.
    List {
        /// What each is.
        item: Box<Node>,
        /// How elements are told apart when lists are merged.
        identity: Identity,
    },
    /// Anything at all; nothing below is checked.
    Any,
}

/// How the elements of a list are told apart (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// They are not: the list is replaced as a whole.
    Atomic,
    /// By their value.
    Set,
    /// By these fields; the first is the strategic merge key.
    Keys(Vec<&'static str>),
}

impl Node {
    /// A field of this shape with nothing else said about it.
    pub(crate) fn new(shape: Shape) -> Self {
        Self { description: "", shape, presence: Presence::Optional, effect: Effect::Enforced }
    }

    /// The OpenAPI v3 schema.
    #[must_use]
    pub fn to_openapi(&self) -> Value {
        openapi::schema_of(self)
    }

    /// Everything in `document` that does not have this shape. Unknown fields are [`Node::unknown_fields`].
    #[must_use]
    pub fn problems(&self, document: &Value) -> Vec<Problem> {
        check::problems(self, document)
    }

    /// The paths of fields that this schema does not have.
    #[must_use]
    pub fn unknown_fields(&self, document: &Value) -> Vec<String> {
        check::unknown_fields(self, document)
    }

    /// Removes the fields that this schema does not have.
    pub fn prune(&self, document: &mut Value) {
        check::prune(self, document);
    }

    /// A warning for each field that is set and marked as not enforced; nothing below such a field is listed.
    #[must_use]
    pub fn not_enforced(&self, document: &Value) -> Vec<Warning> {
        check::not_enforced(self, document)
    }

    /// The field below, when this is an object that has it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.shape {
            Shape::Object(fields) => {
                fields.iter().find(|(known, _)| *known == name).map(|(_, node)| node)
            }
            Shape::Map(item) => Some(item),
            _ => None,
        }
    }
}
