//! Virtual addresses of services.

use crate::mesh::Mesh;

fn service(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{{address} ports: [{{name: http, port: 80}}]}}
"
    )
}

#[tokio::test]
async fn a_service_keeps_the_address_it_was_given() {
    let mesh = Mesh::start().await;
    mesh.apply("", &service("a", "")).await;
    let address = mesh.field("svc/a", ".spec.clusterIP").await;
    assert!(address.starts_with("240.240."), "{address}");
    assert_eq!(mesh.field("svc/a", ".spec.clusterIPs[0]").await, address);
    mesh.apply("", &service("a", "selector: {app: a},")).await;
    mesh.apply("--server-side --force-conflicts", &service("a", "")).await;
    let said = mesh.kubectl_with(&["replace", "-f", "-"], &service("a", "")).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(mesh.field("svc/a", ".spec.clusterIP").await, address);

    mesh.apply("", &service("none", "clusterIP: None,")).await;
    assert_eq!(mesh.field("svc/none", ".spec.clusterIP").await, "None");
    for (document, expected) in [
        (service("b", &format!("clusterIP: {address},")), "another service has this address"),
        (service("a", "clusterIP: 240.240.9.9,"), "may not change"),
    ] {
        let said = mesh.kubectl_with(&["apply", "-f", "-"], &document).await;
        assert!(said.code != 0 && said.err.contains(expected), "{}", said.err);
    }
    mesh.stop().await;
}
