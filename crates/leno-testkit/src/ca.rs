//! A certificate authority for tests.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A root certificate that nobody knows, and what signs with it.
///
/// # Errors
/// No key could be made.
pub fn root() -> Result<(Issuer<'static, KeyPair>, Certificate), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "root");
    let root = params.self_signed(&key)?;
    Ok((Issuer::new(params, key), root))
}
