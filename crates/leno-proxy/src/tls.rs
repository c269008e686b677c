//! TLS on both sides of the proxy: configurations by what Envoy's TLS contexts say, handshakes, and what they proved.
//!
//! A configuration is built once per SVID and kept; when the SVID or the bundle changes, the next handshake builds a
//! new one, with empty session caches, so that nobody resumes into an identity that is gone. Connections that stand
//! are left alone.

mod acceptor;
mod connector;
mod key_log;
mod secrets;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use leno_core::config::{DownstreamTls, TlsVersion, TlsVersions, UpstreamTls};
use leno_core::problem::Problem;
use leno_identity::{Refused, SpiffeId};
use rustls::SupportedProtocolVersion;

pub use acceptor::{Accepted, Acceptor};
pub use connector::{Connected, Connector};
pub use key_log::KeyLog;
pub use secrets::{OWN_SVID, SecretError, Secrets, TRUST_BUNDLE};

/// Every TLS configuration of a process; shared by the workers.
#[derive(Debug)]
pub struct Tls {
    secrets: Arc<Secrets>,
    key_log: Option<Arc<KeyLog>>,
    acceptors: Cache<DownstreamTls, Acceptor>,
    connectors: Cache<UpstreamTls, Connector>,
}

impl Tls {
    /// Over the process's secrets.
    #[must_use]
    pub fn new(secrets: Arc<Secrets>) -> Arc<Self> {
        Self::with_key_log(secrets, None)
    }

    /// The same, and writes the secrets of every session to `key_log`.
    #[must_use]
    pub fn with_key_log(secrets: Arc<Secrets>, key_log: Option<Arc<KeyLog>>) -> Arc<Self> {
        let (acceptors, connectors) = (Cache::default(), Cache::default());
        Arc::new(Self { secrets, key_log, acceptors, connectors })
    }

    /// The secrets by SDS name.
    #[must_use]
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Termination as a filter chain says. Takes a lock: ask once per filter chain and keep the answer.
    ///
    /// # Errors
    /// What is wrong with its patterns. A secret that is missing is an error of the handshake: it may come.
    pub fn acceptor(&self, config: &DownstreamTls) -> Result<Arc<Acceptor>, Vec<Problem>> {
        self.acceptors.get_or_make(config, || {
            Acceptor::new(config.clone(), self.secrets.clone(), self.key_log.clone())
        })
    }

    /// Origination as a cluster says. Takes a lock: ask once per cluster and keep the answer.
    ///
    /// # Errors
    /// What is wrong with its patterns. A secret that is missing is an error of the handshake: it may come.
    pub fn connector(&self, config: &UpstreamTls) -> Result<Arc<Connector>, Vec<Problem>> {
        self.connectors.get_or_make(config, || {
            Connector::new(config.clone(), self.secrets.clone(), self.key_log.clone())
        })
    }
}

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Our own certificate or the bundle is not there (yet).
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The peer is not who it should be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The peer closed or reset the connection before the handshake's end.
    #[error("the connection ended during the TLS handshake: {0}")]
    Ended(std::io::Error),
    /// The peer refused us, or does not speak our TLS.
    #[error("TLS handshake: {0}")]
    Handshake(rustls::Error),
}

impl TlsError {
    fn from_io(error: std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(tls) => Self::from_rustls(tls),
            None => Self::Ended(error),
        }
    }

    fn from_rustls(error: &rustls::Error) -> Self {
        match Refused::try_from(error) {
            Ok(refused) => Self::Refused(refused),
            Err(()) => Self::Handshake(error.clone()),
        }
    }
}

/// HTTP/2 between two proxies of ours, which is ordinary HTTP/2 whose heads may say how they were spelt in HTTP/1.
const BETWEEN_PROXIES: &str = "leno-h2";

/// Whether this application protocol is HTTP/2: the registered name, Istio's for connections of the mesh, or our own.
#[must_use]
pub fn is_http2(alpn: Option<&[u8]>) -> bool {
    matches!(alpn, Some(b"h2" | b"istio-h2")) || alpn == Some(BETWEEN_PROXIES.as_bytes())
}

/// The protocols to offer, as configured; before HTTP/2 our own name for it where both sides may prove who they are.
fn offered(configured: &[String], may_be_mutual: bool) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = configured.iter().map(|name| name.as_bytes().to_vec()).collect();
    let first = names.iter().position(|name| is_http2(Some(name)));
    if let Some(at) = first.filter(|_| may_be_mutual) {
        names.insert(at, BETWEEN_PROXIES.as_bytes().to_vec());
    }
    names
}

/// Whether a broken connection was broken by TLS: the peer said by an alert that it does not want us.
#[must_use]
pub fn is_refusal(error: &std::io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::AlertReceived(_)))
}

/// The versions a handshake may agree on.
fn versions(range: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    use rustls::version::{TLS12, TLS13};
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (range.min, range.max) {
        (TlsVersion::V12, TlsVersion::V12) => &ALL[1..],
        (TlsVersion::V12, TlsVersion::V13) => &ALL,
        (TlsVersion::V13, _) => &ALL[..1],
    }
}

/// What a handshake proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// SPIFFE id of the peer.
    pub peer: Option<SpiffeId>,
    /// SPIFFE id we presented; `None` when we presented nothing.
    pub local: Option<SpiffeId>,
    /// The application protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Whether both sides proved who they are.
    pub is_mutual: bool,
}

impl Proof {
    /// Whether the other side is a proxy of ours that proved who it is.
    #[must_use]
    pub fn is_between_proxies(&self) -> bool {
        self.is_mutual && self.alpn.as_deref() == Some(BETWEEN_PROXIES.as_bytes())
    }
}

/// Values shared by all who ask with an equal key, gone with the last of them.
#[derive(Debug)]
struct Cache<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    fn get_or_make<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(key).and_then(Weak::upgrade) {
            return Ok(value);
        }
        known.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make()?);
        known.insert(key.clone(), Arc::downgrade(&value));
        Ok(value)
    }
}

#[cfg(test)]
pub(crate) mod lab;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod tests;
