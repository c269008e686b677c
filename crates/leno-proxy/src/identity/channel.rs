//! The gRPC channel to the control plane, for the CA and for ADS: plaintext on loopback, TLS elsewhere.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use leno_core::config::{StringMatch, StringPattern, TlsVersions, UpstreamTls};
use leno_identity::{BundleError, TrustBundle};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::options::Mesh;
use crate::tls::{Secrets, Tls};

/// How long a dial may take.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after this.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why the control plane cannot be dialled.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ChannelError {
    #[error(
        "control plane address {address:?} is not HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH"
    )]
    Address { address: String },
    #[error(
        "{address} needs the control plane's root certificate; give the file root.pem of its data directory"
    )]
    NoRoot { address: String },
    #[error("{path}: {source}")]
    Root { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Bundle { path: String, source: BundleError },
}

/// A channel that connects when it is first used, and again when it was cut. Our SVID is shown where there is one.
///
/// # Errors
/// [`ChannelError`]: what is wrong with the settings.
pub fn control_channel(mesh: &Mesh, secrets: &Arc<Secrets>) -> Result<Channel, ChannelError> {
    let address = &mesh.control;
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok(socket_file_channel(path.to_owned()));
    }
    let invalid = || ChannelError::Address { address: address.clone() };
    let full = if address.contains("://") { address.clone() } else { format!("http://{address}") };
    let uri: Uri = full.parse().map_err(|_| invalid())?;
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return Err(invalid()) };
    let target = (host.trim_matches(['[', ']']).to_owned(), port);
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => Some(tls(mesh, &target.0, secrets)?),
        _ => return Err(invalid()),
    };
    // The connector does TLS itself: the scheme must not make the channel ask for its own.
    let plain = format!("http://{}", uri.authority().ok_or_else(invalid)?);
    let endpoint = Endpoint::from_shared(plain)
        .map_err(|_| invalid())?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true);
    let connector = tower::service_fn(move |_: Uri| {
        let (target, tls) = (target.clone(), tls.clone());
        async move { connect(target, tls).await.map(TokioIo::new) }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// A socket file needs no TLS: whoever may open it is trusted by the system.
fn socket_file_channel(path: String) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is only what requests carry as their authority.
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_timeout(CONNECT).connect_with_connector_lazy(connector)
}

/// What a channel runs over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

async fn connect(target: (String, u16), tls: Option<ControlTls>) -> io::Result<Box<dyn Io>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let connector = tls.tls.connector(&tls.settings).map_err(|problems| {
        io::Error::other(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    connector
        .connect_stream(stream)
        .await
        .map(|stream| Box::new(stream) as _)
        .map_err(io::Error::other)
}

#[derive(Clone)]
struct ControlTls {
    tls: Arc<Tls>,
    settings: UpstreamTls,
}

/// The control plane must have the name we dial, or its own SPIFFE id in our trust domain.
fn tls(mesh: &Mesh, host: &str, secrets: &Arc<Secrets>) -> Result<ControlTls, ChannelError> {
    let no_root = || ChannelError::NoRoot { address: mesh.control.clone() };
    let path = mesh.root_file.as_ref().ok_or_else(no_root)?;
    let shown = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| ChannelError::Root { path: shown(), source })?;
    TrustBundle::from_pem(None, &pem)
        .map_err(|source| ChannelError::Bundle { path: shown(), source })?;
    let name = StringMatch { pattern: StringPattern::Exact(host.to_owned()), ignore_case: true };
    let settings = UpstreamTls {
        versions: TlsVersions::default(),
        sni: Some(host.to_owned()),
        alpn: vec!["h2".to_owned()],
        certificate: secrets.svid().map(|_| crate::tls::OWN_SVID.to_owned()),
        trust_bundle: Some(format!("file-root:{}", shown())),
        peer_sans: vec![name],
    };
    Ok(ControlTls { tls: Tls::new(Arc::clone(secrets)), settings })
}
