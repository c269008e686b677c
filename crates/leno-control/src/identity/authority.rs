//! The root: an ECDSA P-256 key that signs SVIDs. The key never leaves this module.

use std::path::Path;
use std::time::{Duration, SystemTime};

use leno_identity::{
    BundleError, CertificateFacts, KeyError, PrivateKey, SpiffeId, Svid, SvidError, TrustBundle,
    TrustDomain,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::files::{self, FileError};

/// A root lives ten years; rotating it is an operator's decision.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates begin a minute ago: clocks differ.
const BACKDATE: Duration = Duration::from_secs(60);
/// A signing request of a P-256 key has half a KiB, of an RSA-4096 key two.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AuthorityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a new root cannot be made: {0}")]
    Make(rcgen::Error),
    #[error("a new root cannot be made: {0}")]
    Key(#[from] KeyError),
    #[error(
        "the root in {path} is of trust domain {found}, not {wanted}; start with `--trust-domain {found}`, or with another data directory"
    )]
    TrustDomain { path: String, found: String, wanted: String },
    #[error(
        "the root in {path} expired; move it away to start anew (every proxy then has to join again)"
    )]
    Expired { path: String },
}

/// Why a certificate is not issued.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IssueError {
    #[error("the request has {bytes} bytes; at most {REQUEST_BYTES_MAX} are read")]
    TooLong { bytes: usize },
    #[error(
        "the request is not a PKCS#10 signing request in PEM whose signature is its own key's: {0}"
    )]
    Request(rcgen::Error),
    #[error(
        "the request asks for {asked}, the caller is {proved}; ask for your own id, or for none"
    )]
    OtherId { asked: String, proved: SpiffeId },
    #[error("a lifetime of {seconds} s; ask for a positive one, or 0 for the default")]
    Lifetime { seconds: i64 },
    #[error("signing: {0}")]
    Sign(rcgen::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Svid(#[from] SvidError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// A root that signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    expires: SystemTime,
    trust_domain: TrustDomain,
}

impl Authority {
    /// Reads the root, or makes one.
    pub(super) fn open(
        path: &Path,
        trust_domain: &TrustDomain,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let pem = files::load_or_create(path, || make_root(trust_domain, now))?;
        let corrupt = |reason: &dyn std::fmt::Display| FileError::corrupt(path, reason);
        let root =
            CertificateDer::from_pem_slice(&pem).map_err(|_| corrupt(&"no certificate in it"))?;
        let facts = CertificateFacts::parse(&root).map_err(|error| corrupt(&error))?;
        let key = PrivateKey::from_pem(&pem).map_err(|error| corrupt(&error))?;
        let pair = key.pair().map_err(|error| corrupt(&error))?;
        let certified = rustls::sign::CertifiedKey::new(vec![root.clone()], key.signing_key()?);
        if certified.keys_match().is_err() {
            return Err(corrupt(&"key and certificate are not of one pair").into());
        }
        let path = || path.display().to_string();
        if !facts.uris.iter().any(|uri| *uri == format!("spiffe://{trust_domain}")) {
            let found = facts.uris.join(" ").replace("spiffe://", "");
            let wanted = trust_domain.to_string();
            return Err(AuthorityError::TrustDomain { path: path(), found, wanted });
        }
        if facts.not_after <= now {
            return Err(AuthorityError::Expired { path: path() });
        }
        let root_pem = pem_of(&root);
        let expires = facts.not_after;
        let trust_domain = trust_domain.clone();
        let issuer = Issuer::from_ca_cert_der(&root, pair).map_err(|error| corrupt(&error))?;
        Ok(Self { issuer, root, root_pem, expires, trust_domain })
    }

    /// Signs a request for the id the caller proved. Of the request only its key is taken; a request that names
    /// another id is refused rather than silently changed.
    ///
    /// # Errors
    /// [`IssueError`]
    pub fn issue(
        &self,
        request: &str,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, IssueError> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(IssueError::TooLong { bytes: request.len() });
        }
        let request =
            CertificateSigningRequestParams::from_pem(request).map_err(IssueError::Request)?;
        for name in &request.params.subject_alt_names {
            let asked = match name {
                SanType::URI(uri) if uri.as_str() == id.as_str() => continue,
                SanType::URI(name) => name.to_string(),
                SanType::DnsName(name) => name.to_string(),
                other => format!("{other:?}"),
            };
            return Err(IssueError::OtherId { asked, proved: id.clone() });
        }
        let params = self.leaf(id, lifetime, now)?;
        self.sign(&params, &request.public_key)
    }

    /// An SVID of the control plane itself, with the names proxies dial.
    ///
    /// # Errors
    /// [`IssueError`]
    pub fn issue_own(
        &self,
        id: &SpiffeId,
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Svid, IssueError> {
        let key = PrivateKey::generate()?;
        let mut params = self.leaf(id, lifetime, now)?;
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(IssueError::Sign)?),
            });
        }
        let chain = self.sign(&params, &key.pair()?)?;
        Ok(Svid::from_pem(chain.as_bytes(), key)?)
    }

    /// The root's certificate in PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// What proxies verify each other with.
    ///
    /// # Errors
    /// Never for a root that was opened.
    pub fn bundle(&self) -> Result<TrustBundle, BundleError> {
        TrustBundle::new(Some(self.trust_domain.clone()), vec![self.root.clone()])
    }

    fn leaf(
        &self,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<CertificateParams, IssueError> {
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATE).into();
        // A leaf that outlives its root would be refused all the same.
        params.not_after = (now + lifetime).min(self.expires).into();
        params.distinguished_name = DistinguishedName::new();
        let uri = id.as_str().try_into().map_err(IssueError::Sign)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<String, IssueError> {
        let certificate = params.signed_by(key, &self.issuer).map_err(IssueError::Sign)?;
        Ok(certificate.pem())
    }
}

fn make_root(trust_domain: &TrustDomain, now: SystemTime) -> Result<Vec<u8>, AuthorityError> {
    let key = PrivateKey::generate()?.pair()?;
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, trust_domain.as_str());
    let uri = format!("spiffe://{trust_domain}");
    let uri = uri.as_str().try_into().map_err(AuthorityError::Make)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes())
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
