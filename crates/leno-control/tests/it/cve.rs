//! Attacks by whoever reaches a port of the control plane and can prove nothing, named by those that were met elsewhere.
//!
//! CVE-2022-23635: one request, before anybody asked who sends it, ended Istio's control plane. Here every port gets bytes
//! that are no TLS, no HTTP, no gRPC, no message of its service, and messages that are only strange. Each connection must
//! end with its client, none may make anything panic, and whoever means well is served as before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::{BufMut as _, Bytes, BytesMut};
use leno_control::identity::{Identity, IdentityOptions};
use leno_control::{Options, Ports, Running};
use leno_core::random::{Random as _, SplitMix64};
use leno_identity::SpiffeId;
use leno_xds::discovery::{Request, Variant};
use leno_xds::{Node, ResourceType};
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod bytes_of;

use bytes_of::{messages, noise, openings, tokens};

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const CREATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// Panics in code that is no test, since the process began.
fn panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|at| at.file().contains("tests/it")) {
                PANICS.fetch_add(1, Relaxed);
            }
            before(panic);
        }));
    });
    &PANICS
}

/// TLS without a certificate of one's own, to a port that shows `root`'s.
pub(crate) async fn secured(
    address: SocketAddr,
    root: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(root).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(leno_identity::crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Says `bytes` and no more, and waits for the end of the connection.
async fn say(address: SocketAddr, bytes: &[u8]) -> Result<(), tokio::time::error::Elapsed> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // What is refused in the middle resets the connection, which is an end too.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.map(|_| ())
}

/// Calls of gRPC on one connection; a new one where the server has ended it.
pub(crate) struct Caller<Open> {
    open: Open,
    connection: Option<h2::client::SendRequest<Bytes>>,
}

impl<Open, Stream> Caller<Open>
where
    Open: AsyncFn() -> Stream,
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(crate) fn new(open: Open) -> Self {
        Self { open, connection: None }
    }

    async fn ready(&mut self) -> h2::client::SendRequest<Bytes> {
        if let Some(connection) = self.connection.take()
            && let Ok(connection) = connection.ready().await
        {
            self.connection = Some(connection.clone());
            return connection;
        }
        let (connection, driver) = h2::client::handshake((self.open)().await).await.unwrap();
        tokio::spawn(driver);
        self.connection = Some(connection.clone());
        connection.ready().await.unwrap()
    }

    /// The call's `grpc-status`; `None` where it was reset. It must end.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        token: Option<&[u8]>,
        body: Bytes,
    ) -> Option<String> {
        let mut request = http::Request::post(format!("http://control{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token.and_then(|token| http::HeaderValue::from_bytes(token).ok()) {
            request = request.header("authorization", token);
        }
        let mut connection = self.ready().await;
        let call = async {
            let (response, mut stream) =
                connection.send_request(request.body(()).unwrap(), false).ok()?;
            // What is not taken is refused, or the call is.
            let _ = stream.send_data(body, true);
            let response = response.await.ok()?;
            let status = |fields: &http::HeaderMap| {
                Some(fields.get("grpc-status")?.to_str().unwrap().to_owned())
            };
            let at_once = status(response.headers());
            let mut body = response.into_body();
            while let Some(piece) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.ok()?.len());
            }
            at_once.or(body.trailers().await.ok().flatten().as_ref().and_then(status))
        };
        let ended = tokio::time::timeout(PATIENCE, call).await;
        ended.unwrap_or_else(|_| panic!("{path} does not end"))
    }
}

/// One message as gRPC frames it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}

/// A proxy's first request, as one that means well sends it.
pub(crate) fn greeting(variant: Variant) -> Vec<u8> {
    let node = Node { id: "sidecar~127.0.0.1~a.default~x".into(), ..Node::default() };
    let type_url = ResourceType::Cluster.type_url().to_owned();
    Request { type_url, node: Some(node), ..Request::default() }.encode(variant)
}

