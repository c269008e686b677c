use proptest::collection::vec;
use proptest::prelude::*;

use super::{BYTES_MAX, Shape, shape_of};
use crate::h2::Tag;
use crate::{Fields, Known};

/// Fields as HTTP/2 brings them: `host` before all others, every name in lower case.
fn folded(names: &[String]) -> Fields {
    let is_host = |name: &&String| name.eq_ignore_ascii_case("host");
    let mut order: Vec<_> = names.iter().filter(is_host).take(1).collect();
    order.extend(names.iter().filter(|name| !is_host(name)));
    let mut fields = Fields::new();
    for name in order {
        let name = name.to_lowercase();
        let (start, known) = (fields.bytes.len(), Known::recognize(name.as_bytes()));
        fields.bytes.extend_from_slice(name.as_bytes());
        fields.bytes.extend_from_slice(b": v\r\n");
        let end = start + name.len();
        fields.index_decoded(start..end, end + 2..end + 3, known, Tag::UNKNOWN);
    }
    fields
}

fn received(names: &[String]) -> Fields {
    let mut fields = Fields::new();
    let head: String = names.iter().map(|name| format!("{name}: v\r\n")).collect();
    fields.begin(head.as_bytes());
    let mut start = 0;
    for name in names {
        let end = start + name.len();
        fields.index_line(name.as_bytes(), start, end + 2..end + 3, end + 5);
        start = end + 5;
    }
    fields
}

fn names_of(fields: &Fields) -> Vec<String> {
    fields.forwarded().map(|field| field.name.to_owned()).collect()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,20}",
        "[A-Z][A-Z0-9-]{0,20}",
        "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,40}",
        Just("User-Agent".to_owned()),
        Just("Content-Length".to_owned()),
    ]
    .prop_filter("one host, and nothing of the connection", |name| {
        let known = Known::recognize(name.as_bytes());
        known != Known::Host && !known.is_hop_by_hop()
    })
}

/// Names, one of them `Host` maybe.
fn names() -> impl Strategy<Value = Vec<String>> {
    let host = proptest::option::of((0..20_usize, "[hH][oO][sS][tT]"));
    (vec(name(), 0..20), host).prop_map(|(mut names, host)| {
        if let Some((at, host)) = host {
            names.insert(at.min(names.len()), host);
        }
        names
    })
}

#[test]
fn shapes_are_runs_and_everything_else_is_bits() {
    // (names, reason, the value)
    let table: [(&[&str], Option<&str>, &str); 9] = [
        (&["Host", "User-Agent", "Accept", "x-forwarded-proto", "x-request-id"], None, "t3l2"),
        (&["host"], None, "l"),
        (&["Accept", "X-1-Number", "Host"], None, "h2t3"),
        (&["ETag", "Content-Length"], Some("OK"), "bDt=OK."),
        (&["X_Under_Score"], None, "bFEA"),
        (&["DNT", "HOST", "a"], None, "h1u2l"),
        (&[], Some(""), "=."),
        (&["Content-Type"], Some("With  spaces "), "t=With  spaces ."),
        (&["xCustomID"], None, "bCG"),
    ];
    for (names, reason, expected) in table {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let fields = received(&names);
        let said = fields.spelling(reason.map(str::as_bytes)).unwrap();
        assert_eq!(String::from_utf8_lossy(&said), expected, "{names:?}");
        let mut fields = folded(&names);
        assert_eq!(fields.spell(&said).unwrap(), reason.map(str::as_bytes));
        assert_eq!(names_of(&fields), names);
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let names: Vec<_> = ["Host", "Accept", "X-A"].iter().map(|&name| name.to_owned()).collect();
    for wrong in [
        "t2", "t4", "t3l", "h3t3", "h0t3", "t2b", "t2b!", "x3", "t3=OK", "t3OK.", "t3=a\rb.",
        "t0t3", "t99999", "ht3", "", "l3 ", "h1", "t3=a.b",
    ] {
        let mut fields = folded(&names);
        assert_eq!(fields.spell(wrong.as_bytes()), None, "{wrong:?}");
        assert_eq!(names_of(&fields), ["host", "accept", "x-a"], "{wrong:?}");
        assert!(!fields.is_spelt());
    }
    let long = format!("t3={}.", "a".repeat(BYTES_MAX));
    assert_eq!(folded(&names).spell(long.as_bytes()), None);
}

#[test]
fn what_would_be_long_is_not_said() {
    let names: Vec<_> = (10..100).map(|number| format!("aBcDeF-{number}")).collect();
    assert_eq!(received(&names).spelling(None), None);
    assert_eq!(received(&[]).spelling(None), None);
    let reason = vec![b'x'; BYTES_MAX - 2];
    assert_eq!(received(&[]).spelling(Some(&reason)).unwrap().len(), BYTES_MAX);
    assert_eq!(received(&names[..1]).spelling(Some(&reason)), None);
}

fn naive_shape(name: &str) -> Shape {
    let mut is_start = true;
    let mut title = String::new();
    for letter in name.to_lowercase().chars() {
        title.push(if is_start { letter.to_ascii_uppercase() } else { letter });
        is_start = letter == '-';
    }
    match name {
        name if name == name.to_lowercase() => Shape::Lower,
        name if name == title => Shape::Title,
        name if name == name.to_uppercase() => Shape::Upper,
        _ => Shape::Mixed,
    }
}

proptest! {
    #[test]
    fn a_shape_is_what_a_naive_look_says(name in "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,40}") {
        prop_assert_eq!(shape_of(name.as_bytes()), naive_shape(&name));
    }

    #[test]
    fn spelling_what_was_folded_restores_it(names in names(), reason in "[ -~\u{e9}]{0,30}") {
        let Some(said) = received(&names).spelling(Some(reason.as_bytes())) else { return Ok(()) };
        let mut fields = folded(&names);
        prop_assert_eq!(fields.spell(&said), Some(Some(reason.as_bytes())));
        prop_assert_eq!(names_of(&fields), names);
        prop_assert!(fields.is_spelt());
        prop_assert_eq!(fields.spelling(Some(reason.as_bytes())).unwrap(), said);
    }

    /// A line more or less: then nothing is spelt but what has the same lengths, and no value comes to another name.
    #[test]
    fn lines_that_were_not_meant_keep_their_names(
        names in names(),
        other in names(),
        noise in "[htulb=.0-9A-C_-]{0,12}",
    ) {
        let said = received(&names).spelling(None).unwrap_or_default();
        for value in [&said[..], noise.as_bytes()] {
            let mut fields = folded(&other);
            let before = names_of(&fields);
            let is_spelt = fields.spell(value).is_some();
            let mut after = names_of(&fields);
            if !is_spelt {
                prop_assert_eq!(&after, &before);
            }
            if after.first().map(|name| name.to_lowercase()) != before.first().cloned()
                && let Some(at) = after.iter().position(|name| name.eq_ignore_ascii_case("host"))
            {
                let host = after.remove(at);
                after.insert(0, host);
            }
            let lower: Vec<_> = after.iter().map(|name| name.to_lowercase()).collect();
            prop_assert_eq!(lower, before);
        }
    }

    #[test]
    fn no_value_panics(names in names(), value in vec(any::<u8>(), 0..40)) {
        let mut fields = folded(&names);
        let before = names_of(&fields);
        if fields.spell(&value).is_none() {
            prop_assert_eq!(names_of(&fields), before);
        }
    }
}
