//! Fields by number and name as values of a type: what decoders ask for most.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::{Field, Reader, TextChoice};

impl<'a> Reader<'a, '_> {
    /// A text, empty if absent.
    pub(crate) fn string(&mut self, number: u32, name: &str) -> String {
        self.optional_string(number, name).unwrap_or_default()
    }

    /// A text that may not be empty.
    pub(crate) fn required_string(&mut self, number: u32, name: &str) -> String {
        self.optional_string(number, name).unwrap_or_else(|| {
            self.problem_at(name, "is missing");
            String::new()
        })
    }

    /// A text, where an empty one is as good as none.
    pub(crate) fn optional_string(&mut self, number: u32, name: &str) -> Option<String> {
        let text = self.field(number, name)?.text()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The texts of a oneof that are given, empty ones included.
    pub(crate) fn texts<T>(&mut self, table: &[TextChoice<T>]) -> Vec<T> {
        let mut found = Vec::new();
        for (number, name, make) in table {
            let text = self.field(*number, name).and_then(|field| field.text());
            found.extend(text.map(|text| make(text.to_owned())));
        }
        found
    }

    /// A list of texts.
    pub(crate) fn strings(&mut self, number: u32, name: &str) -> Vec<String> {
        self.each(number, name, |field| field.text().map(str::to_owned))
    }

    /// A bool, `false` if absent.
    pub(crate) fn bool(&mut self, number: u32, name: &str) -> bool {
        self.field(number, name).and_then(Field::bool).unwrap_or_default()
    }

    /// `google.protobuf.BoolValue`.
    pub(crate) fn wrapped_bool(&mut self, number: u32, name: &str) -> Option<bool> {
        self.field(number, name)?.wrapped(Field::bool)
    }

    /// A number, zero if absent.
    pub(crate) fn u32(&mut self, number: u32, name: &str) -> u32 {
        self.field(number, name).and_then(Field::u32).unwrap_or_default()
    }

    /// `google.protobuf.UInt32Value`.
    pub(crate) fn wrapped_u32(&mut self, number: u32, name: &str) -> Option<u32> {
        self.field(number, name)?.wrapped(Field::u32)
    }

    /// An enum by its `(number, name, meaning)` table; a value outside of it is a problem.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        number: u32,
        name: &str,
        table: &[(u32, &str, T)],
    ) -> Option<T> {
        self.field(number, name)?.choice(table)
    }

    /// `google.protobuf.Duration`.
    pub(crate) fn duration(&mut self, number: u32, name: &str) -> Option<Duration> {
        self.field(number, name)?.duration()
    }

    /// A message.
    pub(crate) fn message<T>(
        &mut self,
        number: u32,
        name: &str,
        decode: impl FnOnce(&mut Reader<'a, '_>) -> T,
    ) -> Option<T> {
        self.field(number, name)?.message(decode)
    }

    /// A list of messages.
    pub(crate) fn messages<T>(
        &mut self,
        number: u32,
        name: &str,
        mut decode: impl FnMut(&mut Reader<'a, '_>) -> T,
    ) -> Vec<T> {
        self.each(number, name, |field| field.message(&mut decode))
    }

    /// `google.protobuf.Any`; `decode` gets the message's full name.
    pub(crate) fn any<T>(
        &mut self,
        number: u32,
        name: &str,
        decode: impl FnOnce(&str, &mut Reader<'a, '_>) -> T,
    ) -> Option<T> {
        self.field(number, name)?.any(decode)
    }

    /// `google.protobuf.Struct`.
    pub(crate) fn structure(&mut self, number: u32, name: &str) -> Map<String, Json> {
        self.field(number, name).map(Field::structure).unwrap_or_default()
    }
}