/// Whether a proxy that means well gets its clusters.
async fn serves(address: SocketAddr) -> bool {
    let stream = TcpStream::connect(address).await.unwrap();
    let (connection, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    let request = http::Request::post(format!("http://control{}", Variant::Delta.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut connection = connection.ready().await.unwrap();
    let (response, mut stream) = connection.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data(framed(&greeting(Variant::Delta)), false).unwrap();
    let answer = async { response.await.ok()?.into_body().data().await?.ok() };
    tokio::time::timeout(PATIENCE, answer).await.unwrap().is_some()
}

/// Everything that can be sent as calls, on one port; `is_closed` where nobody gets in who proves nothing.
async fn abuse_calls<Open, Stream>(caller: &mut Caller<Open>, is_closed: bool)
where
    Open: AsyncFn() -> Stream,
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = [Variant::Delta, Variant::StateOfTheWorld];
    for (case, message) in messages() {
        for variant in streams {
            let status = caller.call(variant.path(), None, framed(&message)).await;
            assert!(!is_closed || status.as_deref() == Some("16"), "{case}: {status:?}");
        }
        let status = caller.call(CREATE, None, framed(&message)).await;
        assert_ne!(status.as_deref(), Some("0"), "{case}");
    }
    // (what is wrong with the framing, its bytes)
    let framings: [(&str, &[u8]); 4] = [
        ("nothing at all", b""),
        ("half a prefix", b"\0\0"),
        ("more than there is", b"\0\xff\xff\xff\xffabc"),
        ("compressed, though nothing was agreed on", b"\x01\0\0\0\x03abc"),
    ];
    for (case, bytes) in framings {
        for path in [streams[0].path(), streams[1].path(), CREATE, "/", "/a.B/C"] {
            let status = caller.call(path, None, Bytes::from_static(bytes)).await;
            assert!(path != CREATE || status.as_deref() != Some("0"), "{case} to {path}");
        }
    }
    for token in tokens() {
        let body = framed(&greeting(Variant::Delta));
        let status = caller.call(Variant::Delta.path(), Some(&token), body).await;
        assert_eq!(status.as_deref(), Some("16"), "{:?}", String::from_utf8_lossy(&token));
        let status = caller.call(CREATE, Some(&token), framed(b"\x0a\x01x")).await;
        assert_eq!(status.as_deref(), Some("16"), "{:?}", String::from_utf8_lossy(&token));
    }
}

/// Requests that differ from good ones in a few bytes.
async fn abuse_bits<Open, Stream>(caller: &mut Caller<Open>)
where
    Open: AsyncFn() -> Stream,
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut random = SplitMix64::new(23_635);
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let good = greeting(variant);
        for _ in 0..200 {
            let mut bad = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bad.len() as u64) as usize;
                bad[at] = random.below(256) as u8;
            }
            caller.call(variant.path(), None, framed(&bad)).await;
        }
    }
}

#[tokio::test]
async fn nobody_without_a_name_ends_the_control_plane_cve_2022_23635() {
    let before = panics().load(Relaxed);
    let directory = tempfile::tempdir().unwrap();
    let options = Options::on_free_ports(directory.path().join("data"));
    let running = Running::start(&options).await.unwrap();
    let root = std::fs::read(options.data.join("ca/root.pem")).unwrap();
    let Ports { front_door, xds, xds_tls, metrics } = running.ports();
    for (port, address) in
        [("xds", xds), ("xds_tls", xds_tls), ("front door", front_door), ("metrics", metrics)]
    {
        for (case, bytes) in openings() {
            say(address, &bytes).await.unwrap_or_else(|_| panic!("{case} holds {port}"));
        }
        for seed in 0..20 {
            let _ = say(address, &noise(seed, 8 * 1024)).await;
        }
    }
    let mut plain = Caller::new(async || TcpStream::connect(xds).await.unwrap());
    abuse_calls(&mut plain, false).await;
    abuse_bits(&mut plain).await;
    let mut stranger = Caller::new(async || secured(xds_tls, &root).await);
    abuse_calls(&mut stranger, true).await;
    assert!(serves(xds).await, "a proxy that means well is served");
    assert_eq!(panics().load(Relaxed), before);
    running.stop().await;
}

/// What a workload that may ask for a certificate asks with: signing requests that are none.
#[test]
fn a_signing_request_that_is_none_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = IdentityOptions::new(folder.path().join("ca"));
    let domain = options.trust_domain.clone();
    let identity = Identity::open(options, SystemTime::now()).unwrap();
    let id = SpiffeId::of_workload(&domain, "default", "web").unwrap();
    for (case, request) in bytes_of::signing_requests() {
        let issued =
            identity.authority().issue(&request, &id, Duration::from_secs(60), SystemTime::now());
        assert!(issued.is_err(), "{case}");
    }
}
