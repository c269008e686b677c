use serde_json::{Value, json};

use super::*;
use crate::store::{Embedded, Expect, Key, Write};
use crate::translate::tests::{changed as key_of, documents, mesh_documents};

fn put(document: &Value) -> Write {
    let change = key_of(document);
    let key = Key::new(change.group, change.plural, change.namespace, change.name);
    Write::Put { key, value: document.clone(), expect: Expect::Anything }
}

fn node(name: &str) -> Node {
    Node {
        id: format!("sidecar~127.64.0.9~{name}.default~default.svc.cluster.local"),
        ..Node::default()
    }
}

const RULE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{timeout: 1s, route: [{destination: {host: reviews}}]}]}";

#[tokio::test]
async fn a_commit_wakes_the_pusher_and_changes_only_what_it_touches() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(directory.path()).unwrap());
    store.commit(mesh_documents().iter().map(put).collect()).await.unwrap();
    let translation = Translation::new(&*store);
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(Arc::clone(&translation).follow(store.clone(), stopped));
    let mut revision = translation.revision();
    revision.mark_unchanged();

    let before = translation.current(&node("productpage"));
    assert_eq!(before.revision, store.revision());
    assert!(Arc::ptr_eq(&before, &translation.current(&node("productpage"))));

    let mut rule = documents(RULE).remove(0);
    store.commit(vec![put(&rule)]).await.unwrap();
    revision.changed().await.unwrap();
    let after = translation.current(&node("productpage"));
    assert_eq!(after.revision, store.revision());
    for kind in ResourceType::ALL {
        let same = Arc::ptr_eq(&before.by_type[kind], &after.by_type[kind]);
        assert_eq!(same, kind != ResourceType::Route, "{kind:?}");
    }

    // Neither a status nor a document of another kind is a change of the world.
    rule["status"] = json!({"conditions": []});
    let other =
        documents("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}");
    store.commit(vec![put(&rule), put(&other[0])]).await.unwrap();
    let entry = documents(&RULE.replace("1s", "2s")).remove(0);
    store.commit(vec![put(&entry)]).await.unwrap();
    revision.changed().await.unwrap();
    assert_eq!(*revision.borrow_and_update(), store.revision());

    stop.send_replace(true);
    following.await.unwrap();
}

#[tokio::test]
async fn what_left_the_history_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Embedded::open_with_history(directory.path(), 1).unwrap());
    let translation = Translation::new(&*store);
    store.commit(mesh_documents().iter().map(put).collect()).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let following = tokio::spawn(Arc::clone(&translation).follow(store.clone(), stopped));
    let mut revision = translation.revision();
    revision.wait_for(|revision| *revision == store.revision()).await.unwrap();
    assert!(translation.world().workload("default", "productpage").is_some());
    stop.send_replace(true);
    following.await.unwrap();
}
