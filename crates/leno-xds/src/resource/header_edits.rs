//! `HeaderValueOption` and the lists of names beside it: what is put into a head and taken out of it.

use leno_core::config::{HeaderEdit, HeaderMutation, HeaderMutations};

use super::value::number_of;
use crate::read::{Reader, exactly};
use crate::wire::Writer;

const APPEND_ACTIONS: [(u32, &str, HeaderEdit); 3] = [
    (0, "APPEND_IF_EXISTS_OR_ADD", HeaderEdit::Append),
    (1, "ADD_IF_ABSENT", HeaderEdit::AddIfAbsent),
    (2, "OVERWRITE_IF_EXISTS_OR_ADD", HeaderEdit::Overwrite),
];

/// The field numbers of one direction's header edits.
pub(crate) struct HeaderFields {
    pub(crate) add: (u32, &'static str),
    pub(crate) remove: (u32, &'static str),
}

/// The two directions' field numbers, in the order add, remove for requests, then for responses.
pub(crate) const fn header_fields(numbers: [u32; 4]) -> (HeaderFields, HeaderFields) {
    let request = HeaderFields {
        add: (numbers[0], "request_headers_to_add"),
        remove: (numbers[1], "request_headers_to_remove"),
    };
    let response = HeaderFields {
        add: (numbers[2], "response_headers_to_add"),
        remove: (numbers[3], "response_headers_to_remove"),
    };
    (request, response)
}

pub(crate) fn decode(r: &mut Reader<'_, '_>, fields: &HeaderFields) -> HeaderMutations {
    let edits = r.messages(fields.add.0, fields.add.1, header_edit);
    HeaderMutations::new(
        r.strings(fields.remove.0, fields.remove.1),
        exactly(edits.into_iter().flatten()),
    )
}

/// Nothing where Envoy would do nothing: an empty value that is not to be kept.
fn header_edit(r: &mut Reader<'_, '_>) -> Option<HeaderMutation> {
    let header = r.message(1, "header", |r| {
        let name = r.required_string(1, "key");
        let raw = r.field(3, "raw_value").and_then(|field| field.bytes());
        let value = match raw.map(String::from_utf8) {
            Some(Ok(value)) => value,
            Some(Err(_)) => {
                r.problem_at("raw_value", "is not UTF-8");
                String::new()
            }
            None => r.string(2, "value"),
        };
        (name, value)
    });
    let action = r.choice(3, "append_action", &APPEND_ACTIONS);
    // `append` is the old spelling of the action.
    let append = r
        .wrapped_bool(2, "append")
        .map(|append| if append { HeaderEdit::Append } else { HeaderEdit::Overwrite });
    let keep_empty = r.bool(4, "keep_empty_value");
    let Some((name, value)) = header else {
        r.problem_at("header", "is missing");
        return None;
    };
    let edit = action.or(append).unwrap_or(HeaderEdit::Append);
    (keep_empty || !value.is_empty()).then_some(HeaderMutation { name, value, edit })
}

pub(crate) fn encode(w: &mut Writer, fields: &HeaderFields, mutations: &HeaderMutations) {
    for HeaderMutation { name, value, edit } in &mutations.edits {
        w.message(fields.add.0, |w| {
            w.message(1, |w| {
                w.string(1, name);
                w.string(2, value);
            });
            w.number(3, number_of(&APPEND_ACTIONS, *edit));
            w.bool(4, value.is_empty());
        });
    }
    w.strings(fields.remove.0, &mutations.remove);
}
