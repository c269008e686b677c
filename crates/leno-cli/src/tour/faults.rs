//! Steps 4 and 5: faults on purpose, and copies.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::routing::SUBSETS;
use super::stage::Stage;
use super::{Unlikely, drawn, within_three_sigma};

const RATINGS: &str = "http://ratings:9080/ratings/0";

fn flagged(records: &[Value], flag: &str) -> usize {
    let has = |record: &&Value| {
        record["response_flags"].as_str().is_some_and(|flags| flags.split(',').any(|f| f == flag))
    };
    records.iter().filter(has).count()
}

/// 80 % are delayed by 5.0 s ± 50 ms with flag DI; 80 % are aborted with 500 and flag FI.
pub(super) fn delay_and_abort(stage: &mut Stage<'_>) -> Result<String> {
    let delay = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {beside: {exact: others}}}]
    route: [{destination: {host: ratings}}]
  - fault: {delay: {fixedDelay: 5s, percentage: {value: 80}}}
    route: [{destination: {host: ratings}}]
";
    stage.apply(delay)?;
    let delays = drawn(stage, delayed)?;
    stage.apply(&delay.replace("delay: {fixedDelay: 5s,", "abort: {httpStatus: 500,"))?;
    let aborts = drawn(stage, aborted)?;
    Ok(format!("{delays}; {aborts}"))
}

fn delayed(stage: &mut Stage<'_>) -> Result<String> {
    // Begun one after another: what is measured is the delay, not how many handshakes a core does at one moment.
    let paced = ["-n", "200", "-c", "200", "--rate", "40", "--slow-ms", "2000"];
    let beside = ["--beside", "beside: others", RATINGS];
    let answers = stage.call(&[paced.as_slice(), &beside].concat())?;
    ensure!(
        answers.with_status(200) == 200,
        "not every request was answered: {:?}",
        answers.status
    );
    let share = within_three_sigma("delayed", answers.slow.count, 200, 0.8)?;
    let measured = hold(answers.slow.min_ms, answers.slow.max_ms, answers.beside.max_ms)?;
    let all = 200 + usize::try_from(answers.beside.count)?;
    let said = flagged(&stage.records("tour", all)?, "DI") as u64;
    ensure!(said == answers.slow.count, "{said} records say DI, {} were slow", answers.slow.count);
    Ok(format!("{share} {measured}"))
}

/// 5 s ± 50 ms. A delayed request takes the way there in two parts, before and after its delay. On a busy machine
/// each can take what the slowest request without a delay took, which went all along in between the others; that
/// much is not the delay's.
fn hold(min: f64, max: f64, way: f64) -> Result<String> {
    let said = format!("by {min:.0} to {max:.0} ms (without a delay at most {way:.0} ms)");
    ensure!(min >= 4950.0 && max <= 5500.0, "delayed {said}");
    if max - 2.0 * way > 5050.0 {
        return Err(Unlikely(format!("delayed {said}")).into());
    }
    Ok(said)
}

fn aborted(stage: &mut Stage<'_>) -> Result<String> {
    let answers = stage.call(&["-n", "1000", "-c", "4", RATINGS])?;
    let aborted = answers.with_status(500);
    let aborts = within_three_sigma("aborted", aborted, 1000, 0.8)?;
    let said = flagged(&stage.records("tour", 1000)?, "FI") as u64;
    ensure!(said == aborted, "{said} records say FI, {aborted} were aborted");
    Ok(aborts)
}

/// Every request to v1 reaches v3 too, with `-shadow` behind the host, and the caller notices nothing.
pub(super) fn mirror(stage: &mut Stage<'_>) -> Result<String> {
    const REVIEWS: &str = "http://reviews:9080/reviews/0";
    let routes = |mirror: &str| {
        format!(
            "{SUBSETS}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
  - route: [{{destination: {{host: reviews, subset: v1}}}}]
{mirror}"
        )
    };
    stage.apply(&routes(""))?;
    let before = stage.call(&["-n", "500", "-c", "2", "--count-field", "podname", REVIEWS])?;
    stage.fault("reviews-v3", &serde_json::json!({"delay_ms": 300}))?;
    stage.apply(&routes("    mirror: {host: reviews, subset: v3}\n"))?;
    stage.seen("reviews-v3", "DELETE")?;
    let slow = ["--slow-ms", "300", "-n", "500", "-c", "2", "--count-field", "podname", REVIEWS];
    let answers = stage.call(&slow)?;
    ensure!(
        answers.with_status(200) == 500,
        "not every request was answered: {:?}",
        answers.status
    );
    ensure!(
        answers.by_field.keys().all(|pod| pod.contains("v1")),
        "answers came from {:?}",
        answers.by_field
    );
    let (was, is) = (before.latency_ms.p50, answers.latency_ms.p50);
    // A caller that waits for copies waits for each; a machine that pauses does so once in a while.
    let late = answers.slow.count;
    ensure!(late <= 5, "{late} of 500 callers waited as long as for a copy");
    let copies = copies_seen(stage, 500)?;
    Ok(format!("{copies} copies of 500, caller's p50 {was:.2} ms without and {is:.2} ms with"))
}

fn copies_seen(stage: &Stage<'_>, wanted: u64) -> Result<u64> {
    let mut copies = 0;
    // Copies are answered 300 ms late; they are counted when they arrive, and arrive within a second.
    for _ in 0..50 {
        let seen = stage.seen("reviews-v3", "GET")?;
        let hosts = seen["by_host"].as_object().cloned().unwrap_or_default();
        let shadow = hosts
            .iter()
            .filter(|(host, _)| host.split(':').next().is_some_and(|h| h.ends_with("-shadow")));
        copies = shadow.filter_map(|(_, count)| count.as_u64()).sum();
        if copies >= wanted {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    ensure!(copies == wanted, "v3 saw {copies} copies of {wanted}");
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_what_the_way_there_does_not_take() {
        // (fastest, slowest, slowest without a delay, holds, is drawn again)
        let table = [
            (5001.0, 5010.0, 3.0, true, false),
            (5001.0, 5068.0, 3.0, false, true),
            (5001.0, 5068.0, 30.0, true, false),
            (4949.0, 5010.0, 3.0, false, false),
            (5001.0, 5600.0, 300.0, false, false),
        ];
        for (min, max, way, holds, again) in table {
            let outcome = hold(min, max, way);
            assert_eq!(outcome.is_ok(), holds, "{min} {max} {way}");
            let is_unlikely = outcome.is_err_and(|error| error.is::<Unlikely>());
            assert_eq!(is_unlikely, again, "{min} {max} {way}");
        }
    }
}
