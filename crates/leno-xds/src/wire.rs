//! The protobuf wire format: fields out of bytes, bytes out of fields.
//!
//! Only what Envoy's resources need: varints, fixed numbers, length-delimited values, no groups. The writer leaves out
//! proto3's defaults and writes fields in the order it is called, so equal values give equal bytes.

use std::time::Duration;

use serde_json::{Map, Value};

/// One field's value as it is on the wire, borrowed from the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the message ends inside a field")]
    Truncated,
    #[error("a number is longer than 64 bits")]
    LongVarint,
    #[error("wire type {0} is not used by proto3")]
    WireType(u8),
    #[error("field number {0} is out of range")]
    Number(u64),
}

/// Every field of a message, in order.
pub(crate) fn fields(mut bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, Malformed> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let Ok(number @ 1..=0x1fff_ffff) = u32::try_from(key >> 3) else {
            return Err(Malformed::Number(key >> 3));
        };
        let wire = match (key & 7) as u8 {
            0 => Wire::Varint(varint(&mut bytes)?),
            1 => Wire::Fixed64(u64::from_le_bytes(array(&mut bytes)?)),
            2 => {
                let length = varint(&mut bytes)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                Wire::Bytes(split(&mut bytes, length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(array(&mut bytes)?)),
            other => return Err(Malformed::WireType(other)),
        };
        fields.push((number, wire));
    }
    Ok(fields)
}

/// The numbers of a packed field.
pub(crate) fn packed(mut bytes: &[u8]) -> Result<Vec<u64>, Malformed> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(varint(&mut bytes)?);
    }
    Ok(numbers)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return Err(Malformed::LongVarint);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed::LongVarint)
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (head, rest) = bytes.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *bytes = rest;
    Ok(head)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
    *bytes = rest;
    Ok(*head)
}

/// Builds one message.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// The message `write` fills in.
    pub(crate) fn build(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::default();
        write(&mut writer);
        writer.0
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, number: u32, wire_type: u8) {
        self.raw_varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    /// A length-delimited value, even an empty one (list elements, oneof members).
    pub(crate) fn element(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text; an empty one is the default and not written.
    pub(crate) fn string(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.element(number, text.as_bytes());
        }
    }

    /// Each text of a list.
    pub(crate) fn strings<S: AsRef<str>>(&mut self, number: u32, texts: &[S]) {
        for text in texts {
            self.element(number, text.as_ref().as_bytes());
        }
    }

    /// A number or enum; zero is the default and not written.
    pub(crate) fn number(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.explicit(number, value);
        }
    }

    /// A number, even zero (oneof members).
    pub(crate) fn explicit(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.raw_varint(value);
    }

    /// A bool; `false` is the default and not written.
    pub(crate) fn bool(&mut self, number: u32, value: bool) {
        self.number(number, u64::from(value));
    }

    /// A double; zero is the default and not written.
    pub(crate) fn double(&mut self, number: u32, value: f64) {
        if value != 0.0 {
            self.key(number, 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A message, even an empty one.
    pub(crate) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.element(number, &Self::build(write));
    }

    /// `google.protobuf.UInt32Value`.
    pub(crate) fn wrapped(&mut self, number: u32, value: Option<u32>) {
        if let Some(value) = value {
            self.message(number, |w| w.number(1, value.into()));
        }
    }

    /// `google.protobuf.BoolValue`.
    pub(crate) fn wrapped_bool(&mut self, number: u32, value: bool) {
        self.message(number, |w| w.bool(1, value));
    }

    /// `google.protobuf.Duration`.
    pub(crate) fn duration(&mut self, number: u32, value: Duration) {
        self.message(number, |w| {
            w.number(1, value.as_secs());
            w.number(2, value.subsec_nanos().into());
        });
    }

    /// `google.protobuf.Any`; `name` is the message's full name.
    pub(crate) fn any(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Self)) {
        self.message(number, |w| {
            w.string(1, &format!("type.googleapis.com/{name}"));
            w.element(2, &Self::build(write));
        });
    }

    /// `google.protobuf.Struct`.
    pub(crate) fn structure(&mut self, number: u32, fields: &Map<String, Value>) {
        self.message(number, |w| {
            for (name, value) in fields {
                w.message(1, |w| {
                    w.string(1, name);
                    w.message(2, |w| w.value(value));
                });
            }
        });
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.explicit(1, 0),
            Value::Number(number) => {
                self.key(2, 1);
                self.0.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
            }
            Value::String(text) => self.element(3, text.as_bytes()),
            Value::Bool(value) => self.explicit(4, u64::from(*value)),
            Value::Object(fields) => self.structure(5, fields),
            Value::Array(values) => self.message(6, |w| {
                for value in values {
                    w.message(1, |w| w.value(value));
                }
            }),
        }
    }
}
