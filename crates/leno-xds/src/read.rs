//! One way to read a message, from the wire and from a file.
//!
//! A decoder asks a [`Reader`] for fields by number (wire) and name (text). What it does not ask for is reported when
//! the message is done, so nothing that was given can vanish silently. Decoders always return a value and report
//! what is wrong on the side: all problems of an input come out at once.

mod field;
mod path;
mod typed;

pub(crate) use field::Field;
pub(crate) use path::Path;

use path::Step;

use crate::problem::{Place, Problem, Report};
use crate::tree::{Key, Shape, Tree};
use crate::wire::{self, Wire};

/// A value before its type is known.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Wire(Wire<'a>),
    Text(&'a Tree),
}

impl Value<'_> {
    fn place(&self) -> Option<Place> {
        match self {
            Self::Wire(_) => None,
            Self::Text(tree) => Some(tree.place),
        }
    }
}

/// One message that is being read.
pub(crate) struct Reader<'a, 'p> {
    slots: Vec<Slot<'a>>,
    path: Path<'p>,
    place: Option<Place>,
    report: &'p Report,
}

struct Slot<'a> {
    name: Name<'a>,
    value: Value<'a>,
    taken: bool,
}

enum Name<'a> {
    Number(u32),
    Key(&'a Key),
}

/// Field numbers and names.
pub(crate) type Names = [(u32, &'static str)];

/// The texts of a oneof: number, name, and what each means.
pub(crate) type TextChoice<T> = (u32, &'static str, fn(String) -> T);

impl<'a, 'p> Reader<'a, 'p> {
    /// Reads a whole message from the wire.
    pub(crate) fn wire(bytes: &'a [u8], path: Path<'p>, report: &'p Report) -> Self {
        let fields = wire::fields(bytes).unwrap_or_else(|malformed| {
            report.problem(path.problem(&malformed.to_string(), None));
            Vec::new()
        });
        let slots = fields.into_iter().map(|(number, value)| Slot {
            name: Name::Number(number),
            value: Value::Wire(value),
            taken: false,
        });
        Self { slots: slots.collect(), path, place: None, report }
    }

    /// Reads a message from a mapping of a document.
    pub(crate) fn text(tree: &'a Tree, path: Path<'p>, report: &'p Report) -> Self {
        let slots = match &tree.shape {
            Shape::Map(entries) => entries
                .iter()
                .filter(|(_, value)| !matches!(value.shape, Shape::Null))
                .map(|(key, value)| Slot {
                    name: Name::Key(key),
                    value: Value::Text(value),
                    taken: false,
                })
                .collect(),
            Shape::Null => Vec::new(),
            _ => {
                let what = format!("is {}; a mapping of fields is expected", tree.is_a());
                report.problem(path.problem(&what, Some(tree.place)));
                Vec::new()
            }
        };
        Self { slots, path, place: Some(tree.place), report }
    }

    /// Reads everything with `decode` and reports what it did not ask for.
    pub(crate) fn read<T>(mut self, decode: impl FnOnce(&mut Self) -> T) -> T {
        let value = decode(&mut self);
        for slot in self.slots.iter().filter(|slot| !slot.taken) {
            if self.report.is_full() {
                self.report.problem(Problem {
                    path: String::new(),
                    what: String::new(),
                    place: None,
                });
                continue;
            }
            let (path, place) = match slot.name {
                Name::Number(number) => (self.path.field(&format!("#{number}")).to_string(), None),
                Name::Key(key) => (self.path.field(&key.name).to_string(), Some(key.place)),
            };
            let what = match slot.name {
                Name::Number(number) => format!("field {number} is not supported"),
                Name::Key(_) => "is not a supported field".to_owned(),
            };
            self.report.problem(Problem { path, what, place });
        }
        value
    }

    /// Says that something is wrong with the message as a whole.
    pub(crate) fn problem(&self, what: &str) {
        self.report.problem(self.path.problem(what, self.place));
    }

    /// Says that something is wrong with a field.
    pub(crate) fn problem_at(&self, name: &str, what: &str) {
        self.report.problem(self.path.field(name).problem(what, self.place));
    }

    /// Says that the message as a whole was left out, and that this is harmless.
    pub(crate) fn leave_out(&mut self, what: &str) {
        self.report.unsupported(self.path.problem(what, self.place));
        self.skip();
    }

    /// Says that a field has no effect here, and that this is harmless.
    pub(crate) fn not_acted_on(&self, name: &str) {
        self.report.unsupported(self.path.field(name).problem("is not acted on", self.place));
    }

    /// Takes every field without looking.
    pub(crate) fn skip(&mut self) {
        for slot in &mut self.slots {
            slot.taken = true;
        }
    }

    /// Fields whose absence here endangers nobody: reported beside the value where they are given.
    pub(crate) fn harmless(&mut self, fields: &Names) {
        for &(number, name) in fields {
            let taken = self.take(number, name);
            if let Some(value) = taken.first() {
                let what = "is not acted on";
                self.report.unsupported(self.path.field(name).problem(what, value.place()));
            }
        }
    }

    fn take(&mut self, number: u32, name: &str) -> Vec<Value<'a>> {
        let mut values = Vec::new();
        for slot in &mut self.slots {
            let same = match slot.name {
                Name::Number(n) => n == number,
                Name::Key(key) => is_name(&key.name, name),
            };
            if same {
                slot.taken = true;
                values.push(slot.value);
            }
        }
        values
    }

    /// A field that is there at most once.
    pub(crate) fn field<'s>(&'s mut self, number: u32, name: &'s str) -> Option<Field<'a, 's>> {
        let values = self.take(number, name);
        let value = *values.last()?;
        let field = Field { value, path: self.path.field(name), report: self.report };
        if values.len() > 1 {
            field.problem("is given twice");
        }
        Some(field)
    }

    /// Every element of a list; those that `decode` refuses are left out (and reported by it).
    pub(crate) fn each<T>(
        &mut self,
        number: u32,
        name: &str,
        mut decode: impl FnMut(Field<'a, '_>) -> Option<T>,
    ) -> Vec<T> {
        let mut values = self.take(number, name);
        if let [Value::Text(tree)] = values[..] {
            match &tree.shape {
                Shape::List(list) => values = list.iter().map(Value::Text).collect(),
                _ => {
                    let what = format!("is {}; a list is expected", tree.is_a());
                    self.report.problem(self.path.field(name).problem(&what, Some(tree.place)));
                    return Vec::new();
                }
            }
        }
        let element = |(index, value)| {
            let path = self.path.step(Step::Index(name, index));
            decode(Field { value, path, report: self.report })
        };
        exactly(values.into_iter().enumerate().filter_map(element))
    }

    /// Every entry of a map; those that `decode` refuses are left out (and reported by it).
    pub(crate) fn entries<T>(
        &mut self,
        number: u32,
        name: &str,
        mut decode: impl FnMut(&str, Field<'a, '_>) -> Option<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        for value in self.take(number, name) {
            let (path, report) = (&self.path, self.report);
            match value {
                Value::Wire(_) => {
                    let path = path.field(name);
                    let entry = Field { value, path, report };
                    let entry = entry.message(|r| {
                        let key = r.string(1, "key");
                        let value = r.take(2, "value").pop();
                        (key, value.unwrap_or(Value::Wire(Wire::Bytes(&[]))))
                    });
                    let Some((key, value)) = entry else { continue };
                    let path = self.path.step(Step::Entry(name, &key));
                    found.extend(decode(&key, Field { value, path, report }));
                }
                Value::Text(Tree { shape: Shape::Map(entries), .. }) => {
                    for (key, tree) in entries {
                        let path = path.step(Step::Entry(name, &key.name));
                        let field = Field { value: Value::Text(tree), path, report };
                        found.extend(decode(&key.name, field));
                    }
                }
                Value::Text(tree) => {
                    let what = format!("is {}; a mapping is expected", tree.is_a());
                    report.problem(path.field(name).problem(&what, Some(tree.place)));
                }
            }
        }
        found
    }
}

/// Collects into a list without room to grow: what is decoded is kept as long as the configuration, and a list that may
/// skip elements begins with room for four.
pub(crate) fn exactly<T>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = values.collect();
    list.shrink_to_fit();
    list
}

/// Whether `key` is the field `name` as written or in lowerCamel.
fn is_name(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut key = key.bytes();
    let mut upper = false;
    for byte in name.bytes() {
        if byte == b'_' {
            upper = true;
            continue;
        }
        let expected = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = false;
        if key.next() != Some(expected) {
            return false;
        }
    }
    key.next().is_none()
}
