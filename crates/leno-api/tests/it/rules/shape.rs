//! Unknown fields, and documents of any shape at all.

use leno_api::{kind_of, kinds};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn unknown_fields_are_named_and_pruned() {
    let kind = kind_of("networking.istio.io", "VirtualService").unwrap();
    let mut document = super::document(
        "VirtualService",
        "{hosts: [a], htpp: [], http: [{match: [{uri: {prefix: /, exact_: /}}], route: [{destination: {host: a}}], rout: 1}]}",
    );
    let unknown = kind.unknown_fields(&document);
    assert_eq!(unknown, ["spec.htpp", "spec.http[0].match[0].uri.exact_", "spec.http[0].rout"]);
    kind.schema.prune(&mut document);
    assert!(kind.unknown_fields(&document).is_empty());
    assert_eq!(document["spec"]["http"][0]["route"][0]["destination"]["host"], "a");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        "[a-z*./:0-9]{0,12}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        "[a-z]{1,8}",
        Just("spec".to_owned()),
        Just("http".to_owned()),
        Just("route".to_owned()),
        Just("ports".to_owned()),
        Just("match".to_owned()),
        Just("metadata".to_owned()),
        Just("trafficPolicy".to_owned()),
        Just("endpoints".to_owned()),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    /// Nothing panics, and what is pruned has no unknown field left.
    #[test]
    fn no_document_breaks_a_kind(spec in any_json(), more in any_json()) {
        for kind in kinds() {
            let mut document = json!({"metadata": {"name": "a"}, "spec": spec, "data": more});
            let _ = kind.problems(&document);
            let _ = kind.warnings(&document);
            let _ = kind.cells(&document, std::time::SystemTime::UNIX_EPOCH);
            (kind.default)(&mut document);
            kind.schema.prune(&mut document);
            prop_assert_eq!(kind.unknown_fields(&document), Vec::<String>::new());
        }
    }
}
