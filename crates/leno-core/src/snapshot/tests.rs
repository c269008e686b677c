use super::*;
use crate::config::RouteSource as Source;
use crate::problem::ProblemKind;
use crate::request::Call;
use crate::samples::{
    cluster, http_chain, listener, prefix, resources, route_to, table, tcp_chain, virtual_host,
};

fn routes_to(name: &str, cluster: &str) -> config::RouteConfiguration {
    table(name, vec![virtual_host("h", &["*"], vec![route_to(prefix("/"), cluster)])])
}

fn mesh() -> Resources {
    let inline = Arc::new(routes_to("inline", "a"));
    resources(
        vec![
            listener("10.0.0.9_9080", "10.0.0.9:9080", vec![tcp_chain("tcp", "a")]),
            listener(
                "0.0.0.0_9080",
                "0.0.0.0:9080",
                vec![http_chain("h", Source::Rds("9080".into()))],
            ),
            listener(
                "virtualOutbound",
                "0.0.0.0:15001",
                vec![tcp_chain("pass", "PassthroughCluster")],
            ),
            listener("v6", "[::]:9080", vec![http_chain("h", Source::Inline(inline))]),
        ],
        vec![routes_to("9080", "a"), routes_to("80", "gone")],
        vec![cluster("a"), cluster("b")],
    )
}

#[test]
fn a_listener_stands_for_its_destination() {
    let snapshot = Snapshot::compile(&mesh(), None).unwrap();
    let table = [
        ("10.0.0.9:9080", Some("10.0.0.9_9080")),
        ("[::ffff:10.0.0.9]:9080", Some("10.0.0.9_9080")),
        ("10.0.0.8:9080", Some("0.0.0.0_9080")),
        ("[2001:db8::1]:9080", Some("v6")),
        ("10.0.0.9:80", None),
        ("[2001:db8::1]:80", None),
    ];
    for (destination, expected) in table {
        let found = snapshot.listener_for(destination.parse().unwrap());
        assert_eq!(found.map(|listener| &**listener.name()), expected, "{destination}");
    }
    assert!(snapshot.listener("virtualOutbound").is_some());
    assert!(snapshot.listener("nope").is_none());
}

#[test]
fn a_listener_of_several_addresses_stands_for_each() {
    let both =
        |address: &str| config::ListenerAddress::DualStack { dual_stack: address.parse().unwrap() };
    let mut all = mesh();
    let mut dual = listener("dual", "10.0.0.7:7000", vec![tcp_chain("tcp", "a")]);
    dual.additional_addresses = vec![both("[::]:7001"), both("[2001:db8::7]:7002")];
    all.listeners.insert("dual".to_owned(), Arc::new(dual.clone()));
    let snapshot = Snapshot::compile(&all, None).unwrap();
    let table = [
        ("10.0.0.7:7000", true),
        ("10.0.0.8:7000", false),
        ("10.0.0.8:7001", true),
        ("[2001:db8::1]:7001", true),
        ("[2001:db8::7]:7002", true),
        ("10.0.0.8:7002", false),
    ];
    for (destination, expected) in table {
        let found = snapshot.listener_for(destination.parse().unwrap());
        assert_eq!(found.is_some_and(|found| &**found.name() == "dual"), expected, "{destination}");
    }
    // (additional addresses, problem)
    let socket = |address: &str| address.parse::<SocketAddr>().unwrap().into();
    let table = [
        (
            vec![socket("10.0.0.7:7001"), socket("10.0.0.7:7000")],
            "listeners[dual].additional_addresses[1].address",
        ),
        (vec![both("[::]:15001")], "listeners[virtualOutbound].address"),
    ];
    for (addresses, at) in table {
        dual.additional_addresses = addresses;
        all.listeners.insert("dual".to_owned(), Arc::new(dual.clone()));
        let problems = Snapshot::compile(&all, None).unwrap_err();
        let found: Vec<&str> = problems.iter().map(|problem| problem.at.as_str()).collect();
        assert_eq!(found, [at], "{problems:?}");
    }
}

