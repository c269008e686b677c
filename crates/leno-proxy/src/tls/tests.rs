use std::future::poll_fn;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use leno_core::config::{StringMatch, StringPattern, TlsVersions};
use leno_identity::{Expected, PeerVerifier, Role};
use rustls::CipherSuite;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::lab::{Ca, HOUR};
use super::*;
use crate::wire::{Prefixed, Wire};

pub(super) const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";
pub(super) const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";

fn exact(name: &str) -> StringMatch {
    StringMatch { pattern: StringPattern::Exact(name.into()), ignore_case: false }
}

pub(super) fn downstream(peer_sans: &[&str]) -> DownstreamTls {
    DownstreamTls {
        versions: TlsVersions::default(),
        require_client_certificate: true,
        certificate: OWN_SVID.into(),
        trust_bundle: Some(TRUST_BUNDLE.into()),
        peer_sans: peer_sans.iter().map(|name| exact(name)).collect(),
        alpn: vec!["istio".into(), "http/1.1".into()],
    }
}

pub(super) fn upstream(peer_sans: &[&str]) -> UpstreamTls {
    UpstreamTls {
        versions: TlsVersions::default(),
        sni: Some("outbound_.9080_._.reviews.default.svc.cluster.local".into()),
        alpn: vec!["istio".into()],
        certificate: Some(OWN_SVID.into()),
        trust_bundle: Some(TRUST_BUNDLE.into()),
        peer_sans: peer_sans.iter().map(|name| exact(name)).collect(),
    }
}

/// One handshake over loopback; each side's outcome.
pub(super) async fn handshake(
    connector: &Connector,
    acceptor: &Acceptor,
) -> (Result<Connected, TlsError>, Result<Accepted, TlsError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let accepted = Prefixed::new(Wire::Tcp(accepted.into()), Vec::new());
    tokio::join!(connector.connect(Wire::Tcp(dialled.into())), acceptor.accept(accepted))
}

pub(super) fn tls_of(wire: &mut Wire) -> &mut tokio_rustls::TlsStream<Prefixed> {
    match wire {
        Wire::Tls(stream) => stream,
        _ => panic!("not TLS"),
    }
}

pub(super) async fn echo_once(connected: &mut Connected, accepted: &mut Accepted) {
    let (client, server) = (tls_of(&mut connected.wire), tls_of(&mut accepted.wire));
    let mut buffer = [0; 4];
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut buffer).await.unwrap();
    server.write_all(&buffer).await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let ca = Ca::new();
    let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&[REVIEWS])).unwrap();
    let (connected, accepted) = handshake(&connector, &acceptor).await;
    let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
    let proof = |peer: &str, local: &str| Proof {
        peer: Some(peer.parse().unwrap()),
        local: Some(local.parse().unwrap()),
        alpn: Some(b"istio".to_vec()),
        is_mutual: true,
    };
    assert_eq!(connected.proof, proof(REVIEWS, WEB));
    assert_eq!(accepted.proof, proof(WEB, REVIEWS));
    assert_eq!(accepted.server_name, upstream(&[]).sni);
    echo_once(&mut connected, &mut accepted).await;
}

#[test]
fn proxies_offer_their_own_name_for_http2_to_each_other() {
    // (configured, offered where both sides may prove who they are)
    let table: [(&[&str], &[&str]); 4] = [
        (&["h2"], &["leno-h2", "h2"]),
        (&["istio-http/1.1", "istio-h2", "h2"], &["istio-http/1.1", "leno-h2", "istio-h2", "h2"]),
        (&["istio", "http/1.1"], &["istio", "http/1.1"]),
        (&[], &[]),
    ];
    for (configured, expected) in table {
        let configured: Vec<String> = configured.iter().map(|&name| name.to_owned()).collect();
        let shown = |names: Vec<Vec<u8>>| -> Vec<String> {
            names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
        };
        assert_eq!(shown(offered(&configured, true)), expected);
        assert_eq!(shown(offered(&configured, false)), configured);
    }
}

#[tokio::test]
async fn only_a_proxy_that_proved_who_it_is_is_one_of_ours() {
    let ca = Ca::new();
    let h2 = || vec!["h2".to_owned()];
    // (does the client show a certificate)
    for is_mutual in [true, false] {
        let server = DownstreamTls {
            require_client_certificate: false,
            alpn: vec!["leno-h2".to_owned(), "h2".to_owned()],
            ..downstream(&[])
        };
        let mut client = UpstreamTls { alpn: h2(), ..upstream(&[REVIEWS]) };
        if !is_mutual {
            client.certificate = None;
            client.alpn = vec!["leno-h2".to_owned()];
        }
        let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&server).unwrap();
        let connector = Tls::new(ca.secrets(WEB)).connector(&client).unwrap();
        let (connected, accepted) = handshake(&connector, &acceptor).await;
        for proof in [connected.unwrap().proof, accepted.unwrap().proof] {
            assert_eq!(proof.alpn.as_deref(), Some(&b"leno-h2"[..]));
            assert_eq!(proof.is_between_proxies(), is_mutual);
        }
    }
}

