//! An object of JSON whose values are one operator or nothing variable each, as nearly every log has it: a list of pieces, each
//! with all that stands before the value that follows it.

use super::super::line::{Line, Piece};
use super::super::{Exchange, Operator, Value};
use super::template::{Form, Node, One};

/// The compiled object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat(Box<[Step]>);

#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// Comma, key, colon and the quotation mark that begins a string; of what is fixed the value too.
    lead: Piece,
    value: Option<One>,
}

impl Flat {
    /// The object, if it is of that kind.
    pub(super) fn of(root: &Node) -> Option<Self> {
        let Node::Object(fields) = root else { return None };
        let step = |(key, value): &(String, Node)| match value {
            Node::Fixed(json) => {
                Some(Step { lead: Piece::new(format!("{key}{json}").as_bytes()), value: None })
            }
            Node::One(one) => {
                let quote = if one.form == Form::Number { "" } else { "\"" };
                let lead = Piece::new(format!("{key}{quote}").as_bytes());
                Some(Step { lead, value: Some(one.clone()) })
            }
            Node::Object(_) | Node::List(_) | Node::Mixed(_) => None,
        };
        fields.iter().map(step).collect::<Option<_>>().map(Self)
    }

    /// Gives the headers that it asks for their numbers.
    pub(super) fn number(&mut self, number: &impl Fn(&str) -> u8) {
        for one in self.0.iter_mut().filter_map(|step| step.value.as_mut()) {
            one.operator.number(number);
        }
    }

    /// Appends one exchange's line.
    pub(super) fn write<E: Exchange + ?Sized>(
        &self,
        exchange: &E,
        omit_empty: bool,
        out: &mut Vec<u8>,
    ) {
        let mut line = Line::new(out);
        let start = line.at();
        for step in &self.0 {
            let before = line.at();
            line.piece(&step.lead);
            let Some(one) = &step.value else { continue };
            let value_start = line.at();
            one.append(exchange, &mut line);
            match one.form {
                _ if line.at() == value_start && omit_empty => line.back_to(before),
                Form::Number if line.at() == value_start => line.null(),
                Form::Clean | Form::Text if line.at() == value_start => {
                    line.back_to(value_start - 1);
                    line.null();
                }
                Form::Number => {}
                Form::Clean | Form::Text => line.byte(b'"'),
            }
        }
        if line.at() == start {
            line.byte(b'{');
        } else {
            // Instead of the comma before the first key, whichever that is.
            line.set(start, b'{');
        }
        line.byte(b'}');
        line.byte(b'\n');
    }
}

impl One {
    /// The value as it stands between quotation marks, if it has them; nothing where there is none.
    #[inline]
    fn append<E: Exchange + ?Sized>(&self, exchange: &E, line: &mut Line<'_>) {
        if self.length_max.is_some() {
            return self.append_written(exchange, line);
        }
        match exchange.value(&self.operator) {
            Value::Nothing => {}
            Value::Text(text) => line.string(text),
            Value::Number(number) => line.number(number),
            Value::Address(address) => line.address(address),
            Value::Time(at) => match &self.operator {
                Operator::StartTime(format) if self.form == Form::Clean => {
                    format.write_to(at, line);
                }
                _ => self.append_written(exchange, line),
            },
            Value::Written => self.append_written(exchange, line),
        }
    }

    /// The same of what the exchange writes by itself, or what is cut.
    #[inline(never)]
    fn append_written<E: Exchange + ?Sized>(&self, exchange: &E, line: &mut Line<'_>) {
        let start = line.at();
        line.appended(|out| {
            exchange.write(&self.operator, out);
            if let Some(max) = self.length_max {
                out.truncate(start + max);
            }
        });
        if self.form == Form::Text {
            line.escape_from(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::super::super::{Fact, address, decimal};
    use super::super::template::{Writer, node};
    use super::*;
    use crate::config::JsonTemplate;

    const OPERATORS: [&str; 10] = [
        "%REQ(:METHOD)%",
        "%REQ(A?B):5%",
        "%RESPONSE_CODE%",
        "%BYTES_SENT:2%",
        "%UPSTREAM_HOST%",
        "%START_TIME%",
        "%START_TIME(%s \"%3f)%",
        "%ROUTE_NAME%",
        "fixed \"",
        "",
    ];

    /// Says the same whichever way it is asked.
    #[derive(Debug)]
    struct Said {
        text: Option<Vec<u8>>,
        number: Option<u64>,
        address: Option<SocketAddr>,
        at: SystemTime,
        is_asked_for_values: bool,
    }

    impl Exchange for Said {
        fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
            match operator {
                Operator::StartTime(format) => format.write(self.at, out),
                Operator::Fact(Fact::ResponseCode | Fact::BytesSent) => {
                    self.number.iter().for_each(|number| decimal(*number, out));
                }
                Operator::Fact(Fact::UpstreamHost) => {
                    self.address.iter().for_each(|said| address(*said, out));
                }
                _ => out.extend_from_slice(self.text.as_deref().unwrap_or_default()),
            }
        }

        fn value<'v>(&'v self, operator: &'v Operator) -> Value<'v> {
            match operator {
                _ if !self.is_asked_for_values => Value::Written,
                Operator::StartTime(_) => Value::Time(self.at),
                Operator::Fact(Fact::ResponseCode | Fact::BytesSent) => {
                    self.number.map_or(Value::Nothing, Value::Number)
                }
                Operator::Fact(Fact::UpstreamHost) => {
                    self.address.map_or(Value::Nothing, Value::Address)
                }
                _ => Value::Text(self.text.as_deref().unwrap_or_default()),
            }
        }
    }

    proptest! {
        #[test]
        fn a_flat_object_is_written_like_any_other(
            picked in proptest::collection::vec(0..OPERATORS.len(), 0..12),
            text: Option<Vec<u8>>, number: Option<u64>, address: Option<SocketAddr>,
            milliseconds in 0..4_000_000_000_000_u64,
            omit_empty: bool, is_asked_for_values: bool,
        ) {
            let field = |(at, &which): (usize, &usize)| {
                (format!("key {at} \\"), JsonTemplate::Text(OPERATORS[which].to_owned()))
            };
            let template = JsonTemplate::Object(picked.iter().enumerate().map(field).collect());
            let root = node(&template, &mut String::new(), &mut Vec::new());
            let at = UNIX_EPOCH + Duration::from_millis(milliseconds);
            let exchange = Said { text, number, address, at, is_asked_for_values };
            let mut expected = b"before".to_vec();
            Writer { exchange: &exchange, omit_empty }.node(&root, &mut expected);
            expected.push(b'\n');
            let mut out = b"before".to_vec();
            Flat::of(&root).unwrap().write(&exchange, omit_empty, &mut out);
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        }
    }
}
