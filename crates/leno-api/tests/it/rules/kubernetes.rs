//! Kubernetes' own kinds.

use leno_api::kind_of;
use serde_json::json;

use super::check;

#[test]
fn services() {
    let table: [(&str, &[&str]); 7] = [
        ("{ports: [{port: 80}]}", &[]),
        ("{clusterIP: None}", &[]),
        ("{selector: {app: a}}", &["spec.ports Required"]),
        ("{ports: [{port: 80}, {port: 81, name: b}]}", &["spec.ports[0].name Required"]),
        ("{ports: [{port: 80, name: a}, {port: 81, name: a}]}", &["spec.ports[1].name Duplicate"]),
        (
            "{ports: [{port: 0, targetPort: 'A!'}], clusterIP: x}",
            &[
                "spec.clusterIP Invalid",
                "spec.ports[0].port Invalid",
                "spec.ports[0].targetPort Invalid",
            ],
        ),
        ("{type: ExternalName}", &["spec.externalName Required"]),
    ];
    for (spec, expected) in table {
        check("Service", spec, expected);
    }
}

#[test]
fn endpoint_slices_and_pods() {
    check("EndpointSlice", "{addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}", &[]);
    check(
        "EndpointSlice",
        "{addressType: IPv4, endpoints: [{addresses: ['::1']}, {addresses: []}]}",
        &["endpoints[0].addresses[0] Invalid", "endpoints[1].addresses Required"],
    );
    check("Pod", "{containers: [{name: a, ports: [{containerPort: 80}]}]}", &[]);
    check("Pod", "{containers: []}", &["spec.containers Required"]);
    check(
        "Pod",
        "{containers: [{name: A_}, {image: b}]}",
        &["spec.containers[0].name Invalid", "spec.containers[1].name Required"],
    );
}

#[test]
fn secrets_take_text_and_keep_base64() {
    let kind = kind_of("", "Secret").unwrap();
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
        "data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "new"},
    });
    (kind.default)(&mut secret);
    assert_eq!(secret["data"], json!({"a": "YQ==", "b": "bmV3"}));
    assert!(secret.get("stringData").is_none());
    assert_eq!(kind.problems(&secret), []);
    secret["data"]["a"] = "not base64".into();
    assert_eq!(kind.problems(&secret)[0].field, "data.a");
}

#[test]
fn metadata_is_checked_for_every_kind() {
    let kind = kind_of("", "ConfigMap").unwrap();
    let table = [
        (json!({"name": "a", "labels": {"x/y": "1"}}), vec![]),
        (json!({}), vec!["metadata.name"]),
        (json!({"name": "A"}), vec!["metadata.name"]),
        (json!({"name": "a", "namespace": "a.b"}), vec!["metadata.namespace"]),
        (
            json!({"name": "a", "labels": {"a b": "c d"}}),
            vec!["metadata.labels.a b", "metadata.labels.a b"],
        ),
        (json!({"generateName": "a-"}), vec![]),
    ];
    for (metadata, expected) in table {
        let document = json!({"metadata": metadata});
        let fields: Vec<String> = kind.problems(&document).into_iter().map(|p| p.field).collect();
        assert_eq!(fields, expected, "{document}");
    }
}
