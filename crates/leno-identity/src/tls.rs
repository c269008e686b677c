//! The bridge to rustls: its verifier traits over [`verify`](crate::verify()), and the one crypto provider.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::bundle::TrustBundle;
use crate::certificate::CertificateFacts;
use crate::svid::spiffe_id;
use crate::verify::{Expected, Peer, Refused, Role, verify};

/// aws-lc-rs with rustls's default suites: TLS 1.2 and 1.3, no SHA-1, no RSA key exchange.
///
/// Of each version AES-128 with SHA-256 comes first, as in BoringSSL and Go: half of a handshake is hashing, and
/// processors have instructions for SHA-256 and not for SHA-384.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            provider
                .cipher_suites
                .sort_by_key(|suite| (suite.tls13().is_none(), !is_aes_128(suite.suite())));
            Arc::new(provider)
        })
        .clone()
}

const fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// The fingerprint of a certificate, as `x-forwarded-client-cert` shows it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Checks peers of either side against one bundle and one set of names.
#[derive(Debug)]
pub struct PeerVerifier {
    bundle: Arc<TrustBundle>,
    expected: Expected,
    is_mandatory: bool,
}

impl PeerVerifier {
    /// A verifier that refuses peers without a certificate.
    #[must_use]
    pub fn new(bundle: Arc<TrustBundle>, expected: Expected) -> Self {
        Self { bundle, expected, is_mandatory: true }
    }

    /// Lets clients without a certificate in; those with one are checked all the same.
    #[must_use]
    pub fn allow_anonymous_clients(mut self) -> Self {
        self.is_mandatory = false;
        self
    }

    /// The same check again, outside a handshake: a resumed session skips it, and time has passed since.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn check(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: SystemTime,
    ) -> Result<Peer, Refused> {
        verify(chain, role, &self.bundle, &self.expected, now)
    }

    /// Reads a chain that a handshake has just checked.
    ///
    /// # Errors
    /// [`Refused`] when there is nothing to read.
    pub fn read(chain: &[CertificateDer<'_>]) -> Result<Peer, Refused> {
        let leaf = chain.first().ok_or(Refused::NoCertificate)?;
        let facts = CertificateFacts::parse(leaf).map_err(|_| Refused::Malformed)?;
        Ok(Peer { id: spiffe_id(&facts).ok(), facts })
    }

    fn handshake(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut chain = Vec::with_capacity(1 + intermediates.len());
        chain.push(CertificateDer::from_slice(leaf));
        chain.extend(
            intermediates.iter().map(|certificate| CertificateDer::from_slice(certificate)),
        );
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        self.check(&chain, role, now).map(|_| ()).map_err(to_rustls)
    }
}

/// Keeps the refusal inside, and picks the alert that fits.
fn to_rustls(refused: Refused) -> Error {
    match refused {
        Refused::NoCertificate => Error::NoCertificatesPresented,
        Refused::Malformed => CertificateError::BadEncoding.into(),
        Refused::Expired => CertificateError::Expired.into(),
        Refused::NotYetValid => CertificateError::NotValidYet.into(),
        Refused::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        refused => CertificateError::Other(OtherError(Arc::new(refused))).into(),
    }
}

/// The refusal inside a handshake's error.
impl TryFrom<&Error> for Refused {
    type Error = ();

    fn try_from(error: &Error) -> Result<Self, ()> {
        let error = match error {
            Error::NoCertificatesPresented => return Ok(Self::NoCertificate),
            Error::InvalidCertificate(error) => error,
            _ => return Err(()),
        };
        match error {
            CertificateError::BadEncoding => Ok(Self::Malformed),
            CertificateError::Expired => Ok(Self::Expired),
            CertificateError::NotValidYet => Ok(Self::NotYetValid),
            CertificateError::UnknownIssuer => Ok(Self::UnknownIssuer),
            CertificateError::Other(OtherError(inner)) => {
                inner.downcast_ref::<Self>().cloned().ok_or(())
            }
            _ => Err(()),
        }
    }
}

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = crypto_provider().signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signed, &algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = crypto_provider().signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signed, &algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            crypto_provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.handshake(leaf, intermediates, Role::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Every proxy has one SVID; a list of roots would only make handshakes longer.
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.handshake(leaf, intermediates, Role::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
