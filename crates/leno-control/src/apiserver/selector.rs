//! Label and field selectors: `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Pure.

use leno_api::Kind;
use leno_api::field::{is_label_key, is_label_value};
use serde_json::Value;

use super::status::Failure;

/// More requirements than this are a mistake.
const REQUIREMENTS_MAX: usize = 256;

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads a selector; empty selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if !part.is_empty() {
                let wrong = |why: String| {
                    Failure::bad_request(format!("unable to parse labelSelector {part:?}: {why}"))
                };
                requirements.push(Requirement::parse(part).map_err(wrong)?);
            }
            if requirements.len() > REQUIREMENTS_MAX {
                let why = format!("labelSelector: more than {REQUIREMENTS_MAX} requirements");
                return Err(Failure::bad_request(why));
            }
        }
        Ok(Self(requirements))
    }

    /// Whether `document`'s labels fulfil it.
    pub(crate) fn selects(&self, document: &Value) -> bool {
        let labels = &document["metadata"]["labels"];
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Test::NotIn(values) => {
                    !value.is_some_and(|value| values.iter().any(|v| v == value))
                }
                Test::Greater(than) => number(value).is_some_and(|value| value > *than),
                Test::Less(than) => number(value).is_some_and(|value| value < *than),
            }
        })
    }
}

fn number(value: Option<&str>) -> Option<i64> {
    value?.parse().ok()
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut depth) = (0, 0_i32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth <= 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

impl Requirement {
    fn parse(part: &str) -> Result<Self, String> {
        if let Some(key) = part.strip_prefix('!') {
            return Self::new(key, Test::Absent);
        }
        let words: Vec<&str> = part.splitn(3, char::is_whitespace).collect();
        if let [key, operator @ ("in" | "notin"), _] | [key, operator @ ("in" | "notin")] =
            words.as_slice()
        {
            let rest = part[key.len()..].trim_start()[operator.len()..].trim();
            let inside = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let inside = inside.ok_or("values stand in brackets, as in key in (a,b)")?;
            let values = values(inside)?;
            let test = if *operator == "in" { Test::In(values) } else { Test::NotIn(values) };
            return Self::new(key, test);
        }
        // `in(a,b)` without a space.
        for (operator, make) in
            [(" notin(", Test::NotIn as fn(_) -> _), (" in(", Test::In as fn(_) -> _)]
        {
            if let Some((key, rest)) = part.split_once(operator) {
                let inside = rest.strip_suffix(')').ok_or("values stand in brackets")?;
                return Self::new(key, make(values(inside)?));
            }
        }
        for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some((key, value)) = part.split_once(operator) {
                let one = values(value)?;
                return Self::new(key, if negated { Test::NotIn(one) } else { Test::In(one) });
            }
        }
        for (operator, make) in
            [(">", Test::Greater as fn(i64) -> Test), ("<", Test::Less as fn(i64) -> Test)]
        {
            if let Some((key, value)) = part.split_once(operator) {
                let than =
                    value.trim().parse().map_err(|_| format!("{value:?} is not a number"))?;
                return Self::new(key, make(than));
            }
        }
        Self::new(part, Test::Exists)
    }

    fn new(key: &str, test: Test) -> Result<Self, String> {
        let key = key.trim();
        if !is_label_key(key) {
            return Err(format!("{key:?} is not a label's key"));
        }
        Ok(Self { key: key.to_owned(), test })
    }
}

fn values(text: &str) -> Result<Vec<String>, String> {
    text.split(',')
        .map(|value| {
            let value = value.trim();
            if is_label_value(value) {
                Ok(value.to_owned())
            } else {
                Err(format!("{value:?} is not a label's value"))
            }
        })
        .collect()
}

/// All of `path=value` and `path!=value` must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<FieldTest>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTest {
    path: String,
    value: String,
    equal: bool,
}

/// Fields that documents of some kinds can be selected by, beyond name and namespace.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    (
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    ("Namespace", &["status.phase"]),
    ("Secret", &["type"]),
    ("Service", &["spec.clusterIP", "spec.type"]),
];

