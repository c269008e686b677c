//! TLS for the control plane's port 15012, and who is on the other end of a connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use leno_identity::{Expected, PeerVerifier, SpiffeId, Svid, crypto_provider};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT, Identity, IssueError};

/// Names proxies dial the control plane by without being told others.
const LOCAL_NAMES: [&str; 5] =
    ["localhost", "127.0.0.1", "::1", "istiod.istio-system.svc", "leno-control.leno-system.svc"];

/// Ends TLS on the control plane's port. Its own certificate is renewed by itself.
#[derive(Clone)]
pub struct SecureListener {
    acceptor: TlsAcceptor,
}

impl SecureListener {
    pub(super) fn new(identity: Arc<Identity>) -> Result<Self, IssueError> {
        let bundle = Arc::new(identity.authority().bundle()?);
        // A first certificate is asked for with a token, later ones and streams with the SVID.
        let verifier = PeerVerifier::new(bundle, Expected::anyone()).allow_anonymous_clients();
        let own = OwnCertificate::new(identity, SystemTime::now())?;
        let mut config = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(own));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Streams last for days: a resumed session would only carry an old proof.
        config.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// The server's half of the handshake, which may take no longer than `patience`.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn accept(&self, stream: TcpStream, patience: Duration) -> io::Result<ControlStream> {
        let handshake = self.acceptor.accept(stream);
        let stream = tokio::time::timeout(patience, handshake)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time"))??;
        Ok(ControlStream::Tls(Box::new(stream)))
    }
}

/// TLS for the front door: the same certificate, for clients that bring a token or nothing.
pub(super) fn for_front_door(identity: Arc<Identity>) -> Result<TlsAcceptor, IssueError> {
    let own = OwnCertificate::new(identity, SystemTime::now())?;
    let mut config = ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The control plane's SVID, made anew at half of its life by the handshake that finds it old.
struct OwnCertificate {
    identity: Arc<Identity>,
    current: ArcSwap<Svid>,
}

impl OwnCertificate {
    fn new(identity: Arc<Identity>, now: SystemTime) -> Result<Self, IssueError> {
        let current = ArcSwap::from_pointee(Self::make(&identity, now)?);
        Ok(Self { identity, current })
    }

    fn make(identity: &Identity, now: SystemTime) -> Result<Svid, IssueError> {
        let options = identity.options();
        let domain = &options.trust_domain;
        let id = SpiffeId::of_workload(domain, CONTROL_NAMESPACE, CONTROL_SERVICE_ACCOUNT)
            .expect("the two names are path segments");
        let mut names: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
        names.extend(options.server_names.iter().cloned());
        identity.authority().issue_own(&id, &names, options.svid_lifetime, now)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now();
        let current = self.current.load();
        let facts = current.facts();
        let lifetime = facts.not_after.duration_since(facts.not_before).unwrap_or_default();
        if now > facts.not_before + lifetime / 2 {
            // Two handshakes may both make one: the later stays.
            match Self::make(&self.identity, now) {
                Ok(svid) => self.current.store(Arc::new(svid)),
                Err(error) => tracing::error!(%error, "the control plane's certificate is old"),
            }
        }
        Some(self.current.load().certified().clone())
    }
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OwnCertificate").field(self.current.load().id()).finish()
    }
}

/// A connection to the control plane. Plaintext is for loopback only.
pub enum ControlStream {
    /// 15010.
    Plain(TcpStream),
    /// 15012.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is on the other end; every request of the connection carries it as an extension.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What its certificate proved.
    pub id: Option<SpiffeId>,
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// How it came.
    pub transport: Transport,
}

/// Whether a connection to the control plane is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// 15010, loopback only.
    Plaintext,
    /// 15012.
    Tls,
}

impl Connected for ControlStream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        match self {
            Self::Plain(stream) => {
                let address = stream.peer_addr().ok();
                Caller { id: None, address, transport: Transport::Plaintext }
            }
            Self::Tls(stream) => {
                let (socket, connection) = stream.get_ref();
                let chain = connection.peer_certificates();
                let peer = chain.and_then(|chain| PeerVerifier::read(chain).ok());
                let id = peer.and_then(|peer| peer.id);
                Caller { id, address: socket.peer_addr().ok(), transport: Transport::Tls }
            }
        }
    }
}

impl AsyncRead for ControlStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ControlStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
