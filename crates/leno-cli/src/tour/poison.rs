//! Step 10: a document that the schema accepts and no proxy can compile: its regex is well formed, and larger than a
//! proxy's limit for compiled patterns. A good document that comes with it is in force all the same.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::stage::Stage;

/// Under load nothing fails, and the object's status says which proxy refused which field and why.
pub(super) fn refused(stage: &mut Stage<'_>) -> Result<String> {
    let mut load = stage.second_client()?;
    load.begin(&["-n", "1500", "-c", "4", "--rate", "500", "http://reviews:9080/reviews/0"])?;
    let poison = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: poison}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {regex: '[a-z]{20000}'}}]
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: antidote}
spec:
  hosts: [details]
  http:
  - fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: details}}]
";
    stage.kubectl(&["apply", "-f", "-"], poison)?;
    stage.kubectl(
        &["wait", "--for=condition=Enforced=False", "virtualservice/poison", "--timeout=10s"],
        "",
    )?;
    let good = "virtualservice/antidote";
    stage.kubectl(&["wait", "--for=condition=Enforced", good, "--timeout=10s"], "")?;
    let object = stage.kubectl(&["get", "virtualservice", "poison", "-o", "json"], "")?;
    let answers = load.finish()?;
    ensure!(
        answers.with_status(200) == 1500,
        "under load: {:?} {:?}",
        answers.status,
        answers.errors
    );
    let object: Value = serde_json::from_str(&object)?;
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let enforced = conditions.iter().find(|condition| condition["type"] == "Enforced");
    let message =
        enforced.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned();
    ensure!(
        message.contains("regex") && message.contains("refused"),
        "the status says {message:?}"
    );
    load.begin(&["-n", "20", "-c", "1", "http://details:9080/details/0"])?;
    let answers = load.finish()?;
    ensure!(answers.with_status(418) == 20, "beside the poison: {:?}", answers.status);
    stage.kubectl(&["delete", "virtualservice", "poison", "antidote"], "")?;
    let first = message.splitn(3, ';').take(2).collect::<Vec<_>>().join(";");
    Ok(format!("0 of 1500 failed, a good one beside it holds; status: {first}, …"))
}