#[test]
fn names_resolve_and_missing_ones_do_not() {
    let snapshot = Snapshot::compile(&mesh(), None).unwrap();
    for (name, known) in [("a", true), ("b", true), ("gone", false), ("A", false), ("", false)] {
        let id = snapshot.cluster_id(&ResourceName::new(name));
        assert_eq!(id.is_some(), known, "{name}");
        assert!(id.is_none_or(|id| snapshot.cluster(id).name().as_str() == name));
    }
    let rds = RouteSource::Rds(ResourceName::new("80"));
    let routes = snapshot.routes(&rds).unwrap();
    assert!(routes.route(&Call::get("x", "/")).is_ok(), "a missing cluster keeps its route");
    assert!(snapshot.routes(&RouteSource::Rds(ResourceName::new("81"))).is_none());
    assert!(Snapshot::empty().cluster_named("a").is_none());
}

#[test]
fn a_change_of_one_resource_shares_the_others() {
    let mut all = mesh();
    let first = Snapshot::compile(&all, None).unwrap();
    all.routes.insert("9080".to_owned(), Arc::new(routes_to("9080", "b")));
    // An equal resource in another allocation is not a change.
    all.clusters.insert("b".to_owned(), Arc::new(cluster("b")));
    let second = Snapshot::compile(&all, Some(&first)).unwrap();
    let shared = |a: &[Arc<Cluster>], b: &[Arc<Cluster>]| {
        a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b)) && a.len() == b.len()
    };
    assert!(shared(first.clusters(), second.clusters()));
    assert!(first.listeners().iter().zip(second.listeners()).all(|(a, b)| Arc::ptr_eq(a, b)));
    let kept: Vec<bool> = first
        .route_tables()
        .iter()
        .zip(second.route_tables())
        .map(|(a, b)| Arc::ptr_eq(a, b))
        .collect();
    assert_eq!(kept, [true, false], "80 is kept, 9080 is new");
}

#[test]
fn compiling_twice_gives_the_same() {
    let all = mesh();
    let (first, second) =
        (Snapshot::compile(&all, None).unwrap(), Snapshot::compile(&all, None).unwrap());
    assert_eq!(format!("{first:?}").len(), format!("{second:?}").len());
    for (a, b) in first.route_tables().iter().zip(second.route_tables()) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
    for (a, b) in first.listeners().iter().zip(second.listeners()) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

#[test]
fn problems_of_all_resources_come_together() {
    let mut all = mesh();
    all.clusters.insert("key".to_owned(), Arc::new(cluster("other")));
    let twin = listener("twin", "10.0.0.9:9080", vec![tcp_chain("tcp", "a")]);
    all.listeners.insert("twin".to_owned(), Arc::new(twin));
    let mut strict = routes_to("81", "gone");
    strict.validate_clusters = true;
    all.routes.insert("81".to_owned(), Arc::new(strict));
    let mut inline = routes_to("in", "gone");
    inline.validate_clusters = true;
    let gateway =
        listener("gw", "0.0.0.0:8080", vec![http_chain("web", Source::Inline(Arc::new(inline)))]);
    all.listeners.insert("gw".to_owned(), Arc::new(gateway));
    let problems = Snapshot::compile(&all, None).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "clusters[key].name: name \"other\" is not the key \"key\" it was delivered under; \
             make them equal",
            "listeners[twin].address: address 10.0.0.9:9080 is also listener \"10.0.0.9_9080\"'s; \
             one address belongs to one listener",
            "routes[81].virtual_hosts[h].routes[0].forward: cluster \"gone\" is not among the \
             clusters; add it or correct the name",
            "listeners[gw].filter_chains[web].http.routes.virtual_hosts[h].routes[0].forward: \
             cluster \"gone\" is not among the clusters; add it or correct the name",
        ]
    );
    assert!(matches!(problems[0].what, ProblemKind::NameDiffers { .. }));
}

#[test]
fn a_snapshot_is_shared_between_threads() {
    fn assert_shared<T: Send + Sync + 'static>(_: &T) {}
    assert_shared(&Snapshot::empty());
}
