//! From a text to its parts.

use super::{Fact, Header, HeaderChoice, Operator, Part, TimeFormat};
use crate::header_edit::is_token;

/// Values of these come from extensions that are not there: they are always empty, whatever is in the parentheses.
const EMPTY: [&str; 4] =
    ["DYNAMIC_METADATA", "FILTER_STATE", "UPSTREAM_METADATA", "CLUSTER_METADATA"];

pub(super) fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (part, after) = operator(rest)?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(part);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(parts)
}

/// `NAME(ARGUMENTS):LENGTH%` and what follows it; arguments may hold percent signs.
fn operator(text: &str) -> Result<(Part, &str), String> {
    let end = text.find(|byte: char| !(byte.is_ascii_uppercase() || byte == '_'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let unclosed = || format!("has an operator \"%{name}\" that does not end; write % as %%");
    let (arguments, rest) = match rest.strip_prefix('(') {
        Some(rest) => {
            let (arguments, rest) = rest.split_once(')').ok_or_else(unclosed)?;
            (Some(arguments), rest)
        }
        None => (None, rest),
    };
    let (length, rest) = rest.split_once('%').ok_or_else(unclosed)?;
    let length_max =
        match length {
            "" => None,
            length => {
                let digits = length.strip_prefix(':').and_then(|digits| digits.parse().ok());
                Some(digits.ok_or_else(|| {
                    format!("has \"{length}\" after %{name}; a length is :NUMBER")
                })?)
            }
        };
    Ok((Part::Operator(named(name, arguments)?, length_max), rest))
}

fn named(name: &str, arguments: Option<&str>) -> Result<Operator, String> {
    let missing = || format!("has %{name}% without its argument in parentheses");
    Ok(match name {
        "REQ" => Operator::Request(header_choice(name, arguments.ok_or_else(missing)?)?),
        "RESP" => {
            let choice = header_choice(name, arguments.ok_or_else(missing)?)?;
            let name = &choice.first.name;
            if name.starts_with(':') {
                return Err(format!("has %RESP({name})%, and responses have no such header"));
            }
            Operator::Response(choice)
        }
        "START_TIME" => Operator::StartTime(TimeFormat::parse(arguments.unwrap_or_default())?),
        "ENVIRONMENT" => Operator::Environment(arguments.ok_or_else(missing)?.into()),
        "GRPC_STATUS" => Operator::Fact(match arguments.unwrap_or_default() {
            "" | "CAMEL_STRING" => Fact::GrpcStatus,
            "SNAKE_STRING" => Fact::GrpcStatusSnake,
            "NUMBER" => Fact::GrpcStatusNumber,
            other => {
                return Err(format!(
                    "has %GRPC_STATUS({other})%; its forms are CAMEL_STRING, SNAKE_STRING and NUMBER"
                ));
            }
        }),
        name if EMPTY.contains(&name) => Operator::Fact(Fact::Nothing),
        name => {
            let known = Fact::ALL.iter().find(|(text, _)| *text == name);
            let (_, fact) = known.ok_or_else(|| {
                format!("has the operator \"%{name}%\", which is not known here; write % as %%")
            })?;
            if arguments.is_some_and(|arguments| !arguments.is_empty()) {
                return Err(format!("has %{name}% with an argument; it takes none"));
            }
            Operator::Fact(*fact)
        }
    })
}

/// `X?Y`.
fn header_choice(operator: &str, text: &str) -> Result<HeaderChoice, String> {
    let header = |name: &str| {
        let pseudo = [":method", ":path", ":authority", ":scheme"];
        let lower = name.to_ascii_lowercase();
        if is_token(&lower) || pseudo.contains(&lower.as_str()) {
            Ok(Header::new(lower.into()))
        } else {
            Err(format!("has %{operator}({text})%, and {name:?} is no header's name"))
        }
    };
    match text.split_once('?') {
        Some((name, or)) => Ok(HeaderChoice { first: header(name)?, or: Some(header(or)?) }),
        None => Ok(HeaderChoice { first: header(text)?, or: None }),
    }
}
