//! Steps 1 to 3: who gets a request.

use anyhow::{Result, ensure};

use super::stage::{Stage, Summary};
use super::{drawn, within_three_sigma};

/// Subsets of reviews by version; most steps begin with them.
pub(super) const SUBSETS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
  - {name: v3, labels: {version: v3}}
---
";

const REVIEWS: &str = "http://reviews:9080/reviews/0";

/// Answers by version: the workload's name is in every answer.
fn by_version(summary: &Summary, version: &str) -> u64 {
    let mine = summary.by_field.iter().filter(|(pod, _)| pod.contains(version));
    mine.map(|(_, count)| count).sum()
}

/// 600 requests over one kept-alive connection reach each version 200 ± 3 σ times.
pub(super) fn balancing(stage: &mut Stage<'_>) -> Result<String> {
    drawn(stage, balance)
}

fn balance(stage: &mut Stage<'_>) -> Result<String> {
    let answers = stage.call(&["-n", "600", "-c", "1", "--count-field", "podname", REVIEWS])?;
    ensure!(answers.with_status(200) == 600, "not every request was answered: {answers:?}");
    let each = ["v1", "v2", "v3"]
        .map(|version| within_three_sigma(version, by_version(&answers, version), 600, 1.0 / 3.0));
    Ok(each.into_iter().collect::<Result<Vec<_>>>()?.join(", "))
}

/// Of 20,000 requests 1 % ± 3 σ go to v3, none to v2.
pub(super) fn weights(stage: &mut Stage<'_>) -> Result<String> {
    let routes = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 99}
    - {destination: {host: reviews, subset: v3}, weight: 1}
";
    stage.apply(&format!("{SUBSETS}{routes}"))?;
    drawn(stage, split)
}

fn split(stage: &mut Stage<'_>) -> Result<String> {
    let answers = stage.call(&["-n", "20000", "-c", "8", "--count-field", "podname", REVIEWS])?;
    ensure!(
        answers.with_status(200) == 20_000,
        "not every request was answered: {:?}",
        answers.status
    );
    ensure!(by_version(&answers, "v2") == 0, "v2 got {} requests", by_version(&answers, "v2"));
    within_three_sigma("v3", by_version(&answers, "v3"), 20_000, 0.01)
}

/// Header, prefix, exact path, regex, query and method each choose their version.
pub(super) fn matches(stage: &mut Stage<'_>) -> Result<String> {
    let routes = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{uri: {exact: /reviews/1}}, {uri: {regex: '/reviews/2[0-9]+'}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - match: [{uri: {prefix: /reviews/3}, queryParams: {color: {exact: red}}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - match: [{method: {exact: POST}}]
    route: [{destination: {host: reviews, subset: v3}}]
  - route: [{destination: {host: reviews, subset: v1}}]
";
    stage.apply(&format!("{SUBSETS}{routes}"))?;
    // (path, further arguments, the version that answers)
    let table: [(&str, &[&str], &str); 10] = [
        ("/reviews/0", &["-H", "end-user: jason"], "v2"),
        ("/reviews/0", &["-H", "end-user: anna"], "v1"),
        ("/reviews/0", &[], "v1"),
        ("/reviews/1", &[], "v3"),
        ("/reviews/10", &[], "v1"),
        ("/reviews/24", &[], "v3"),
        ("/reviews/2", &[], "v1"),
        ("/reviews/3?color=red", &[], "v3"),
        ("/reviews/3?color=blue", &[], "v1"),
        ("/reviews/0", &["-X", "POST"], "v3"),
    ];
    for (path, further, version) in table {
        let url = format!("http://reviews:9080{path}");
        let arguments: Vec<&str> =
            ["-n", "5"].iter().chain(further).copied().chain([url.as_str()]).collect();
        stage.call(&arguments)?;
        let of_path = |record: &serde_json::Value| record["path"] == path;
        let mine = stage.records_of(&format!("reviews-{version}"), 5, of_path)?.len();
        ensure!(mine == 5, "{path} {further:?}: {version} saw {mine} of 5");
    }
    Ok(format!("{} cases, 5 requests each", table.len()))
}
