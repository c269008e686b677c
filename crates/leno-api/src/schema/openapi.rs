//! From [`Node`] to OpenAPI v3 with the `x-kubernetes-*` words that kubectl and merges need.

use serde_json::{Map, Value, json};

use super::{Identity, Node, Presence, Shape};

pub(super) fn schema_of(node: &Node) -> Value {
    let mut schema = Map::new();
    if !node.description.is_empty() {
        schema.insert("description".into(), node.description.into());
    }
    let shape = shape_of(&node.shape);
    if let Value::Object(shape) = shape {
        schema.extend(shape);
    }
    Value::Object(schema)
}

fn shape_of(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Duration => json!({"type": "string"}),
        Shape::Integer => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Number => json!({"type": "number", "format": "double"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Time => json!({"type": "string", "format": "date-time"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::IntOrString => json!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
        }),
        Shape::Enum(words) => json!({"type": "string", "enum": words}),
        Shape::Any => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": schema_of(item)}),
        Shape::Object(fields) => object_of(fields),
        Shape::List { item, identity } => list_of(item, identity),
    }
}

fn object_of(fields: &[(&'static str, Node)]) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    let properties: Map<String, Value> =
        fields.iter().map(|(name, node)| ((*name).to_owned(), schema_of(node))).collect();
    if !properties.is_empty() {
        schema.insert("properties".into(), Value::Object(properties));
    }
    let required: Vec<&str> = fields
        .iter()
        .filter(|(_, node)| node.presence == Presence::Required)
        .map(|(name, _)| *name)
        .collect();
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    Value::Object(schema)
}

fn list_of(item: &Node, identity: &Identity) -> Value {
    let mut schema = json!({"type": "array", "items": schema_of(item)});
    match identity {
        Identity::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
        Identity::Set => {
            schema["x-kubernetes-list-type"] = "set".into();
            schema["x-kubernetes-patch-strategy"] = "merge".into();
        }
        Identity::Keys(keys) => {
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = json!(keys);
            schema["x-kubernetes-patch-merge-key"] = json!(keys.first());
            schema["x-kubernetes-patch-strategy"] = "merge".into();
        }
    }
    schema
}
