use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::config::{Address, EndpointHealth, LocalityEndpoints, OutlierDetection};
use crate::endpoint::tests::set;
use crate::outlier::{EndpointOutcome, on_result};
use crate::random::SplitMix64;
use crate::samples::{cluster, endpoint, locality};

fn balancer(policy: LbPolicy, outlier: Option<OutlierDetection>) -> Balancer {
    let mut config = cluster("c");
    config.lb_policy = policy;
    config.outlier = outlier.map(Box::new);
    Balancer::new(&Cluster::compile(&Arc::new(config)).unwrap())
}

fn number(endpoint: &Endpoint) -> u8 {
    let Address::Socket(std::net::SocketAddr::V4(address)) = &endpoint.address else {
        panic!("an IPv4 address")
    };
    address.ip().octets()[3]
}

/// How often each endpoint is picked in `picks` picks.
fn count(
    balancer: &mut Balancer,
    set: &Arc<EndpointSet>,
    now: Instant,
    picks: u32,
) -> BTreeMap<u8, u32> {
    let mut random = SplitMix64::new(42);
    let mut counts = BTreeMap::new();
    for _ in 0..picks {
        let pick = Pick { now, tried: &[] };
        if let Some(endpoint) = balancer.pick(set, pick, &mut random) {
            *counts.entry(number(endpoint)).or_insert(0) += 1;
        }
    }
    counts
}

fn check_shares(policy: LbPolicy, localities: Vec<LocalityEndpoints>, expected: &[(u8, f64)]) {
    let now = Instant::now();
    let set = Arc::new(set(localities, None, now));
    let picks = 60_000;
    let counts = count(&mut balancer(policy, None), &set, now, picks);
    let total: f64 = expected.iter().map(|(_, share)| share).sum();
    for &(endpoint, share) in expected {
        let share = share / total;
        let found = f64::from(counts.get(&endpoint).copied().unwrap_or(0));
        let sigma = (f64::from(picks) * share * (1.0 - share)).sqrt();
        let off = (found - f64::from(picks) * share).abs();
        assert!(off <= 3.0 * sigma + 1.0, "{policy:?} endpoint {endpoint}: {counts:?}");
    }
}

#[test]
fn weights_are_kept_by_every_policy() {
    let policies = [LbPolicy::RoundRobin, LbPolicy::Random, LbPolicy::LeastRequest { choices: 2 }];
    for policy in policies {
        let endpoints =
            |weights: [u32; 3]| (1..).zip(weights).map(|(n, weight)| endpoint(n, weight)).collect();
        let one = |weights| vec![locality("a", 0, None, endpoints(weights))];
        check_shares(policy, one([1, 1, 1]), &[(1, 1.0), (2, 1.0), (3, 1.0)]);
        check_shares(policy, one([1, 2, 5]), &[(1, 1.0), (2, 2.0), (3, 5.0)]);
        let two = vec![
            locality("a", 0, Some(90), vec![endpoint(1, 1), endpoint(2, 2)]),
            locality("b", 0, Some(10), vec![endpoint(3, 1)]),
        ];
        check_shares(policy, two, &[(1, 30.0), (2, 60.0), (3, 10.0)]);
        // One locality without a weight: places do not weigh.
        let unweighted = vec![
            locality("a", 0, Some(90), vec![endpoint(1, 1)]),
            locality("b", 0, None, vec![endpoint(2, 1)]),
        ];
        check_shares(policy, unweighted, &[(1, 1.0), (2, 1.0)]);
    }
}

#[test]
fn round_robin_is_exact_over_each_round() {
    let now = Instant::now();
    let weights = [1_u32, 2, 5];
    let endpoints = (1..).zip(weights).map(|(n, weight)| endpoint(n, weight)).collect();
    let set = Arc::new(set(vec![locality("a", 0, None, endpoints)], None, now));
    let mut balancer = balancer(LbPolicy::RoundRobin, None);
    for _ in 0..100 {
        let counts = count(&mut balancer, &set, now, 8);
        for (n, weight) in (1..).zip(weights) {
            let found = counts.get(&n).copied().unwrap_or(0);
            assert!(found.abs_diff(weight) <= 1, "{counts:?}");
        }
    }
}

#[test]
fn the_less_busy_endpoint_gets_more() {
    let now = Instant::now();
    let endpoints = vec![endpoint(1, 1), endpoint(2, 1)];
    let set = Arc::new(set(vec![locality("a", 0, None, endpoints)], None, now));
    let _busy: Vec<_> = (0..5).map(|_| set.endpoints()[0].live.begin()).collect();
    let mut least = balancer(LbPolicy::LeastRequest { choices: 2 }, None);
    let counts = count(&mut least, &set, now, 10_000);
    // Two draws both hit the busy one a quarter of the time.
    let sigma = (10_000.0_f64 * 0.25 * 0.75).sqrt();
    assert!((f64::from(counts[&1]) - 2_500.0).abs() <= 3.0 * sigma, "{counts:?}");
}

