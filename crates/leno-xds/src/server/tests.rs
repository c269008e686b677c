//! Client and server machine together, through arbitrary interleavings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::stream::resource_of;
use super::*;
use crate::Node;
use crate::client::Client;

/// A stream whose two directions deliver when the test says so, and what the proxy came to have.
struct Pair {
    variant: Variant,
    client: Client,
    server: Server,
    up: VecDeque<Request>,
    down: VecDeque<Response>,
    wanted: ByType<Arc<Wanted>>,
    revision: u64,
    has: ByType<BTreeMap<String, Bytes>>,
    refuse: BTreeSet<Bytes>,
}

impl Pair {
    fn new(variant: Variant) -> Self {
        let node = Node { id: "sidecar~1".into(), ..Node::default() };
        let mut pair = Self {
            variant,
            client: Client::new(variant, node),
            server: Server::new(variant),
            up: VecDeque::new(),
            down: VecDeque::new(),
            wanted: ByType::default(),
            revision: 0,
            has: ByType::default(),
            refuse: BTreeSet::new(),
        };
        pair.up.extend(pair.client.connected());
        pair
    }

    fn set(&mut self, kind: ResourceType, resources: &[(&str, u8)]) {
        self.revision += 1;
        let wanted =
            resources.iter().map(|(name, value)| (Arc::from(*name), encoded(name, *value)));
        self.wanted[kind] = Arc::new(wanted.collect());
        self.offer();
    }

    fn offer(&mut self) {
        self.down.extend(self.server.advance(&self.wanted, self.revision));
    }

    fn reconnect(&mut self) {
        self.server = Server::new(self.variant);
        self.up.clear();
        self.down.clear();
        self.up.extend(self.client.connected());
    }

    /// Delivers one message in one direction; says whether there was one.
    fn deliver(&mut self, upwards: bool) -> bool {
        if upwards {
            let Some(request) = self.up.pop_front() else { return false };
            let bytes = request.encode(self.variant);
            self.server.request(&Request::decode(self.variant, bytes.into()).unwrap());
            self.offer();
            return true;
        }
        let Some(response) = self.down.pop_front() else { return false };
        let bytes = response.encode(self.variant);
        let response = Response::decode(self.variant, bytes.into()).unwrap();
        let Some(update) = self.client.response(response) else { return true };
        let (bad, good): (Vec<_>, Vec<_>) =
            update.upserts.iter().partition(|resource| self.refuse.contains(&resource.bytes));
        for resource in good {
            self.has[update.kind].insert(resource.name.clone(), resource.bytes.clone());
        }
        for name in &update.removed {
            self.has[update.kind].remove(name);
        }
        if !bad.is_empty() {
            let names: BTreeSet<String> = bad.iter().map(|bad| bad.name.clone()).collect();
            let told = |name: &String| format!("{}[{name}]: no", update.kind.plural());
            let problems: Vec<String> = names.iter().map(told).collect();
            let nack = self.client.refuse(update.kind, problems.join("\n"), &names);
            self.up.extend(nack);
            return true;
        }
        self.up.extend(self.client.accept(update.kind));
        if update.kind == ResourceType::Cluster {
            // As a proxy does: endpoints of every cluster it has.
            let names: BTreeSet<String> = self.has[ResourceType::Cluster].keys().cloned().collect();
            self.has[ResourceType::Endpoint].retain(|name, _| names.contains(name));
            self.up.extend(self.client.subscribe(ResourceType::Endpoint, names));
        }
        true
    }

    /// Delivers everything; panics if the two talk for ever.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.deliver(true) & !self.deliver(false) {
                return;
            }
        }
        panic!("the stream does not settle: {:?} {:?}", self.up, self.down);
    }

    fn check(&self, kind: ResourceType) {
        let wanted: BTreeMap<String, Bytes> = self.wanted[kind]
            .iter()
            .map(|(name, encoded)| (name.to_string(), encoded.bytes.clone()))
            .collect();
        assert_eq!(self.has[kind], wanted, "{kind:?}");
        assert_eq!(self.server.acknowledged(kind), self.revision, "{kind:?}");
    }
}

