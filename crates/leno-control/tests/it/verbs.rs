//! Each verb of kubectl, end to end.

use http::Method;
use serde_json::json;

use crate::mesh::{Mesh, kubectls};
use crate::watch::Lines;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata:
  name: reviews
  labels: {app: reviews, tier: back}
spec:
  selector: {app: reviews}
  ports:
  - {name: http, port: 9080, targetPort: 9080}
  - {name: admin, port: 9901}
";

const ROUTE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: before}
";

#[tokio::test]
async fn what_is_there_is_listed_and_explained() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let namespaces = mesh.ok("get namespaces").await;
        for line in ["NAME", "default", "istio-system"] {
            assert!(namespaces.contains(line), "{namespaces}");
        }
        let kinds = mesh.ok("api-resources").await;
        for kind in ["virtualservices", "configmaps", "peerauthentications", "endpointslices"] {
            assert!(kinds.contains(kind), "{kinds}");
        }
        assert!(mesh.ok("api-versions").await.contains("networking.istio.io/v1beta1"));
        assert!(mesh.ok("explain vs.spec.http.timeout").await.contains("timeout <string>"));
        assert!(mesh.ok("explain svc --recursive").await.contains("targetPort"));
        assert!(mesh.ok("version").await.contains("v1.32.0+leno"));
        assert!(mesh.ok("get crd").await.contains("virtualservices.networking.istio.io"));
        mesh.ok("wait --for=condition=Established crd/virtualservices.networking.istio.io").await;
        mesh.stop().await;
    }
}

