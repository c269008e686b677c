//! Upstream connections that have stood as long as their cluster lets them: others take their place, and nothing is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use leno_core::config::Cluster;
use leno_core::snapshot::Resources;
use leno_proxy::Running;

use crate::admin::page;
use crate::basic::{GET, OK};
use crate::config::{cluster, forward, resources, route, start};
use crate::h2::{self, Client, request};
use crate::http2::http2_cluster;
use crate::origin::{Peer, origin};

/// Much longer than one request takes, much shorter than a test may.
const AGE: Duration = Duration::from_millis(150);

fn aged(mut cluster: Cluster) -> Resources {
    cluster.http.max_connection_duration = Some(AGE);
    resources(vec![route("/", forward("origin"))], vec![cluster])
}

/// An origin that answers at once, or at `/slow` when it is told to; and how many connections it has had.
fn counting() -> (SocketAddr, Arc<AtomicUsize>, std::sync::mpsc::Sender<()>) {
    let (release, released) = std::sync::mpsc::channel();
    let released = Arc::new(std::sync::Mutex::new(released));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let address = origin(move |mut peer| {
        count.fetch_add(1, Relaxed);
        while let Some(request) = peer.message() {
            if request.starts_with("GET /slow") {
                released.lock().unwrap().recv().unwrap();
            }
            peer.write(OK);
        }
    });
    (address, connections, release)
}

fn reached(proxy: &Running) -> u64 {
    let (_, page) = page(proxy, "GET /stats/prometheus");
    let name = "envoy_cluster_upstream_cx_max_duration_reached{cluster_name=\"origin\"} ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_connection_of_http_1_is_replaced_at_its_age_and_finishes_what_it_carries() {
    let (origin, connections, release) = counting();
    let (proxy, address) = start(aged(cluster("origin", &[origin])));
    let mut slow = Peer::connect(address);
    slow.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut client = Peer::connect(address);
    let mut calls = 0;
    // The slow one has the first.
    while connections.load(Relaxed) < 5 {
        assert_eq!(client.call(GET), OK);
        calls += 1;
    }
    assert!(calls > 4, "{calls} calls: connections are kept while they are young");
    release.send(()).unwrap();
    assert_eq!(slow.message().unwrap(), OK, "it was much older than it may be");
    while reached(&proxy) < 4 {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_connection_of_http_2_is_replaced_at_its_age_and_finishes_what_it_carries() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let (gone, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = count.fetch_add(1, Relaxed);
            let gone = gone.clone();
            tokio::spawn(async move {
                let mut connection = ::h2::server::handshake(stream).await.unwrap();
                while let Some(accepted) = connection.accept().await {
                    let Ok((request, mut respond)) = accepted else { break };
                    tokio::spawn(async move {
                        let Ok((body, _)) = h2::read(request.into_body()).await else { return };
                        let stream = respond.send_response(Response::new(()), false).unwrap();
                        h2::send(stream, body, None).await;
                    });
                }
                let _ = gone.send(number);
            });
        }
    });
    let (proxy, address) = start(aged(http2_cluster("origin", origin)));
    let mut client = Client::connect(address).await;
    let (response, mut upload) = client.begin(request("POST", "/"), false).await;
    upload.send_data(Bytes::from_static(b"begun "), false).unwrap();
    let mut calls = 0;
    while connections.load(Relaxed) < 4 {
        let answer = client.call(request("POST", "/"), b"abc", None).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"abc"[..]));
        calls += 1;
    }
    assert!(calls > 3, "{calls} calls: connections are shared while they are young");
    // The first connection was told to go long ago, and carries on with what it has.
    upload.send_data(Bytes::from_static(b"and ended"), true).unwrap();
    let (body, _) = h2::read(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, "begun and ended");
    let patience = Duration::from_secs(20);
    let mut all = Vec::new();
    while !all.contains(&0) {
        all.push(tokio::time::timeout(patience, ended.recv()).await.unwrap().unwrap());
    }
    let counted = tokio::task::spawn_blocking(move || while reached(&proxy) < 3 {});
    tokio::time::timeout(patience, counted).await.unwrap().unwrap();
}
