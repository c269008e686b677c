//! TLS origination to one cluster.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use leno_core::config::UpstreamTls;
use leno_core::problem::Problem;
use leno_identity::{Expected, Peer, PeerVerifier, Refused, Role, SpiffeId, crypto_provider};
use rustls::client::{ClientConnection, Resumption};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::secrets::Secrets;
use super::{KeyLog, Proof, TlsError};
use crate::wire::{Prefixed, Wire};

/// Sessions kept per cluster for resumption; pools keep connections, so new ones are rare.
const SESSIONS_MAX: usize = 32;

/// Starts TLS as one `UpstreamTls` says.
#[derive(Debug)]
pub struct Connector {
    config: UpstreamTls,
    expected: Expected,
    /// `None` sends no server name.
    server_name: Option<ServerName<'static>>,
    secrets: Arc<Secrets>,
    key_log: Option<Arc<KeyLog>>,
    /// When a resumed session's certificate is looked at again.
    pub(super) clock: fn() -> SystemTime,
    built: ArcSwapOption<Built>,
}

/// A configuration over one version of the secrets.
#[derive(Debug)]
struct Built {
    version: u64,
    client: Arc<ClientConfig>,
    verifier: Arc<PeerVerifier>,
    local: Option<SpiffeId>,
    is_certified: bool,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Connected {
    /// The bytes inside.
    pub wire: Wire,
    /// What was proved.
    pub proof: Proof,
}

impl Connector {
    pub(super) fn new(
        config: UpstreamTls,
        secrets: Arc<Secrets>,
        key_log: Option<Arc<KeyLog>>,
    ) -> Result<Self, Vec<Problem>> {
        let expected = Expected::one_of(&config.peer_sans)?;
        // A name that no ClientHello can carry is not sent, as a missing one.
        let server_name =
            config.sni.as_deref().and_then(|sni| ServerName::try_from(sni.to_owned()).ok());
        Ok(Self {
            config,
            expected,
            server_name,
            secrets,
            key_log,
            clock: SystemTime::now,
            built: ArcSwapOption::empty(),
        })
    }

    /// The client's half of the handshake. The caller bounds its time.
    ///
    /// In TLS 1.3 a server refuses our certificate after this returned: the first read then ends with an alert, and
    /// nothing that was written has been looked at.
    ///
    /// # Errors
    /// [`TlsError`]; no byte of the request was sent.
    pub async fn connect(&self, stream: Wire) -> Result<Connected, TlsError> {
        let peer = match stream.tcp() {
            Some(stream) => stream.peer_addr().map_err(TlsError::Ended)?.ip(),
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let (stream, proof) = self.handshake(Prefixed::new(stream, Vec::new()), peer).await?;
        Ok(Connected { wire: Wire::Tls(Box::new(stream.into())), proof })
    }

    /// As [`connect`](Self::connect), for who wants a stream and no wire.
    pub(crate) async fn connect_stream(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let peer = stream.peer_addr().map_err(TlsError::Ended)?.ip();
        Ok(self.handshake(stream, peer).await?.0)
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: IpAddr,
    ) -> Result<(TlsStream<S>, Proof), TlsError> {
        let built = self.built()?;
        // An address is never sent as a server name; it only keeps sessions of endpoints apart.
        let name = self.server_name.clone().unwrap_or_else(|| ServerName::from(peer));
        let connector = TlsConnector::from(built.client.clone());
        let stream = connector.connect(name, stream).await.map_err(TlsError::from_io)?;
        let connection = stream.get_ref().1;
        let peer = self::peer(connection, &built.verifier, (self.clock)())?;
        let proof = Proof {
            is_mutual: built.is_certified && self.config.trust_bundle.is_some(),
            peer: peer.id,
            local: built.local.clone(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        };
        Ok((stream, proof))
    }

    fn built(&self) -> Result<Arc<Built>, TlsError> {
        let version = self.secrets.version();
        if let Some(built) = self.built.load_full().filter(|built| built.version == version) {
            return Ok(built);
        }
        let built = Arc::new(self.build(version)?);
        self.built.store(Some(built.clone()));
        Ok(built)
    }

    fn build(&self, version: u64) -> Result<Built, TlsError> {
        let bundle = self.secrets.roots(self.config.trust_bundle.as_deref())?;
        let verifier = Arc::new(PeerVerifier::new(bundle, self.expected.clone()));
        let builder = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(super::versions(self.config.versions))
            .map_err(TlsError::Handshake)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let mut local = None;
        let mut client = match &self.config.certificate {
            Some(name) => {
                let presented = self.secrets.certificate(name)?;
                local = presented.svid.map(|svid| svid.id().clone());
                let resolver = SingleCertAndKey::from(presented.certified);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        if let Some(key_log) = &self.key_log {
            client.key_log = Arc::clone(key_log) as Arc<dyn rustls::KeyLog>;
        }
        let may_be_mutual = self.config.certificate.is_some() && self.config.trust_bundle.is_some();
        client.alpn_protocols = super::offered(&self.config.alpn, may_be_mutual);
        client.enable_sni = self.server_name.is_some();
        client.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let is_certified = self.config.certificate.is_some();
        Ok(Built { version, client: Arc::new(client), verifier, local, is_certified })
    }
}

/// The endpoint. A resumed session has its certificate from before: it is checked again.
fn peer(
    connection: &ClientConnection,
    verifier: &PeerVerifier,
    now: SystemTime,
) -> Result<Peer, Refused> {
    let chain = connection.peer_certificates().ok_or(Refused::NoCertificate)?;
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        return verifier.check(chain, Role::Server, now);
    }
    PeerVerifier::read(chain)
}