#[tokio::test]
async fn typed_commands_create_documents() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        mesh.ok("create namespace shop").await;
        mesh.ok("create configmap a --from-literal=x=1 -n shop").await;
        mesh.ok("create secret generic b --from-literal=password=p -n shop").await;
        mesh.ok("create serviceaccount c -n shop").await;
        mesh.ok("create service clusterip d --tcp=80:8080 -n shop").await;
        assert_eq!(mesh.field("cm/a -n shop", ".data.x").await, "1");
        assert_eq!(mesh.field("secret/b -n shop", ".data.password").await, "cA==");
        assert_eq!(mesh.field("svc/d -n shop", ".spec.ports[0].targetPort").await, "8080");
        let request =
            json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}});
        let path = "/api/v1/namespaces/shop/serviceaccounts/c/token";
        let body = request.to_string().into_bytes();
        let answer =
            mesh.client().call(Method::POST, path, "application/json", body).await.unwrap();
        let token = answer["status"]["token"].as_str().unwrap();
        assert_eq!(token.split('.').count(), 3, "{token}");
        let twice = mesh.kubectl("create configmap a -n shop").await;
        assert!(twice.err.contains("already exists"), "{twice:?}");
        let nowhere = mesh.kubectl("create configmap a -n nowhere").await;
        assert!(nowhere.err.contains("namespaces \"nowhere\" not found"), "{nowhere:?}");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn get_selects_pages_and_prints_in_every_form() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        mesh.apply("", SERVICE).await;
        for name in ["a", "b", "c", "d", "e"] {
            mesh.ok(&format!("create configmap {name} --from-literal=name={name}")).await;
        }
        mesh.ok("label cm a b stage=early").await;
        mesh.ok("label cm c stage=late").await;
        let table = [
            (
                "get cm -o name --chunk-size=2",
                "configmap/a\nconfigmap/b\nconfigmap/c\nconfigmap/d\nconfigmap/e\n",
            ),
            ("get cm -o name -l stage", "configmap/a\nconfigmap/b\nconfigmap/c\n"),
            ("get cm -o name -l !stage", "configmap/d\nconfigmap/e\n"),
            ("get cm -o name -l stage=early", "configmap/a\nconfigmap/b\n"),
            ("get cm -o name -l stage!=early", "configmap/c\nconfigmap/d\nconfigmap/e\n"),
            ("get cm -o name --field-selector metadata.name=d", "configmap/d\n"),
            ("get cm,svc -o name --field-selector metadata.name=reviews", "service/reviews\n"),
        ];
        for (line, expected) in table {
            assert_eq!(mesh.ok(line).await, expected, "{line}");
        }
        let quoted =
            mesh.kubectl_with(&["get", "cm", "-o", "name", "-l", "stage in (late, x)"], "").await;
        assert_eq!(quoted.out, "configmap/c\n");
        assert!(mesh.ok("get cm -A").await.contains("NAMESPACE"));
        assert!(mesh.ok("get svc -o wide").await.contains("SELECTOR"));
        assert!(mesh.ok("get svc reviews -o yaml").await.contains("uid:"));
        assert!(mesh.ok("describe svc reviews").await.contains("Selector:"));
        let wrong = mesh.kubectl("get cm --field-selector spec.color=red").await;
        assert!(wrong.err.contains("not a known field selector"), "{wrong:?}");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn a_watch_prints_what_happens() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        mesh.ok("create configmap a").await;
        let mut watch = mesh.follow("get configmaps -w --no-headers --output-watch-events");
        // Event, name, and columns that change with time.
        let mut next =
            async || watch.line().await.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        assert_eq!(next().await, "ADDED a");
        mesh.ok("label configmap a stage=early").await;
        assert_eq!(next().await, "MODIFIED a");
        mesh.ok("create configmap b").await;
        assert_eq!(next().await, "ADDED b");
        mesh.ok("delete configmap a").await;
        assert_eq!(next().await, "DELETED a");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn apply_diff_edit_patch_and_replace_change_what_they_say() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        assert!(mesh.apply("", ROUTE).await.contains("created"));
        assert!(mesh.apply("", ROUTE).await.contains("unchanged"));
        assert_eq!(mesh.field("vs/reviews", ".metadata.generation").await, "1");
        let diff = mesh.kubectl_with(&["diff", "-f", "-"], &ROUTE.replace("before", "other")).await;
        assert_eq!(diff.code, 1, "{diff:?}");
        assert!(diff.out.contains("+        subset: other"), "{diff:?}");
        assert_eq!(mesh.kubectl_with(&["diff", "-f", "-"], ROUTE).await.code, 0);
        let diff = ["diff", "--server-side", "--force-conflicts", "-f", "-"];
        assert_eq!(mesh.kubectl_with(&diff, &ROUTE.replace("before", "other")).await.code, 1);

        // The editor is a sed that writes `after` for `before`.
        assert!(mesh.ok("edit vs reviews").await.contains("edited"));
        let subset = ".spec.http[0].route[0].destination.subset";
        assert_eq!(mesh.field("vs/reviews", subset).await, "after");
        assert_eq!(mesh.field("vs/reviews", ".metadata.generation").await, "2");

        mesh.ok(r#"patch vs reviews --type=merge -p {"spec":{"hosts":["reviews","stars"]}}"#).await;
        assert_eq!(mesh.field("vs/reviews", ".spec.hosts").await, r#"["reviews","stars"]"#);
        mesh.ok(r#"patch vs reviews --type=json -p [{"op":"remove","path":"/spec/hosts/1"}]"#)
            .await;
        assert_eq!(mesh.field("vs/reviews", ".spec.hosts").await, r#"["reviews"]"#);
        mesh.ok("annotate vs reviews note=x").await;
        assert_eq!(mesh.field("vs/reviews", ".metadata.generation").await, "4");
        let strategic = mesh.kubectl(r#"patch vs reviews --type=strategic -p {"spec":{}}"#).await;
        assert_ne!(strategic.code, 0);

        mesh.apply("", SERVICE).await;
        mesh.ok(r#"patch svc reviews -p {"spec":{"ports":[{"port":9080,"name":"web"}]}}"#).await;
        assert_eq!(mesh.field("svc/reviews", ".spec.ports[*].name").await, "web admin");
        mesh.apply("", &SERVICE.replace("  - {name: admin, port: 9901}\n", "")).await;
        assert_eq!(mesh.field("svc/reviews", ".spec.ports[*].name").await, "http");

        let stored = mesh.ok("get vs reviews -o yaml").await;
        let replace = ["replace", "-f", "-"];
        let replaced = mesh.kubectl_with(&replace, &stored.replace("after", "again")).await;
        assert_eq!(replaced.code, 0, "{replaced:?}");
        let late = mesh.kubectl_with(&replace, &stored.replace("after", "never")).await;
        assert!(late.err.contains("the object has been modified"), "{late:?}");
        assert_eq!(mesh.field("vs/reviews", subset).await, "again");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn a_dry_run_answers_as_the_real_one_and_keeps_nothing() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        assert!(mesh.apply("--dry-run=server", ROUTE).await.contains("created (server dry run)"));
        assert_eq!(mesh.ok("get vs -o name").await, "");
        mesh.apply("", ROUTE).await;
        mesh.apply("--dry-run=server", &ROUTE.replace("before", "other")).await;
        mesh.ok("delete vs reviews --dry-run=server").await;
        assert_eq!(mesh.field("vs/reviews", ".metadata.generation").await, "1");
        mesh.stop().await;
    }
}

#[tokio::test]
async fn every_problem_is_told_at_once_and_unknown_fields_by_choice() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        let wrong = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: Bad_Name}
spec:
  hosts: [reviews]
  http:
  - timeout: soon
    route:
    - destination: {host: reviews}
    retries: {attempts: many}
";
        let refused = mesh.kubectl_with(&["create", "--validate=false", "-f", "-"], wrong).await;
        assert_eq!(refused.code, 1);
        for part in ["metadata.name", "spec.http[0].timeout", "spec.http[0].retries.attempts"] {
            assert!(refused.err.contains(part), "{part} in {}", refused.err);
        }
        let unknown = ROUTE.replace("  hosts:", "  colour: red\n  hosts:");
        let strict = mesh.kubectl_with(&["create", "-f", "-"], &unknown).await;
        assert!(
            strict.err.contains("unknown field") && strict.err.contains("colour"),
            "{strict:?}"
        );

        let document = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "colour": "red",
        });
        let body = document.to_string();
        // (fieldValidation, whether it is taken, what is said)
        let table = [
            ("Strict", false, "unknown field \"colour\""),
            ("Warn", true, "unknown field \\\"colour\\\""),
            ("Ignore", true, ""),
        ];
        for (validation, is_taken, said) in table {
            let path = format!(
                "/api/v1/namespaces/default/configmaps?fieldValidation={validation}&dryRun=All"
            );
            let answer = Lines::post(&mesh, &path, &body).await;
            assert_eq!(answer.status == 201, is_taken, "{validation}");
            let head = answer.head.clone();
            let document = answer.document().await;
            assert!(document.get("colour").is_none());
            if is_taken {
                assert_eq!(head.contains("warning: 299"), !said.is_empty(), "{validation}: {head}");
                assert!(head.contains(said), "{validation}: {head}");
            } else {
                assert!(document["message"].as_str().unwrap().contains(said), "{document}");
            }
        }
        mesh.stop().await;
    }
}

