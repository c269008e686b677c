//! Is this peer who it should be? Chain, time, trust domain, name: one function, one named refusal each.
//!
//! There is no DNS name check for mesh peers: where a connection goes and who answers are different questions.

use std::sync::Arc;
use std::time::SystemTime;

use leno_core::config::StringMatch;
use leno_core::problem::Problem;
use leno_core::string_match::StringMatcher;
use rustls::CertificateError;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::bundle::TrustBundle;
use crate::certificate::CertificateFacts;
use crate::spiffe::SpiffeId;
use crate::svid::spiffe_id;
use crate::tls::crypto_provider;

/// Which side of the handshake the peer is on; certificates may be limited to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer dialled us.
    Client,
    /// We dialled the peer.
    Server,
}

/// A peer that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its SPIFFE id; always there when the bundle has a trust domain.
    pub id: Option<SpiffeId>,
    /// What its certificate says.
    pub facts: CertificateFacts,
}

/// Why a peer was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("the peer sent no certificate")]
    NoCertificate,
    #[error("the peer's certificate cannot be read")]
    Malformed,
    #[error("the peer's certificate has expired")]
    Expired,
    #[error("the peer's certificate is not valid yet; is a clock wrong?")]
    NotYetValid,
    #[error("the peer's certificate was not issued by a root of the trust bundle")]
    UnknownIssuer,
    #[error("the peer's certificate is not usable: {reason}")]
    Unusable { reason: String },
    #[error("the peer's certificate is no SVID: {reason}")]
    NotAnSvid { reason: String },
    #[error("the peer {id} is not of trust domain {trusted}")]
    TrustDomain { id: SpiffeId, trusted: String },
    #[error("the peer is {}, which is not expected here", if found.is_empty() { "nobody" } else { found })]
    Name { found: String },
}

/// The names a peer may have: SPIFFE ids, or DNS names and addresses outside the mesh. Empty takes every peer the
/// bundle vouches for.
#[derive(Clone, Debug, Default)]
pub struct Expected(Arc<[StringMatcher]>);

impl Expected {
    /// Every peer of the bundle.
    #[must_use]
    pub fn anyone() -> Self {
        Self::default()
    }

    /// One of these.
    ///
    /// # Errors
    /// What is wrong with a pattern.
    pub fn one_of(names: &[StringMatch]) -> Result<Self, Vec<Problem>> {
        let compile = |name| StringMatcher::new(name, "peer_sans");
        Ok(Self(names.iter().map(compile).collect::<Result<_, _>>()?))
    }

    /// Whether no name is asked for.
    #[must_use]
    pub fn is_anyone(&self) -> bool {
        self.0.is_empty()
    }

    fn takes(&self, facts: &CertificateFacts) -> bool {
        let is_one = |name: &str| self.0.iter().any(|matcher| matcher.is_match(name.as_bytes()));
        self.is_anyone()
            || facts.uris.iter().any(|name| is_one(name))
            || facts.dns_names.iter().any(|name| is_one(name))
            || facts.addresses.iter().any(|address| is_one(&address.to_string()))
    }
}

/// Checks a peer's chain (leaf first) at a moment.
///
/// # Errors
/// [`Refused`], the first thing that is wrong.
pub fn verify(
    chain: &[CertificateDer<'_>],
    role: Role,
    bundle: &TrustBundle,
    expected: &Expected,
    now: SystemTime,
) -> Result<Peer, Refused> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refused::NoCertificate)?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| Refused::NotYetValid)?;
    let now = UnixTime::since_unix_epoch(since);
    match role {
        Role::Server => ParsedCertificate::try_from(leaf).and_then(|leaf| {
            let algorithms = crypto_provider().signature_verification_algorithms.all;
            let roots = bundle.roots();
            verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms)
        }),
        Role::Client => bundle.clients().verify_client_cert(leaf, intermediates, now).map(|_| ()),
    }
    .map_err(|error| refused(&error))?;
    let facts = CertificateFacts::parse(leaf).map_err(|_| Refused::Malformed)?;
    let id = match bundle.domain() {
        Some(domain) => {
            let id = spiffe_id(&facts)
                .map_err(|error| Refused::NotAnSvid { reason: error.to_string() })?;
            if id.trust_domain() != domain.as_str() {
                return Err(Refused::TrustDomain { id, trusted: domain.to_string() });
            }
            Some(id)
        }
        None => spiffe_id(&facts).ok(),
    };
    if expected.takes(&facts) {
        Ok(Peer { id, facts })
    } else {
        Err(Refused::Name { found: [facts.uris, facts.dns_names].concat().join(", ") })
    }
}

fn refused(error: &rustls::Error) -> Refused {
    use CertificateError as C;
    let rustls::Error::InvalidCertificate(error) = error else {
        return Refused::Unusable { reason: error.to_string() };
    };
    match error {
        C::BadEncoding => Refused::Malformed,
        C::Expired | C::ExpiredContext { .. } => Refused::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => Refused::NotYetValid,
        C::UnknownIssuer | C::BadSignature => Refused::UnknownIssuer,
        other => Refused::Unusable { reason: other.to_string() },
    }
}
