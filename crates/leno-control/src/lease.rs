//! Removes the pods of runs that died without a farewell.
//!
//! `leno run` writes until when its pod counts (`leno.dev/lease-until`) and renews that. A pod whose lease has ended is
//! deleted here; what it owns goes with it. Pods without a lease are somebody else's.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use crate::store::{Document, Expect, Range, Store, Write};

/// The annotation.
const LEASE: &str = "leno.dev/lease-until";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Nobody could renew while we were away: the first look waits until everybody had the chance twice.
const GRACE: Duration = Duration::from_secs(25);

const PODS: Range<'static> = Range { group: "", plural: "pods", namespace: None };

/// Runs until `stop` turns true.
pub(crate) async fn run(store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
    let mut pause = GRACE;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = EVERY;
        for write in expired(&store.list(PODS).documents, OffsetDateTime::now_utc()) {
            let name = write.key().name.clone();
            // A renewal that came in between wins; the next look comes soon.
            if store.commit(vec![write]).await.is_ok() {
                tracing::info!(name, "removed: its lease has ended");
            }
        }
    }
}

/// The deletions that the leases of `pods` ask for.
fn expired(pods: &[Arc<Document>], now: OffsetDateTime) -> Vec<Write> {
    let has_ended = |pod: &&Arc<Document>| {
        let until = pod.value["metadata"]["annotations"][LEASE].as_str();
        until
            .and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok())
            .is_some_and(|until| until < now)
    };
    let delete = |pod: &Arc<Document>| Write::Delete {
        key: pod.key.clone(),
        expect: Expect::Revision(pod.revision),
    };
    pods.iter().filter(has_ended).map(delete).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::Key;

    #[test]
    fn only_an_ended_lease_ends_a_pod() {
        let now = OffsetDateTime::parse("2030-01-01T12:00:00Z", &Rfc3339).unwrap();
        let pod = |name: &str, annotations: Value| {
            Arc::new(Document {
                key: Key::new("", "pods", "default", name),
                revision: 7,
                value: json!({ "metadata": { "name": name, "annotations": annotations } }),
            })
        };
        let pods = [
            pod("ended", json!({ LEASE: "2030-01-01T11:59:59Z" })),
            pod("held", json!({ LEASE: "2030-01-01T12:00:10Z" })),
            pod("ended-elsewhere", json!({ LEASE: "2030-01-01T13:59:59+02:00" })),
            pod("unreadable", json!({ LEASE: "soon" })),
            pod("without", Value::Null),
        ];
        let writes = expired(&pods, now);
        let names: Vec<_> = writes.iter().map(|write| write.key().name.as_str()).collect();
        assert_eq!(names, ["ended", "ended-elsewhere"]);
        assert!(matches!(&writes[0], Write::Delete { expect: Expect::Revision(7), .. }));
    }
}
