//! A real gRPC stream over loopback, with the client machine at the other end.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use leno_xds::client::Client;
use leno_xds::discovery::{Response, Variant};
use leno_xds::{ByType, BytesCodec, Node, ResourceType};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::Streaming;
use tonic::transport::{Channel, Server};

use super::{Admission, Encoded, ProxyTable, Push, ResourceSet, Resources};
use crate::identity::{Identity, IdentityOptions};
use crate::limits::DiscoveryLimits;

/// Whatever the test sets.
struct Fixed {
    set: Mutex<Arc<ResourceSet>>,
    revision: watch::Sender<u64>,
}

impl Fixed {
    fn set(&self, revision: u64, clusters: &[(&str, u8)]) {
        let mut by_type = ByType::default();
        let encoded = |(name, value): &(&str, u8)| {
            let mut bytes = vec![0x0a, name.len() as u8];
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[0x10, *value]);
            (Arc::from(*name), Encoded::new(bytes.into()))
        };
        by_type[ResourceType::Cluster] = Arc::new(clusters.iter().map(encoded).collect());
        *self.set.lock().unwrap() = Arc::new(ResourceSet { revision, by_type });
        self.revision.send_replace(revision);
    }
}

impl Resources for Fixed {
    fn current(&self, _: &Node) -> Arc<ResourceSet> {
        Arc::clone(&self.set.lock().unwrap())
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

/// One proxy over gRPC.
struct Proxy {
    machine: Client,
    send: mpsc::Sender<Vec<u8>>,
    responses: Streaming<Bytes>,
}

impl Proxy {
    async fn connect(channel: Channel, variant: Variant) -> Self {
        let node = Node { id: "sidecar~127.0.0.1~a.default~x".into(), ..Node::default() };
        let mut machine = Client::new(variant, node);
        let (send, requests) = mpsc::channel(16);
        for request in machine.connected() {
            send.send(request.encode(variant)).await.unwrap();
        }
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let path = variant.path().parse().unwrap();
        let request = tonic::Request::new(ReceiverStream::new(requests));
        let responses = grpc.streaming(request, path, BytesCodec).await.unwrap().into_inner();
        Self { machine, send, responses }
    }

    /// Waits for clusters and answers; gives their names.
    async fn clusters(&mut self, refuse: bool) -> Vec<String> {
        loop {
            let bytes = self.responses.message().await.unwrap().unwrap();
            let response = Response::decode(self.machine.variant(), bytes).unwrap();
            let update = self.machine.response(response).unwrap();
            let answer = match refuse {
                true => {
                    let refused = ["a".to_owned()].into();
                    self.machine.refuse(update.kind, "clusters[a]: no".into(), &refused)
                }
                false => self.machine.accept(update.kind),
            };
            self.send.send(answer.unwrap().encode(self.machine.variant())).await.unwrap();
            if update.kind == ResourceType::Cluster {
                return update.upserts.into_iter().map(|resource| resource.name).collect();
            }
        }
    }
}

async fn serve() -> (Arc<Fixed>, ProxyTable, Channel, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = IdentityOptions::new(folder.path().join("ca"));
    let fixed = Arc::new(Fixed { set: Mutex::default(), revision: watch::channel(0).0 });
    let push = Push {
        resources: Arc::clone(&fixed) as Arc<dyn Resources>,
        proxies: ProxyTable::new(),
        admission: Admission::new(DiscoveryLimits::USUAL),
        identity: Identity::open(options, SystemTime::now()).unwrap(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = push.service();
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    (fixed, push.proxies, channel, folder)
}

#[tokio::test]
async fn changes_are_pushed_and_answers_are_in_the_table() {
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let (fixed, table, channel, _folder) = serve().await;
        fixed.set(1, &[("a", 1)]);
        let mut proxy = Proxy::connect(channel, variant).await;
        let mut changes = table.changes();
        assert_eq!(proxy.clusters(false).await, ["a"]);
        let of_clusters =
            |table: &ProxyTable| table.list()[0].progress[ResourceType::Cluster].clone();
        while of_clusters(&table).acknowledged != 1 {
            changes.changed().await.unwrap();
        }
        fixed.set(2, &[("a", 2), ("b", 1)]);
        assert_eq!(proxy.clusters(true).await, ["a", "b"]);
        while of_clusters(&table).refused.is_none() {
            changes.changed().await.unwrap();
        }
        let progress = of_clusters(&table);
        assert_eq!((progress.acknowledged, progress.sent), (1, 2));
        assert_eq!(progress.refused.unwrap().problems, ["clusters[a]: no"]);
        drop(proxy);
        while !table.list().is_empty() {
            changes.changed().await.unwrap();
        }
    }
}