#[tokio::test]
async fn long_records_are_read_to_the_last_though_nothing_follows_them() {
    const BYTES: usize = 300_001;
    let ca = Ca::new();
    let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&[REVIEWS])).unwrap();
    let (connected, accepted) = handshake(&connector, &acceptor).await;
    let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
    let sent: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
    let write = async {
        let client = tls_of(&mut connected.wire);
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < BYTES {
            // The room of a large read, so that several records come at once.
            let mut buffer = Vec::with_capacity(100_000);
            let wire = &mut accepted.wire;
            let count = poll_fn(|cx| wire.poll_read(cx, &mut buffer)).await.unwrap();
            assert_eq!(count, buffer.len());
            assert!(count > 0);
            seen.append(&mut buffer);
        }
        seen
    };
    assert!(tokio::join!(write, read).1 == sent);
}

/// Secrets with the right bundle, and an SVID of this CA, age and id.
fn secrets(bundle_of: &Ca, issuer: &Ca, id: &str, age: Duration) -> Arc<Secrets> {
    let secrets = Secrets::new();
    secrets.publish(issuer.issue_for(id, age, 24 * HOUR), bundle_of.bundle());
    secrets
}

#[tokio::test]
async fn a_server_that_is_not_expected_is_refused_by_name() {
    let (ca, foreign) = (Ca::new(), Ca::new());
    let elsewhere = "spiffe://example.com/ns/a/sa/b";
    // (who is expected, the server's secrets, what the client says)
    let table = [
        (
            Some("spiffe://cluster.local/ns/default/sa/ratings"),
            secrets(&ca, &ca, REVIEWS, HOUR),
            "the peer is spiffe://cluster.local/ns/default/sa/reviews, which is not expected here",
        ),
        (
            Some(REVIEWS),
            secrets(&ca, &ca, REVIEWS, 25 * HOUR),
            "the peer's certificate has expired",
        ),
        (
            Some(REVIEWS),
            secrets(&ca, &foreign, REVIEWS, HOUR),
            "the peer's certificate was not issued by a root of the trust bundle",
        ),
        (
            None,
            secrets(&ca, &ca, elsewhere, HOUR),
            "the peer spiffe://example.com/ns/a/sa/b is not of trust domain cluster.local",
        ),
    ];
    for (expected, server, says) in table {
        let names: Vec<&str> = expected.into_iter().collect();
        let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&names)).unwrap();
        let acceptor = Tls::new(server).acceptor(&downstream(&[])).unwrap();
        let (connected, accepted) = handshake(&connector, &acceptor).await;
        assert_eq!(said(connected), says);
        assert!(accepted.is_err(), "{says}: and no connection on the other side");
    }
    let connector = Tls::new(Secrets::new()).connector(&upstream(&[REVIEWS])).unwrap();
    let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[])).unwrap();
    let (connected, _) = handshake(&connector, &acceptor).await;
    let none = "no trust bundle yet: the control plane has not issued our certificate";
    assert_eq!(said(connected), none);
}

#[tokio::test]
async fn a_client_that_is_not_expected_is_refused_by_name() {
    let (ca, foreign) = (Ca::new(), Ca::new());
    let anonymous = UpstreamTls { certificate: None, ..upstream(&[REVIEWS]) };
    let known = upstream(&[REVIEWS]);
    let admin = &["spiffe://cluster.local/ns/default/sa/admin"][..];
    let elsewhere = "spiffe://example.com/ns/default/sa/web";
    // (the client's secrets and settings, who is expected, what the server says)
    let table = [
        (
            (secrets(&ca, &ca, WEB, HOUR), &known),
            admin,
            "the peer is spiffe://cluster.local/ns/default/sa/web, which is not expected here",
        ),
        (
            (secrets(&ca, &ca, elsewhere, HOUR), &known),
            &[],
            "the peer spiffe://example.com/ns/default/sa/web is not of trust domain cluster.local",
        ),
        ((secrets(&ca, &ca, WEB, 25 * HOUR), &known), &[], "the peer's certificate has expired"),
        (
            (secrets(&ca, &foreign, WEB, HOUR), &known),
            &[],
            "the peer's certificate was not issued by a root of the trust bundle",
        ),
        ((ca.secrets(WEB), &anonymous), &[], "the peer sent no certificate"),
    ];
    for ((client, settings), expected, says) in table {
        let connector = Tls::new(client).connector(settings).unwrap();
        let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(expected)).unwrap();
        let (connected, accepted) = handshake(&connector, &acceptor).await;
        assert_eq!(said(accepted), says);
        // TLS 1.3 tells the client only when it reads.
        if let Ok(mut connected) = connected {
            let read = tls_of(&mut connected.wire).read_u8().await;
            assert!(read.is_err(), "{says}: the client must not be served");
        }
    }
}

