//! Sets of fields of a document, as `managedFields` writes them (`fieldsV1`). Pure.
//!
//! Which fields a document has, and which differ between two documents, follows the kind's schema: lists are one field
//! when atomic, else their elements are fields named by their keys or their value.

use std::collections::BTreeMap;

use leno_api::schema::{Identity, Node, Shape};
use serde_json::{Map, Value};

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// `f:NAME`.
    Field(String),
    /// `k:{…}`: the element of a list with these keys, as canonical JSON.
    Keys(String),
    /// `v:…`: this element of a set, as JSON.
    Value(String),
    /// `i:N`.
    Index(u64),
}

/// A set of fields as a tree of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    /// Whether the field at this place is in the set, besides what is below it.
    pub(crate) member: bool,
    /// What is below.
    pub(crate) below: BTreeMap<Step, Self>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }

    fn only_member() -> Self {
        Self { member: true, below: BTreeMap::new() }
    }

    /// Adds everything in `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, set) in &other.below {
            self.below.entry(step.clone()).or_default().add(set);
        }
    }

    /// Takes out everything in `other`.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, set) in &other.below {
            if let Some(own) = self.below.get_mut(step) {
                own.remove(set);
                if own.is_empty() {
                    self.below.remove(step);
                }
            }
        }
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { member: self.member && other.member, below: BTreeMap::new() };
        for (step, set) in &self.below {
            if let Some(set) = other.below.get(step).map(|other| set.intersection(other))
                && !set.is_empty()
            {
                both.below.insert(step.clone(), set);
            }
        }
        both
    }

    /// Takes out the field at this path of names, and everything below it.
    pub(crate) fn cut(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let step = Step::Field((*first).to_owned());
        if rest.is_empty() {
            self.below.remove(&step);
        } else if let Some(set) = self.below.get_mut(&step) {
            set.cut(rest);
            if set.is_empty() {
                self.below.remove(&step);
            }
        }
    }

    /// Every field in the set, written as Kubernetes writes it in conflicts: `.spec.ports[port=80].name`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths(&mut String::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(path.clone());
        }
        for (step, set) in &self.below {
            let length = path.len();
            path.push_str(&step.shown());
            set.collect_paths(path, paths);
            path.truncate(length);
        }
    }

    /// As `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, set) in &self.below {
            map.insert(step.encoded(), set.to_json());
        }
        Value::Object(map)
    }

    /// From `fieldsV1`; `None` when it is not one.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        Self::decode(value, true)
    }

    fn decode(value: &Value, root: bool) -> Option<Self> {
        let map = value.as_object()?;
        let mut set = Self { member: map.is_empty() && !root, below: BTreeMap::new() };
        for (name, value) in map {
            if name == "." {
                set.member = true;
            } else {
                set.below.insert(Step::decoded(name)?, Self::decode(value, false)?);
            }
        }
        Some(set)
    }

    /// The fields `document` has.
    pub(crate) fn of(node: Option<&Node>, document: &Value) -> Self {
        let mut set = Self::default();
        match document {
            Value::Object(map) => {
                for (name, value) in map {
                    let field = node.and_then(|node| node.field(name));
                    let mut below = Self::of(field, value);
                    let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    below.member |= empty || !is_named_field(node, name);
                    set.below.insert(Step::Field(name.clone()), below);
                }
            }
            Value::Array(items) => match elements(node) {
                Some((item, identity)) => {
                    for value in items {
                        let mut below = Self::of(Some(item), value);
                        below.member = true;
                        set.below.entry(step_of(identity, value)).or_default().add(&below);
                    }
                }
                None => set.member = true,
            },
            _ => set.member = true,
        }
        set
    }
}

/// Whether the schema names this field, rather than having a map of any names.
fn is_named_field(node: Option<&Node>, name: &str) -> bool {
    let Some(Node { shape: Shape::Object(fields), .. }) = node else { return false };
    fields.iter().any(|(known, _)| *known == name)
}

/// The element's schema and identity, when a list's elements are fields of their own.
pub(crate) fn elements(node: Option<&Node>) -> Option<(&Node, &Identity)> {
    match &node?.shape {
        Shape::List { item, identity } if *identity != Identity::Atomic => Some((item, identity)),
        _ => None,
    }
}