/// A message whose first field is its name.
fn encoded(name: &str, value: u8) -> Encoded {
    let mut bytes = vec![0x0a, name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&[0x10, value]);
    Encoded { version: format!("{value}").into(), bytes: bytes.into() }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Clusters(Vec<(usize, u8)>),
    Endpoints(Vec<(usize, u8)>),
    Deliver(bool),
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let resources = || prop::collection::vec((0..NAMES.len(), 0..3_u8), 0..4);
    let step = prop_oneof![
        2 => resources().prop_map(Step::Clusters),
        2 => resources().prop_map(Step::Endpoints),
        6 => any::<bool>().prop_map(Step::Deliver),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..40)
}

fn named(resources: &[(usize, u8)]) -> Vec<(&'static str, u8)> {
    resources.iter().map(|(index, value)| (NAMES[*index], *value)).collect()
}

proptest! {
    #[test]
    fn whatever_happens_the_proxy_ends_with_what_it_shall_have(
        delta in any::<bool>(), steps in steps(), last in prop::collection::vec(0..3_u8, 4)
    ) {
        let mut pair = Pair::new(if delta { Variant::Delta } else { Variant::StateOfTheWorld });
        for step in &steps {
            match step {
                Step::Clusters(resources) => pair.set(ResourceType::Cluster, &named(resources)),
                Step::Endpoints(resources) => pair.set(ResourceType::Endpoint, &named(resources)),
                Step::Deliver(upwards) => { pair.deliver(*upwards); }
                Step::Reconnect => pair.reconnect(),
            }
        }
        let all: Vec<(&str, u8)> = NAMES.into_iter().zip(last).collect();
        pair.set(ResourceType::Cluster, &all);
        pair.set(ResourceType::Endpoint, &all);
        pair.settle();
        pair.check(ResourceType::Cluster);
        pair.check(ResourceType::Endpoint);
    }
}

#[test]
fn both_variants_add_change_and_remove() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let mut pair = Pair::new(variant);
        for clusters in [&[("a", 1), ("b", 1)][..], &[("a", 2)], &[], &[("c", 1)]] {
            pair.set(ResourceType::Cluster, clusters);
            pair.settle();
            pair.check(ResourceType::Cluster);
        }
    }
}

#[test]
fn a_refusal_is_told_once_and_does_not_loop() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let mut pair = Pair::new(variant);
        pair.set(ResourceType::Cluster, &[("a", 1)]);
        pair.settle();
        pair.refuse.insert(encoded("a", 2).bytes);
        pair.set(ResourceType::Cluster, &[("a", 2)]);
        pair.settle();
        assert_eq!(pair.has[ResourceType::Cluster]["a"], encoded("a", 1).bytes);
        assert_eq!(pair.server.acknowledged(ResourceType::Cluster), 1);
        // The correction goes through.
        pair.set(ResourceType::Cluster, &[("a", 3)]);
        pair.settle();
        pair.check(ResourceType::Cluster);
    }
}

#[test]
fn a_refusal_stands_until_the_resource_is_taken_or_gone() {
    let kind = ResourceType::Cluster;
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        // (what is sent later, whether the refusal is history then)
        let table: [(&[(&str, u8)], bool); 4] = [
            (&[("a", 2), ("b", 2)], false),
            (&[("a", 2)], false),
            (&[("a", 3), ("b", 1)], true),
            (&[("b", 1)], true),
        ];
        for (later, is_history) in table {
            let mut pair = Pair::new(variant);
            pair.refuse.insert(encoded("a", 2).bytes);
            pair.set(kind, &[("a", 2), ("b", 1)]);
            pair.settle();
            assert!(!pair.has[kind].contains_key("a"));
            assert_eq!(pair.has[kind]["b"], encoded("b", 1).bytes, "the other one is in force");
            assert_eq!(pair.server.acknowledged(kind), 0);
            pair.set(kind, later);
            pair.settle();
            assert_eq!(pair.server.acknowledged(kind) == 2, is_history, "{variant:?} {later:?}");
            for (name, value) in later.iter().filter(|one| **one != ("a", 2)) {
                assert_eq!(pair.has[kind][*name], encoded(name, *value).bytes);
            }
        }
    }
}

