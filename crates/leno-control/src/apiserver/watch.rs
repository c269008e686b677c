//! Watches: what changes in a collection, as a stream of JSON lines.
//!
//! A watch holds no queue: it reads the store's log at its own pace, and who is too slow is told 410 and lists again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::path::Target;
use super::query::{Match, Query};
use super::read::range;
use super::status::Failure;
use super::table::View;
use crate::front_door::stopped;
use crate::store::{Change, Compacted, Event, Store, Subscription};

/// Lines in flight to a slow reader before its watch waits for it.
const LINES_MAX: usize = 64;

/// How often a reader that asked for it is told the revision.
const BOOKMARK_EVERY: Duration = Duration::from_secs(15);

/// A watch without an end of its own ends after this, and is begun again by its reader.
const LIFE_DEFAULT: Duration = Duration::from_secs(45 * 60);

/// Begins a watch. `stop` turns true when the server shuts down.
pub(crate) fn watch(
    store: &Arc<dyn Store>,
    target: &Target,
    query: Query,
    view: View,
    stop: watch::Receiver<bool>,
) -> Result<Response, Failure> {
    query.fields.check(target.kind)?;
    if query.send_initial && query.revision_match != Match::NotOlderThan {
        let why = "sendInitialEvents needs resourceVersionMatch=NotOlderThan";
        return Err(Failure::bad_request(why));
    }
    let current = store.revision();
    if let Some(asked) = query.revision.filter(|asked| *asked > current) {
        return Err(Failure::too_new(asked, current));
    }
    // Without a revision a watch begins with everything there is.
    let initial =
        (query.send_initial || query.revision.is_none()).then(|| store.list(range(target)));
    let from = initial.as_ref().map_or(query.revision.unwrap_or(0), |listing| listing.revision);
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    let mut feed = Feed {
        range: (target.kind.group, target.kind.plural, target.namespace.clone()),
        life: query.timeout.unwrap_or(LIFE_DEFAULT),
        query,
        view,
        lines,
        is_first: true,
        stop,
    };
    let subscription = store.subscribe(from);
    tokio::spawn(async move {
        // An error is a reader that went away.
        let _ = feed.run(initial, subscription).await;
    });
    let body =
        Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>));
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// One watch while it runs.
struct Feed {
    range: (&'static str, &'static str, String),
    query: Query,
    view: View,
    lines: mpsc::Sender<Bytes>,
    is_first: bool,
    life: Duration,
    stop: watch::Receiver<bool>,
}

/// The reader is gone.
struct Gone;

/// What a watch waits for.
enum Next {
    Events(Result<Vec<Arc<Event>>, Compacted>),
    Bookmark,
    End,
}

impl Feed {
    async fn run(
        &mut self,
        initial: Option<crate::store::Listing>,
        subscription: Result<Subscription, Compacted>,
    ) -> Result<(), Gone> {
        if let Some(listing) = initial {
            for document in &listing.documents {
                if self.selects(&document.value) {
                    self.send("ADDED", &document.value).await?;
                }
            }
            if self.query.send_initial && self.query.bookmarks {
                self.bookmark(listing.revision, true).await?;
            }
        }
        let mut subscription = match subscription {
            Ok(subscription) => subscription,
            Err(compacted) => return self.expire(&compacted).await,
        };
        let end = Instant::now() + self.life;
        let mut tick = tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stop.clone();
        loop {
            let next = tokio::select! {
                events = subscription.next() => Next::Events(events),
                _ = tick.tick(), if self.query.bookmarks => Next::Bookmark,
                () = tokio::time::sleep_until(end) => Next::End,
                () = stopped(&mut stop) => Next::End,
                () = self.lines.closed() => return Err(Gone),
            };
            match next {
                Next::Events(Ok(events)) => self.pass_on(&events).await?,
                Next::Events(Err(compacted)) => return self.expire(&compacted).await,
                Next::Bookmark => self.bookmark(subscription.seen(), false).await?,
                Next::End => break,
            }
        }
        if self.query.bookmarks {
            self.bookmark(subscription.seen(), false).await?;
        }
        Ok(())
    }

    async fn pass_on(&mut self, events: &[Arc<Event>]) -> Result<(), Gone> {
        for event in events {
            let key = &event.document.key;
            let (group, plural, namespace) = &self.range;
            if key.group != *group
                || key.plural != *plural
                || !(namespace.is_empty() || *namespace == key.namespace)
            {
                continue;
            }
            // A document that a selector no longer holds is deleted, for this reader.
            let now = event.change != Change::Deleted && self.selects(&event.document.value);
            let before =
                event.previous.as_ref().is_some_and(|previous| self.selects(&previous.value));
            let verb = match (before, now) {
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
                (false, false) => continue,
            };
            self.send(verb, &event.document.value).await?;
        }
        Ok(())
    }

    fn selects(&self, document: &Value) -> bool {
        self.query.labels.selects(document) && self.query.fields.selects(document)
    }

    async fn send(&mut self, verb: &str, document: &Value) -> Result<(), Gone> {
        let object = self.view.event(document, self.is_first);
        self.is_first = false;
        self.line(json!({"type": verb, "object": object})).await
    }

    async fn bookmark(&mut self, revision: u64, is_initial_end: bool) -> Result<(), Gone> {
        let object = self.view.bookmark(revision, is_initial_end);
        self.line(json!({"type": "BOOKMARK", "object": object})).await
    }

    async fn expire(&mut self, compacted: &Compacted) -> Result<(), Gone> {
        let message = format!("too old resource version: {compacted}");
        let failure = Failure::expired(message, None);
        self.line(json!({"type": "ERROR", "object": failure.status()})).await
    }

    async fn line(&mut self, event: Value) -> Result<(), Gone> {
        let mut line = event.to_string();
        line.push('\n');
        self.lines.send(line.into()).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::apiserver::path;
    use crate::apiserver::read;
    use crate::apiserver::table::{Form, RowObject};
    use crate::store::{Embedded, Expect, Key, Write};

    const PATH: &str = "/api/v1/namespaces/default/configmaps";

    async fn put(store: &dyn Store, name: &str) {
        let key = Key::new("", "configmaps", "default", name);
        let value = json!({"metadata": {"name": name, "namespace": "default"}});
        let write = Write::Put { key, value, expect: Expect::Anything };
        store.commit(vec![write]).await.unwrap();
    }

    fn query(text: &str) -> Query {
        Query::parse(&format!("{PATH}?{text}").parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_was_compacted_is_gone_and_a_list_can_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open_with_history(directory.path(), 4).unwrap());
        for name in ["a", "b", "c"] {
            put(&*store, name).await;
        }
        let target = path::parse(PATH).unwrap();
        let view = View::new(&target, Form::Whole, RowObject::Metadata);
        let page = read::list(&*store, &target, &query("limit=1"), &view).unwrap();
        let resume = page["metadata"]["continue"].as_str().unwrap().to_owned();
        for _ in 0..6 {
            put(&*store, "z").await;
        }

        let (_keep, stop) = watch::channel(false);
        let answer = watch(&store, &target, query("resourceVersion=2"), view, stop).unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));

        let resumed = query(&format!("limit=1&continue={resume}"));
        let expired = read::list(&*store, &target, &resumed, &view).unwrap_err();
        assert_eq!(expired.status()["reason"], "Expired");
        let fresh = expired.status()["metadata"]["continue"].as_str().unwrap().to_owned();
        let rest = query(&format!("limit=1&continue={fresh}"));
        let rest = read::list(&*store, &target, &rest, &view).unwrap();
        assert_eq!(rest["items"][0]["metadata"]["name"], "b");
    }
}
