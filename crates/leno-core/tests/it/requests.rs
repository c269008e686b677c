//! The life of requests against a failing cluster, as a proxy drives the rules: route, pick, count, judge, retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::balance::{Balancer, Pick};
use leno_core::budget::{self, Budget};
use leno_core::cluster::Cluster as CompiledCluster;
use leno_core::config::*;
use leno_core::endpoint::EndpointSet;
use leno_core::outlier::{self, EndpointOutcome};
use leno_core::random::{Random, SplitMix64};
use leno_core::request::Call;
use leno_core::retry::{AttemptOutcome, Idempotence};
use leno_core::route_table::Action;
use leno_core::snapshot::{Resources, Snapshot};

use crate::bookinfo::{cluster, forward_to, route, table, virtual_host};

struct Totals {
    requests: u32,
    attempts: u32,
    succeeded: u32,
    per_endpoint: BTreeMap<Address, u32>,
}

/// Sends `requests` at 100 a second; `fails` says whether an endpoint fails at a time.
fn drive(
    requests: u32,
    method: &str,
    outlier_settings: Option<OutlierDetection>,
    mut fails: impl FnMut(&Address, Duration, &mut SplitMix64) -> bool,
) -> Totals {
    let snapshot = failing_mesh(outlier_settings.clone());
    let start = Instant::now();
    let known = snapshot.cluster_named("c").unwrap();
    let set = Arc::new(endpoints(known, start));
    let mut balancer = Balancer::new(known);
    let mut budget = Budget::new(budget::DEFAULT, start);
    let mut random = SplitMix64::new(77);
    let mut totals = Totals { requests, attempts: 0, succeeded: 0, per_endpoint: BTreeMap::new() };
    let call = Call::get("c", "/").with_method(method);
    for number in 0..requests {
        let now = start + Duration::from_millis(10) * number;
        let matched = snapshot.route_tables()[0].route(&call).unwrap();
        let Action::Forward(forward) = &matched.route.action else { panic!("a forward") };
        let policy = forward.retry.as_ref().unwrap();
        budget.on_request(now);
        let (mut tried, mut token) = (Vec::new(), None);
        for retries in 0.. {
            let picked = balancer.pick(&set, Pick { now, tried: &tried }, &mut random).unwrap();
            totals.attempts += 1;
            *totals.per_endpoint.entry(picked.address.clone()).or_insert(0) += 1;
            let failed = fails(&picked.address, now - start, &mut random);
            let status = if failed { 503 } else { 200 };
            if let Some(settings) = &outlier_settings {
                outlier::on_result(settings, &set, picked, EndpointOutcome::Status(status), now);
            }
            if !failed {
                totals.succeeded += 1;
                match token {
                    Some(token) => budget.on_retry_success(token, now),
                    None => budget.on_success(),
                }
                break;
            }
            tried.push(Arc::clone(picked));
            let outcome =
                AttemptOutcome::Response { status, grpc_status: None, is_rate_limited: false };
            let idempotence = Idempotence::of_method(method.as_bytes());
            if policy.may_retry(outcome, idempotence, retries).is_err() {
                break;
            }
            let Ok(taken) = budget.try_retry(now) else { break };
            token = Some(taken);
        }
    }
    totals
}

fn failing_mesh(outlier: Option<OutlierDetection>) -> Snapshot {
    let mut action = forward_to(ClusterSpecifier::Cluster("c".to_owned()));
    let RouteAction::Forward(forward) = &mut action else { panic!("a forward") };
    forward.retry_policy = Some(Box::new(RetryPolicy {
        retry_on: vec![RetryCondition::GatewayError, RetryCondition::ConnectFailure],
        retriable_status_codes: vec![],
        num_retries: 2,
        per_try_timeout: None,
        back_off_base: Duration::from_millis(25),
        back_off_max: Duration::from_millis(250),
        avoid_previous_hosts: true,
    }));
    let everything = route("r", PathMatch::Prefix("/".to_owned()), action);
    let routes = table("t", vec![virtual_host("h", &["*"], vec![everything])]);
    let mut config = cluster("c", Discovery::Eds { service_name: None });
    config.outlier = outlier.map(Box::new);
    let resources = Resources {
        listeners: BTreeMap::new(),
        routes: BTreeMap::from([("t".to_owned(), Arc::new(routes))]),
        clusters: BTreeMap::from([("c".to_owned(), Arc::new(config))]),
    };
    Snapshot::compile(&resources, None).unwrap()
}

fn endpoints(cluster: &CompiledCluster, now: Instant) -> EndpointSet {
    let endpoint = |number| LbEndpoint {
        additional_addresses: Vec::new(),
        address: address(number),
        health: EndpointHealth::Healthy,
        weight: 1,
        labels: BTreeMap::new(),
        workload: None,
    };
    let locality = LocalityEndpoints {
        endpoints: (1..=3).map(endpoint).collect(),
        ..LocalityEndpoints::default()
    };
    let assignment =
        ClusterLoadAssignment { cluster_name: "c".to_owned(), localities: vec![locality] };
    EndpointSet::compile(cluster, &Arc::new(assignment), None, now).unwrap()
}

fn address(number: u8) -> Address {
    Address::Socket(([10, 0, 0, number], 80).into())
}

#[test]
fn a_full_outage_is_not_multiplied() {
    let totals = drive(20_000, "GET", None, |_, _, _| true);
    assert_eq!(totals.succeeded, 0);
    let attempts = f64::from(totals.attempts) / f64::from(totals.requests);
    assert!((1.15..=1.2).contains(&attempts), "{attempts}");
}

#[test]
fn a_bad_endpoint_is_hidden_by_retries_and_then_ejected() {
    let settings = OutlierDetection {
        consecutive_5xx: 5,
        consecutive_gateway_failure: 0,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: 10,
        min_health_percent: 0,
    };
    let totals = drive(20_000, "GET", Some(settings), |at, _, _| *at == address(2));
    assert_eq!(totals.succeeded, totals.requests, "no caller notices");
    assert!(totals.per_endpoint[&address(2)] <= 30, "{:?}", totals.per_endpoint);
}

#[test]
fn a_post_that_failed_is_not_sent_again() {
    let totals = drive(1000, "POST", None, |_, _, random| random.below(2) == 0);
    assert_eq!(totals.attempts, totals.requests);
    assert!((400..600).contains(&totals.succeeded), "{}", totals.succeeded);
}

#[test]
fn one_failure_in_ten_disappears() {
    let totals = drive(20_000, "GET", None, |_, _, random| random.below(10) == 0);
    let lost = totals.requests - totals.succeeded;
    // Three attempts fail together once in a thousand.
    assert!(lost < 60, "{lost} lost");
}