/// How an element of a list is named.
pub(crate) fn step_of(identity: &Identity, element: &Value) -> Step {
    match identity {
        Identity::Keys(keys) => {
            let mut sorted: Vec<&str> = keys.clone();
            sorted.sort_unstable();
            let pairs = sorted.into_iter().filter_map(|key| {
                let value = key_of(element, key)?;
                Some((key.to_owned(), value))
            });
            Step::Keys(Value::Object(pairs.collect()).to_string())
        }
        Identity::Set | Identity::Atomic => Step::Value(element.to_string()),
    }
}

/// An element's key; every protocol that is not written is TCP.
pub(crate) fn key_of(element: &Value, key: &str) -> Option<Value> {
    match element.get(key) {
        Some(value) if !value.is_null() => Some(value.clone()),
        _ if key == "protocol" => Some("TCP".into()),
        _ => None,
    }
}

impl Step {
    fn encoded(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Keys(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn decoded(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Self::Field(rest.to_owned()),
            "k" => Self::Keys(canonical(rest)?),
            "v" => Self::Value(serde_json::from_str::<Value>(rest).ok()?.to_string()),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    fn shown(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Keys(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> =
                    keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", pairs.join(","))
            }
            Self::Value(value) => format!("[={value}]"),
            Self::Index(index) => format!("[{index}]"),
        }
    }
}

fn canonical(text: &str) -> Option<String> {
    let map: Map<String, Value> = serde_json::from_str(text).ok()?;
    let sorted: BTreeMap<String, Value> = map.into_iter().collect();
    serde_json::to_string(&sorted).ok()
}

/// How two documents differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Fields only the newer one has.
    pub(crate) added: FieldSet,
    /// Fields both have, with other values.
    pub(crate) modified: FieldSet,
    /// Fields only the older one has.
    pub(crate) removed: FieldSet,
}

impl Difference {
    /// Compares two documents of one kind.
    pub(crate) fn between(node: &Node, old: &Value, new: &Value) -> Self {
        let mut difference = Self::default();
        difference.compare(Some(node), old, new, &mut Vec::new());
        difference
    }

    /// Everything that has another value now, or has one at all.
    pub(crate) fn changed(&self) -> FieldSet {
        let mut changed = self.added.clone();
        changed.add(&self.modified);
        changed
    }

    fn compare(&mut self, node: Option<&Node>, old: &Value, new: &Value, path: &mut Vec<Step>) {
        if old == new {
            return;
        }
        match (old, new, elements(node)) {
            (Value::Object(old), Value::Object(new), _) => {
                for (name, value) in new {
                    let field = node.and_then(|node| node.field(name));
                    self.step(field, old.get(name), Some(value), Step::Field(name.clone()), path);
                }
                for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                    let field = node.and_then(|node| node.field(name));
                    self.step(field, Some(value), None, Step::Field(name.clone()), path);
                }
            }
            (Value::Array(old), Value::Array(new), Some((item, identity))) => {
                let find = |list: &[Value], step: &Step| {
                    list.iter().find(|element| step_of(identity, element) == *step).cloned()
                };
                for element in new {
                    let step = step_of(identity, element);
                    self.step(Some(item), find(old, &step).as_ref(), Some(element), step, path);
                }
                for element in old {
                    let step = step_of(identity, element);
                    if find(new, &step).is_none() {
                        self.step(Some(item), Some(element), None, step, path);
                    }
                }
            }
            _ => insert(&mut self.modified, path, &FieldSet::only_member()),
        }
    }

    fn step(
        &mut self,
        node: Option<&Node>,
        old: Option<&Value>,
        new: Option<&Value>,
        step: Step,
        path: &mut Vec<Step>,
    ) {
        path.push(step);
        let whole = |value: &Value| {
            let mut set = FieldSet::of(node, value);
            set.member = true;
            set
        };
        match (old, new) {
            (Some(old), Some(new)) => self.compare(node, old, new, path),
            (None, Some(new)) => insert(&mut self.added, path, &whole(new)),
            (Some(old), None) => insert(&mut self.removed, path, &whole(old)),
            (None, None) => {}
        }
        path.pop();
    }
}

fn insert(set: &mut FieldSet, path: &[Step], below: &FieldSet) {
    let place = path.iter().fold(set, |set, step| set.below.entry(step.clone()).or_default());
    place.add(below);
}

#[cfg(test)]
mod tests;
