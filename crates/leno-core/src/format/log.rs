//! Lines of an access log in a form the configuration gives (Envoy's `SubstitutionFormatString`): a text, or JSON.
//!
//! A value that an exchange does not have is `-` in a text and `null` in JSON; with `omit_empty` it is nothing, and a
//! key or an element of JSON is left out. A value of JSON that is one operator alone keeps its type.

mod flat;
mod template;

use self::flat::Flat;
use self::template::{Node, Writer, node};
use super::{Exchange, Format};
use crate::config::LogFormat;

/// A compiled form.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine(Shape);

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Text { format: Format, missing: &'static str },
    Json { root: Node, omit_empty: bool },
    Flat { root: Flat, omit_empty: bool },
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
                let omit_empty = *omit_empty;
                Ok(Some(Self(match Flat::of(&root) {
                    Some(root) => Shape::Flat { root, omit_empty },
                    None => Shape::Json { root, omit_empty },
                })))
            }
        }
    }

    /// Gives the headers that it asks for the numbers that the exchanges know their names by.
    pub fn number(&mut self, number: impl Fn(&str) -> u8) {
        match &mut self.0 {
            Shape::Text { format, .. } => format.number(&number),
            Shape::Json { root, .. } => root.number(&number),
            Shape::Flat { root, .. } => root.number(&number),
        }
    }

    /// Appends the line of one exchange; JSON ends with a line feed, a text as it says itself.
    pub fn write(&self, exchange: &(impl Exchange + ?Sized), out: &mut Vec<u8>) {
        match &self.0 {
            Shape::Text { format, missing } => format.write_or(exchange, missing.as_bytes(), out),
            Shape::Json { root, omit_empty } => {
                Writer { exchange, omit_empty: *omit_empty }.node(root, out);
                out.push(b'\n');
            }
            Shape::Flat { root, omit_empty } => root.write(exchange, *omit_empty, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Fact, Operator};
    use super::*;
    use crate::config::JsonTemplate;

    /// 200, `x: "v"`, and nothing else.
    struct One;

    impl Exchange for One {
        fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
            match operator {
                Operator::Fact(Fact::ResponseCode) => out.extend_from_slice(b"200"),
                Operator::Request(header)
                    if std::iter::once(&header.first)
                        .chain(&header.or)
                        .any(|h| &*h.name == "x") =>
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
