//! A place in a document: a value and its path. Rules walk documents with it, so that every problem knows its place.

use std::time::Duration;

use serde_json::Value;

use crate::problem::{Cause, Problem};

mod name;
mod text;

pub use name::{
    is_dns_label, is_dns_name, is_fqdn, is_label_key, is_label_value, is_wildcard_host,
};
pub use text::{is_duration, is_timestamp, parse_duration, parse_timestamp};

/// A value of a document (null when absent) and where it is.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    value: &'a Value,
    path: String,
}

/// Looking at a pattern stops here.
const REGEX_BYTES_MAX: usize = 1 << 20;

const ABSENT: &Value = &Value::Null;

impl<'a> Field<'a> {
    /// The document itself.
    #[must_use]
    pub fn document(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// The field `name`; a null one when it is not there.
    #[must_use]
    pub fn at(&self, name: &str) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path if name.contains(['.', '/']) => format!("{path}[{name}]"),
            path => format!("{path}.{name}"),
        };
        Self { value: self.value.get(name).unwrap_or(ABSENT), path }
    }

    /// The fields at a dotted path, one below the other.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        path.split('.').fold(self.clone(), |field, name| field.at(name))
    }

    /// The elements of a list; none when it is not a list.
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        let values = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let place = |(index, value)| Self { value, path: format!("{}[{index}]", self.path) };
        values.iter().enumerate().map(place).collect()
    }

    /// Names and values of an object; none when it is not one.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'a str, Self)> {
        let Some(map) = self.value.as_object() else { return Vec::new() };
        map.keys().map(|name| (name.as_str(), self.at(name))).collect()
    }

    /// Where this is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value itself; null when absent.
    #[must_use]
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether it is there and not an empty list, object or string.
    #[must_use]
    pub fn has_content(&self) -> bool {
        match self.value {
            Value::Null => false,
            Value::Array(values) => !values.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        }
    }

    /// The text; empty when it is not text.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or("")
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        self.value.as_f64()
    }

    /// Whether it is `true`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// The duration, if it is one.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.value.as_str().and_then(parse_duration)
    }
}

/// Collects what is wrong; the rules read like a list of requirements.
#[derive(Debug, Default)]
pub struct Findings(Vec<Problem>);

impl Findings {
    /// Something is wrong at `field`.
    pub fn invalid(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.0.push(Problem::new(Cause::FieldValueInvalid, field.path(), message));
    }

    /// `field` must be set.
    pub fn required(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.0.push(Problem::new(Cause::FieldValueRequired, field.path(), message));
    }

    /// `field` holds a word that is not among the right ones.
    pub fn unsupported(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.0.push(Problem::new(Cause::FieldValueNotSupported, field.path(), message));
    }

    /// `field` repeats another one.
    pub fn duplicate(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.0.push(Problem::new(Cause::FieldValueDuplicate, field.path(), message));
    }

    /// `field` may not be set here.
    pub fn forbidden(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.0.push(Problem::new(Cause::FieldValueForbidden, field.path(), message));
    }

    /// Everything found, in the order of finding.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.0
    }

    /// The whole number at `field` must lie in `range` when it is there.
    pub fn in_range(&mut self, field: &Field<'_>, range: std::ops::RangeInclusive<i64>) {
        if let Some(number) = field.integer()
            && !range.contains(&number)
        {
            let (low, high) = (range.start(), range.end());
            self.invalid(field, format!("{number}: must be between {low} and {high}"));
        }
    }

    /// A TCP port, when it is there.
    pub fn port(&mut self, field: &Field<'_>) {
        self.in_range(field, 1..=65535);
    }

    /// A duration of at least a millisecond, when it is there.
    pub fn at_least_a_millisecond(&mut self, field: &Field<'_>) {
        if let Some(duration) = field.duration()
            && duration < Duration::from_millis(1)
        {
            let text = field.text();
            self.invalid(field, format!("{text:?}: must be at least 1ms"));
        }
    }

    /// A share in percent, when it is there.
    pub fn percentage(&mut self, field: &Field<'_>) {
        if let Some(number) = field.number()
            && !(0.0..=100.0).contains(&number)
        {
            self.invalid(field, format!("{number}: must be between 0 and 100"));
        }
    }

    /// A well-formed regular expression, when it is there. How large a one is taken is for each proxy to say.
    pub fn regex(&mut self, field: &Field<'_>) {
        let compiled = regex::RegexBuilder::new(field.text()).size_limit(REGEX_BYTES_MAX).build();
        let Err(regex::Error::Syntax(text)) = compiled else { return };
        let why = text.lines().last().unwrap_or("malformed").trim();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        self.invalid(field, format!("{:?}: not a regular expression (RE2): {why}", field.text()));
    }

    /// Keys and values of a map of labels.
    pub fn labels(&mut self, field: &Field<'_>) {
        for (key, value) in field.entries() {
            if !is_label_key(key) {
                self.invalid(&value, format!("{key:?}: {}", name::LABEL_KEY));
            }
            if !is_label_value(value.text()) {
                self.invalid(&value, format!("{:?}: {}", value.text(), name::LABEL_VALUE));
            }
        }
    }
}
