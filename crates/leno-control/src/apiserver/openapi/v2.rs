//! `/openapi/v2` in the protobuf of gnostic's `openapi.v2.Document`: what kubectl before 1.27 checks documents with. Pure.
//!
//! Only what those look at: the kinds' schemas, and on patches the kind and that `dryRun` is understood.

use std::sync::LazyLock;

use leno_api::Kind;
use leno_api::kind::Access;
use leno_api::schema::{Identity, Node, Presence, Shape};
use serde_json::{Value, json};

use super::{group_versions, kinds_of, prefix, schema_name};

/// Its media type: the one it is asked for by has an `@` in it, which clients cannot read in an answer.
pub(crate) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document.
pub(crate) fn document() -> &'static [u8] {
    static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(encode);
    &DOCUMENT
}

fn encode() -> Vec<u8> {
    let (mut definitions, mut paths) = (Message::default(), Message::default());
    for (group, version) in group_versions() {
        for kind in kinds_of(group, version) {
            let gvk = json!({"group": group, "version": version, "kind": kind.kind});
            let mut schema = schema(&kind.schema);
            schema.extension("x-kubernetes-group-version-kind", &json!([gvk]));
            definitions.message(1, named(&schema_name(kind, version), schema));
            if kind.access == Access::ReadWrite {
                paths.message(2, named(&path(kind, version), path_item(&gvk)));
            }
        }
    }
    let mut info = Message::default();
    info.text(1, "Leno");
    info.text(2, env!("CARGO_PKG_VERSION"));
    let mut document = Message::default();
    document.text(1, "2.0");
    document.message(2, info);
    document.message(8, paths);
    document.message(9, definitions);
    document.0
}

fn path(kind: &Kind, version: &str) -> String {
    let place = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    format!("{}{place}/{}/{{name}}", prefix(kind.group, version), kind.plural)
}

fn path_item(gvk: &Value) -> Message {
    let mut query = Message::default();
    query.text(2, "query");
    query.text(4, "dryRun");
    query.text(6, "string");
    let mut patch = Message::default();
    // Wrapped in ParametersItem, Parameter and NonBodyParameter.
    patch.message(8, Message::of(1, Message::of(2, Message::of(3, query))));
    patch.extension_at(13, "x-kubernetes-group-version-kind", gvk);
    Message::of(8, patch)
}

/// `NamedSchema`, `NamedPathItem`.
fn named(name: &str, value: Message) -> Message {
    let mut named = Message::default();
    named.text(1, name);
    named.message(2, value);
    named
}

fn schema(node: &Node) -> Message {
    let mut schema = Message::default();
    let (kind, format) = match &node.shape {
        Shape::String | Shape::Duration | Shape::Enum(_) => ("string", ""),
        Shape::Time => ("string", "date-time"),
        Shape::Bytes => ("string", "byte"),
        Shape::IntOrString => ("string", "int-or-string"),
        Shape::Integer => ("integer", "int32"),
        Shape::Int64 => ("integer", "int64"),
        Shape::Number => ("number", "double"),
        Shape::Boolean => ("boolean", ""),
        Shape::List { .. } => ("array", ""),
        Shape::Object(_) | Shape::Map(_) => ("object", ""),
        // Without a type: anything.
        Shape::Any => ("", ""),
    };
    schema.text(2, format);
    schema.text(4, node.description);
    if let Shape::Object(fields) = &node.shape {
        for (name, _) in fields.iter().filter(|(_, node)| node.presence == Presence::Required) {
            schema.text(19, name);
        }
    }
    if let Shape::Map(item) = &node.shape {
        schema.message(21, Message::of(1, self::schema(item)));
    }
    if !kind.is_empty() {
        let mut types = Message::default();
        types.text(1, kind);
        schema.message(22, types);
    }
    match &node.shape {
        Shape::List { item, identity } => {
            schema.message(23, Message::of(1, self::schema(item)));
            add_merge_rules(&mut schema, identity);
        }
        Shape::Object(fields) if !fields.is_empty() => {
            let mut properties = Message::default();
            for (name, node) in fields {
                properties.message(1, named(name, self::schema(node)));
            }
            schema.message(25, properties);
        }
        _ => {}
    }
    schema
}

fn add_merge_rules(schema: &mut Message, identity: &Identity) {
    match identity {
        Identity::Atomic => {}
        Identity::Set => schema.extension("x-kubernetes-patch-strategy", &json!("merge")),
        Identity::Keys(keys) => {
            schema.extension("x-kubernetes-patch-strategy", &json!("merge"));
            schema.extension("x-kubernetes-patch-merge-key", &json!(keys.first()));
        }
    }
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn of(number: u32, inner: Self) -> Self {
        let mut message = Self::default();
        message.message(number, inner);
        message
    }

    /// Empty text is what an absent field reads as.
    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "a message becomes part of another once")]
    fn message(&mut self, number: u32, message: Self) {
        self.bytes(number, &message.0);
    }

    /// `vendor_extension` of a schema.
    fn extension(&mut self, name: &str, value: &Value) {
        self.extension_at(31, name, value);
    }

    /// `NamedAny`, whose value is YAML; JSON is.
    fn extension_at(&mut self, number: u32, name: &str, value: &Value) {
        let mut any = Self::default();
        any.text(2, &value.to_string());
        self.message(number, named(name, any));
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number << 3 | 2));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
