use proptest::prelude::*;
use serde_json::json;

use super::*;

fn service() -> &'static Node {
    &leno_api::kind_of("", "Service").unwrap().schema
}

#[test]
fn fields_are_named_by_the_schema() {
    let document = json!({
        "metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"]},
        "spec": {"ports": [{"port": 80, "name": "http"}], "externalIPs": ["1.2.3.4"]},
    });
    let set = FieldSet::of(Some(service()), &document);
    let expected = json!({
        "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
        "f:spec": {
            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}},
            "f:externalIPs": {},
        },
    });
    assert_eq!(set.to_json(), expected);
    let shown = set.paths();
    assert!(shown.contains(&".spec.ports[port=80,protocol=\"TCP\"].name".to_owned()), "{shown:?}");
}

#[test]
fn differences_are_told_by_place() {
    let old =
        json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "name": "a"}, {"port": 81}]}});
    let new = json!({"spec": {"ports": [{"port": 81}, {"port": 80, "name": "b"}, {"port": 82}]}});
    let difference = Difference::between(service(), &old, &new);
    assert_eq!(difference.modified.paths(), [".spec.ports[port=80,protocol=\"TCP\"].name"]);
    assert_eq!(difference.removed.paths(), [".spec.type"]);
    let added = difference.added.paths();
    assert_eq!(added[0], ".spec.ports[port=82,protocol=\"TCP\"]");
    assert!(Difference::between(service(), &old, &old).changed().is_empty());
}

fn sets() -> impl Strategy<Value = FieldSet> {
    let path = proptest::collection::vec((0..3_u8, 0..3_u8), 1..4);
    proptest::collection::vec(path, 0..8).prop_map(|paths| {
        let mut set = FieldSet::default();
        for path in paths {
            let steps: Vec<Step> = path
                .into_iter()
                .map(|(kind, n)| match kind {
                    0 => Step::Field(format!("f{n}")),
                    1 => Step::Keys(format!("{{\"port\":{n}}}")),
                    _ => Step::Value(format!("\"v{n}\"")),
                })
                .collect();
            insert(&mut set, &steps, &FieldSet::only_member());
        }
        set
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(set in sets()) {
        prop_assert_eq!(FieldSet::from_json(&set.to_json()), Some(set));
    }

    #[test]
    fn adding_removing_and_intersecting_are_those_of_sets_of_paths(a in sets(), b in sets()) {
        let of = |set: &FieldSet| set.paths().into_iter().collect::<std::collections::BTreeSet<_>>();
        let (in_a, in_b) = (of(&a), of(&b));
        let mut both = a.clone();
        both.add(&b);
        prop_assert_eq!(of(&both), in_a.union(&in_b).cloned().collect());
        let mut rest = a.clone();
        rest.remove(&b);
        prop_assert_eq!(of(&rest), in_a.difference(&in_b).cloned().collect());
        prop_assert_eq!(of(&a.intersection(&b)), in_a.intersection(&in_b).cloned().collect());
    }
}
