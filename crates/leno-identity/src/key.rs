//! Private keys. No `Debug`, no `Display`, no `Clone`: a key is in one place and never in a log.

use std::sync::Arc;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("the random generator gave no key: {0}")]
    Generate(rcgen::Error),
    #[error("no private key in the PEM text; use PKCS#8, SEC1 or PKCS#1")]
    Pem,
    #[error("private key is not usable: {0}")]
    Unsupported(rustls::Error),
}

/// A private key in DER.
pub struct PrivateKey(PrivateKeyDer<'static>);

impl PrivateKey {
    /// A new ECDSA P-256 key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Generate)?;
        Ok(Self(PrivateKeyDer::Pkcs8(pair.serialize_der().into())))
    }

    /// The first private key of a PEM text.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        PrivateKeyDer::from_pem_slice(pem).map(Self).map_err(|_| KeyError::Pem)
    }

    /// The secret bytes, for sealing.
    #[must_use]
    pub fn secret_der(&self) -> &[u8] {
        self.0.secret_der()
    }

    /// What TLS signs with.
    ///
    /// # Errors
    /// When the algorithm is not one we use.
    pub fn signing_key(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&self.0).map_err(KeyError::Unsupported)
    }

    /// What a request or a certificate is signed with.
    ///
    /// # Errors
    /// When the algorithm is not one we use.
    pub fn pair(&self) -> Result<KeyPair, KeyError> {
        KeyPair::try_from(&self.0).map_err(KeyError::Generate)
    }
}