/// What one side's error says, or nothing.
pub(super) fn said<T>(outcome: Result<T, TlsError>) -> String {
    outcome.err().map_or(String::new(), |error| error.to_string())
}

#[tokio::test]
async fn rotation_under_load_loses_no_connection() {
    let ca = Ca::new();
    let (client, server) = (ca.secrets(WEB), ca.secrets(REVIEWS));
    let acceptor = Tls::new(Arc::clone(&server)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(Arc::clone(&client)).connector(&upstream(&[REVIEWS])).unwrap();
    let (standing, standing_inside) = handshake(&connector, &acceptor).await;
    let (mut standing, mut standing_inside) = (standing.unwrap(), standing_inside.unwrap());
    let serving = async {
        for round in 0..20 {
            // Half of the rounds rotate one side only.
            server.publish(ca.issue(REVIEWS), ca.bundle());
            if round % 2 == 0 {
                client.publish(ca.issue(WEB), ca.bundle());
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
    };
    let load = async {
        for _ in 0..60 {
            let (connected, accepted) = handshake(&connector, &acceptor).await;
            let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
            echo_once(&mut connected, &mut accepted).await;
        }
    };
    tokio::join!(serving, load);
    echo_once(&mut standing, &mut standing_inside).await;
}

#[tokio::test]
async fn sessions_are_resumed_until_the_svid_changes() {
    use rustls::HandshakeKind;
    let ca = Ca::new();
    let (client, server) = (ca.secrets(WEB), ca.secrets(REVIEWS));
    let acceptor = Tls::new(Arc::clone(&server)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(Arc::clone(&client)).connector(&upstream(&[REVIEWS])).unwrap();
    let kind = async || {
        let (connected, accepted) = handshake(&connector, &acceptor).await;
        let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
        // The ticket comes with the first bytes.
        echo_once(&mut connected, &mut accepted).await;
        assert_eq!(accepted.proof.peer.as_ref().unwrap().as_str(), WEB);
        assert_eq!(connected.proof.peer.as_ref().unwrap().as_str(), REVIEWS);
        tls_of(&mut connected.wire).get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(kind().await, HandshakeKind::Full);
    assert_eq!(kind().await, HandshakeKind::Resumed);
    server.publish(ca.issue(REVIEWS), ca.bundle());
    assert_eq!(kind().await, HandshakeKind::Full, "the server's new SVID ends its tickets");
    assert_eq!(kind().await, HandshakeKind::Resumed);
    client.publish(ca.issue(WEB), ca.bundle());
    assert_eq!(kind().await, HandshakeKind::Full, "the client's new SVID ends its sessions");
}

#[test]
fn a_resumed_chain_is_checked_at_its_own_time() {
    let ca = Ca::new();
    let svid = ca.issue(WEB);
    let verifier = PeerVerifier::new(ca.bundle(), Expected::anyone());
    let now = std::time::SystemTime::now();
    assert!(verifier.check(svid.chain(), Role::Client, now).is_ok());
    let later = verifier.check(svid.chain(), Role::Client, now + 48 * HOUR);
    assert_eq!(later, Err(Refused::Expired));
}

#[test]
fn one_configuration_is_built_once_and_dropped_with_its_last_user() {
    let tls = Tls::new(Secrets::new());
    let first = tls.connector(&upstream(&[REVIEWS])).unwrap();
    let again = tls.connector(&upstream(&[REVIEWS])).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    drop((first, again));
    tls.connector(&upstream(&[WEB])).unwrap();
    assert_eq!(tls.connectors.0.lock().unwrap().len(), 1);
}

/// `openssl s_client` against one acceptor; what it printed, and what our side made of it.
async fn openssl(ca: &Ca, more: &[&str]) -> (Output, Result<Accepted, TlsError>) {
    let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address, "-alpn", "http/1.1", "-ign_eof"]).args(more);
    let child = tokio::task::spawn_blocking(move || {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("openssl is installed");
        // Refused before it is read: then there is nobody to write to.
        let _ = child.stdin.take().unwrap().write_all(b"ping");
        child.wait_with_output().unwrap()
    });
    let (stream, _) = listener.accept().await.unwrap();
    let mut accepted = acceptor.accept(Prefixed::new(Wire::Tcp(stream.into()), Vec::new())).await;
    if let Ok(accepted) = &mut accepted {
        let mut buffer = [0; 4];
        tls_of(&mut accepted.wire).read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ping");
        tls_of(&mut accepted.wire).shutdown().await.unwrap();
    }
    (child.await.unwrap(), accepted)
}

#[tokio::test]
async fn a_foreign_client_is_held_to_the_same_rules() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = ca.issue_pem(WEB, HOUR, 24 * HOUR);
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key), ("root.pem", &ca.root_pem())] {
        std::fs::write(file(name), text).unwrap();
    }
    let (cert, key, root) = (file("cert.pem"), file("key.pem"), file("root.pem"));
    let with_cert = ["-cert", &cert, "-key", &key, "-CAfile", &root, "-verify_return_error"];
    let fingerprint = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &cert])
        .output()
        .unwrap();
    let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
    let hash = fingerprint.trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    // Both suites are ours by choice: the client would rather have AES-256 with SHA-384.
    let table = [
        ("-tls1_3", CipherSuite::TLS13_AES_128_GCM_SHA256),
        ("-tls1_2", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ];
    for (version, suite) in table {
        let (output, accepted) = openssl(&ca, &[&with_cert[..], &[version]].concat()).await;
        let mut accepted = accepted.unwrap();
        let agreed = tls_of(&mut accepted.wire).get_ref().1.negotiated_cipher_suite();
        assert_eq!(agreed.unwrap().suite(), suite);
        assert_eq!(accepted.proof.peer.as_ref().unwrap().as_str(), WEB);
        assert_eq!(accepted.proof.alpn.as_deref(), Some(&b"http/1.1"[..]));
        let element =
            format!("By={REVIEWS};Hash={hash};Subject=\"CN=rcgen self signed cert\";URI={WEB}");
        assert_eq!(accepted.client_cert, Some(element));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    }
    let (_, anonymous) = openssl(&ca, &["-CAfile", &root]).await;
    assert_eq!(said(anonymous), "the peer sent no certificate");
    let (output, old) =
        openssl(&ca, &[&with_cert[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat()).await;
    assert!(matches!(old, Err(TlsError::Handshake(_))), "{old:?}");
    assert!(!output.status.success());
}

#[tokio::test]
async fn certificates_from_files_serve_and_missing_ones_are_named() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = ca.issue_pem(REVIEWS, HOUR, 24 * HOUR);
    let (_, other_key) = ca.issue_pem(REVIEWS, HOUR, 24 * HOUR);
    for (name, text) in [("c", &cert), ("k", &key), ("o", &other_key), ("r", &ca.root_pem())] {
        std::fs::write(file(name), text).unwrap();
    }
    let (c, k, r) = (file("c"), file("k"), file("r"));
    let server = |certificate: String| DownstreamTls {
        versions: TlsVersions::default(),
        require_client_certificate: false,
        certificate,
        trust_bundle: None,
        ..downstream(&[])
    };
    let client = UpstreamTls {
        versions: TlsVersions::default(),
        sni: None,
        certificate: None,
        trust_bundle: Some(format!("file-root:{r}")),
        ..upstream(&[REVIEWS])
    };
    let tls = Tls::new(Secrets::new());
    let connector = tls.connector(&client).unwrap();
    let acceptor = tls.acceptor(&server(format!("file-cert:{c}~{k}"))).unwrap();
    let (connected, accepted) = handshake(&connector, &acceptor).await;
    assert!(!connected.unwrap().proof.is_mutual);
    assert_eq!(
        accepted.unwrap().proof,
        Proof { alpn: Some(b"istio".to_vec()), ..Proof::default() }
    );
    // (certificate, what is said)
    let (missing, other) = (file("missing"), file("o"));
    let table = [
        (format!("file-cert:{missing}~{k}"), format!("{missing}: No such file")),
        (format!("file-cert:{c}~{c}"), format!("{c}: no private key")),
        (format!("file-cert:{c}~{other}"), format!("{other}: the key does not belong")),
        (format!("file-cert:{k}~{k}"), format!("{k}: the chain has no certificate")),
        ("kubernetes://x".to_owned(), "secret \"kubernetes://x\" is unknown".to_owned()),
    ];
    for (certificate, expected) in table {
        let acceptor = tls.acceptor(&server(certificate)).unwrap();
        let (_, accepted) = handshake(&connector, &acceptor).await;
        let error = said(accepted);
        assert!(error.starts_with(&expected), "{error}");
    }
}

/// Workers keep `!Send` tasks; a handshake must run there too.
#[test]
fn a_handshake_runs_on_a_worker() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ca = Ca::new();
    LocalSet::new().block_on(&runtime, async {
        let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[])).unwrap();
        let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&[])).unwrap();
        let (connected, accepted) = handshake(&connector, &acceptor).await;
        assert!(connected.is_ok() && accepted.is_ok());
    });
}
