//! A small CA for tests, its certificates in files, as configuration names them.

use std::path::PathBuf;
use std::sync::Arc;

use leno_core::config::{DownstreamTls, StringMatch, StringPattern, TlsVersions, UpstreamTls};
use leno_identity::{Expected, PeerVerifier, TrustBundle, crypto_provider};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// A CA and a folder for what it issues.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    folder: TempDir,
}

/// `spiffe://cluster.local/ns/default/sa/NAME`.
pub(crate) fn id(name: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{name}")
}

impl Ca {
    pub(crate) fn new() -> Self {
        let (issuer, root) = leno_testkit::ca::root().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { issuer, root: root.der().clone(), folder }
    }

    /// The root's file.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Files of a certificate and its key for this workload and, so that clients of the web take it, for `localhost`.
    pub(crate) fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let at = |end: &str| self.folder.path().join(format!("{name}{end}"));
        let (chain, key_file) = (at(".pem"), at(".key"));
        if !chain.exists() {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            let uri = SanType::URI(id(name).try_into().unwrap());
            let dns = SanType::DnsName("localhost".try_into().unwrap());
            params.subject_alt_names = vec![uri, dns];
            std::fs::write(&chain, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
            std::fs::write(&key_file, key.serialize_pem()).unwrap();
        }
        (chain, key_file)
    }

    fn secret(&self, name: &str) -> String {
        let (chain, key) = self.issue(name);
        format!("file-cert:{}~{}", chain.display(), key.display())
    }

    fn bundle(&self) -> String {
        format!("file-root:{}", self.root().display())
    }

    /// TLS as `name`, to peers called `peer`.
    pub(crate) fn upstream(&self, name: &str, peer: &str, alpn: &[&str]) -> UpstreamTls {
        let pattern = StringPattern::Exact(id(peer));
        UpstreamTls {
            versions: TlsVersions::default(),
            sni: None,
            alpn: alpn.iter().map(|&name| name.to_owned()).collect(),
            certificate: Some(self.secret(name)),
            trust_bundle: Some(self.bundle()),
            peer_sans: vec![StringMatch { pattern, ignore_case: false }],
        }
    }

    /// TLS as `name`; whether clients must prove who they are.
    pub(crate) fn downstream(&self, name: &str, is_mutual: bool, alpn: &[&str]) -> DownstreamTls {
        DownstreamTls {
            require_client_certificate: is_mutual,
            certificate: self.secret(name),
            trust_bundle: is_mutual.then(|| self.bundle()),
            peer_sans: Vec::new(),
            alpn: alpn.iter().map(|&name| name.to_owned()).collect(),
            versions: TlsVersions::default(),
        }
    }

    fn identity(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let (chain, key) = self.issue(name);
        let chain = CertificateDer::from_pem_file(chain).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_file(key).unwrap())
    }

    /// What `rustls` connects with as `name`.
    pub(crate) fn rustls_client(&self, name: &str) -> Arc<rustls::ClientConfig> {
        let domain = "cluster.local".parse().unwrap();
        let bundle = Arc::new(TrustBundle::new(Some(domain), vec![self.root.clone()]).unwrap());
        let verifier = Arc::new(PeerVerifier::new(bundle, Expected::one_of(&[]).unwrap()));
        let (chain, key) = self.identity(name);
        let mut config = rustls::ClientConfig::builder_with_provider(crypto_provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.enable_sni = false;
        Arc::new(config)
    }

    /// What `rustls` accepts with as `name`, from clients of this CA.
    pub(crate) fn rustls_server(&self, name: &str) -> Arc<rustls::ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = crypto_provider();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let (chain, key) = self.identity(name);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}
