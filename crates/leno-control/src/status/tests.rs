use serde_json::json;

use super::verdict::Refused;
use super::*;
use crate::store::Embedded;
use crate::translate::tests::{changed, mesh_documents};

fn rule(exported: &Value) -> Document {
    let value = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "r", "namespace": "default", "generation": 3},
        "spec": {"hosts": ["a"], "exportTo": exported, "http": [{"corsPolicy": {"maxAge": "1s"}}]},
    });
    let key = Key::new("networking.istio.io", "virtualservices", "default", "r");
    Document { key, revision: 9, value }
}

fn proxy(namespace: &str) -> Proxy {
    let labels = [("app".to_owned(), "a".to_owned())].into();
    Proxy {
        name: "p".into(),
        namespace: namespace.into(),
        address: None,
        stacks: crate::translate::Stacks::Ipv4,
        labels,
        http_proxy: None,
        engine: crate::translate::Engine::Leno,
    }
}

fn takes(namespace: &str, enforced: u64) -> Answer {
    Answer::made(proxy(namespace), enforced, Vec::new())
}

fn refuses(revision: u64) -> Answer {
    let problems = vec!["routes[80].regex: too large".to_owned()];
    let proxy_name = "p.default".to_owned();
    let refused = Refused { proxy: proxy_name, revision, problems, blamed: Default::default() };
    Answer::made(proxy("default"), revision - 1, vec![refused])
}

fn kind() -> &'static Kind {
    leno_api::kind_of("networking.istio.io", "VirtualService").unwrap()
}

/// Status and message of `Enforced`, for a document that the world has since revision 9.
fn enforced(document: &Document, answers: &[Answer]) -> String {
    let world = World::default();
    let world = world.apply(
        9,
        [crate::world::Changed {
            group: "networking.istio.io",
            plural: "virtualservices",
            namespace: "default",
            name: "r",
            document: Some(&document.value),
        }],
    );
    let verdict = Verdict::new(kind(), document, 9, answers);
    let status = condition::status(kind(), document, &world, &verdict);
    let found = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Enforced");
    let found = found.unwrap();
    assert_eq!(found["observedGeneration"], 3);
    format!("{} {}: {}", text(found, "status"), text(found, "reason"), text(found, "message"))
}

#[test]
fn a_status_counts_those_who_are_concerned() {
    let everybody = rule(&json!(null));
    let private = rule(&json!(["."]));
    let by_another = |settled| {
        let mut answer = refuses(9);
        answer.refusals_mut()[0].blamed = ["somebody-else".to_owned()].into();
        answer.in_parts(settled)
    };
    let of_this = |settled| {
        let mut answer = refuses(9);
        let origin = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/r";
        answer.refusals_mut()[0].blamed = [origin.to_owned()].into();
        answer.in_parts(settled)
    };
    let whole = |settled| {
        let mut answer = refuses(9);
        answer.refusals_mut()[0].problems = vec!["not a response".to_owned()];
        answer.in_parts(settled)
    };
    let table: [(&Document, &[Answer], &str); 11] = [
        (&everybody, &[], "Unknown NoProxies: no connected proxy is concerned"),
        (
            &everybody,
            &[takes("default", 9), takes("x", 12)],
            "True AllProxies: enforced by 2 of 2 proxies at revision 9",
        ),
        (
            &private,
            &[takes("default", 9), takes("x", 9)],
            "True AllProxies: enforced by 1 of 1 proxy at revision 9",
        ),
        (
            &everybody,
            &[takes("default", 9), takes("x", 8)],
            "Unknown Pending: enforced by 1 of 2 proxies; 1 did not answer yet",
        ),
        (
            &everybody,
            &[takes("default", 9), refuses(9)],
            "False HeldUp: enforced by 1 of 2 proxies; held up by what is no document's: p.default refused routes[80].regex: too large",
        ),
        (&everybody, &[by_another(9)], "True AllProxies: enforced by 1 of 1 proxy at revision 9"),
        (
            &everybody,
            &[by_another(8)],
            "Unknown Pending: enforced by 0 of 1 proxy; 1 did not answer yet",
        ),
        (
            &everybody,
            &[refuses(9).in_parts(12)],
            "True AllProxies: enforced by 1 of 1 proxy at revision 9",
        ),
        (
            &everybody,
            &[whole(12)],
            "False HeldUp: enforced by 0 of 1 proxy; held up by what is no document's: p.default refused not a response",
        ),
        (
            &everybody,
            &[of_this(12)],
            "False Refused: enforced by 0 of 1 proxy; p.default refused routes[80].regex: too large",
        ),
        (
            &everybody,
            &[refuses(5)],
            "Unknown Pending: enforced by 0 of 1 proxy; 1 did not answer yet",
        ),
    ];
    for (document, answers, expected) in table {
        assert_eq!(enforced(document, answers), expected);
    }
}

