//! The order of documents leaves no trace, and nothing is made twice.

use super::*;

const RULES: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {hosts: [reviews, ratings], http: [{route: [{destination: {host: reviews, subset: v2}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v3}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: s, namespace: default}
spec: {hosts: [s.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: t, namespace: default}
spec: {hosts: [s.example], ports: [{number: 81, name: http, protocol: HTTP}], resolution: NONE}
";

/// A generator of its own, so that a failing seed can be named.
fn shuffled(documents: &[Value], seed: u64) -> Vec<Value> {
    let mut left = documents.to_vec();
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut out = Vec::new();
    while !left.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state % left.len() as u64).unwrap();
        out.push(left.swap_remove(at));
    }
    out
}

fn all() -> Vec<Value> {
    let mut all = bookinfo::documents();
    all.extend(documents(RULES));
    all
}

#[test]
fn the_order_of_documents_leaves_no_trace() {
    let whole = world(&all());
    let expected = translate(&whole, &proxy(&whole, "productpage"));
    for seed in 0..30 {
        // One at a time, with one more that goes away again.
        let mut stepwise = World::default();
        let stray = documents(&RULES.replace("name: a,", "name: stray,"));
        stepwise = stepwise.apply(1, stray.iter().map(changed));
        for (index, document) in shuffled(&all(), seed).iter().enumerate() {
            stepwise = stepwise.apply(index as u64 + 2, [changed(document)]);
        }
        let gone = stray.iter().map(changed).filter(|change| change.name == "stray");
        stepwise = stepwise.apply(99, gone.map(|change| Changed { document: None, ..change }));
        let translated = translate(&stepwise, &proxy(&stepwise, "productpage"));
        assert_eq!(translated, expected, "seed {seed}");
    }
}

#[test]
fn translating_again_makes_nothing_new() {
    let world = world(&all());
    let proxy = proxy(&world, "productpage");
    let mut translator = Translator::default();
    let first = translator.translate(&world, &proxy);
    translator.sweep();
    let again = translator.translate(&world, &proxy);
    assert_eq!(first, again);
    for (name, cluster) in &first.clusters {
        assert!(Arc::ptr_eq(cluster, &again.clusters[name]), "{name}");
    }
    for (name, routes) in &first.routes {
        assert!(Arc::ptr_eq(routes, &again.routes[name]), "{name}");
    }
}

#[test]
fn what_a_change_does_not_touch_is_shared() {
    let before = world(&all());
    let mut rule = documents(RULES).remove(0);
    rule["spec"]["http"][0]["timeout"] = "1s".into();
    let after = before.apply(2, [changed(&rule)]);
    assert!(std::ptr::eq(before.services(), after.services()));
    assert!(std::ptr::eq(before.all_endpoints(), after.all_endpoints()));
    let mut translator = Translator::default();
    let first = translator.translate(&before, &proxy(&before, "productpage"));
    let second = translator.translate(&after, &proxy(&after, "productpage"));
    assert_ne!(first.routes["9080"], second.routes["9080"]);
    assert!(first.clusters.iter().all(|(name, made)| Arc::ptr_eq(made, &second.clusters[name])));
    // A status is not part of what a rule says.
    let mut status = rule.clone();
    status["status"] = serde_json::json!({"conditions": []});
    let same = after.apply(3, [changed(&status)]);
    assert!(Arc::ptr_eq(&after.virtual_services()[0], &same.virtual_services()[0]));
}

#[test]
fn an_unreadable_document_is_named_and_left_out() {
    let mut rule = documents(RULES).remove(0);
    rule["spec"]["http"] = "what?".into();
    let world = World::default().apply(1, [changed(&rule)]);
    let (place, reason) = world.unreadable().iter().next().unwrap();
    assert_eq!(place.origin(), "/apis/networking.istio.io/v1/namespaces/default/virtual-service/a");
    assert!(reason.contains("what?"), "{reason}");
    let repaired = documents(RULES).remove(0);
    assert!(world.apply(2, [changed(&repaired)]).unreadable().is_empty());
}
