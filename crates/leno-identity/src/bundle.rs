//! A trust bundle: the roots that peers' chains must end in, and whose trust domain they speak for.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::certificate::CertificateFacts;
use crate::spiffe::TrustDomain;
use crate::tls::crypto_provider;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BundleError {
    #[error("the bundle has no certificate; give one or more root certificates in PEM")]
    Empty,
    #[error("certificate {number} of the bundle is not a usable root: {reason}")]
    Certificate { number: usize, reason: String },
}

/// Roots, ready for verification; shared and never changed.
#[derive(Debug)]
pub struct TrustBundle {
    domain: Option<TrustDomain>,
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl TrustBundle {
    /// `domain` makes it a SPIFFE bundle: peers must have an id of that trust domain. Without it (system roots, an
    /// external service's CA) names are only what the caller expects.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn new(
        domain: Option<TrustDomain>,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        if certificates.is_empty() {
            return Err(BundleError::Empty);
        }
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            let refused = |reason: String| BundleError::Certificate { number: index + 1, reason };
            roots.add(certificate.clone()).map_err(|error| refused(error.to_string()))?;
            let facts = CertificateFacts::parse(certificate).map_err(|e| refused(e.to_string()))?;
            if domain.is_some() && !facts.is_ca {
                return Err(refused("it may not sign certificates".to_owned()));
            }
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto_provider())
            .build()
            .map_err(|error| BundleError::Certificate { number: 1, reason: error.to_string() })?;
        Ok(Self { domain, certificates, roots, clients })
    }

    /// Every certificate of a PEM text.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn from_pem(domain: Option<TrustDomain>, pem: &[u8]) -> Result<Self, BundleError> {
        let mut certificates = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            certificates.push(certificate.map_err(|error| BundleError::Certificate {
                number: index + 1,
                reason: error.to_string(),
            })?);
        }
        Self::new(domain, certificates)
    }

    /// The trust domain it speaks for.
    #[must_use]
    pub fn domain(&self) -> Option<&TrustDomain> {
        self.domain.as_ref()
    }

    /// The roots in DER.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    pub(crate) fn clients(&self) -> &dyn ClientCertVerifier {
        &*self.clients
    }
}
