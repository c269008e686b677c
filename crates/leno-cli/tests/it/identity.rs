//! A proxy's identity from the real CA over real sockets, and what two proxies then do with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_control::identity::{ControlStream, Identity as Ca, IdentityOptions};
use leno_core::config::{DownstreamTls, TlsVersions, UpstreamTls};
use leno_proxy::identity::Identity;
use leno_proxy::tls::{OWN_SVID, Secrets, TRUST_BUNDLE, Tls};
use leno_proxy::wire::{Prefixed, Wire};
use leno_proxy::{Mesh, Node, Variant};
use leno_telemetry::{Metrics, Party, ProcessStat, SeriesLimits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const HOUR: Duration = Duration::from_secs(3600);
const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";

/// A control plane that issues certificates, on TLS and on plaintext.
struct Control {
    ca: Arc<Ca>,
    folder: tempfile::TempDir,
    secure: String,
    plain: String,
}

impl Control {
    async fn start(svid_lifetime: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = IdentityOptions {
            svid_lifetime,
            ..IdentityOptions::new(folder.path().join("identity"))
        };
        let ca = Ca::open(options, SystemTime::now()).unwrap();
        let (streams, incoming) = mpsc::channel(8);
        let secure = listen(&ca, streams.clone(), true).await;
        let plain = listen(&ca, streams, false).await;
        let server = tonic::transport::Server::builder().add_service(ca.service());
        tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
        Self {
            ca,
            folder,
            secure: format!("https://127.0.0.1:{secure}"),
            plain: format!("127.0.0.1:{plain}"),
        }
    }

    fn token(&self, account: &str) -> PathBuf {
        let token = self.ca.mint_token("default", account, HOUR, SystemTime::now()).unwrap();
        let path = self.folder.path().join(format!("token-{account}"));
        std::fs::write(&path, token + "\n").unwrap();
        path
    }

    fn mesh(&self, control: &str, token_file: Option<PathBuf>) -> Mesh {
        Mesh {
            control: control.to_owned(),
            root_file: Some(self.ca.root_file()),
            token_file,
            variant: Variant::Delta,
            node: Node {
                id: String::new(),
                cluster: String::new(),
                metadata: serde_json::Map::new(),
            },
            data_dir: None,
            seal: None,
        }
    }
}

async fn listen(
    ca: &Arc<Ca>,
    streams: mpsc::Sender<Result<ControlStream, std::io::Error>>,
    is_secure: bool,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let secure = is_secure.then(|| ca.secure_listener().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (streams, secure) = (streams.clone(), secure.clone());
            tokio::spawn(async move {
                let stream = match secure {
                    Some(secure) => secure.accept(stream, HOUR).await,
                    None => Ok(ControlStream::Plain(stream)),
                };
                // A refused handshake is the client's to report.
                if let Ok(stream) = stream {
                    let _ = streams.send(Ok(stream)).await;
                }
            });
        }
    });
    port
}

struct Proxy {
    identity: Identity,
    secrets: Arc<Secrets>,
    metrics: Arc<Metrics>,
}

fn proxy(mesh: Mesh) -> Proxy {
    sharing(mesh, &Secrets::new())
}

/// A proxy with the secrets of another.
fn sharing(mesh: Mesh, secrets: &Arc<Secrets>) -> Proxy {
    let metrics = Metrics::new(Party::default(), "proxy", SeriesLimits::SIDECAR);
    let secrets = Arc::clone(secrets);
    let identity =
        Identity::new(mesh, Arc::clone(&secrets), Arc::clone(&metrics), SystemTime::now());
    Proxy { identity, secrets, metrics }
}

fn serial(secrets: &Secrets) -> String {
    secrets.svid().unwrap().facts().serial.clone()
}

