//! JSON in a form of its own: its keys and fixed values are JSON already, so that only what an exchange says is written anew.

use super::super::json::{end_string, quote};
use super::super::{Exchange, Fact, Format, Operator, Part};
use super::Wrong;
use crate::config::JsonTemplate;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Each key is JSON already, between the comma before it and the colon behind it.
    Object(Vec<(String, Self)>),
    List(Vec<Self>),
    /// JSON that depends on nothing.
    Fixed(String),
    One(One),
    Mixed(Format),
}

impl Node {
    /// Gives the headers that it asks for their numbers.
    pub(super) fn number(&mut self, number: &impl Fn(&str) -> u8) {
        match self {
            Self::Object(fields) => fields.iter_mut().for_each(|(_, node)| node.number(number)),
            Self::List(nodes) => nodes.iter_mut().for_each(|node| node.number(number)),
            Self::One(one) => one.operator.number(number),
            Self::Mixed(format) => format.number(number),
            Self::Fixed(_) => {}
        }
    }
}

/// One operator alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct One {
    pub(super) operator: Operator,
    pub(super) length_max: Option<usize>,
    pub(super) form: Form,
}

/// What becomes of an operator's value in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    /// A string of which no byte needs an escape, whatever the exchange.
    Clean,
    Text,
}

impl Form {
    fn of(operator: &Operator, length_max: Option<usize>) -> Self {
        match operator {
            Operator::Fact(fact) if fact.is_number() && length_max.is_none() => Self::Number,
            Operator::Fact(fact) if fact.is_clean() => Self::Clean,
            Operator::StartTime(format) if format.is_clean() => Self::Clean,
            _ => Self::Text,
        }
    }
}

/// Compiles what is at `at` of the form; what is `wrong` is told with its place.
pub(super) fn node(template: &JsonTemplate, at: &mut String, wrong: &mut Vec<Wrong>) -> Node {
    let length = at.len();
    match template {
        JsonTemplate::Object(fields) => {
            let field = |(key, value): (&String, &JsonTemplate)| {
                at.push('.');
                at.push_str(key);
                let made = node(value, at, wrong);
                at.truncate(length);
                (format!(",{}:", quoted(key.as_bytes())), made)
            };
            Node::Object(fields.iter().map(field).collect())
        }
        JsonTemplate::List(values) => {
            let value = |(index, value): (usize, &JsonTemplate)| {
                at.push_str(&format!("[{index}]"));
                let made = node(value, at, wrong);
                at.truncate(length);
                made
            };
            Node::List(values.iter().enumerate().map(value).collect())
        }
        JsonTemplate::Text(text) => match Format::parse(text) {
            Ok(format) => of_text(format),
            Err(what) => {
                wrong.push((at.clone(), what));
                Node::Fixed(String::new())
            }
        },
        JsonTemplate::Number(number) => Node::Fixed(number.clone()),
        JsonTemplate::Bool(value) => Node::Fixed(value.to_string()),
        JsonTemplate::Null => Node::Fixed("null".to_owned()),
    }
}

fn of_text(format: Format) -> Node {
    if let Some(text) = format.literal() {
        return Node::Fixed(quoted(text.as_bytes()));
    }
    match &*format.parts {
        [Part::Operator(operator, length_max)] => Node::One(One {
            operator: operator.clone(),
            length_max: *length_max,
            form: Form::of(operator, *length_max),
        }),
        _ => Node::Mixed(format),
    }
}

/// Writes one exchange's values into the form.
pub(super) struct Writer<'a, E: ?Sized> {
    pub(super) exchange: &'a E,
    pub(super) omit_empty: bool,
}

impl<E: Exchange + ?Sized> Writer<'_, E> {
    /// Whether the node has a value is said by the answer; `null` is written where it has none.
    pub(super) fn node(&self, node: &Node, out: &mut Vec<u8>) -> bool {
        match node {
            Node::Object(fields) => {
                out.push(b'{');
                let mut is_first = true;
                for (key, value) in fields {
                    let start = out.len();
                    // Without its comma the first one.
                    out.extend_from_slice(&key.as_bytes()[usize::from(is_first)..]);
                    // Nearly all are operators: without the way through here for each.
                    let has_value = match value {
                        Node::One(one) => self.one(one, out),
                        value => self.node(value, out),
                    };
                    if !has_value && self.omit_empty {
                        out.truncate(start);
                    } else {
                        is_first = false;
                    }
                }
                out.push(b'}');
            }
            Node::List(values) => {
                out.push(b'[');
                let mut is_first = true;
                for value in values {
                    let start = out.len();
                    if !is_first {
                        out.push(b',');
                    }
                    if !self.node(value, out) && self.omit_empty {
                        out.truncate(start);
                    } else {
                        is_first = false;
                    }
                }
                out.push(b']');
            }
            Node::Fixed(json) => out.extend_from_slice(json.as_bytes()),
            Node::One(one) => return self.one(one, out),
            Node::Mixed(format) => {
                let missing: &[u8] = if self.omit_empty { b"" } else { b"-" };
                out.push(b'"');
                let start = out.len();
                format.write_or(self.exchange, missing, out);
                end_string(start, out);
            }
        }
        true
    }

    /// Written where it stays: a value that has to be escaped is the exception.
    fn one(&self, one: &One, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        if one.form != Form::Number {
            out.push(b'"');
        }
        let start = out.len();
        self.exchange.write(&one.operator, out);
        if let Some(max) = one.length_max {
            out.truncate(start + max);
        }
        if out.len() == start {
            out.truncate(before);
            out.extend_from_slice(b"null");
            return false;
        }
        match one.form {
            Form::Number => {}
            Form::Clean => out.push(b'"'),
            Form::Text => end_string(start, out),
        }
        true
    }
}

impl Fact {
    /// Whether JSON has it as a number.
    fn is_number(self) -> bool {
        matches!(
            self,
            Self::ResponseCode
                | Self::BytesReceived
                | Self::BytesSent
                | Self::Duration
                | Self::ResponseDuration
                | Self::ResponseTxDuration
                | Self::GrpcStatusNumber
                | Self::UpstreamRemotePort
                | Self::UpstreamLocalPort
                | Self::DownstreamRemotePort
                | Self::DownstreamLocalPort
                | Self::DownstreamDirectRemotePort
                | Self::UpstreamRequestAttemptCount
        )
    }

    /// Whether its text is of letters, digits and such punctuation as JSON takes as it is.
    fn is_clean(self) -> bool {
        self.is_number()
            || matches!(
                self,
                Self::Protocol
                    | Self::ResponseFlags
                    | Self::ResponseFlagsLong
                    | Self::TraceId
                    | Self::UpstreamProtocol
                    | Self::AccessLogType
                    | Self::GrpcStatus
                    | Self::GrpcStatusSnake
                    | Self::UpstreamRemoteAddressWithoutPort
                    | Self::UpstreamLocalAddressWithoutPort
                    | Self::UpstreamHost
                    | Self::UpstreamLocalAddress
                    | Self::UpstreamRemoteAddress
                    | Self::DownstreamRemoteAddress
                    | Self::DownstreamRemoteAddressWithoutPort
                    | Self::DownstreamDirectRemoteAddress
                    | Self::DownstreamDirectRemoteAddressWithoutPort
                    | Self::DownstreamLocalAddress
                    | Self::DownstreamLocalAddressWithoutPort
            )
    }
}

fn quoted(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote(text, &mut out);
    String::from_utf8(out).expect("quote writes UTF-8")
}
