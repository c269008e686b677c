//! Asking for an SVID: the signing request and the messages of Istio's CA API
//! (`istio.v1.auth.IstioCertificateService/CreateCertificate`), which both planes speak.

mod grpc;

pub use grpc::{MessageCodec, create_certificate};
use rcgen::{CertificateParams, DistinguishedName};

use crate::key::{KeyError, PrivateKey};

/// The gRPC path of the one method.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// The gRPC service.
pub const SERVICE: &str = "istio.v1.auth.IstioCertificateService";

/// `IstioCertificateRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateRequest {
    /// The signing request in PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// Wanted lifetime in seconds; 0 leaves it to the CA, which may give less.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// A `google.protobuf.Struct`; kept as bytes, nothing reads it.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub metadata: Option<Vec<u8>>,
}

/// `IstioCertificateResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateResponse {
    /// PEM, one certificate each, leaf first, the root last.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}

/// A signing request in PEM. It names nobody: the CA gives the id that the caller proves by other means.
///
/// # Errors
/// When the key cannot sign.
pub fn signing_request(key: &PrivateKey) -> Result<String, KeyError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key.pair()?).map_err(KeyError::Generate)?;
    request.pem().map_err(KeyError::Generate)
}

/// The answer in two parts: the chain to present, and the roots to trust (the last certificate). `None` for fewer
/// than two certificates.
#[must_use]
pub fn split_answer(answer: &CertificateResponse) -> Option<(String, String)> {
    let (root, chain) = answer.cert_chain.split_last()?;
    (!chain.is_empty()).then(|| (chain.join("\n"), root.clone()))
}
