//! Reads a request's body: JSON or YAML, of bounded size and depth, with every repeated key noted.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::protobuf;
use super::status::Failure;

/// As Kubernetes takes in.
const BODY_BYTES_MAX: usize = 3 << 20;

/// Deeper than any kind; each level costs stack.
const DEPTH_MAX: usize = 64;

/// A document and the keys it has more than once; the last value counts, as in JSON.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) value: Value,
    pub(crate) duplicates: Vec<String>,
}

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// `application/json`.
    Json,
    /// `application/yaml`, of which JSON is a part.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// The media type of a request without its parameters; empty when there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or("").split(';').next().unwrap_or("").trim()
}

/// The syntax of a document sent with `headers`.
pub(crate) fn syntax(headers: &HeaderMap) -> Result<Syntax, Failure> {
    match media_type(headers) {
        "" | "application/json" | "*/*" => Ok(Syntax::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Syntax::Yaml),
        protobuf::MEDIA_TYPE => Ok(Syntax::Protobuf),
        other => Err(Failure::unsupported_media_type(format!(
            "{other:?} is not served here: send application/json or application/yaml"
        ))),
    }
}

/// The whole body.
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, Failure> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(Failure::too_large(BODY_BYTES_MAX))
        }
        Err(error) => Err(Failure::bad_request(format!("the body broke off: {error}"))),
    }
}

/// Parses one document.
pub(crate) fn parse(bytes: &[u8], syntax: Syntax) -> Result<Parsed, Failure> {
    let mut duplicates = Vec::new();
    let seed = Seed { path: String::new(), depth: 0, duplicates: &mut duplicates };
    let value = match syntax {
        Syntax::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(bytes);
            let value = seed.deserialize(&mut deserializer);
            value.and_then(|value| deserializer.end().map(|()| value)).map_err(|e| e.to_string())
        }
        Syntax::Yaml => yaml(bytes, seed),
        Syntax::Protobuf => {
            return protobuf::parse(bytes).map(|value| Parsed { value, duplicates });
        }
    };
    let value = value
        .map_err(|error| Failure::bad_request(format!("the body is not a document: {error}")))?;
    Ok(Parsed { value, duplicates })
}

fn yaml(bytes: &[u8], seed: Seed<'_>) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        seed.deserialize(deserializer)
    })
    .map_err(|error| error.to_string())
}

/// Builds a value and keeps an eye on depth and keys.
struct Seed<'a> {
    path: String,
    depth: usize,
    duplicates: &'a mut Vec<String>,
}

impl Seed<'_> {
    fn below<E: serde::de::Error>(&mut self, path: String) -> Result<Seed<'_>, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("{path}: more than {DEPTH_MAX} levels deep")));
        }
        Ok(Seed { path, depth: self.depth + 1, duplicates: self.duplicates })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match access.next_element_seed(self.below(path)?)? {
                Some(element) => list.push(element),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<Key>()? {
            let key = key.0;
            let path =
                if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if map.contains_key(&key) {
                self.duplicates.push(path.clone());
            }
            let value = access.next_value_seed(self.below(path)?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A key; in YAML a number or a truth value may stand there and is taken as text.
struct Key(String);

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seed = Seed { path: String::new(), depth: DEPTH_MAX, duplicates: &mut Vec::new() };
        match seed.deserialize(deserializer)? {
            Value::String(key) => Ok(Self(key)),
            key @ (Value::Number(_) | Value::Bool(_)) => Ok(Self(key.to_string())),
            _ => Err(D::Error::custom("a key must be text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, syntax: Syntax) -> Result<(Value, Vec<String>), Failure> {
        parse(text.as_bytes(), syntax).map(|parsed| (parsed.value, parsed.duplicates))
    }

    #[test]
    fn repeated_keys_are_noted_with_their_place() {
        let expected = (json!({"a": {"b": [{"c": 2}]}}), vec!["a.b[0].c".to_owned()]);
        let json = r#"{"a": {"b": [{"c": 1, "c": 2}]}}"#;
        assert_eq!(check(json, Syntax::Json).unwrap(), expected);
        let yaml = "a:\n  b:\n  - c: 1\n    c: 2\n";
        assert_eq!(check(yaml, Syntax::Yaml).unwrap(), expected);
    }

    #[test]
    fn yaml_reads_as_kubectl_reads_it() {
        let yaml = "80: p\na: 1\nb: 0.5\nc: yes\nd: 'x'\ne:\nf: [1, true]\ng: {h: \"9\"}\n";
        let (value, _) = check(yaml, Syntax::Yaml).unwrap();
        assert_eq!(value["80"], "p");
        assert_eq!(value["a"], 1);
        assert_eq!(value["b"], 0.5);
        assert_eq!(value["d"], "x");
        assert_eq!(value["e"], Value::Null);
        assert_eq!(value["f"], json!([1, true]));
        assert_eq!(value["g"], json!({"h": "9"}));
        assert_eq!(check("{\"a\": [1]}", Syntax::Yaml).unwrap().0, json!({"a": [1]}));
    }

    #[test]
    fn what_is_too_deep_or_broken_is_refused() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let deeper = "[".repeat(1_000_000);
        for text in [deep.as_str(), &deeper, "{", "{} {}", "", "\u{0}", "{\"a\":1e999}"] {
            assert!(check(text, Syntax::Json).is_err());
        }
        for text in [deep.as_str(), &deeper, "a: b: c", "a: &x [*x]", "[a]: 1"] {
            assert!(check(text, Syntax::Yaml).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
