//! Walks a document beside its schema. Pure; every finding at once, in the document's order.

use serde_json::Value;

use super::{Effect, Identity, Node, Presence, Shape};
use crate::field::{is_duration, is_timestamp};
use crate::problem::{Cause, Problem, Warning};

pub(super) fn problems(node: &Node, document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    check(node, document, &mut String::new(), &mut problems);
    problems
}

fn check(node: &Node, value: &Value, path: &mut String, problems: &mut Vec<Problem>) {
    // An explicit null is the same as absent, as in Kubernetes.
    if value.is_null() {
        return;
    }
    match (&node.shape, value) {
        (Shape::Object(fields), Value::Object(map)) => {
            for (name, field) in fields {
                let found = map.get(*name).filter(|value| !value.is_null());
                if found.is_none() && field.presence == Presence::Required {
                    let what = if field.description.is_empty() {
                        "must be set"
                    } else {
                        field.description
                    };
                    problems.push(Problem::new(
                        Cause::FieldValueRequired,
                        joined(path, name),
                        what,
                    ));
                }
            }
            for (name, value) in map {
                if let Some(field) = node.field(name) {
                    below(path, name, |path| check(field, value, path, problems));
                }
            }
        }
        (Shape::Map(item), Value::Object(map)) => {
            for (name, value) in map {
                below(path, name, |path| check(item, value, path, problems));
            }
        }
        (Shape::List { item, identity }, Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                at_index(path, index, |path| check(item, value, path, problems));
            }
            duplicates(identity, values, path, problems);
        }
        (shape, value) => {
            if let Err((cause, message)) = check_leaf(shape, value) {
                problems.push(Problem::new(cause, path.clone(), message));
            }
        }
    }
}

fn check_leaf(shape: &Shape, value: &Value) -> Result<(), (Cause, String)> {
    let demand = |holds: bool, message: String| {
        if holds { Ok(()) } else { Err((Cause::FieldValueInvalid, message)) }
    };
    match (shape, value) {
        (Shape::Any, _)
        | (Shape::String, Value::String(_))
        | (Shape::Number | Shape::IntOrString, Value::Number(_))
        | (Shape::IntOrString, Value::String(_))
        | (Shape::Boolean, Value::Bool(_)) => Ok(()),
        (Shape::Integer, Value::Number(number)) => {
            // Istio has unsigned ones too; each rule narrows its own.
            let range = i64::from(i32::MIN)..=i64::from(u32::MAX);
            let fits = number.as_i64().is_some_and(|number| range.contains(&number));
            demand(fits, format!("{number}: must be a whole 32-bit number"))
        }
        (Shape::Int64, Value::Number(number)) => {
            demand(number.as_i64().is_some(), format!("{number}: must be a whole number"))
        }
        (Shape::Duration, Value::String(text)) => {
            let right = "must be a duration with units, such as \"1.5s\", \"250ms\" or \"1h30m\"";
            demand(is_duration(text), format!("{text:?}: {right}"))
        }
        (Shape::Time, Value::String(text)) => {
            let right = "must be a time such as \"2026-01-31T12:00:00Z\"";
            demand(is_timestamp(text), format!("{text:?}: {right}"))
        }
        (Shape::Bytes, Value::String(text)) => demand(is_base64(text), "must be base64".to_owned()),
        (Shape::Enum(words), Value::String(text)) => {
            if words.contains(&text.as_str()) {
                return Ok(());
            }
            let right = words.join("\", \"");
            Err((Cause::FieldValueNotSupported, format!("{text:?}: supported values: \"{right}\"")))
        }
        (shape, value) => {
            let message = format!("{}: must be {}", kind_of(value), name_of(shape));
            Err((Cause::FieldValueTypeInvalid, message))
        }
    }
}

/// Elements that a merge could not tell apart.
fn duplicates(
    identity: &Identity,
    values: &[Value],
    path: &mut String,
    problems: &mut Vec<Problem>,
) {
    let same = |a: &Value, b: &Value| match identity {
        Identity::Atomic => false,
        Identity::Set => a == b,
        Identity::Keys(keys) => keys.iter().all(|key| a.get(key) == b.get(key)),
    };
    for (index, value) in values.iter().enumerate() {
        if values[..index].iter().any(|earlier| same(earlier, value)) {
            let what = match identity {
                Identity::Keys(keys) => {
                    format!("another element has the same {}", keys.join(" and "))
                }
                Identity::Atomic | Identity::Set => format!("{value} is there already"),
            };
            at_index(path, index, |path| {
                problems.push(Problem::new(Cause::FieldValueDuplicate, path.clone(), what));
            });
        }
    }
}

pub(super) fn unknown_fields(node: &Node, document: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(node, document, &mut String::new(), &mut |field, _, path| {
        if field.is_none() {
            unknown.push(path.to_owned());
        }
        field.is_some()
    });
    unknown
}

pub(super) fn not_enforced(node: &Node, document: &Value) -> Vec<Warning> {
    let mut warnings = Vec::new();
    walk(node, document, &mut String::new(), &mut |field, value, path| {
        let idle = field.is_some_and(|field| field.effect == Effect::NotEnforced);
        if idle && !is_empty(value) {
            warnings.push(Warning::new(path, Warning::NOT_ENFORCED));
        }
        !idle
    });
    warnings
}

/// Calls `visit` for each field of each object, known or not; it says whether to go below.
fn walk(
    node: &Node,
    value: &Value,
    path: &mut String,
    visit: &mut impl FnMut(Option<&Node>, &Value, &str) -> bool,
) {
    match (&node.shape, value) {
        (Shape::Object(_) | Shape::Map(_), Value::Object(map)) => {
            for (name, value) in map {
                let field = node.field(name);
                below(path, name, |path| {
                    if visit(field, value, path)
                        && let Some(field) = field
                    {
                        walk(field, value, path, visit);
                    }
                });
            }
        }
        (Shape::List { item, .. }, Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                at_index(path, index, |path| walk(item, value, path, visit));
            }
        }
        _ => {}
    }
}

pub(super) fn prune(node: &Node, value: &mut Value) {
    match (&node.shape, value) {
        (Shape::Object(_) | Shape::Map(_), Value::Object(map)) => {
            map.retain(|name, _| node.field(name).is_some());
            for (name, value) in map.iter_mut() {
                if let Some(field) = node.field(name) {
                    prune(field, value);
                }
            }
        }
        (Shape::List { item, .. }, Value::Array(values)) => {
            for value in values {
                prune(item, value);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn below(path: &mut String, name: &str, f: impl FnOnce(&mut String)) {
    let length = path.len();
    // A name with dots (a label's key) is put in brackets, as Kubernetes prints it.
    if name.contains(['.', '/']) {
        path.push('[');
        path.push_str(name);
        path.push(']');
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
    f(path);
    path.truncate(length);
}

fn at_index(path: &mut String, index: usize, f: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(&format!("[{index}]"));
    f(path);
    path.truncate(length);
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r'], "")).is_ok()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn name_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::String | Shape::Enum(_) => "a string",
        Shape::Integer | Shape::Int64 => "a whole number",
        Shape::Number => "a number",
        Shape::Boolean => "true or false",
        Shape::Duration => "a string with a duration, such as \"1.5s\"",
        Shape::Time => "a string with a time",
        Shape::Bytes => "a string of base64",
        Shape::IntOrString => "a whole number or a string",
        Shape::Object(_) | Shape::Map(_) => "an object",
        Shape::List { .. } => "a list",
        Shape::Any => "anything",
    }
}
