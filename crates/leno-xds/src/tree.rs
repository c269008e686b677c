//! YAML (and so JSON) as a tree whose every node knows its line and column.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::problem::{Place, Problem};

/// Reading recurses: Envoy's own files nest about twenty deep.
const DEPTH: usize = 40;
/// A file of ten thousand clusters has about this many nodes.
const NODES: usize = 1_000_000;
/// What anchors and aliases may add: enough to share a filter among listeners, too little to fill memory.
const REPLAYED: usize = 100_000;

/// One node of a document.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) place: Place,
    pub(crate) shape: Shape,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Shape {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>),
}

/// A name in a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Tree {
    /// Reads one document.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: DEPTH,
                flow_nesting_limit: DEPTH,
                max_nodes: NODES,
                max_events: 2 * NODES,
                max_recorded_anchor_events: REPLAYED,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED },
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error
                .location()
                .map(|at| Place { line: at.line() as u32, column: at.column() as u32 });
            // The parser tells its place once more, and what a programmer could do.
            let told = error.without_snippet().to_string();
            let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
            let what = told.split(", set DuplicateKeyPolicy").next().unwrap_or(told).to_owned();
            Problem { path: String::new(), what, place }
        })
    }

    /// What a message to people calls the node.
    pub(crate) fn is_a(&self) -> &'static str {
        match self.shape {
            Shape::Null => "null",
            Shape::Bool(_) => "a bool",
            Shape::Integer(_) | Shape::Float(_) => "a number",
            Shape::Text(_) => "a text",
            Shape::List(_) => "a list",
            Shape::Map(_) => "a mapping",
        }
    }

    /// The same as plain JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.shape {
            Shape::Null => Value::Null,
            Shape::Bool(value) => Value::Bool(*value),
            Shape::Integer(value) => {
                i64::try_from(*value).map_or_else(|_| Value::from(*value as f64), Value::from)
            }
            Shape::Float(value) => Value::from(*value),
            Shape::Text(text) => Value::String(text.clone()),
            Shape::List(list) => list.iter().map(Self::to_json).collect(),
            Shape::Map(entries) => {
                entries.iter().map(|(key, tree)| (key.name.clone(), tree.to_json())).collect()
            }
        }
    }
}

fn place_of<T>(spanned: &Spanned<T>) -> Place {
    Place { line: spanned.referenced.line() as u32, column: spanned.referenced.column() as u32 }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Self { place: place_of(&spanned), shape: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Integer(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Shape, E> {
        Ok(Shape::Integer(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(tree) = access.next_element()? {
            list.push(tree);
        }
        // Thousands of trees stand beside what is decoded from them.
        list.shrink_to_fit();
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let place = place_of(&key);
            entries.push((Key { name: key.value, place }, access.next_value()?));
        }
        entries.shrink_to_fit();
        Ok(Shape::Map(entries))
    }
}
