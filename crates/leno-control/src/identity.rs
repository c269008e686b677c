//! The identity role: who may join, and what proves who they are.
//!
//! One root in the data directory signs SVIDs for 24 hours at most by default. A workload's id is what its join token
//! (or its present SVID) proves, never what its request asks for. `push` serves [`Identity::service`] beside ADS and
//! asks [`Identity::authenticate`] who a stream belongs to.

mod authority;
mod files;
mod listener;
mod service;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_identity::{SpiffeId, SpiffeIdError, TrustDomain};

pub use authority::{Authority, AuthorityError, IssueError};
pub use files::FileError;
pub use listener::{Caller, ControlStream, SecureListener, Transport};
pub use service::CertificateService;
pub use token::TokenError;

use self::token::TokenKey;
use crate::options::Options;

/// The namespace and service account of the control plane itself.
pub const CONTROL_NAMESPACE: &str = "leno-system";
/// See [`CONTROL_NAMESPACE`].
pub const CONTROL_SERVICE_ACCOUNT: &str = "leno-control";

/// Process settings of the role.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    /// Where the root and the token key are kept, each 0600.
    pub directory: PathBuf,
    /// Whose identities are issued.
    pub trust_domain: TrustDomain,
    /// Lifetime of an SVID when the request asks for none, and the longest it may ask for.
    pub svid_lifetime: Duration,
    /// Names and addresses by which proxies dial the control plane, beside `localhost` and loopback.
    pub server_names: Vec<String>,
}

impl IdentityOptions {
    /// The usual trust domain and lifetime, and no further names.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            trust_domain: "cluster.local".parse().expect("it is a name of one"),
            svid_lifetime: Options::SVID_LIFETIME,
            server_names: Vec::new(),
        }
    }
}

/// Why the role cannot start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdentityError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Why a caller is nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NotAuthenticated {
    #[error("no join token and no certificate; send `authorization: Bearer TOKEN`")]
    Nothing,
    #[error("the authorization header is not of the form `Bearer TOKEN`")]
    Scheme,
    #[error("join token: {0}")]
    Token(#[from] TokenError),
    #[error("join token: {0}")]
    Id(#[from] SpiffeIdError),
}

/// The role: root, tokens, and what is served.
pub struct Identity {
    options: IdentityOptions,
    authority: Authority,
    tokens: TokenKey,
}

impl Identity {
    /// Opens the directory, making root and token key where there are none. What is there is never overwritten.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what would be right.
    pub fn open(options: IdentityOptions, now: SystemTime) -> Result<Arc<Self>, IdentityError> {
        files::make_directory(&options.directory)?;
        let root = options.directory.join("root-ca.pem");
        let authority = Authority::open(&root, &options.trust_domain, now)?;
        // What peers and tools may read; made anew, as it follows from the root.
        files::publish(&options.directory.join("root.pem"), authority.root_pem().as_bytes())?;
        let tokens = TokenKey::open(&options.directory.join("token.key"))?;
        Ok(Arc::new(Self { options, authority, tokens }))
    }

    /// A token with which a workload of this service account joins, for `lifetime` from now. It proves who asks for
    /// the first certificate; later ones are asked for with the certificate itself.
    ///
    /// # Errors
    /// When a name cannot be part of an id.
    pub fn mint_token(
        &self,
        namespace: &str,
        service_account: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, SpiffeIdError> {
        SpiffeId::of_workload(&self.options.trust_domain, namespace, service_account)?;
        Ok(self.tokens.mint(namespace, service_account, now, now + lifetime))
    }

    /// Who is calling: by `authorization: Bearer TOKEN` where there is one, by the connection's SVID otherwise.
    ///
    /// # Errors
    /// [`NotAuthenticated`]
    pub fn authenticate(
        &self,
        headers: &http::HeaderMap,
        caller: Option<&Caller>,
        now: SystemTime,
    ) -> Result<SpiffeId, NotAuthenticated> {
        let Some(header) = headers.get(http::header::AUTHORIZATION) else {
            let id = caller.and_then(|caller| caller.id.clone());
            return id.ok_or(NotAuthenticated::Nothing);
        };
        let text = header.to_str().map_err(|_| NotAuthenticated::Scheme)?;
        let (scheme, token) = text.split_once(' ').ok_or(NotAuthenticated::Scheme)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(NotAuthenticated::Scheme);
        }
        let claims = self.tokens.verify(token.trim(), now)?;
        let domain = &self.options.trust_domain;
        Ok(SpiffeId::of_workload(domain, &claims.namespace, &claims.service_account)?)
    }

    /// The gRPC service to add to the server.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> CertificateService {
        CertificateService::new(self.clone())
    }

    /// TLS for 15012: presents a certificate of our own CA, takes clients with an SVID or without.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn secure_listener(self: &Arc<Self>) -> Result<SecureListener, IssueError> {
        SecureListener::new(self.clone())
    }

    /// TLS for the front door.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn front_door_tls(self: &Arc<Self>) -> Result<tokio_rustls::TlsAcceptor, IssueError> {
        listener::for_front_door(self.clone())
    }

    /// The signing root.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &IdentityOptions {
        &self.options
    }

    /// The root's certificate as a file that proxies are given.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        Path::new(&self.options.directory).join("root.pem")
    }
}

#[cfg(test)]
mod tests;