#[test]
fn an_ejection_and_its_end_are_noticed_at_once() {
    let settings = OutlierDetection {
        consecutive_5xx: 1,
        consecutive_gateway_failure: 0,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: 50,
        min_health_percent: 0,
    };
    let now = Instant::now();
    let endpoints = vec![endpoint(1, 1), endpoint(2, 1)];
    let set = Arc::new(set(vec![locality("a", 0, None, endpoints)], None, now));
    let mut balancer = balancer(LbPolicy::RoundRobin, Some(settings.clone()));
    assert_eq!(count(&mut balancer, &set, now, 10), BTreeMap::from([(1, 5), (2, 5)]));
    on_result(&settings, &set, &set.endpoints()[0], EndpointOutcome::Reset, now).unwrap();
    assert_eq!(count(&mut balancer, &set, now, 10), BTreeMap::from([(2, 10)]));
    let later = now + Duration::from_secs(30);
    assert_eq!(count(&mut balancer, &set, later, 10), BTreeMap::from([(1, 5), (2, 5)]));
}

#[test]
fn unhealthy_endpoints_are_used_only_in_a_panic() {
    let sick = |number| {
        let mut sick = endpoint(number, 1);
        sick.health = EndpointHealth::Unhealthy;
        sick
    };
    let now = Instant::now();
    // (healthy, sick, sick ones are used)
    for (healthy, ill, expected) in [(3, 1, false), (2, 2, false), (1, 3, true), (0, 4, true)] {
        let endpoints = (0..healthy).map(|n| endpoint(n, 1)).chain((0..ill).map(|n| sick(100 + n)));
        let set = Arc::new(set(vec![locality("a", 0, None, endpoints.collect())], None, now));
        let counts = count(&mut balancer(LbPolicy::Random, None), &set, now, 1000);
        let used = counts.keys().any(|&number| number >= 100);
        assert_eq!(used, expected, "{healthy} healthy, {ill} sick");
    }
    let settings = OutlierDetection {
        consecutive_5xx: 5,
        consecutive_gateway_failure: 0,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: 10,
        min_health_percent: 0,
    };
    let set = Arc::new(set(vec![locality("a", 0, None, vec![sick(1)])], None, now));
    let mut without_panic = balancer(LbPolicy::Random, Some(settings));
    assert!(count(&mut without_panic, &set, now, 10).is_empty(), "nothing healthy, no panic");
}

#[test]
fn requests_fail_over_to_the_next_priority() {
    let mut sick = endpoint(2, 1);
    sick.health = EndpointHealth::Timeout;
    let groups = vec![
        locality("a", 0, None, vec![endpoint(1, 1), sick]),
        locality("b", 1, None, vec![endpoint(3, 1)]),
    ];
    check_shares(LbPolicy::RoundRobin, groups, &[(1, 70.0), (3, 30.0)]);
    let groups = vec![
        locality("a", 0, None, vec![endpoint(1, 1)]),
        locality("b", 1, None, vec![endpoint(3, 1)]),
    ];
    check_shares(LbPolicy::RoundRobin, groups, &[(1, 1.0)]);
}

#[test]
fn a_retry_avoids_what_was_tried_while_it_can() {
    let now = Instant::now();
    let endpoints = (1..=5).map(|n| endpoint(n, if n == 1 { 1000 } else { 1 })).collect();
    let set = Arc::new(set(vec![locality("a", 0, None, endpoints)], None, now));
    let mut random = SplitMix64::new(5);
    for policy in [LbPolicy::RoundRobin, LbPolicy::Random, LbPolicy::LeastRequest { choices: 2 }] {
        let mut balancer = balancer(policy, None);
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        for _ in 0..5 {
            let pick = Pick { now, tried: &tried };
            let endpoint = balancer.pick(&set, pick, &mut random).unwrap();
            assert!(tried.iter().all(|other| number(other) != number(endpoint)), "{policy:?}");
            tried.push(Arc::clone(endpoint));
        }
        let pick = Pick { now, tried: &tried };
        assert!(balancer.pick(&set, pick, &mut random).is_some(), "all tried: any will do");
    }
}

#[test]
fn an_empty_cluster_has_no_endpoint() {
    let now = Instant::now();
    let mut random = SplitMix64::new(0);
    let pick = Pick { now, tried: &[] };
    for set in [EndpointSet::empty(), set(vec![locality("a", 0, None, vec![])], None, now)] {
        let found =
            balancer(LbPolicy::RoundRobin, None).pick(&Arc::new(set), pick, &mut random).is_none();
        assert!(found);
    }
}
