//! Server-side apply: who owns what, what conflicts, what goes away.

use serde_json::{Value, json};

use crate::mesh::{Mesh, Said, kubectls};

/// One step of a story and what must come of it.
struct Step {
    manager: &'static str,
    force: bool,
    labels: Value,
    ports: Value,
    expected: Result<(Value, Value), &'static str>,
}

async fn apply(mesh: &Mesh, step: &Step) -> Said {
    let document = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "reviews", "labels": step.labels},
        "spec": {"ports": step.ports},
    });
    let manager = format!("--field-manager={}", step.manager);
    let mut arguments = vec!["apply", "--server-side", &manager, "-f", "-"];
    if step.force {
        arguments.push("--force-conflicts");
    }
    mesh.kubectl_with(&arguments, &document.to_string()).await
}

fn story() -> Vec<Step> {
    let port = |number: u16, name: &str| json!({"port": number, "name": name});
    vec![
        // a creates.
        Step {
            manager: "a",
            force: false,
            labels: json!({"x": "1", "y": "1"}),
            ports: json!([port(80, "http")]),
            expected: Ok((json!({"x": "1", "y": "1"}), json!([[80, "http"]]))),
        },
        // b adds a label and a port, and shares a value that is the same.
        Step {
            manager: "b",
            force: false,
            labels: json!({"y": "1", "z": "1"}),
            ports: json!([port(81, "admin")]),
            expected: Ok((
                json!({"x": "1", "y": "1", "z": "1"}),
                json!([[80, "http"], [81, "admin"]]),
            )),
        },
        // b wants another value of what a owns.
        Step {
            manager: "b",
            force: false,
            labels: json!({"x": "2", "z": "1"}),
            ports: json!([port(80, "web"), port(81, "admin")]),
            expected: Err("conflicts with \"a\""),
        },
        Step {
            manager: "b",
            force: true,
            labels: json!({"x": "2", "z": "1"}),
            ports: json!([port(80, "web"), port(81, "admin")]),
            expected: Ok((
                json!({"x": "2", "y": "1", "z": "1"}),
                json!([[80, "web"], [81, "admin"]]),
            )),
        },
        // a lets everything go; what b owns too stays.
        Step {
            manager: "a",
            force: false,
            labels: json!({}),
            ports: json!([{"port": 80}]),
            expected: Ok((json!({"x": "2", "z": "1"}), json!([[80, "web"], [81, "admin"]]))),
        },
        // b no longer wants its second port and a label.
        Step {
            manager: "b",
            force: false,
            labels: json!({"x": "2"}),
            ports: json!([port(80, "web")]),
            expected: Ok((json!({"x": "2"}), json!([[80, "web"]]))),
        },
    ]
}

#[tokio::test]
async fn managers_own_what_they_apply() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        for (index, step) in story().iter().enumerate() {
            let said = apply(&mesh, step).await;
            match &step.expected {
                Ok((labels, ports)) => {
                    assert_eq!(said.code, 0, "step {index}: {said:?}");
                    let service = mesh.get("/api/v1/namespaces/default/services/reviews").await;
                    assert_eq!(service["metadata"]["labels"], *labels, "step {index}");
                    let found: Vec<Value> = service["spec"]["ports"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|port| json!([port["port"], port["name"]]))
                        .collect();
                    assert_eq!(json!(found), *ports, "step {index}");
                }
                Err(part) => {
                    assert_ne!(said.code, 0, "step {index}");
                    assert!(said.err.contains(part), "step {index}: {said:?}");
                    assert!(said.err.contains(".metadata.labels.x"), "step {index}: {said:?}");
                }
            }
        }
        mesh.stop().await;
    }
}

#[tokio::test]
async fn an_update_takes_fields_over_and_a_no_op_keeps_everything() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let document = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","y":"1"}}"#;
        mesh.apply("--server-side --field-manager=a", document).await;
        let before = mesh.get("/api/v1/namespaces/default/configmaps/a").await;
        mesh.apply("--server-side --field-manager=a", document).await;
        assert_eq!(mesh.get("/api/v1/namespaces/default/configmaps/a").await, before);

        mesh.ok(r#"patch cm a --type=merge -p {"data":{"x":"2"}} --field-manager=b"#).await;
        let fields =
            mesh.get("/api/v1/namespaces/default/configmaps/a").await["metadata"]["managedFields"]
                .clone();
        let of = |manager: &str| {
            let entries = fields.as_array().unwrap();
            entries.iter().find(|entry| entry["manager"] == manager).unwrap()["fieldsV1"].clone()
        };
        assert_eq!(of("a"), json!({"f:data": {"f:y": {}}}));
        assert_eq!(of("b"), json!({"f:data": {"f:x": {}}}));
        let said = mesh
            .kubectl_with(&["apply", "--server-side", "--field-manager=a", "-f", "-"], document);
        let said = said.await;
        assert!(said.err.contains("conflict with \"b\" using v1"), "{said:?}");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn what_was_applied_by_the_client_moves_over_to_the_server() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let document = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","y":"1"}}"#;
        mesh.apply("", document).await;
        mesh.apply("--server-side", document).await;
        let moved = mesh.get("/api/v1/namespaces/default/configmaps/a").await;
        let managers = moved["metadata"]["managedFields"].to_string();
        // kubectl itself moves what it applied before; old ones leave both names.
        let is_moved = !managers.contains("kubectl-client-side-apply");
        assert!(is_moved || mesh.ok("version --client").await.contains("v1.2"), "{managers}");
        // A field that is no longer applied goes away, as it would have on the client.
        let fewer =
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1"}}"#;
        mesh.apply("--server-side", fewer).await;
        let left = mesh.field("cm/a", ".data").await;
        assert!(left == r#"{"x":"1"}"# || !is_moved, "{left}");
        // And back: the client finds what it applied last.
        assert!(mesh.apply("", fewer).await.contains("configured"));
        assert!(mesh.apply("", fewer).await.contains("unchanged"));
        mesh.stop().await;
    }
}

#[tokio::test]
async fn a_status_is_written_apart() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"},"status":{"phase":"Terminating"}}"#;
        mesh.apply("", namespace).await;
        assert_eq!(mesh.field("ns/shop", ".status.phase").await, "Active");
        let pod = "
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: app, image: none}]}
status: {phase: Running, podIP: 127.64.0.9}
";
        mesh.apply("", pod).await;
        assert_eq!(mesh.field("pod/p", ".status.podIP").await, "");
        let client = mesh.client();
        let pods = client.documents(leno_api::kind_of("", "Pod").unwrap(), Some("default"));
        let status = json!({
            "status": {"phase": "Running", "podIP": "127.64.0.9"}, "spec": {"nodeName": "n"},
        });
        pods.patch_status("p", &status).await.unwrap();
        assert_eq!(mesh.field("pod/p", ".status.podIP").await, "127.64.0.9");
        assert_eq!(mesh.field("pod/p", ".spec.nodeName").await, "");
        mesh.apply("", pod).await;
        assert_eq!(mesh.field("pod/p", ".status.phase").await, "Running");
        mesh.stop().await;
    }
}
