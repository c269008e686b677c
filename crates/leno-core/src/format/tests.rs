use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// Writes each operator's name, so that a test sees what was asked for.
struct Echo;

impl Exchange for Echo {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        let header = |choice: &HeaderChoice| match &choice.or {
            Some(or) => format!("{}|{}", choice.first.name, or.name),
            None => choice.first.name.to_string(),
        };
        let text = match operator {
            Operator::Request(choice) => format!("<{}", header(choice)),
            Operator::Response(choice) => format!(">{}", header(choice)),
            Operator::Environment(name) => format!("${name}"),
            Operator::Fact(Fact::Nothing) => String::new(),
            Operator::Fact(fact) => format!("{fact:?}"),
            Operator::StartTime(format) => {
                return format.write(UNIX_EPOCH + Duration::from_millis(1_790_000_000_042), out);
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

fn written(text: &str) -> String {
    match Format::parse(text) {
        Ok(format) => {
            let mut out = Vec::new();
            format.write(&Echo, &mut out);
            String::from_utf8(out).unwrap()
        }
        Err(problem) => format!("! {problem}"),
    }
}

#[test]
fn operators_are_found_and_the_rest_is_text() {
    let table = [
        ("", ""),
        ("plain", "plain"),
        ("100%% %%REQ(x)%%", "100% %REQ(x)%"),
        ("%REQ(X-A)%", "<x-a"),
        ("a%REQ(X-A?:Path)%b%RESP(x-b)%c", "a<x-a|:pathb>x-bc"),
        ("%REQ(:AUTHORITY):5%|%PROTOCOL:3%|", "<:aut|Pro|"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "DownstreamRemoteAddressWithoutPort"),
        ("%ENVIRONMENT(HOME)%/x", "$HOME/x"),
        ("[%DYNAMIC_METADATA(a:b)%][%FILTER_STATE(x:PLAIN):9%]", "[][]"),
        ("%START_TIME%", "2026-09-21T14:13:20.042Z"),
        (
            "%START_TIME(%Y/%m/%d %H:%M:%S.%3f %z %s%%)%",
            "2026/09/21 14:13:20.042 +0000 1790000000%",
        ),
        ("%START_TIME(%s.%6f)%", "1790000000.042000"),
        // (what is wrong)
        ("50% off", "! has an operator \"%\" that does not end; write % as %%"),
        ("%NO_SUCH%", "! has the operator \"%NO_SUCH%\", which is not known here; write % as %%"),
        ("%REQ%", "! has %REQ% without its argument in parentheses"),
        ("%REQ(a b)%", "! has %REQ(a b)%, and \"a b\" is no header's name"),
        ("%REQ(x)", "! has an operator \"%REQ\" that does not end; write % as %%"),
        ("%REQ(x):a%", "! has \":a\" after %REQ; a length is :NUMBER"),
        ("%RESP(:status)%", "! has %RESP(:status)%, and \":status\" is no header's name"),
        ("%RESP(:path)%", "! has %RESP(:path)%, and responses have no such header"),
        ("%PROTOCOL(x)%", "! has %PROTOCOL% with an argument; it takes none"),
        ("%START_TIME(%Q)%", "! has a time format with \"%Q\", which is not known here"),
    ];
    for (text, expected) in table {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn what_depends_on_nothing_is_literal() {
    let literal = |text: &str| Format::parse(text).unwrap().literal().map(str::to_owned);
    assert_eq!(literal("").as_deref(), Some(""));
    assert_eq!(literal("a%%b").as_deref(), Some("a%b"));
    assert_eq!(literal("a%HOSTNAME%"), None);
}

#[test]
fn every_day_has_its_date() {
    let mut days = 0;
    let format = TimeFormat::parse("%Y-%m-%d").unwrap();
    for year in 1970..2110_u32 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            for day in 1..=length {
                let mut out = Vec::new();
                format.write(UNIX_EPOCH + Duration::from_secs(days * 86_400), &mut out);
                let written = String::from_utf8(out).unwrap();
                assert_eq!(written, format!("{year:04}-{month:02}-{day:02}"));
                days += 1;
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[%A-Z_():?a-z0-9é ]{0,40}") {
        let _ = written(&text);
    }
}
