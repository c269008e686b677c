//! Connections to an API server, plain or by TLS with the kubeconfig's certificate authority.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// Where the server is and how it is reached.
pub(super) struct Target {
    server: String,
    host: String,
    port: u16,
    authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.server).finish()
    }
}

impl Target {
    /// `server` as a kubeconfig has it; `roots` in PEM.
    pub(super) fn new(server: &str, roots: Option<&[u8]>) -> Result<Self, ClientError> {
        let bad = |what: &str| ClientError::BadServer {
            server: server.to_owned(),
            what: what.to_owned(),
        };
        let uri: Uri = server.parse().map_err(|_| bad("not a URL"))?;
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if !matches!(uri.path(), "" | "/") {
            return Err(bad("a path is not supported"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (default_port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => {
                let roots = roots.ok_or_else(|| {
                    bad("https needs certificate-authority or certificate-authority-data")
                })?;
                let name =
                    ServerName::try_from(host.clone()).map_err(|_| bad("not a host name"))?;
                (443, Some((config(roots).map_err(|what| bad(&what))?, name)))
            }
            _ => return Err(bad("must start with http:// or https://")),
        };
        Ok(Self {
            server: server.to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
            authority: authority.to_string(),
            host,
            tls,
        })
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let unreachable = |source| ClientError::Unreachable { server: self.server.clone(), source };
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        match &self.tls {
            None => self.speak(stream).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name.clone(), stream).await.map_err(unreachable)?;
                self.speak(stream).await
            }
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|source| {
            ClientError::Broken { server: self.server.clone(), source: source.into() }
        })?;
        // Ends with the connection; a failure is seen by whoever waits for the answer.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn config(roots: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots) {
        let certificate = certificate.map_err(|error| format!("certificate authority: {error}"))?;
        store.add(certificate).map_err(|error| format!("certificate authority: {error}"))?;
    }
    if store.is_empty() {
        return Err("certificate authority: no certificate in it".to_owned());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
