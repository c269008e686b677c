//! Edits on fields, compared with the same edits on a plain list.

use leno_http::h1::Server;
use leno_http::{Fields, Invalid, Known, Limits, Name, RequestHead};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Edit {
    Append(String, String),
    Set(String, String),
    Remove(String),
    RemoveIf(String),
}

fn name() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "a",
        "A",
        "b",
        "Cookie",
        "cookie",
        "HOST",
        "x-request-id",
        "Date",
    ])
    .prop_map(str::to_owned)
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (name(), "[a-z]{0,3}").prop_map(|(name, value)| Edit::Append(name, value)),
        2 => (name(), "[a-z]{0,3}").prop_map(|(name, value)| Edit::Set(name, value)),
        1 => name().prop_map(Edit::Remove),
        1 => name().prop_map(Edit::RemoveIf),
    ]
}

/// The same list without arena, index or presence set.
fn naive(list: &mut Vec<(String, String)>, edit: &Edit) {
    match edit {
        Edit::Append(name, value) => list.push((name.clone(), value.clone())),
        Edit::Set(name, value) => {
            match list.iter().position(|(other, _)| other.eq_ignore_ascii_case(name)) {
                None => list.push((name.clone(), value.clone())),
                Some(first) => {
                    list[first].1.clone_from(value);
                    let mut at = 0;
                    list.retain(|(other, _)| {
                        at += 1;
                        at - 1 <= first || !other.eq_ignore_ascii_case(name)
                    });
                }
            }
        }
        Edit::Remove(name) | Edit::RemoveIf(name) => {
            list.retain(|(other, _)| !other.eq_ignore_ascii_case(name))
        }
    }
}

fn apply(fields: &mut Fields, edit: &Edit) {
    match edit {
        Edit::Append(name, value) => fields.append(Name::parse(name).unwrap(), value.as_bytes()),
        Edit::Set(name, value) => fields.set(Name::parse(name).unwrap(), value.as_bytes()),
        Edit::Remove(name) => drop(fields.remove(Name::parse(name).unwrap())),
        Edit::RemoveIf(name) => fields.remove_if(|field| field.name.eq_ignore_ascii_case(name)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn edits_mean_what_they_mean_on_a_plain_list(edits in proptest::collection::vec(edit(), 0..20), probe in name()) {
        let (mut fields, mut list) = (Fields::new(), Vec::new());
        for edit in &edits {
            apply(&mut fields, edit);
            naive(&mut list, edit);
        }
        let seen: Vec<_> = fields
            .iter()
            .map(|field| {
                let known = if field.known == Known::Other { field.name.to_ascii_lowercase() } else { field.known.as_str().to_owned() };
                assert_eq!(known, field.name.to_ascii_lowercase());
                (field.name.to_owned(), String::from_utf8(field.value.to_vec()).unwrap())
            })
            .collect();
        prop_assert_eq!(&seen, &list);
        prop_assert_eq!(fields.len(), list.len());
        let name = Name::parse(&probe).unwrap();
        let mut values = list.iter().filter(|(other, _)| other.eq_ignore_ascii_case(&probe)).map(|(_, value)| value.as_str());
        prop_assert!(fields.values(name).map(|value| std::str::from_utf8(value).unwrap()).eq(values.clone()));
        prop_assert_eq!(fields.get_str(name), values.next());
        prop_assert_eq!(fields.has(Known::Cookie), list.iter().any(|(other, _)| other.eq_ignore_ascii_case("cookie")));
    }
}

#[test]
fn a_name_that_is_no_token_is_none() {
    for text in ["", "a b", "a:", "a\r\n", "é", "a\0"] {
        assert!(Name::parse(text).is_none(), "{text:?}");
    }
    assert!(leno_http::FieldName::parse("x-ok!").is_some());
}

#[test]
fn a_long_head_sent_byte_by_byte_is_read_once_more_or_less() {
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(59_000));
    let (mut server, mut head) = (Server::new(Limits::DEFAULT), RequestHead::new());
    for end in 1..request.len() {
        assert_eq!(server.head(&request.as_bytes()[..end], &mut head), Ok(None));
    }
    assert_eq!(server.head(request.as_bytes(), &mut head), Ok(Some(request.len())));
    let mut server = Server::new(Limits::DEFAULT);
    let endless = vec![b'a'; Limits::DEFAULT.head_bytes];
    let mut refused = None;
    for end in 1..=endless.len() {
        if let Err(invalid) = server.head(&endless[..end], &mut head) {
            refused = Some((end, invalid));
            break;
        }
    }
    assert_eq!(refused, Some((endless.len(), Invalid::HeadTooLarge)));
}
