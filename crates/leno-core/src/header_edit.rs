//! Header edits: checked once, applied in Envoy's order.

use crate::config::{HeaderEdit, HeaderMutations};
use crate::format::{Exchange, Format};
use crate::problem::{ProblemKind, Report};

/// Headers that can be edited, of an exchange that can be asked; `leno-proxy` implements it over its heads. Names are
/// lower case.
pub trait HeadersMut: Exchange {
    /// Whether there is at least one value.
    fn contains(&self, name: &str) -> bool;
    /// Drop every value.
    fn remove(&mut self, name: &str);
    /// Add a value after those that are there.
    fn append(&mut self, name: &str, value: &[u8]);
    /// Replace every value by this one.
    fn set(&mut self, name: &str, value: &[u8]);
}

/// The edits of one level (weighted cluster, route, virtual host or route configuration) in one direction.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits(Option<Box<Lists>>);

#[derive(Clone, Debug)]
struct Lists {
    remove: Box<[Box<str>]>,
    edits: Box<[Edit]>,
}

#[derive(Clone, Debug)]
struct Edit {
    name: Box<str>,
    value: Value,
    action: HeaderEdit,
}

#[derive(Clone, Debug)]
enum Value {
    Text(Box<str>),
    /// Filled in per exchange; where that gives nothing, nothing is edited.
    Format(Format),
}

