//! Whatever is written in resources or asked by peers: compile answers with problems, and what compiles never fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::balance::{Balancer, Pick};
use leno_core::cluster::Cluster as CompiledCluster;
use leno_core::config::*;
use leno_core::endpoint::EndpointSet;
use leno_core::explain::{Entry, explain};
use leno_core::outlier::{EndpointOutcome, on_result};
use leno_core::random::SplitMix64;
use leno_core::request::Call;
use leno_core::route_table::Action;
use leno_core::snapshot::{Resources, Snapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::bookinfo::{cluster, forward_to, http, listener, route, table, virtual_host};

/// Text that breaks parsers: separators, wildcards, brackets, controls, non-ASCII, and plain words.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab/.*:?#%\\\\\\[\\]()+{}|^$,;=& \\-\u{0}\r\n\u{e9}]{0,8}",
        2 => "[a-c]{0,3}",
        2 => "/[a-c/]{0,4}",
        1 => any::<String>(),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_millis(25)),
        Just(Duration::MAX),
        any::<u32>().prop_map(|seconds| Duration::from_secs(seconds.into())),
    ]
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    (0..5, text(), any::<bool>()).prop_map(|(kind, text, ignore_case)| {
        let pattern = match kind {
            0 => StringPattern::Exact(text),
            1 => StringPattern::Prefix(text),
            2 => StringPattern::Suffix(text),
            3 => StringPattern::Contains(text),
            _ => StringPattern::Regex(text),
        };
        StringMatch { pattern, ignore_case }
    })
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    (0..4, text()).prop_map(|(kind, text)| match kind {
        0 => PathMatch::Prefix(text),
        1 => PathMatch::Exact(text),
        2 => PathMatch::Regex(text),
        _ => PathMatch::PathSeparatedPrefix(text),
    })
}

fn header_match() -> impl Strategy<Value = HeaderMatch> {
    let kind = prop_oneof![
        any::<bool>().prop_map(HeaderMatchKind::Present),
        string_match().prop_map(HeaderMatchKind::String),
        any::<(i64, i64)>().prop_map(|(start, end)| HeaderMatchKind::Range { start, end }),
    ];
    let name = prop_oneof![Just(":path".to_owned()), Just("x-a".to_owned()), text()];
    (name, kind, any::<bool>(), any::<bool>()).prop_map(
        |(name, kind, invert, treat_missing_as_empty)| HeaderMatch {
            name,
            kind,
            invert,
            treat_missing_as_empty,
        },
    )
}

fn rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![
        text().prop_map(PathRewrite::Prefix),
        (text(), text())
            .prop_map(|(pattern, substitution)| PathRewrite::Regex { pattern, substitution }),
    ]
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    (duration(), duration(), option::of(duration()), any::<u32>(), vec(any::<u16>(), 0..3))
        .prop_map(
            |(
                back_off_base,
                back_off_max,
                per_try_timeout,
                num_retries,
                retriable_status_codes,
            )| {
                RetryPolicy {
                    retry_on: vec![RetryCondition::ServerError5xx],
                    retriable_status_codes,
                    num_retries,
                    per_try_timeout,
                    back_off_base,
                    back_off_max,
                    avoid_previous_hosts: true,
                }
            },
        )
}

fn forward() -> impl Strategy<Value = RouteAction> {
    let part = (text(), any::<u32>()).prop_map(|(name, weight)| WeightedCluster {
        name,
        weight,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
    });
    let to = prop_oneof![
        text().prop_map(ClusterSpecifier::Cluster),
        vec(part, 0..4).prop_map(ClusterSpecifier::Weighted),
    ];
    (to, option::of(duration()), option::of(retry()), option::of(rewrite()), option::of(text()))
        .prop_map(|(to, timeout, retry_policy, path_rewrite, host_rewrite)| {
            let mut action = forward_to(to);
            if let RouteAction::Forward(forward) = &mut action {
                forward.timeout = timeout;
                forward.retry_policy = retry_policy.map(Box::new);
                forward.path_rewrite = path_rewrite.map(Box::new);
                forward.host_rewrite = host_rewrite;
            }
            action
        })
}

fn redirect() -> impl Strategy<Value = RouteAction> {
    let path =
        prop_oneof![text().prop_map(RedirectPath::Full), text().prop_map(RedirectPath::Prefix)];
    (option::of(text()), option::of(any::<u16>()), option::of(path), 300..310_u16, any::<bool>())
        .prop_map(|(host, port, path, status, strip_query)| {
            let scheme = host.as_ref().map(|_| "https".to_owned());
            RouteAction::Redirect(Box::new(Redirect {
                scheme,
                host,
                port,
                path,
                status,
                strip_query,
            }))
        })
}

