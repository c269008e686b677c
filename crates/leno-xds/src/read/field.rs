//! One field's value, read as the type the decoder expects.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Map, Value as Json};

use super::{Path, Reader, Value};
use crate::problem::Report;
use crate::tree::{Shape, Tree};
use crate::wire::{self, Wire};

/// `google.protobuf.Struct` nested deeper than this is refused: reading it recurses.
const STRUCT_DEPTH: usize = 32;

/// Hold a message of a type that whoever passes them on need not know.
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

/// A field that was given.
pub(crate) struct Field<'a, 'p> {
    pub(super) value: Value<'a>,
    pub(super) path: Path<'p>,
    pub(super) report: &'p Report,
}

impl<'a> Field<'a, '_> {
    /// Says that something is wrong with it.
    pub(crate) fn problem(&self, what: &str) {
        self.report.problem(self.path.problem(what, self.value.place()));
    }

    /// Says that it was left out, and that this is harmless.
    pub(crate) fn leave_out(&self, what: &str) {
        self.report.unsupported(self.path.problem(what, self.value.place()));
    }

    fn not_a<T>(&self, expected: &str) -> Option<T> {
        match self.value {
            Value::Wire(_) => {
                self.problem(&format!("has another type on the wire than {expected}"))
            }
            Value::Text(tree) => {
                self.problem(&format!("is {}; {expected} is expected", tree.is_a()));
            }
        }
        None
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::Wire(Wire::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Some(text),
                Err(_) => {
                    self.problem("is not UTF-8");
                    None
                }
            },
            Value::Text(Tree { shape: Shape::Text(text), .. }) => Some(text),
            _ => self.not_a("a text"),
        }
    }

    /// `bytes`: base64 (standard or URL-safe) in text.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match self.value {
            Value::Wire(Wire::Bytes(bytes)) => Some(bytes.to_vec()),
            Value::Text(Tree { shape: Shape::Text(text), .. }) => {
                use base64::engine::general_purpose::{STANDARD, URL_SAFE};
                let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
                bytes.map_err(|_| self.problem("is not base64")).ok()
            }
            _ => self.not_a("bytes"),
        }
    }

    pub(crate) fn bool(self) -> Option<bool> {
        match self.value {
            Value::Wire(Wire::Varint(value)) => Some(value != 0),
            Value::Text(Tree { shape: Shape::Bool(value), .. }) => Some(*value),
            _ => self.not_a("true or false"),
        }
    }

    /// An integer of any width; text may hold it in quotes.
    pub(crate) fn integer(&self) -> Option<i128> {
        match self.value {
            Value::Wire(Wire::Varint(value)) => Some((value as i64).into()),
            Value::Text(tree) => match &tree.shape {
                Shape::Integer(value) => Some(*value),
                Shape::Float(value) if value.fract() == 0.0 => Some(*value as i128),
                Shape::Text(text) => {
                    text.parse().map_err(|_| self.problem("is not an integer")).ok()
                }
                _ => self.not_a("an integer"),
            },
            Value::Wire(_) => self.not_a("an integer"),
        }
    }

    pub(crate) fn u32(self) -> Option<u32> {
        let value = self.integer()?;
        u32::try_from(value).map_err(|_| self.problem("is not within 0 and 4294967295")).ok()
    }

    pub(crate) fn i64(self) -> Option<i64> {
        let value = self.integer()?;
        i64::try_from(value).map_err(|_| self.problem("does not fit 64 bits")).ok()
    }

    /// A TCP port other than zero.
    pub(crate) fn port(self) -> Option<u16> {
        let value = self.integer()?;
        match u16::try_from(value) {
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.problem("is not a port; 1 to 65535 are");
                None
            }
        }
    }

    pub(crate) fn double(self) -> Option<f64> {
        match self.value {
            Value::Wire(Wire::Fixed64(bits)) => Some(f64::from_bits(bits)),
            Value::Text(tree) => match &tree.shape {
                Shape::Integer(value) => Some(*value as f64),
                Shape::Float(value) => Some(*value),
                Shape::Text(text) => text.parse().map_err(|_| self.problem("is not a number")).ok(),
                _ => self.not_a("a number"),
            },
            Value::Wire(_) => self.not_a("a number"),
        }
    }

    /// Each number of one element of a repeated number.
    pub(super) fn packed(self) -> Vec<u32> {
        let Value::Wire(Wire::Bytes(bytes)) = self.value else {
            return self.u32().into_iter().collect();
        };
        let numbers = wire::packed(bytes).unwrap_or_else(|malformed| {
            self.problem(&malformed.to_string());
            Vec::new()
        });
        numbers.into_iter().map(|number| number as u32).collect()
    }

    /// Each HTTP status of one element of a list.
    pub(crate) fn statuses(self) -> Option<Vec<u16>> {
        let (path, report, place) = (self.path, self.report, self.value.place());
        let status = |number: u32| match u16::try_from(number) {
            Ok(status @ 100..=599) => Some(status),
            _ => {
                let what = format!("{number} is not a status; 100 to 599 are");
                report.problem(path.problem(&what, place));
                None
            }
        };
        Some(self.packed().into_iter().filter_map(status).collect())
    }

    pub(super) fn choice<T: Copy>(self, table: &[(u32, &str, T)]) -> Option<T> {
        let found = match self.value {
            Value::Text(Tree { shape: Shape::Text(text), .. }) => {
                table.iter().find(|(_, name, _)| name == text)
            }
            _ => {
                let number = self.integer()?;
                table.iter().find(|(n, ..)| i128::from(*n) == number)
            }
        };
        if found.is_none() {
            let names: Vec<_> = table.iter().map(|(_, name, _)| *name).collect();
            self.problem(&format!("is not supported; {} are", names.join(", ")));
        }
        found.map(|(.., meaning)| *meaning)
    }

    /// The value of a wrapper message: bare in text, field 1 on the wire.
    pub(crate) fn wrapped<T: Default>(self, read: fn(Self) -> Option<T>) -> Option<T>
    where
        Self: Sized,
    {
        match self.value {
            Value::Text(_) => read(self),
            Value::Wire(Wire::Bytes(bytes)) => {
                let fields = wire::fields(bytes);
                let fields =
                    fields.map_err(|malformed| self.problem(&malformed.to_string())).ok()?;
                match fields.into_iter().rfind(|(number, _)| *number == 1) {
                    Some((_, value)) => read(Self { value: Value::Wire(value), ..self }),
                    None => Some(T::default()),
                }
            }
            Value::Wire(_) => self.not_a("a wrapped value"),
        }
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        match self.value {
            Value::Text(Tree { shape: Shape::Text(text), .. }) => {
                let duration = parse_duration(text);
                if duration.is_none() {
                    self.problem("is not a duration; \"1.5s\" is one");
                }
                duration
            }
            Value::Text(_) => self.not_a("a duration like \"1.5s\""),
            Value::Wire(_) => {
                let (seconds, nanos) = Reader::of(&self)?.read(|r| {
                    let seconds = r.field(1, "seconds").and_then(Field::i64).unwrap_or_default();
                    (seconds, r.field(2, "nanos").and_then(Field::i64).unwrap_or_default())
                });
                let seconds = u64::try_from(seconds).ok();
                let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
                let duration = seconds.zip(nanos).map(|(secs, nanos)| Duration::new(secs, nanos));
                if duration.is_none() {
                    self.problem("is not a duration of zero or more");
                }
                duration
            }
        }
    }

    pub(crate) fn message<T>(self, decode: impl FnOnce(&mut Reader<'a, '_>) -> T) -> Option<T> {
        Some(Reader::of(&self)?.read(decode))
    }

    /// `google.protobuf.Any`; `decode` gets the message's full name.
    pub(crate) fn any<T>(self, decode: impl FnOnce(&str, &mut Reader<'a, '_>) -> T) -> Option<T> {
        let mut reader = Reader::of(&self)?;
        let (url, mut inner) = match self.value {
            Value::Text(tree) => {
                let url = reader.field(0, "@type").and_then(|field| field.text());
                let mut inner = Reader::text(tree, self.path, self.report);
                inner.take(0, "@type");
                (url, inner)
            }
            Value::Wire(_) => {
                let url = reader.field(1, "type_url").and_then(|field| field.text());
                let value = match reader.take(2, "value").pop() {
                    Some(Value::Wire(Wire::Bytes(bytes))) => bytes,
                    _ => &[],
                };
                (url, Reader::wire(value, self.path, self.report))
            }
        };
        let Some(url) = url else {
            self.problem("has no @type");
            return None;
        };
        let name = message_name(url);
        if !TYPED_STRUCTS.contains(&name) {
            return Some(inner.read(|r| decode(name, r)));
        }
        // What is inside can only be skipped: `value` is a field that decoders do not ask for.
        let url = inner.field(1, "type_url").and_then(|field| field.text()).unwrap_or_default();
        Some(inner.read(|r| decode(message_name(url), r)))
    }

    pub(crate) fn structure(self) -> Map<String, Json> {
        match self.value {
            Value::Text(tree) => match tree.to_json() {
                Json::Object(fields) => fields,
                _ => self.not_a("a mapping").unwrap_or_default(),
            },
            Value::Wire(_) => match Reader::of(&self) {
                Some(reader) => reader.read(|r| structure(r, 0)),
                None => Map::new(),
            },
        }
    }
}