#[test]
fn fields_without_effect_are_named_and_foreign_conditions_stay() {
    let mut document = rule(&json!(null));
    document.value["status"] = json!({"conditions": [{"type": "Mine", "status": "True"}], "x": 1});
    let verdict = Verdict::default();
    let status = condition::status(kind(), &document, &World::default(), &verdict);
    let types: Vec<&str> =
        status["conditions"].as_array().unwrap().iter().map(|c| text(c, "type")).collect();
    assert_eq!(types, ["Accepted", "Enforced", "Reconciled", "NotEnforced", "Mine"]);
    assert!(text(&status["conditions"][3], "message").starts_with("spec.http[0].corsPolicy: "));
    assert_eq!(status["x"], 1);
    // Written once more, it is the same, with the same times.
    document.value["status"] = status.clone();
    let again = condition::status(kind(), &document, &World::default(), &verdict);
    assert_eq!(again, status);
    assert!(condition::says_the_same(&status, &again));
}

/// A store with Bookinfo and `documents`, a writer at work, and a table to put proxies into.
struct Stage {
    _directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    translation: Arc<Translation>,
    proxies: ProxyTable,
    stop: watch::Sender<bool>,
    tasks: tokio::task::JoinSet<()>,
}

impl Stage {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path()).unwrap());
        let puts = mesh_documents().iter().map(put).collect();
        store.commit(puts).await.unwrap();
        let translation = Translation::new(&*store);
        let proxies = ProxyTable::new();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Arc::clone(&translation).follow(store.clone(), stopped.clone()));
        let writer = StatusWriter::new(store.clone(), translation.clone(), proxies.clone());
        tasks.spawn(writer.run(stopped));
        Self { _directory: directory, store, translation, proxies, stop, tasks }
    }

    async fn apply(&self, document: &Value) -> u64 {
        self.store.commit(vec![put(document)]).await.unwrap()[0].revision
    }

    /// Waits until `Enforced` of a document has this reason; its message.
    async fn reason(&self, name: &str, reason: &str) -> String {
        let key = Key::new("networking.istio.io", "virtualservices", "default", name);
        let mut events = self.store.subscribe(0).unwrap();
        loop {
            let document = self.store.get(&key).unwrap();
            let conditions = document.value["status"]["conditions"].as_array().cloned();
            let found = conditions.into_iter().flatten().find(|c| c["type"] == "Enforced");
            if let Some(found) = found.filter(|found| found["reason"] == reason) {
                return text(&found, "message").to_owned();
            }
            let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            next.unwrap_or_else(|_| panic!("{name} is not {reason}: {document:?}")).unwrap();
        }
    }

    async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn put(document: &Value) -> Write {
    let change = changed(document);
    let key = Key::new(change.group, change.plural, change.namespace, change.name);
    Write::Put { key, value: document.clone(), expect: Expect::Anything }
}

fn routes_to(host: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": host, "namespace": "default", "generation": generation, "uid": "u"},
        "spec": {"hosts": [host], "http": [{"timeout": format!("{generation}s"), "route": [{"destination": {"host": host}}]}]},
    })
}