#[test]
fn a_problem_names_its_resource() {
    // (line, resource)
    let table = [
        ("clusters[a]: no", Some("a")),
        ("clusters[a].x[b]: no", Some("a")),
        ("clusters[[::]_80].address: taken", Some("[::]_80")),
        ("clusters[a]: see b[c].d", Some("a")),
        ("routes[a]: no", None),
        ("Error adding/updating cluster(s) a", None),
    ];
    for (line, name) in table {
        assert_eq!(resource_of(ResourceType::Cluster, line), name, "{line}");
    }
}

#[test]
fn a_cluster_is_taken_away_after_the_routes_that_used_it() {
    let mut pair = Pair::new(Variant::Delta);
    pair.set(ResourceType::Cluster, &[("old", 1)]);
    pair.set(ResourceType::Listener, &[("l", 1)]);
    pair.settle();
    pair.revision += 1;
    pair.wanted[ResourceType::Cluster] = Arc::new([(Arc::from("new"), encoded("new", 1))].into());
    pair.wanted[ResourceType::Listener] = Arc::new([(Arc::from("l"), encoded("l", 2))].into());
    pair.offer();
    let sent: Vec<(Option<ResourceType>, usize, usize)> =
        pair.down.iter().map(|r| (r.kind(), r.resources.len(), r.removed.len())).collect();
    assert_eq!(sent, [(Some(ResourceType::Cluster), 1, 0), (Some(ResourceType::Listener), 1, 0)]);
    pair.settle();
    pair.check(ResourceType::Cluster);
}

#[test]
fn what_a_reconnecting_proxy_has_is_not_sent_again() {
    let mut pair = Pair::new(Variant::Delta);
    pair.set(ResourceType::Cluster, &[("a", 1), ("b", 1)]);
    pair.settle();
    pair.reconnect();
    pair.deliver(true);
    let resent: usize = pair.down.iter().map(|response| response.resources.len()).sum();
    assert_eq!(resent, 0);
}

#[test]
fn what_came_and_went_leaves_nothing_behind() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let mut pair = Pair::new(variant);
        for round in 0..40 {
            pair.set(ResourceType::Cluster, &[(&format!("c{round}"), 1)]);
            pair.settle();
            assert_eq!(pair.server.held(), Held { names: 1, bytes: pair.server.held().bytes });
        }
        pair.set(ResourceType::Cluster, &[]);
        pair.settle();
        assert_eq!(pair.server.held(), Held::default(), "{variant:?}");
        let absent: usize = pair.server.streams.iter().map(|(_, one)| one.absent.len()).sum();
        assert_eq!(absent, 0, "{variant:?}");
    }
}

#[test]
fn what_a_proxy_says_is_counted() {
    let type_url = ResourceType::Endpoint.type_url().to_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let first = Request {
        type_url: type_url.clone(),
        subscribe: words(&["ab", "c"]),
        initial_versions: vec![("gone".into(), "12".into())],
        ..Request::default()
    };
    let mut server = Server::new(Variant::Delta);
    server.request(&first);
    assert_eq!(server.held(), Held { names: 3, bytes: 2 + 1 + 4 + 2 });
    let sent = server.advance(&ByType::default(), 1);
    assert_eq!(sent[0].removed, ["ab", "c"]);
    let refusal = Request {
        type_url: type_url.clone(),
        nonce: sent[0].nonce.clone(),
        error: Some("endpoints[x]: no".into()),
        ..Request::default()
    };
    server.request(&refusal);
    assert_eq!(server.held(), Held { names: 4, bytes: 9 + 1 + 16 });
    let names = words(&["ab", "c", "gone", "x"]);
    server.request(&Request { type_url, unsubscribe: names, ..Request::default() });
    assert_eq!(server.held(), Held::default());
}
