//! Lines of an access log in a form the configuration gives (Envoy's `SubstitutionFormatString`): a text, or JSON.
//!
//! A value that an exchange does not have is `-` in a text and `null` in JSON; with `omit_empty` it is nothing, and a
//! key or an element of JSON is left out. A value of JSON that is one operator alone keeps its type.

use super::json::{end_string, quote};
use super::{Exchange, Fact, Format, Operator, Part};
use crate::config::{JsonTemplate, LogFormat};

/// A compiled form.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Text { format: Format, missing: &'static str },
    Json { root: Node, omit_empty: bool },
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// Each key is JSON already, between the comma before it and the colon behind it.
    Object(Vec<(String, Self)>),
    List(Vec<Self>),
    /// JSON that depends on nothing.
    Fixed(String),
    One(One),
    Mixed(Format),
}

/// One operator alone.
#[derive(Clone, Debug, PartialEq)]
struct One {
    operator: Operator,
    length_max: Option<usize>,
    form: Form,
}

/// What becomes of an operator's value in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
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
            _ => Self::Text,
        }
    }
}

/// What is wrong with a form: where in it (`.a.b[0]`, empty for a text), and in words that continue that.
pub type Wrong = (String, String);

impl LogLine {
    /// Compiles; `None` stands for the form of [`LogFormat::Default`], which is not written by this.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(format: &LogFormat) -> Result<Option<Self>, Vec<Wrong>> {
        match format {
            LogFormat::Default => Ok(None),
            LogFormat::Text { text, omit_empty } => match Format::parse(text) {
                Ok(format) => {
                    let missing = if *omit_empty { "" } else { "-" };
                    Ok(Some(Self(Shape::Text { format, missing })))
                }
                Err(what) => Err(vec![(String::new(), what)]),
            },
            LogFormat::Json { fields, omit_empty } => {
                let mut wrong = Vec::new();
                let root = node(fields, &mut String::new(), &mut wrong);
                if !wrong.is_empty() {
                    return Err(wrong);
                }
                Ok(Some(Self(Shape::Json { root, omit_empty: *omit_empty })))
            }
        }
    }

    /// Appends the line of one exchange; JSON ends with a line feed, a text as it says itself.
    pub fn write(&self, exchange: &(impl Exchange + ?Sized), out: &mut Vec<u8>) {
        match &self.0 {
            Shape::Text { format, missing } => format.write_or(exchange, missing.as_bytes(), out),
            Shape::Json { root, omit_empty } => {
                JsonWriter { exchange, omit_empty: *omit_empty }.node(root, out);
                out.push(b'\n');
            }
        }
    }
}

fn node(template: &JsonTemplate, at: &mut String, wrong: &mut Vec<Wrong>) -> Node {
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

struct JsonWriter<'a, E: ?Sized> {
    exchange: &'a E,
    omit_empty: bool,
}

impl<E: Exchange + ?Sized> JsonWriter<'_, E> {
    /// Whether the node has a value is said by the answer; `null` is written where it has none.
    fn node(&self, node: &Node, out: &mut Vec<u8>) -> bool {
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
                | Self::DownstreamRemotePort
                | Self::DownstreamLocalPort
        )
    }

    /// Whether its text is of letters, digits and such punctuation as JSON takes as it is.
    fn is_clean(self) -> bool {
        self.is_number()
            || matches!(
                self,
                Self::Protocol
                    | Self::ResponseFlags
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// 200, `x: "v"`, and nothing else.
    struct One;

    impl Exchange for One {
        fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
            match operator {
                Operator::Fact(Fact::ResponseCode) => out.extend_from_slice(b"200"),
                Operator::Request(header)
                    if &*header.name == "x" || header.or.as_deref() == Some("x") =>
                {
                    out.extend_from_slice(b"\"v\"");
                }
                _ => {}
            }
        }
    }

    fn text(text: &str) -> JsonTemplate {
        JsonTemplate::Text(text.to_owned())
    }

    fn object<const N: usize>(fields: [(&str, JsonTemplate); N]) -> JsonTemplate {
        let owned = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
        JsonTemplate::Object(owned.collect::<BTreeMap<_, _>>())
    }

    fn line(format: &LogFormat) -> String {
        let mut out = Vec::new();
        LogLine::compile(format).unwrap().unwrap().write(&One, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_has_a_dash_for_what_is_missing() {
        // (text, as it is, with nothing for nothing)
        let table = [
            ("%RESPONSE_CODE% %REQ(y)%\n", "200 -\n", "200 \n"),
            ("[%REQ(y?x)%] 100%%", "[\"v\"] 100%", "[\"v\"] 100%"),
            ("%REQ(x):2%|%ROUTE_NAME%", "\"v|-", "\"v|"),
            ("", "", ""),
        ];
        for (written, kept, omitted) in table {
            for (omit_empty, expected) in [(false, kept), (true, omitted)] {
                let format = LogFormat::Text { text: written.to_owned(), omit_empty };
                assert_eq!(line(&format), expected, "{written} {omit_empty}");
            }
        }
    }

    #[test]
    fn json_keeps_types_and_says_null_for_what_is_missing() {
        let list = JsonTemplate::List(vec![text("%REQ(y)%"), JsonTemplate::Bool(true)]);
        let fields = object([
            ("code", text("%RESPONSE_CODE%")),
            ("mixed", text("%RESPONSE_CODE%/%REQ(y)%")),
            ("none", text("%REQ(y)%")),
            ("\"", object([("x", text("%REQ(x)%")), ("cut", text("%RESPONSE_CODE:1%"))])),
            ("list", list),
            ("one", JsonTemplate::Number("1.5".to_owned())),
            ("zero", JsonTemplate::Null),
        ]);
        let format = |omit_empty| LogFormat::Json { fields: fields.clone(), omit_empty };
        let whole = r#"{"\"":{"cut":"2","x":"\"v\""},"code":200,"list":[null,true],"mixed":"200/-","none":null,"one":1.5,"zero":null}"#;
        assert_eq!(line(&format(false)), format!("{whole}\n"));
        let short = whole.replace("200/-", "200/").replace(",\"none\":null", "");
        let short = short.replace("[null,true]", "[true]");
        assert_eq!(line(&format(true)), format!("{short}\n"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let fields = object([
            ("a", text("%NO_SUCH%")),
            ("b", object([("c", JsonTemplate::List(vec![text("ok"), text("%REQ%")]))])),
        ]);
        let wrong = LogLine::compile(&LogFormat::Json { fields, omit_empty: false }).unwrap_err();
        let places: Vec<&str> = wrong.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(places, [".a", ".b.c[1]"]);
        assert!(wrong[0].1.contains("\"%NO_SUCH%\", which is not known here"), "{wrong:?}");
        let text = LogFormat::Text { text: "%".to_owned(), omit_empty: false };
        assert_eq!(LogLine::compile(&text).unwrap_err()[0].0, "");
        assert_eq!(LogLine::compile(&LogFormat::Default), Ok(None));
    }
}