#[tokio::test]
async fn a_status_follows_what_proxies_answer() {
    use leno_xds::ResourceType::Route;
    let stage = Stage::new().await;
    let id = "sidecar~127.64.1.0~productpage.default~x".to_owned();
    let row = stage.proxies.add(leno_xds::Node { id, ..Default::default() });
    row.subscribed(Route);
    let revision = stage.apply(&routes_to("reviews", 1)).await;
    assert!(stage.reason("reviews", "Pending").await.contains("0 of 1 proxy"));
    row.acknowledged(Route, revision);
    let expected = format!("enforced by 1 of 1 proxy at revision {revision}");
    assert_eq!(stage.reason("reviews", "AllProxies").await, expected);

    // The proxy refuses a rule; it is the one that is told, and one that came later is held up.
    let poison = stage.apply(&routes_to("ratings", 1)).await;
    let mut revisions = stage.translation.revision();
    revisions.wait_for(|known| *known >= poison).await.unwrap();
    stage.translation.current(&stage.proxies.list()[0].node);
    let later = stage.apply(&routes_to("details", 1)).await;
    row.refused(
        Route,
        later,
        "routes[9080].virtual_hosts[ratings.default.svc.cluster.local:9080].routes[0].match.path: no",
    );
    let told = stage.reason("ratings", "Refused").await;
    assert!(
        told.contains("0 of 1") && told.contains("productpage.default refused routes[9080]"),
        "{told}"
    );
    let told = stage.reason("details", "HeldUp").await;
    assert!(
        told.contains(
            "held up by /apis/networking.istio.io/v1/namespaces/default/virtual-service/ratings"
        ),
        "{told}"
    );
    assert_eq!(stage.reason("reviews", "AllProxies").await, expected, "the old one stays in force");
    let events = Range { group: "", plural: "events", namespace: Some("default") };
    let events = stage.store.list(events).documents;
    assert_eq!(events.len(), 1, "one event, for the document that is to blame");
    assert_eq!(events[0].value["involvedObject"]["name"], "ratings");
    assert_eq!(leno_api::kind_of("", "Event").unwrap().problems(&events[0].value), []);

    // What we made by ourselves is nobody's document: it is told on the workload.
    row.refused(Route, later, "listeners[virtualInbound].filter_chains[0]: no");
    let about_pod = |event: &Arc<Document>| event.value["involvedObject"]["kind"] == "Pod";
    let mut commits = stage.store.subscribe(0).unwrap();
    let event = loop {
        let list = Range { group: "", plural: "events", namespace: Some("default") };
        let found = stage.store.list(list).documents.into_iter().find(about_pod);
        if let Some(event) = found {
            break event;
        }
        tokio::time::timeout(Duration::from_secs(20), commits.next()).await.unwrap().unwrap();
    };
    assert_eq!(event.value["involvedObject"]["name"], "productpage");
    assert!(text(&event.value, "message").contains("listeners[virtualInbound]"), "{event:?}");

    // Repaired, and acknowledged by a proxy that then goes away.
    let repaired = stage.apply(&routes_to("ratings", 2)).await;
    row.acknowledged(Route, repaired);
    stage.reason("ratings", "AllProxies").await;
    stage.reason("details", "AllProxies").await;
    drop(row);
    stage.reason("details", "NoProxies").await;
    stage.stop().await;
}

#[tokio::test]
async fn a_document_gets_its_status_and_is_then_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path()).unwrap());
    let document = rule(&json!(null));
    let put = Write::Put {
        key: document.key.clone(),
        value: document.value.clone(),
        expect: Expect::Absent,
    };
    store.commit(vec![put]).await.unwrap();
    let translation = Translation::new(&*store);
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(Arc::clone(&translation).follow(store.clone(), stopped.clone()));
    let writer = StatusWriter::new(store.clone(), translation, ProxyTable::new());
    let writing = tokio::spawn(writer.run(stopped));
    let mut events = store.subscribe(1).unwrap();
    let written = events.next().await.unwrap();
    let status = &written[0].document.value["status"];
    assert_eq!(status["observedGeneration"], 3);
    assert_eq!(status["conditions"][1]["reason"], "NoProxies");
    // Its own write wakes it; a write of somebody else is answered once more, and nothing else is written.
    let mut changed = store.get(&document.key).unwrap().value.clone();
    changed["metadata"]["generation"] = 4.into();
    let key = document.key.clone();
    store.commit(vec![Write::Put { key, value: changed, expect: Expect::Anything }]).await.unwrap();
    let seen =
        |event: &crate::store::Event| event.document.value["status"]["observedGeneration"] == 4;
    loop {
        if events.next().await.unwrap().iter().any(|event| seen(event)) {
            break;
        }
    }
    assert_eq!(store.revision(), 4);
    stop.send_replace(true);
    following.await.unwrap();
    writing.await.unwrap();
}