#[tokio::test]
async fn a_token_joins_and_the_svid_renews_itself() {
    let control = Control::start(24 * HOUR).await;
    for address in [&control.plain, &control.secure] {
        let mut joined = proxy(control.mesh(address, Some(control.token("reviews"))));
        joined.identity.renew().await.unwrap();
        assert_eq!(joined.secrets.svid().unwrap().id().as_str(), REVIEWS);
        assert_eq!(joined.metrics.local().principal, REVIEWS);
        let first = serial(&joined.secrets);
        // No token any more: over TLS the SVID speaks for itself, in plaintext nothing does.
        let mut renewing = sharing(control.mesh(address, None), &joined.secrets);
        let renewed = renewing.identity.renew().await;
        if address == &control.secure {
            renewed.unwrap();
            assert_ne!(serial(&joined.secrets), first);
            assert_eq!(joined.secrets.svid().unwrap().id().as_str(), REVIEWS);
        } else {
            let error = renewed.unwrap_err().to_string();
            assert!(error.contains("no join token and no certificate"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_proxy_does_not_join_a_control_plane_it_cannot_verify() {
    let (control, other) = (Control::start(HOUR).await, Control::start(HOUR).await);
    let mesh = Mesh {
        root_file: Some(other.ca.root_file()),
        ..control.mesh(&control.secure, Some(control.token("reviews")))
    };
    let mut proxy = proxy(mesh);
    let error = proxy.identity.renew().await.unwrap_err().to_string();
    assert!(error.contains("not issued by a root of the trust bundle"), "{error}");
    assert!(proxy.secrets.svid().is_none());
}

#[tokio::test]
async fn short_lived_svids_are_renewed_before_they_end() {
    let control = Control::start(Duration::from_secs(4)).await;
    let joined = proxy(control.mesh(&control.plain, Some(control.token("reviews"))));
    let renewals = || joined.metrics.value(ProcessStat::CertificateRenewals);
    let watching = async {
        while renewals() < 3 {
            if renewals() > 0 {
                let svid = joined.secrets.svid().unwrap();
                assert!(svid.is_valid(SystemTime::now()), "never without a valid SVID");
            }
            // A count has nothing that waits for it: asked for until it is there.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = joined.identity.run() => panic!("it renews for ever"),
        watched = tokio::time::timeout(Duration::from_secs(60), watching) => {
            assert!(watched.is_ok(), "{} renewals", renewals());
        }
    }
}

fn settings(peer: &str) -> (UpstreamTls, DownstreamTls) {
    use leno_core::config::{StringMatch, StringPattern};
    let peer = StringMatch { pattern: StringPattern::Exact(peer.into()), ignore_case: false };
    let upstream = UpstreamTls {
        versions: TlsVersions::default(),
        sni: Some("outbound_.9080_._.reviews.default.svc.cluster.local".into()),
        alpn: vec!["istio".into()],
        certificate: Some(OWN_SVID.into()),
        trust_bundle: Some(TRUST_BUNDLE.into()),
        peer_sans: vec![peer],
    };
    let downstream = DownstreamTls {
        versions: TlsVersions::default(),
        require_client_certificate: true,
        certificate: OWN_SVID.into(),
        trust_bundle: Some(TRUST_BUNDLE.into()),
        peer_sans: Vec::new(),
        alpn: vec!["istio".into()],
    };
    (upstream, downstream)
}

#[tokio::test]
async fn two_proxies_of_one_mesh_prove_themselves_to_each_other() {
    let control = Control::start(24 * HOUR).await;
    let join = async |account: &str| {
        let mut joined = proxy(control.mesh(&control.secure, Some(control.token(account))));
        joined.identity.renew().await.unwrap();
        Tls::new(joined.secrets)
    };
    let (web, reviews) = (join("web").await, join("reviews").await);
    let (upstream, downstream) = settings(REVIEWS);
    let (connector, acceptor) =
        (web.connector(&upstream).unwrap(), reviews.acceptor(&downstream).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let (connected, accepted) = tokio::join!(
        connector.connect(Wire::Tcp(dialled.into())),
        acceptor.accept(Prefixed::new(Wire::Tcp(stream.into()), Vec::new()))
    );
    let (connected, accepted) = (connected.unwrap(), accepted.unwrap());
    assert_eq!(connected.proof.peer.unwrap().as_str(), REVIEWS);
    assert_eq!(accepted.proof.peer.unwrap().workload(), Some(("default", "web")));
}

/// What the CA signs passes the field's own checker.
#[tokio::test]
async fn openssl_verifies_what_the_ca_signs() {
    let control = Control::start(24 * HOUR).await;
    let data = control.folder.path().join("proxy");
    let mesh = Mesh {
        data_dir: Some(data.clone()),
        seal: None,
        ..control.mesh(&control.plain, Some(control.token("reviews")))
    };
    proxy(mesh).identity.renew().await.unwrap();
    let kept = data.join("svid.pem");
    let openssl = |arguments: &[&str], file: &Path| {
        let output =
            std::process::Command::new("openssl").args(arguments).arg(file).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let root = control.ca.root_file();
    let root = root.to_str().unwrap();
    for purpose in ["sslserver", "sslclient"] {
        let said =
            openssl(&["verify", "-x509_strict", "-purpose", purpose, "-CAfile", root], &kept);
        assert!(said.contains(": OK"), "{said}");
    }
    let text = openssl(&["x509", "-noout", "-text", "-in"], &kept);
    for part in [
        format!("URI:{REVIEWS}"),
        "CA:FALSE".into(),
        "ecdsa-with-SHA256".into(),
        "TLS Web Server Authentication, TLS Web Client Authentication".into(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}
