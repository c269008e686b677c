//! An X.509-SVID: a certificate chain that names one SPIFFE id, and the key that proves it.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::certificate::{CertificateFacts, Malformed};
use crate::key::{KeyError, PrivateKey};
use crate::spiffe::{SpiffeId, SpiffeIdError};

/// Why a chain and a key are no SVID.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SvidError {
    #[error("the chain has no certificate; give it in PEM, leaf first")]
    Empty,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the leaf has {found} URI names; an SVID has exactly one")]
    UriNames { found: usize },
    #[error(transparent)]
    Id(#[from] SpiffeIdError),
    #[error("the leaf may sign certificates; an SVID must not")]
    Ca,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key does not belong to the certificate")]
    KeyMismatch,
}

/// Chain, key and id; no `Debug`, shared and never copied.
pub struct Svid {
    id: SpiffeId,
    facts: CertificateFacts,
    certified: Arc<CertifiedKey>,
    key: PrivateKey,
}

impl Svid {
    /// Checks that the leaf is an SVID and that the key is its own. Whether somebody trusts it is the peer's affair.
    ///
    /// # Errors
    /// [`SvidError`]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKey) -> Result<Self, SvidError> {
        let leaf = chain.first().ok_or(SvidError::Empty)?;
        let facts = CertificateFacts::parse(leaf)?;
        let id = spiffe_id(&facts)?;
        let certified = CertifiedKey::new(chain, key.signing_key()?);
        certified.keys_match().map_err(|_| SvidError::KeyMismatch)?;
        Ok(Self { id, facts, certified: Arc::new(certified), key })
    }

    /// From PEM: the chain leaf first, as a CA answers it.
    ///
    /// # Errors
    /// [`SvidError`]
    pub fn from_pem(chain: &[u8], key: PrivateKey) -> Result<Self, SvidError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        Self::new(chain.map_err(|_| Malformed)?, key)
    }

    /// Who we are.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The leaf's facts.
    #[must_use]
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// What TLS presents.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Whether it is valid at `now`.
    #[must_use]
    pub fn is_valid(&self, now: SystemTime) -> bool {
        (self.facts.not_before..=self.facts.not_after).contains(&now)
    }
}

/// The one id of a leaf (X509-SVID section 2).
pub(crate) fn spiffe_id(facts: &CertificateFacts) -> Result<SpiffeId, SvidError> {
    let [uri] = facts.uris.as_slice() else {
        return Err(SvidError::UriNames { found: facts.uris.len() });
    };
    if facts.is_ca {
        return Err(SvidError::Ca);
    }
    Ok(uri.parse()?)
}
