//! TLS termination of one filter chain.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use leno_core::config::DownstreamTls;
use leno_core::problem::Problem;
use leno_identity::{Expected, Peer, PeerVerifier, Refused, Role, SpiffeId, crypto_provider};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{HandshakeKind, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::secrets::Secrets;
use super::{KeyLog, Proof, TlsError};
use crate::wire::{Prefixed, Wire};

/// Ends TLS as one `DownstreamTls` says.
#[derive(Debug)]
pub struct Acceptor {
    config: DownstreamTls,
    expected: Expected,
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
    server: Arc<ServerConfig>,
    verifier: Option<Arc<PeerVerifier>>,
    local: Option<SpiffeId>,
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes inside.
    pub wire: Wire,
    /// What was proved.
    pub proof: Proof,
    /// The server name the client asked for.
    pub server_name: Option<String>,
    /// The client's element of `x-forwarded-client-cert`.
    pub client_cert: Option<String>,
}

impl Acceptor {
    pub(super) fn new(
        config: DownstreamTls,
        secrets: Arc<Secrets>,
        key_log: Option<Arc<KeyLog>>,
    ) -> Result<Self, Vec<Problem>> {
        let expected = Expected::one_of(&config.peer_sans)?;
        Ok(Self {
            config,
            expected,
            secrets,
            key_log,
            clock: SystemTime::now,
            built: ArcSwapOption::empty(),
        })
    }

    /// The server's half of the handshake. The caller bounds its time.
    ///
    /// # Errors
    /// [`TlsError`]; the peer was told by an alert.
    pub async fn accept(&self, stream: Prefixed) -> Result<Accepted, TlsError> {
        let built = self.built()?;
        let acceptor = TlsAcceptor::from(built.server.clone());
        let stream = acceptor.accept(stream).await.map_err(TlsError::from_io)?;
        let connection = stream.get_ref().1;
        let peer = peer(connection, built.verifier.as_deref(), (self.clock)())?;
        let accepted = Accepted {
            proof: Proof {
                is_mutual: peer.is_some(),
                peer: peer.as_ref().and_then(|peer| peer.id.clone()),
                local: built.local.clone(),
                alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            },
            server_name: connection.server_name().map(str::to_owned),
            client_cert: peer.map(|peer| client_cert(connection, built.local.as_ref(), &peer)),
            wire: Wire::Tls(Box::new(stream.into())),
        };
        Ok(accepted)
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
        let presented = self.secrets.certificate(&self.config.certificate)?;
        let verifier = match self.config.trust_bundle.as_deref() {
            Some(name) => {
                let bundle = self.secrets.roots(Some(name))?;
                let verifier = PeerVerifier::new(bundle, self.expected.clone());
                Some(Arc::new(if self.config.require_client_certificate {
                    verifier
                } else {
                    verifier.allow_anonymous_clients()
                }))
            }
            None => None,
        };
        let provider = crypto_provider();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(super::versions(self.config.versions))
            .map_err(TlsError::Handshake)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth()),
        };
        let resolver = SingleCertAndKey::from(presented.certified);
        let mut server = builder.with_cert_resolver(Arc::new(resolver));
        if let Some(key_log) = &self.key_log {
            server.key_log = Arc::clone(key_log) as Arc<dyn rustls::KeyLog>;
        }
        server.alpn_protocols =
            super::offered(&self.config.alpn, self.config.trust_bundle.is_some());
        // Tickets hold the session: nothing is kept here per client. The key is new with every SVID.
        server.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Handshake)?;
        // The order is that of `crypto_provider`, whatever the client's is.
        server.ignore_client_order = true;
        // Whoever resumes is given the next one. A second would be sealed and sent with every handshake, for clients that
        // open two connections at once; of these, one begins in full.
        server.send_tls13_tickets = 1;
        let local = presented.svid.map(|svid| svid.id().clone());
        Ok(Built { version, server: Arc::new(server), verifier, local })
    }
}

/// The client, if it showed a certificate. A resumed session has its certificate from before: it is checked again.
fn peer(
    connection: &ServerConnection,
    verifier: Option<&PeerVerifier>,
    now: SystemTime,
) -> Result<Option<Peer>, Refused> {
    let (Some(verifier), Some(chain)) = (verifier, connection.peer_certificates()) else {
        return Ok(None);
    };
    if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
        return verifier.check(chain, Role::Client, now).map(Some);
    }
    PeerVerifier::read(chain).map(Some)
}

/// One element of `x-forwarded-client-cert`, with Envoy's keys.
fn client_cert(connection: &ServerConnection, local: Option<&SpiffeId>, peer: &Peer) -> String {
    use std::fmt::Write as _;
    let mut element = String::new();
    if let Some(local) = local {
        write!(element, "By={local};").expect("writing to a String cannot fail");
    }
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    if let Some(leaf) = leaf {
        element.push_str("Hash=");
        for byte in leno_identity::sha256(leaf) {
            write!(element, "{byte:02x}").expect("writing to a String cannot fail");
        }
        element.push(';');
    }
    let subject = peer.facts.subject.replace('"', "\\\"");
    write!(element, "Subject=\"{subject}\"").expect("writing to a String cannot fail");
    for uri in &peer.facts.uris {
        write!(element, ";URI={uri}").expect("writing to a String cannot fail");
    }
    element
}