impl HeaderEdits {
    pub(crate) fn compile(config: &HeaderMutations, report: &mut Report) -> Self {
        let mut remove = Vec::with_capacity(config.remove.len());
        for (i, name) in config.remove.iter().enumerate() {
            report.within(format_args!(".remove[{i}]"), |report| {
                check_name(name, report);
            });
            remove.push(name.to_ascii_lowercase().into());
        }
        let mut edits = Vec::with_capacity(config.edits.len());
        for (i, edit) in config.edits.iter().enumerate() {
            report.within(format_args!(".edits[{i}]"), |report| {
                check_name(&edit.name, report);
                let value = compile_value(&edit.value, report);
                let name = edit.name.to_ascii_lowercase().into();
                edits.push(Edit { name, value, action: edit.edit });
            });
        }
        let lists = Lists { remove: remove.into(), edits: edits.into() };
        Self((!config.is_empty()).then(|| Box::new(lists)))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Removals first, then the edits as listed.
    pub fn apply(&self, headers: &mut impl HeadersMut) {
        let Some(lists) = &self.0 else { return };
        for name in &lists.remove {
            headers.remove(name);
        }
        // All operators of a level see the headers as they were before its edits, as in Envoy.
        let mut filled = lists.fill(headers).into_iter();
        for Edit { name, value, action } in &lists.edits {
            let filled = match value {
                Value::Text(_) => Vec::new(),
                Value::Format(_) => filled.next().unwrap_or_default(),
            };
            let value = match value {
                Value::Text(text) => text.as_bytes(),
                Value::Format(_) if filled.is_empty() => continue,
                Value::Format(_) => &filled,
            };
            match action {
                HeaderEdit::Append => headers.append(name, value),
                HeaderEdit::AddIfAbsent if headers.contains(name) => {}
                HeaderEdit::AddIfAbsent => headers.append(name, value),
                HeaderEdit::Overwrite => headers.set(name, value),
            }
        }
    }
}

impl Lists {
    /// The values with operators, in order. Without any this allocates nothing.
    fn fill(&self, headers: &impl HeadersMut) -> Vec<Vec<u8>> {
        let formats = self.edits.iter().filter_map(|edit| match &edit.value {
            Value::Text(_) => None,
            Value::Format(format) => Some(format),
        });
        let fill = |format: &Format| {
            let mut value = Vec::new();
            format.write(headers, &mut value);
            // What comes from the environment may be anything.
            value.retain(|byte| *byte == b'\t' || !byte.is_ascii_control());
            value
        };
        formats.map(fill).collect()
    }
}

fn check_name(name: &str, report: &mut Report) {
    // Envoy refuses pseudo headers and Host here: they have rewrites of their own.
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        report.problem(ProblemKind::HeaderNotEditable { name: name.to_owned() });
    } else if !is_token(name) {
        report.problem(ProblemKind::InvalidHeaderName { name: name.to_owned() });
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

fn compile_value(value: &str, report: &mut Report) -> Value {
    if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
        report.problem(ProblemKind::InvalidHeaderValue { value: value.to_owned() });
    }
    match Format::parse(value) {
        Ok(format) => match format.literal() {
            Some(text) => Value::Text(text.into()),
            None => Value::Format(format),
        },
        Err(reason) => {
            report.problem(ProblemKind::HeaderOperator { value: value.to_owned(), reason });
            Value::Text(Box::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HeaderMutation;
    use crate::format::Operator;

    #[derive(Default)]
    struct Headers(Vec<(String, String)>);

    impl HeadersMut for Headers {
        fn contains(&self, name: &str) -> bool {
            self.0.iter().any(|(n, _)| n == name)
        }

        fn remove(&mut self, name: &str) {
            self.0.retain(|(n, _)| n != name);
        }

        fn append(&mut self, name: &str, value: &[u8]) {
            self.0.push((name.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
        }

        fn set(&mut self, name: &str, value: &[u8]) {
            self.remove(name);
            self.append(name, value);
        }
    }

    impl Exchange for Headers {
        fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
            let Operator::Request(choice) = operator else { return };
            let found = self.0.iter().find(|(name, _)| *name == *choice.first.name);
            out.extend(found.iter().flat_map(|(_, value)| value.bytes()));
        }
    }

    fn edit(name: &str, value: &str, edit: HeaderEdit) -> HeaderMutation {
        HeaderMutation { name: name.to_owned(), value: value.to_owned(), edit }
    }

    #[test]
    fn removals_come_first_and_edits_keep_their_order() {
        let config = HeaderMutations::new(
            vec!["X-Gone".to_owned()],
            vec![
                edit("x-gone", "back", HeaderEdit::AddIfAbsent),
                edit("X-A", "2", HeaderEdit::Append),
                edit("x-b", "100%%", HeaderEdit::Overwrite),
                edit("x-a", "never", HeaderEdit::AddIfAbsent),
            ],
        );
        let mut report = Report::new(String::new());
        let edits = HeaderEdits::compile(&config, &mut report);
        report.finish(|| ()).unwrap();
        let mut headers = Headers::default();
        for (name, value) in [("x-gone", "1"), ("x-a", "1"), ("x-b", "1"), ("x-b", "2")] {
            headers.append(name, value.as_bytes());
        }
        edits.apply(&mut headers);
        let seen: Vec<String> = headers.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(seen, ["x-a=1", "x-gone=back", "x-a=2", "x-b=100%"]);
    }

    #[test]
    fn operators_see_what_was_there_before_the_level() {
        let config = HeaderMutations::new(
            vec!["x-gone".to_owned()],
            vec![
                edit("x-a", "new", HeaderEdit::Overwrite),
                edit("x-b", "was %REQ(x-a)%", HeaderEdit::Append),
                edit("x-c", "%REQ(x-gone)%%REQ(x-none)%", HeaderEdit::Overwrite),
                edit("x-d", "[%REQ(x-none)%]", HeaderEdit::AddIfAbsent),
            ],
        );
        let mut report = Report::new(String::new());
        let edits = HeaderEdits::compile(&config, &mut report);
        report.finish(|| ()).unwrap();
        let mut headers = Headers::default();
        for (name, value) in [("x-a", b"old"), ("x-gone", b"1st")] {
            headers.append(name, value);
        }
        edits.apply(&mut headers);
        let seen: Vec<String> = headers.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(seen, ["x-a=new", "x-b=was old", "x-d=[]"]);
    }

    #[test]
    fn what_must_not_be_edited_is_a_problem() {
        let table = [
            (":path", "x", "cannot be edited"),
            ("Host", "x", "cannot be edited"),
            ("x y", "x", "not a token"),
            ("", "x", "not a token"),
            ("x-a", "a\r\nb: c", "control character"),
            ("x-a", "%NO_SUCH%", "\"%NO_SUCH%\" has the operator"),
            ("x-a", "50%", "does not end"),
        ];
        for (name, value, expected) in table {
            let config = HeaderMutations::new(vec![], vec![edit(name, value, HeaderEdit::Append)]);
            let mut report = Report::new("r".to_owned());
            HeaderEdits::compile(&config, &mut report);
            let problems = report.finish(|| ()).unwrap_err();
            assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
            assert!(problems[0].at.ends_with(".edits[0]"));
        }
    }
}
