//! The limits of the xDS ports, as clients of other makes meet them: tonic's, h2's and a real Envoy.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use leno_control::limits::{DiscoveryLimits, Limit, REQUEST_BYTES, STREAMS_PER_CONNECTION};
use leno_control::{Options, Running};
use leno_testkit::peers::Peer;
use leno_xds::discovery::{Request, Variant};
use leno_xds::{BytesCodec, ResourceType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::cve::{Caller, framed, greeting, secured};
use crate::envoy::{Envoy, Place};
use crate::envoy_takes_everything::{everything, without_secrets};
use crate::served::Served;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for whoever means well on a busy machine.
const USUAL: DiscoveryLimits =
    DiscoveryLimits { first_request: PATIENCE, ..DiscoveryLimits::USUAL };

struct Control {
    running: Running,
    root: Vec<u8>,
    _directory: tempfile::TempDir,
}

impl Control {
    async fn start(discovery: DiscoveryLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::on_free_ports(directory.path().join("data"));
        let running = Running::start(&Options { discovery, ..options.clone() }).await.unwrap();
        let root = std::fs::read(options.data.join("ca/root.pem")).unwrap();
        Self { running, root, _directory: directory }
    }

    fn plain(&self) -> SocketAddr {
        self.running.ports().xds
    }

    /// What `/metrics` says of the limit.
    async fn reached(&self, limit: Limit) -> u64 {
        let mut stream = TcpStream::connect(self.running.ports().metrics).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let start = format!("leno_limits_reached_total{{limit=\"{}\"}} ", limit.label());
        let count = text.lines().find_map(|line| line.strip_prefix(&start));
        count.unwrap_or_else(|| panic!("{start} is not in {text}")).parse().unwrap()
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not end")
}

fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// A delta stream of tonic's, and where its requests go.
async fn stream(channel: &Channel) -> Result<(mpsc::Sender<Vec<u8>>, Streaming<Bytes>), Status> {
    let (send, requests) = mpsc::channel(4);
    let mut grpc = tonic::client::Grpc::new(channel.clone()).max_encoding_message_size(usize::MAX);
    in_time(grpc.ready()).await.unwrap();
    let path = Variant::Delta.path().parse().unwrap();
    let request = tonic::Request::new(ReceiverStream::new(requests));
    let responses = in_time(grpc.streaming(request, path, BytesCodec)).await?.into_inner();
    Ok((send, responses))
}

/// What the stream ends with.
async fn end(mut responses: Streaming<Bytes>) -> Status {
    loop {
        match in_time(responses.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ends well"),
            Err(status) => return status,
        }
    }
}

fn names(names: &[&str]) -> Vec<u8> {
    let type_url = ResourceType::Endpoint.type_url().to_owned();
    let subscribe = names.iter().map(|name| (*name).to_owned()).collect();
    Request { type_url, subscribe, ..Request::default() }.encode(Variant::Delta)
}

#[tokio::test]
async fn a_connection_too_many_is_told_which_limit_it_met() {
    let control = Control::start(DiscoveryLimits { connections: 1, ..USUAL }).await;
    let first = channel(control.plain());
    let (send, mut responses) = stream(&first).await.unwrap();
    send.send(greeting(Variant::Delta)).await.unwrap();
    in_time(responses.message()).await.unwrap().expect("the first is served");

    let refused = stream(&channel(control.plain())).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("raise --xds-connections"), "{refused}");
    let (tls, root) = (control.running.ports().xds_tls, &control.root);
    let mut stranger = Caller::new(async || secured(tls, root).await);
    for path in [Variant::Delta.path(), "/istio.v1.auth.IstioCertificateService/CreateCertificate"]
    {
        let status = stranger.call(path, None, framed(&greeting(Variant::Delta))).await;
        assert_eq!(status.as_deref(), Some("8"), "{path}");
    }
    assert_eq!(control.reached(Limit::Connections).await, 2);

    drop((send, responses, first));
    in_time(async {
        while stream(&channel(control.plain())).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    control.running.stop().await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let limits = DiscoveryLimits { first_request: Duration::from_millis(100), ..USUAL };
    let control = Control::start(limits).await;
    // Without a handshake, and without a call on a connection.
    for (address, limit) in [
        (control.running.ports().xds_tls, Limit::Handshake),
        (control.plain(), Limit::FirstRequest),
    ] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut said = Vec::new();
        let _ = in_time(silent.read_to_end(&mut said)).await;
        assert_eq!(control.reached(limit).await, 1, "{limit:?}");
    }
    let (_send, responses) = stream(&channel(control.plain())).await.unwrap();
    let status = end(responses).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(status.message().contains("no request within 100 ms"), "{status}");
    control.running.stop().await;
}

#[tokio::test]
async fn names_add_up_over_the_requests_of_a_stream() {
    let control = Control::start(DiscoveryLimits { names: 3, ..USUAL }).await;
    let channel = channel(control.plain());
    let (other, mut of_other) = stream(&channel).await.unwrap();
    other.send(greeting(Variant::Delta)).await.unwrap();
    let (send, responses) = stream(&channel).await.unwrap();
    for request in [greeting(Variant::Delta), names(&["a", "b"]), names(&["b", "c"]), names(&["d"])]
    {
        send.send(request).await.unwrap();
    }
    let status = end(responses).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("add up to 4 names in 4 bytes"), "{status}");
    assert!(status.message().contains("the limits are 3 (--xds-names)"), "{status}");
    assert_eq!(control.reached(Limit::Names).await, 1);
    in_time(of_other.message()).await.unwrap().expect("the other stream goes on");
    control.running.stop().await;
}

#[tokio::test]
async fn a_request_too_long_is_told_so() {
    let control = Control::start(USUAL).await;
    let (send, responses) = stream(&channel(control.plain())).await.unwrap();
    send.send(vec![0; REQUEST_BYTES + 1]).await.unwrap();
    let status = end(responses).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("ask for fewer names at a time"), "{status}");
    assert_eq!(control.reached(Limit::RequestBytes).await, 1);
    control.running.stop().await;
}

#[tokio::test]
async fn a_connection_has_so_many_streams() {
    let control = Control::start(USUAL).await;
    let channel = channel(control.plain());
    let mut held = Vec::new();
    for _ in 0..STREAMS_PER_CONNECTION {
        held.push(stream(&channel).await.unwrap());
    }
    let refused = stream(&channel).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("open another one"), "{refused}");
    assert_eq!(control.reached(Limit::StreamsPerConnection).await, 1);
    held.pop();
    in_time(async {
        while stream(&channel).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    control.running.stop().await;
}

/// Envoy names the endpoints of each of its clusters.
#[tokio::test]
async fn an_envoy_that_asks_for_too_much_is_refused_each_time_it_comes_back() {
    let Some(program) = Peer::Envoy.program() else { return };
    for api in ["GRPC", "DELTA_GRPC"] {
        let served = Served::start_within(DiscoveryLimits { names: 1, ..USUAL });
        served.set(1, &without_secrets(&everything()));
        let envoy = Envoy::start(&program, &served, api, Place::Here);
        envoy.poll("that it came back", |_| {
            (served.admission.reached(Limit::Names) > 1).then_some(())
        });
    }
}
