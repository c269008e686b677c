//! Steps 6 and 7: limits, ejection, time-outs, retries.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::routing::SUBSETS;
use super::stage::Stage;

const RATINGS: &str = "http://ratings:9080/ratings/0";
const REVIEWS: &str = "http://reviews:9080/reviews/0";

fn count(records: &[Value], flag: &str, status: u16) -> usize {
    let fits =
        |record: &&Value| record["response_flags"] == flag && record["response_code"] == status;
    records.iter().filter(fits).count()
}

/// Over the limit requests fail at once with 503 and UO; a failing endpoint is set aside and comes back.
pub(super) fn circuit(stage: &mut Stage<'_>) -> Result<String> {
    let limits = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec:
  host: ratings
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - route: [{destination: {host: ratings}}]
    retries: {attempts: 0}
";
    stage.apply(limits)?;
    stage.fault("ratings-v1", &json!({"delay_ms": 100}))?;
    let answers = stage.call(&["-n", "60", "-c", "20", RATINGS])?;
    let overflow = count(&stage.records("tour", 60)?, "UO", 503) as u64;
    ensure!(
        overflow > 0 && overflow == answers.with_status(503),
        "{overflow} records say UO: {:?}",
        answers.status
    );
    ensure!(answers.with_status(200) >= 1, "nothing got through: {:?}", answers.status);
    let ejected = ejection(stage)?;
    Ok(format!("{overflow} of 60 over the limit; {ejected}"))
}

fn ejection(stage: &mut Stage<'_>) -> Result<String> {
    let outlier = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection: {consecutive5xxErrors: 3, interval: 500ms, baseEjectionTime: 3s, maxEjectionPercent: 50}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews}}]
    retries: {attempts: 0}
";
    stage.apply(outlier)?;
    stage.fault("reviews-v3", &json!({"status": 500}))?;
    let first = stage.call(&["-n", "300", "-c", "4", REVIEWS])?;
    let failures = first.with_status(500);
    ensure!((3..=12).contains(&failures), "v3 failed {failures} of 300 before it was set aside");
    stage.fault("reviews-v3", &json!({}))?;
    let started = std::time::Instant::now();
    loop {
        let answers = stage.call(&["-n", "30", "--count-field", "podname", REVIEWS])?;
        if answers.by_field.keys().any(|pod| pod.contains("v3")) {
            let seconds = started.elapsed().as_secs_f64();
            return Ok(format!(
                "v3 set aside after {failures} failures, back after {seconds:.1} s"
            ));
        }
        ensure!(started.elapsed().as_secs() < 15, "v3 did not come back within 15 s");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// 504 UT after 0.5 s; two attempts recover half failures; in an outage retries add at most a fifth.
pub(super) fn timeout_and_retries(stage: &mut Stage<'_>) -> Result<String> {
    let route = |policy: &str| {
        format!(
            "{SUBSETS}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: ratings}}
spec:
  hosts: [ratings]
  http:
  - route: [{{destination: {{host: ratings}}}}]
    {policy}
"
        )
    };
    stage.apply(&route("timeout: 500ms"))?;
    stage.fault("ratings-v1", &json!({"delay_ms": 2000}))?;
    let answers = stage.call(&["-n", "10", "-c", "10", RATINGS])?;
    let late = count(&stage.records("tour", 10)?, "UT", 504);
    let slowest = answers.latency_ms.max;
    ensure!(late == 10 && slowest < 1000.0, "{late} of 10 say 504 UT, slowest {slowest} ms");

    stage.apply(&route("retries: {attempts: 2, retryOn: 5xx}"))?;
    stage.fault("ratings-v1", &json!({"status": 503, "share": 0.5}))?;
    let retried =
        |stage: &Stage<'_>| stage.metric("tour", "envoy_cluster_upstream_rq_retry", &["ratings"]);
    let before = retried(stage)?;
    // One after another: each second answer fails, so each request needs one retry.
    let answers = stage.call(&["-n", "400", RATINGS])?;
    ensure!(answers.with_status(200) == 400, "retries did not recover: {:?}", answers.status);
    let retries = retried(stage)? - before;
    ensure!(retries >= 399.0, "{retries} retries counted");

    let outage = outage(stage)?;
    Ok(format!(
        "10 of 10 say UT within {slowest:.0} ms; {retries} retries recovered 400 requests; {outage}"
    ))
}

fn outage(stage: &mut Stage<'_>) -> Result<String> {
    // The budget is a share of the last ten seconds' requests: let it forget those that went well.
    std::thread::sleep(Duration::from_secs(10));
    stage.fault("ratings-v1", &json!({"status": 503}))?;
    stage.seen("ratings-v1", "DELETE")?;
    stage.call(&["-n", "2000", "-c", "8", RATINGS])?;
    let seen = stage.seen("ratings-v1", "GET")?["total"].as_u64().unwrap_or_default();
    let factor = seen as f64 / 2000.0;
    ensure!((1.0..=1.2).contains(&factor), "an outage made 2000 requests {seen}");
    Ok(format!("an outage makes {factor:.2} of one"))
}
