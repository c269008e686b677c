//! Server-side apply: what a manager wants, merged into what is there, minus what it no longer wants. Pure.

use leno_api::schema::{Identity, Node};
use serde_json::{Map, Value};

use crate::apiserver::field_set::{Difference, FieldSet, Step, elements, step_of};
use crate::apiserver::managed_fields::{Managers, Writer, applied_fields};
use crate::apiserver::path::Target;
use crate::apiserver::status::Failure;

/// What to do when another manager owns a field with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// Refuse, naming field and manager.
    Refuse,
    /// Take the field over.
    Force,
}

/// The document after `wanted` was applied to `live`, and the fields the writer owns then.
pub(crate) fn apply(
    target: &Target,
    writer: &Writer,
    live: &Value,
    managers: &Managers,
    (wanted, conflicts): (&Value, Conflicts),
) -> Result<(Value, FieldSet), Failure> {
    let schema = &target.kind.schema;
    let applied = applied_fields(target, wanted);
    let mut merged = merge(Some(schema), live, wanted);

    let mut dropped = managers.applied_by(writer);
    dropped.remove(&applied);
    let mut kept = managers.owned_by_others(writer);
    kept.add(&applied);
    remove(Some(schema), &mut merged, &dropped, &kept);

    let changed = Difference::between(schema, live, &merged).changed().intersection(&applied);
    let found = managers.conflicts(writer, &changed);
    if !found.is_empty() && conflicts == Conflicts::Refuse {
        return Err(Failure::apply_conflict(&found));
    }
    Ok((merged, applied))
}

/// Everything in `wanted`, and what `live` has besides.
fn merge(node: Option<&Node>, live: &Value, wanted: &Value) -> Value {
    match (live, wanted, elements(node)) {
        (Value::Object(live), Value::Object(wanted), _) => {
            let mut merged = live.clone();
            for (name, value) in wanted {
                let field = node.and_then(|node| node.field(name));
                let value = match live.get(name) {
                    Some(current) => merge(field, current, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(wanted), Some((item, identity))) => {
            Value::Array(merge_list(item, identity, live, wanted))
        }
        _ => wanted.clone(),
    }
}

fn merge_list(node: &Node, identity: &Identity, live: &[Value], wanted: &[Value]) -> Vec<Value> {
    let mut merged = live.to_vec();
    for element in wanted {
        let step = step_of(identity, element);
        match merged.iter_mut().find(|current| step_of(identity, current) == step) {
            Some(current) => *current = merge(Some(node), current, element),
            None => merged.push(element.clone()),
        }
    }
    merged
}

/// Takes the fields in `dropped` out of `value`, but for those in `kept` and what holds them.
fn remove(node: Option<&Node>, value: &mut Value, dropped: &FieldSet, kept: &FieldSet) {
    let nothing = FieldSet::default();
    match value {
        Value::Object(map) => {
            for (step, set) in &dropped.below {
                let Step::Field(name) = step else { continue };
                let Some(current) = map.get_mut(name) else { continue };
                let field = node.and_then(|node| node.field(name));
                let kept = kept.below.get(step).unwrap_or(&nothing);
                if is_gone(field, current, set, kept) {
                    map.shift_remove(name);
                }
            }
        }
        Value::Array(list) => {
            let Some((item, identity)) = elements(node) else { return };
            list.retain_mut(|current| {
                let step = step_of(identity, current);
                let Some(set) = dropped.below.get(&step) else { return true };
                let kept = kept.below.get(&step).unwrap_or(&nothing);
                !is_gone(Some(item), current, set, kept)
            });
        }
        _ => {}
    }
}

/// Whether nothing of `value` is left to keep; takes out what is dropped below it otherwise.
fn is_gone(node: Option<&Node>, value: &mut Value, dropped: &FieldSet, kept: &FieldSet) -> bool {
    if kept.is_empty() && dropped.member {
        return true;
    }
    let had_content = !is_empty(value);
    remove(node, value, dropped, kept);
    kept.is_empty() && had_content && is_empty(value)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => Map::is_empty(map),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
