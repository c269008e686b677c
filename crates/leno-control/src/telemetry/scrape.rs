//! Fetches every proxy's metrics once a second and publishes the edges.
//!
//! One task owns the edges; readers watch what it publishes. A proxy that does not answer in time is left out of the
//! round and asked again in the next; one that is no longer listed is forgotten.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::edges::{Edges, Picture};
use super::exposition;

/// How often every proxy is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long one proxy may take.
const PATIENCE: Duration = Duration::from_millis(900);

/// More than this is no scrape of a proxy's.
const BODY_BYTES_MAX: usize = 8 << 20;

/// A proxy to be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Its id, as in discovery.
    pub(crate) proxy: String,
    /// Where it serves `/stats/prometheus`.
    pub(crate) address: SocketAddr,
}

/// The traffic as last seen; every frame of the page and every `leno edges` reads this.
pub(crate) type Latest = watch::Receiver<Arc<Picture>>;

/// Starts the scraper on the current runtime; it ends when nobody watches any more.
pub(crate) fn start(targets: impl Fn() -> Vec<Target> + Send + 'static) -> Latest {
    let (publish, latest) = watch::channel(Arc::default());
    tokio::spawn(async move {
        let mut scraper = Scraper::new();
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !publish.is_closed() {
            tick.tick().await;
            publish.send_replace(Arc::new(scraper.round(&targets()).await));
        }
    });
    latest
}

struct Scraper {
    client: Client<HttpConnector, Empty<Bytes>>,
    edges: Edges,
    known: BTreeSet<String>,
}

impl Scraper {
    fn new() -> Self {
        let client =
            Client::builder(TokioExecutor::new()).pool_idle_timeout(INTERVAL * 10).build_http();
        Self { client, edges: Edges::default(), known: BTreeSet::new() }
    }

    async fn round(&mut self, targets: &[Target]) -> Picture {
        let fetches = targets.iter().map(|target| {
            let fetch = fetch(self.client.clone(), target.address);
            (target.proxy.clone(), tokio::spawn(fetch))
        });
        let mut asked = BTreeSet::new();
        for (proxy, fetch) in fetches.collect::<Vec<_>>() {
            if let Ok(Some(text)) = fetch.await {
                self.take(&proxy, &text);
            }
            asked.insert(proxy);
        }
        for gone in self.known.difference(&asked) {
            self.edges.forget(gone);
        }
        self.known = asked;
        self.edges.picture(Instant::now())
    }

    fn take(&mut self, proxy: &str, text: &str) {
        match exposition::parse(text, "istio_request") {
            Ok(samples) => self.edges.ingest(proxy, &samples, Instant::now()),
            Err(malformed) => tracing::warn!(proxy, %malformed, "scrape left out"),
        }
    }
}

async fn fetch(client: Client<HttpConnector, Empty<Bytes>>, address: SocketAddr) -> Option<String> {
    let uri = format!("http://{address}/stats/prometheus").parse().ok()?;
    let answer = async {
        let response = client.get(uri).await.ok()?;
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.ok()?;
        String::from_utf8(body.to_bytes().into()).ok()
    };
    tokio::time::timeout(PATIENCE, answer).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy whose counter rises by 15 with every scrape.
    async fn counting_proxy() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for count in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                let body = format!(
                    "istio_requests_total{{reporter=\"source\",source_workload=\"a\",destination_workload=\"b\"}} {}\n",
                    count * 15
                );
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn edges_appear_from_two_scrapes_and_a_silent_proxy_is_left_out() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let targets = vec![
            Target { proxy: "a".into(), address: counting_proxy().await },
            Target { proxy: "silent".into(), address: silent.local_addr().unwrap() },
        ];
        let mut latest = start(move || targets.clone());
        let edges =
            latest.wait_for(|picture| !picture.edges.is_empty()).await.unwrap().edges.clone();
        assert_eq!(edges[0].key.destination.workload, "b");
        assert_eq!(edges[0].sides.client.as_ref().map(|side| side.rps), Some(1.0));
    }
}