impl FieldSelector {
    /// Reads a selector; empty selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let mut tests = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let found = [("!=", false), ("==", true), ("=", true)]
                .into_iter()
                .find_map(|(operator, equal)| part.split_once(operator).map(|pair| (pair, equal)));
            let Some(((path, value), equal)) = found else {
                let why =
                    format!("invalid field selector {part:?}: must be PATH=VALUE or PATH!=VALUE");
                return Err(Failure::bad_request(why));
            };
            let unescaped = value.trim().replace("\\,", ",").replace("\\=", "=");
            tests.push(FieldTest { path: path.trim().to_owned(), value: unescaped, equal });
        }
        Ok(Self(tests))
    }

    /// Refuses fields that documents of `kind` cannot be selected by.
    pub(crate) fn check(&self, kind: &Kind) -> Result<(), Failure> {
        let more = FIELDS.iter().find(|(name, _)| *name == kind.kind).map_or(&[][..], |(_, f)| *f);
        for test in &self.0 {
            let path = test.path.as_str();
            if !matches!(path, "metadata.name" | "metadata.namespace") && !more.contains(&path) {
                return Err(Failure::bad_request(format!(
                    "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"{}",
                    more.iter().map(|field| format!(", {field:?}")).collect::<String>()
                )));
            }
        }
        Ok(())
    }

    /// Whether `document`'s fields fulfil it.
    pub(crate) fn selects(&self, document: &Value) -> bool {
        self.0.iter().all(|test| {
            // Events name their source by its component.
            let path = if test.path == "source" { "source.component" } else { &test.path };
            let found = path.split('.').fold(document, |value, name| &value[name]);
            let equal = match found {
                Value::String(text) => *text == *test.value,
                Value::Null => test.value.is_empty() || test.value == "false",
                other => {
                    let text = other.to_string();
                    text == test.value
                }
            };
            equal == test.equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(selector: &str, labels: &Value) -> Option<bool> {
        let selector = LabelSelector::parse(selector).ok()?;
        Some(selector.selects(&json!({"metadata": {"labels": labels}})))
    }

    #[test]
    fn label_selectors_select_as_kubernetes_does() {
        let labels = json!({"app": "reviews", "version": "v2", "example.com/rank": "7"});
        let table = [
            ("", Some(true)),
            ("app=reviews", Some(true)),
            ("app == reviews , version=v2", Some(true)),
            ("app=reviews,version=v1", Some(false)),
            ("app!=ratings", Some(true)),
            ("none!=x", Some(true)),
            ("none=", Some(false)),
            ("app", Some(true)),
            ("!app", Some(false)),
            ("! none", Some(true)),
            ("version in (v1, v2)", Some(true)),
            ("version in (v1,v3),app", Some(false)),
            ("version notin (v1,v3)", Some(true)),
            ("none notin (v1)", Some(true)),
            ("version in(v2)", Some(true)),
            ("example.com/rank>6", Some(true)),
            ("example.com/rank<7", Some(false)),
            ("version in v1", None),
            ("app=a b", None),
            ("a b c=d", None),
            ("=x", None),
        ];
        for (selector, expected) in table {
            assert_eq!(check(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn field_selectors_know_the_fields_of_each_kind() {
        let event = json!({
            "metadata": {"name": "a", "namespace": "default"},
            "involvedObject": {"name": "reviews"},
            "type": "Normal",
        });
        let table = [
            ("metadata.name=a", Some(true)),
            ("metadata.name=a,involvedObject.name=reviews", Some(true)),
            ("involvedObject.name!=reviews", Some(false)),
            ("involvedObject.uid=", Some(true)),
            ("spec.nodeName=x", None),
            ("metadata.name", None),
        ];
        let kind = leno_api::kind_of("", "Event").unwrap();
        for (text, expected) in table {
            let selector = FieldSelector::parse(text).and_then(|selector| {
                selector.check(kind)?;
                Ok(selector)
            });
            assert_eq!(selector.ok().map(|s| s.selects(&event)), expected, "{text}");
        }
    }
}
