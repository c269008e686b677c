//! The certificates TLS contexts name: our SVID (`default`), the trust bundle (`ROOTCA`), and files in Istio's
//! notation (`file-cert:CHAIN~KEY`, `file-root:FILE`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use leno_identity::{BundleError, PrivateKey, Svid, SvidError, TrustBundle};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The SDS name of our own SVID.
pub const OWN_SVID: &str = "default";
/// The SDS name of the trust bundle.
pub const TRUST_BUNDLE: &str = "ROOTCA";

/// Where distributions keep the roots of the public web.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SecretError {
    #[error("no {name} yet: the control plane has not issued our certificate")]
    NotYet { name: &'static str },
    #[error(
        "secret {name:?} is unknown; use default, ROOTCA, file-cert:CHAIN~KEY or file-root:FILE"
    )]
    Unknown { name: String },
    #[error("{path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Bundle { path: String, source: BundleError },
    #[error("{path}: {reason}")]
    Certificate { path: String, reason: String },
    #[error("no system roots; looked at {}", SYSTEM_ROOTS.join(", "))]
    NoSystemRoots,
}

/// The secrets in force; readers never wait.
#[derive(Default)]
pub struct Secrets {
    svid: ArcSwapOption<Svid>,
    bundle: ArcSwapOption<TrustBundle>,
    /// Grows with every change, after it.
    version: AtomicU64,
}

/// A certificate to present.
#[derive(Clone)]
pub(super) struct Presented {
    pub(super) certified: Arc<CertifiedKey>,
    /// The SVID behind it, if it is ours.
    pub(super) svid: Option<Arc<Svid>>,
}

impl Secrets {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Puts an SVID and the bundle that came with it in force, for the handshakes from now on.
    pub fn publish(&self, svid: Arc<Svid>, bundle: Arc<TrustBundle>) {
        self.bundle.store(Some(bundle));
        self.svid.store(Some(svid));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Our SVID.
    #[must_use]
    pub fn svid(&self) -> Option<Arc<Svid>> {
        self.svid.load_full()
    }

    /// The mesh's trust bundle.
    #[must_use]
    pub fn bundle(&self) -> Option<Arc<TrustBundle>> {
        self.bundle.load_full()
    }

    /// Which secrets these are; read it before the secrets themselves.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn certificate(&self, name: &str) -> Result<Presented, SecretError> {
        if name == OWN_SVID {
            let svid = self.svid().ok_or(SecretError::NotYet { name: "SVID" })?;
            return Ok(Presented { certified: svid.certified().clone(), svid: Some(svid) });
        }
        let files = name.strip_prefix("file-cert:").and_then(|files| files.split_once('~'));
        let Some((chain, key)) = files else {
            return Err(SecretError::Unknown { name: name.to_owned() });
        };
        certified_from_files(chain, key)
    }

    /// `None` stands for the system's roots.
    pub(super) fn roots(&self, name: Option<&str>) -> Result<Arc<TrustBundle>, SecretError> {
        let Some(name) = name else { return system_roots() };
        if name == TRUST_BUNDLE {
            return self.bundle().ok_or(SecretError::NotYet { name: "trust bundle" });
        }
        let Some(path) = name.strip_prefix("file-root:") else {
            return Err(SecretError::Unknown { name: name.to_owned() });
        };
        let own = self.svid().and_then(|svid| svid.id().trust_domain().parse().ok());
        // A file of our own trust domain speaks for it; without an SVID only names are checked.
        let bundle = TrustBundle::from_pem(own, &read(path)?);
        bundle.map(Arc::new).map_err(|source| SecretError::Bundle { path: path.to_owned(), source })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let svid = self.svid();
        f.debug_struct("Secrets")
            .field("svid", &svid.as_ref().map(|s| s.id()))
            .finish_non_exhaustive()
    }
}

fn read(path: &str) -> Result<Vec<u8>, SecretError> {
    std::fs::read(path).map_err(|source| SecretError::Read { path: path.to_owned(), source })
}

fn certified_from_files(chain_path: &str, key_path: &str) -> Result<Presented, SecretError> {
    let refused = |path: &str, error: &dyn std::fmt::Display| SecretError::Certificate {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let pem = read(chain_path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| refused(chain_path, &error))?;
    if chain.is_empty() {
        return Err(refused(chain_path, &SvidError::Empty));
    }
    let key = PrivateKey::from_pem(&read(key_path)?).map_err(|error| refused(key_path, &error))?;
    let key = key.signing_key().map_err(|error| refused(key_path, &error))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| refused(key_path, &SvidError::KeyMismatch))?;
    Ok(Presented { certified: Arc::new(certified), svid: None })
}

fn system_roots() -> Result<Arc<TrustBundle>, SecretError> {
    let configured = std::env::var("SSL_CERT_FILE").ok();
    let known = SYSTEM_ROOTS.iter().map(|path| (*path).to_owned());
    let path = configured.into_iter().chain(known).find(|path| Path::new(path).is_file());
    let path = path.ok_or(SecretError::NoSystemRoots)?;
    TrustBundle::from_pem(None, &read(&path)?)
        .map(Arc::new)
        .map_err(|source| SecretError::Bundle { path, source })
}
