//! What a peer says of how a head was spelt, against any head: names change in nothing but their case, `host` in nothing but
//! its place, and what was understood is said again so that it is understood in the same way.
#![no_main]

use leno_http::{Fields, Known, Name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The value is the last line, the names are those before it.
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let Some(value) = lines.pop() else { return };
    let fields = fields(&lines);
    let mut spelt = fields.clone();
    let Some(reason) = spelt.spell(value) else {
        assert_eq!(names(&spelt), names(&fields));
        return;
    };
    let lower = |fields: &Fields| -> Vec<String> {
        let mut names: Vec<_> = names(fields).iter().map(|name| name.to_lowercase()).collect();
        names.sort_by_key(|name| name != "host");
        names
    };
    assert_eq!(lower(&spelt), names(&fields));
    let Some(again) = spelt.spelling(reason) else { return };
    let mut second = fields.clone();
    assert_eq!(second.spell(&again), Some(reason), "{again:?}");
    assert_eq!(names(&second), names(&spelt));
});

/// As HTTP/2 brings them: in lower case, one `host` before all others.
fn fields(lines: &[&[u8]]) -> Fields {
    let mut fields = Fields::new();
    let texts: Vec<String> =
        lines.iter().map(|line| String::from_utf8_lossy(line).to_lowercase()).collect();
    if texts.iter().any(|text| text == "host") {
        fields.append(Known::Host, b"a");
    }
    for name in texts.iter().filter_map(|text| Name::parse(text)) {
        if name.known() != Known::Host {
            fields.append(name, b"b");
        }
    }
    fields
}

fn names(fields: &Fields) -> Vec<String> {
    fields.forwarded().map(|field| field.name.to_owned()).collect()
}