impl<'a, 'p> Reader<'a, 'p> {
    fn of(field: &Field<'a, 'p>) -> Option<Self> {
        match field.value {
            Value::Wire(Wire::Bytes(bytes)) => Some(Self::wire(bytes, field.path, field.report)),
            Value::Text(tree) => Some(Self::text(tree, field.path, field.report)),
            Value::Wire(_) => field.not_a("a message"),
        }
    }
}

fn structure(r: &mut Reader<'_, '_>, depth: usize) -> Map<String, Json> {
    let entries = r.entries(1, "fields", |key, field| {
        let value = field.message(|r| struct_value(r, depth))?;
        Some((key.to_owned(), value))
    });
    entries.into_iter().collect()
}

fn struct_value(r: &mut Reader<'_, '_>, depth: usize) -> Json {
    if depth > STRUCT_DEPTH {
        r.problem("is nested too deeply");
        r.skip();
        return Json::Null;
    }
    r.take(1, "null_value");
    if let Some(number) = r.field(2, "number_value").and_then(Field::double) {
        // Integers come back as such: every number on the wire is a double.
        let whole = number.fract() == 0.0 && number.abs() < 9e15;
        return if whole { Json::from(number as i64) } else { Json::from(number) };
    }
    if let Some(text) = r.field(3, "string_value").and_then(|field| field.text()) {
        return Json::from(text);
    }
    if let Some(value) = r.field(4, "bool_value").and_then(Field::bool) {
        return Json::from(value);
    }
    if let Some(fields) = r.message(5, "struct_value", |r| structure(r, depth + 1)) {
        return Json::Object(fields);
    }
    let list =
        r.message(6, "list_value", |r| r.messages(1, "values", |r| struct_value(r, depth + 1)));
    list.map_or(Json::Null, Json::Array)
}

/// The part of a type URL behind the host.
fn message_name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// `1.5s`: decimal seconds, at most nine digits behind the point.
fn parse_duration(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 || number.is_empty() {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    Some(Duration::new(seconds, nanos))
}
