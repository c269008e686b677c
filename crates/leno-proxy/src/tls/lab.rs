//! A small CA for tests: issues what a test wants, however wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_identity::{PrivateKey, Svid, TrustBundle};
use rcgen::{Certificate, CertificateParams, Issuer, KeyPair, SanType};

use super::Secrets;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let (issuer, root) = leno_testkit::ca::root().unwrap();
        Self { issuer, root }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn bundle(&self) -> Arc<TrustBundle> {
        let domain = "cluster.local".parse().unwrap();
        Arc::new(TrustBundle::new(Some(domain), vec![self.root.der().clone()]).unwrap())
    }

    /// Chain and key in PEM, valid from now - `from` for `lifetime`.
    pub(crate) fn issue_pem(
        &self,
        id: &str,
        from: Duration,
        lifetime: Duration,
    ) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let begin = SystemTime::now() - from;
        params.not_before = begin.into();
        params.not_after = (begin + lifetime).into();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    pub(crate) fn issue_for(&self, id: &str, from: Duration, lifetime: Duration) -> Arc<Svid> {
        let (chain, key) = self.issue_pem(id, from, lifetime);
        let key = PrivateKey::from_pem(key.as_bytes()).unwrap();
        Arc::new(Svid::from_pem(chain.as_bytes(), key).unwrap())
    }

    pub(crate) fn issue(&self, id: &str) -> Arc<Svid> {
        self.issue_for(id, HOUR, 24 * HOUR)
    }

    /// Secrets with an SVID of this CA.
    pub(crate) fn secrets(&self, id: &str) -> Arc<Secrets> {
        let secrets = Secrets::new();
        secrets.publish(self.issue(id), self.bundle());
        secrets
    }
}
