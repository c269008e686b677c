use serde_json::json;

use super::*;

/// Fields of Istio's own definitions, as leaves; every one must be in our schema.
const ISTIO_FIELDS: &str = include_str!("istio_fields.txt");

#[test]
fn names_are_unique_and_every_kind_is_whole() {
    for (index, kind) in kinds().iter().enumerate() {
        assert!(!kind.versions.is_empty(), "{}", kind.kind);
        assert_eq!(kind.list_kind, format!("{}List", kind.kind));
        assert_eq!(kind.singular, kind.kind.to_ascii_lowercase());
        let clash = |other: &Kind| {
            let same = (&other.group, &other.plural) == (&kind.group, &kind.plural);
            same || other.short_names.iter().any(|name| kind.short_names.contains(name))
        };
        assert!(!kinds()[..index].iter().any(clash), "{}", kind.kind);
        let schema = kind.schema.to_openapi();
        assert_eq!(schema["properties"]["metadata"]["type"], "object", "{}", kind.kind);
        // Nothing panics on a document of the wrong shape.
        for odd in [json!(null), json!([]), json!({"spec": 1, "metadata": []}), json!("x")] {
            let mut odd = odd;
            if odd.is_object() {
                let _ = kind.problems(&odd);
                let _ = kind.warnings(&odd);
                let _ = kind.cells(&odd, SystemTime::UNIX_EPOCH);
                (kind.default)(&mut odd);
            }
        }
    }
}

#[test]
fn every_field_of_istio_is_known_with_its_type() {
    let mut current = None;
    let mut seen = 0;
    for line in ISTIO_FIELDS.lines().filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_prefix("##### ") {
            let name = heading.split(' ').next().unwrap();
            current = kinds().iter().find(|kind| kind.kind == name);
            continue;
        }
        let kind = current.unwrap();
        let mut words = line.splitn(3, ' ');
        let (path, expected) = (words.next().unwrap(), words.next().unwrap());
        let schema = kind.schema.to_openapi();
        let mut place = &schema["properties"]["spec"];
        for component in path.split('.') {
            let name = component.trim_end_matches("[]").trim_end_matches("{*}");
            place = &place["properties"][name];
            if component.ends_with("[]") {
                place = &place["items"];
            } else if component.ends_with("{*}") {
                place = &place["additionalProperties"];
            }
        }
        let found = match expected.strip_prefix("map<") {
            Some(item) => {
                assert_eq!(place["type"], "object", "{} {path}", kind.kind);
                assert_eq!(place["additionalProperties"]["type"], item.trim_end_matches('>'));
                continue;
            }
            None => &place["type"],
        };
        assert_eq!(found, expected, "{} {path}", kind.kind);
        if let Some(words) = line.split_once('{').filter(|_| line.ends_with('}')) {
            let words: Vec<&str> =
                words.1.trim_end_matches('}').rsplit('{').next().unwrap().split(',').collect();
            assert_eq!(place["enum"], json!(words), "{} {path}", kind.kind);
        }
        seen += 1;
    }
    assert!(seen > 300, "{seen} fields");
}

#[test]
fn defaults_are_idempotent_and_pass_their_own_checks() {
    for kind in kinds() {
        let mut once = json!({
            "apiVersion": kind.api_version(kind.storage_version()), "kind": kind.kind,
            "metadata": {"name": "a"},
        });
        (kind.default)(&mut once);
        let mut twice = once.clone();
        (kind.default)(&mut twice);
        assert_eq!(once, twice, "{}", kind.kind);
        assert_eq!(kind.unknown_fields(&once), Vec::<String>::new(), "{}", kind.kind);
    }
}