#[tokio::test]
async fn deletion_waits_for_finalizers_and_takes_dependents_along() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        mesh.ok("create configmap owner").await;
        let uid = mesh.field("cm/owner", ".metadata.uid").await;
        let held = format!(
            "
apiVersion: v1
kind: ConfigMap
metadata:
  name: held
  finalizers: [example.com/hold]
  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]
"
        );
        mesh.apply("", &held).await;
        mesh.ok("delete cm owner").await;
        mesh.until("cm/held", ".metadata.deletionTimestamp").await;
        mesh.ok(r#"patch cm held --type=merge -p {"metadata":{"finalizers":null}}"#).await;
        mesh.until_gone("cm/held").await;

        mesh.ok("create namespace shop").await;
        mesh.ok("create configmap a -n shop").await;
        mesh.ok("delete namespace shop --timeout=90s").await;
        assert_eq!(mesh.ok("get cm -A -o name").await, "");
        let refused = mesh.kubectl("delete namespace default").await;
        assert!(refused.err.contains("may not be deleted"), "{refused:?}");

        for name in ["a", "b", "c"] {
            mesh.ok(&format!("create configmap {name}")).await;
        }
        mesh.ok("label cm a b gone=soon").await;
        mesh.ok("delete cm -l gone=soon").await;
        assert_eq!(mesh.ok("get cm -o name").await, "configmap/c\n");
        mesh.ok("delete cm --all").await;
        mesh.stop().await;
    }
}

#[tokio::test]
async fn orphans_stay_and_the_foreground_waits() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        for (policy, left) in [("orphan", "configmap/child\n"), ("foreground", "")] {
            mesh.ok("create configmap owner").await;
            let uid = mesh.field("cm/owner", ".metadata.uid").await;
            let owner = format!(
                r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"{uid}"}}]}}}}"#
            );
            if mesh.ok("get cm -o name").await == "configmap/owner\n" {
                mesh.ok("create configmap child").await;
            }
            mesh.ok(&format!("patch cm child --type=merge -p {owner}")).await;
            mesh.ok(&format!("delete cm owner --cascade={policy} --timeout=90s")).await;
            assert_eq!(mesh.ok("get cm -o name").await, left, "{policy}");
        }
        mesh.stop().await;
    }
}

#[tokio::test]
async fn events_of_an_object_are_described_with_it() {
    for kubectl in kubectls() {
        let mesh = Mesh::start_with(kubectl).await;
        mesh.apply("", ROUTE).await;
        let uid = mesh.field("vs/reviews", ".metadata.uid").await;
        let event = format!(
        "
apiVersion: v1
kind: Event
metadata: {{generateName: reviews.}}
involvedObject: {{apiVersion: networking.istio.io/v1, kind: VirtualService, name: reviews, namespace: default, uid: {uid}}}
reason: Enforced
message: enforced by 6 of 6 proxies
type: Normal
count: 1
firstTimestamp: \"2026-01-01T00:00:00Z\"
lastTimestamp: \"2026-01-01T00:00:00Z\"
source: {{component: leno}}
"
    );
        let created = mesh.kubectl_with(&["create", "-f", "-"], &event).await;
        assert_eq!(created.code, 0, "{created:?}");
        assert!(mesh.ok("describe vs reviews").await.contains("enforced by 6 of 6 proxies"));
        assert!(
            mesh.ok("get events --field-selector involvedObject.name=reviews")
                .await
                .contains("Enforced")
        );
        mesh.stop().await;
    }
}