fn any_route() -> impl Strategy<Value = Route> {
    let mutation = (text(), text()).prop_map(|(name, value)| HeaderMutation {
        name,
        value,
        edit: HeaderEdit::Append,
    });
    let action = prop_oneof![3 => forward(), 1 => redirect()];
    (path_match(), vec(header_match(), 0..2), action, vec(mutation, 0..2)).prop_map(
        |(path, headers, action, edits)| {
            let mut route = route("r", path, action);
            route.route_match.headers = headers;
            route.request_headers = HeaderMutations::new(Vec::new(), edits);
            route
        },
    )
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = (text(), text(), text()).prop_map(|(authority, path, value)| {
        Call::get(&authority, &path).with_header("x-a", &value).with_header("X-A", "2")
    });
    vec(call, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn routes_are_refused_or_answer_every_call(
        routes in vec(any_route(), 0..14),
        domains in vec(text(), 0..4),
        calls in calls(),
    ) {
        // Alone, so that one bad route does not keep the others from being asked.
        for route in routes {
            let host = virtual_host("h", &["*"], vec![route]);
            ask_all(Resources {
                routes: BTreeMap::from([("t".to_owned(), Arc::new(table("t", vec![host])))]),
                ..Resources::default()
            }, &calls);
        }
        let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
        let inline = Arc::new(table("t", vec![virtual_host("h", &domains, vec![])]));
        let web = listener("l", "0.0.0.0:80", vec![http("c", RouteSource::Inline(inline))]);
        ask_all(Resources {
            listeners: BTreeMap::from([("l".to_owned(), Arc::new(web))]),
            ..Resources::default()
        }, &calls);
    }

    #[test]
    fn endpoints_are_refused_or_picked_from(
        groups in vec((0..200_u32, option::of(any::<u32>()), vec((any::<u8>(), any::<u32>()), 0..6)), 0..5),
        choices in any::<u32>(),
        outlier in (any::<[u32; 4]>(), [duration(), duration(), duration()]),
    ) {
        let ([consecutive_5xx, consecutive_gateway_failure, most, least], [a, b, c]) = outlier;
        let mut config = cluster("c", Discovery::Eds { service_name: None });
        config.lb_policy = LbPolicy::LeastRequest { choices };
        config.outlier = Some(Box::new(OutlierDetection {
            consecutive_5xx: consecutive_5xx % 4,
            consecutive_gateway_failure: consecutive_gateway_failure % 4,
            interval: a,
            base_ejection_time: b,
            max_ejection_time: c,
            max_ejection_percent: most % 120,
            min_health_percent: least % 120,
        }));
        let localities = groups.into_iter().map(|(priority, weight, endpoints)| LocalityEndpoints {
            locality: Locality::unknown(),
            priority,
            weight,
            endpoints: endpoints.into_iter().map(endpoint).collect(),
        });
        let assignment =
            ClusterLoadAssignment { cluster_name: "c".to_owned(), localities: localities.collect() };
        pick_all(&Arc::new(config), &Arc::new(assignment));
    }
}

fn endpoint((number, weight): (u8, u32)) -> LbEndpoint {
    LbEndpoint {
        additional_addresses: Vec::new(),
        address: Address::Socket(SocketAddr::from(([10, 0, 0, number], 80))),
        health: if number % 5 == 0 { EndpointHealth::Unhealthy } else { EndpointHealth::Unknown },
        weight,
        labels: BTreeMap::new(),
        workload: None,
    }
}

fn ask_all(resources: Resources, calls: &[Call]) {
    let Ok(snapshot) = Snapshot::compile(&resources, None) else { return };
    for call in calls {
        let decision = explain(&snapshot, Entry::RouteConfiguration("t"), call);
        assert!(!decision.to_string().is_empty());
        for table in snapshot.route_tables() {
            let Ok(matched) = table.route(call) else { continue };
            if let Action::Forward(forward) = &matched.route.action {
                for random in [0, 1, u64::MAX] {
                    assert!(forward.clusters.pick(random).weight > 0);
                }
            }
        }
    }
    let destination = SocketAddr::from(([10, 0, 0, 1], 80));
    let decision = explain(&snapshot, Entry::Destination(destination), &calls[0]);
    assert!(!decision.to_string().is_empty());
}

fn pick_all(config: &Arc<Cluster>, assignment: &Arc<ClusterLoadAssignment>) {
    let Ok(cluster) = CompiledCluster::compile(config) else { return };
    let mut now = Instant::now();
    let Ok(set) = EndpointSet::compile(&cluster, assignment, None, now) else { return };
    let set = Arc::new(set);
    let mut balancer = Balancer::new(&cluster);
    let mut random = SplitMix64::new(1);
    let mut tried = Vec::new();
    for step in 0..60 {
        let Some(picked) = balancer.pick(&set, Pick { now, tried: &tried }, &mut random) else {
            continue;
        };
        let outlier = config.outlier.as_ref().unwrap();
        on_result(outlier, &set, picked, EndpointOutcome::Status(500 + step % 5), now);
        tried.push(Arc::clone(picked));
        now += Duration::from_secs(u64::from(step) * 10);
    }
}
