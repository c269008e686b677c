//! Who is let in again on a ticket, which versions and groups are agreed on, and what the key log holds.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use leno_core::config::{TlsVersion, TlsVersions};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::net::TcpListener;

use super::lab::{Ca, HOUR};
use super::tests::{REVIEWS, WEB, downstream, echo_once, handshake, said, tls_of, upstream};
use super::*;
use crate::wire::Prefixed;

const RATINGS: &str = "spiffe://cluster.local/ns/default/sa/ratings";

/// A handshake that succeeds on both sides, and of what kind it was.
async fn kind(connector: &Connector, acceptor: &Acceptor) -> HandshakeKind {
    let (connected, accepted) = handshake(connector, acceptor).await;
    let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
    // The ticket comes with the first bytes.
    echo_once(&mut connected, &mut accepted).await;
    tls_of(&mut connected.wire).get_ref().1.handshake_kind().unwrap()
}

/// What both sides say of a handshake on a session that they agreed on before `change`.
async fn resumed_after(
    version: TlsVersion,
    change: impl FnOnce(&Secrets, &Secrets),
) -> (String, String) {
    let ca = Ca::new();
    let (client, server) = (ca.secrets(WEB), ca.secrets(REVIEWS));
    let versions = TlsVersions { min: version, max: version };
    let settings = DownstreamTls { versions, ..downstream(&[WEB]) };
    let acceptor = Tls::new(Arc::clone(&server)).acceptor(&settings).unwrap();
    let settings = UpstreamTls { versions, ..upstream(&[REVIEWS]) };
    let connector = Tls::new(Arc::clone(&client)).connector(&settings).unwrap();
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Full);
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Resumed);
    change(&client, &server);
    let (connected, accepted) = handshake(&connector, &acceptor).await;
    (said(connected), said(accepted))
}

#[tokio::test]
async fn a_session_does_not_outlive_what_it_was_built_on() {
    for version in [TlsVersion::V12, TlsVersion::V13] {
        // The server trusts others now: the client's ticket is of no use, and its certificate is looked at again.
        let (_, server) = resumed_after(version, |_, server| {
            let svid = server.svid().unwrap();
            server.publish(svid, Ca::new().bundle());
        })
        .await;
        assert_eq!(
            server, "the peer's certificate was not issued by a root of the trust bundle",
            "{version:?}"
        );
        // The same on the other side.
        let (client, _) = resumed_after(version, |client, _| {
            let svid = client.svid().unwrap();
            client.publish(svid, Ca::new().bundle());
        })
        .await;
        assert_eq!(
            client, "the peer's certificate was not issued by a root of the trust bundle",
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn an_identity_that_changed_is_not_resumed_into() {
    let ca = Ca::new();
    let (client, server) = (ca.secrets(WEB), ca.secrets(REVIEWS));
    let acceptor = Tls::new(Arc::clone(&server)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(Arc::clone(&client)).connector(&upstream(&[REVIEWS])).unwrap();
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Full);
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Resumed);
    client.publish(ca.issue(RATINGS), ca.bundle());
    let (_, accepted) = handshake(&connector, &acceptor).await;
    assert_eq!(said(accepted), format!("the peer is {RATINGS}, which is not expected here"));
    client.publish(ca.issue(WEB), ca.bundle());
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Full);
    server.publish(ca.issue(RATINGS), ca.bundle());
    let (connected, _) = handshake(&connector, &acceptor).await;
    assert_eq!(said(connected), format!("the peer is {RATINGS}, which is not expected here"));
}

#[tokio::test]
async fn a_certificate_that_expired_meanwhile_is_not_resumed() {
    static HOURS_LATER: AtomicU64 = AtomicU64::new(0);
    fn clock() -> SystemTime {
        let hours = HOURS_LATER.load(Ordering::Relaxed);
        SystemTime::now() + HOUR * u32::try_from(hours).unwrap()
    }
    let ca = Ca::new();
    let mut acceptor = Acceptor::new(downstream(&[WEB]), ca.secrets(REVIEWS), None).unwrap();
    acceptor.clock = clock;
    let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&[REVIEWS])).unwrap();
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Full);
    assert_eq!(kind(&connector, &acceptor).await, HandshakeKind::Resumed);
    HOURS_LATER.store(48, Ordering::Relaxed);
    let (_, accepted) = handshake(&connector, &acceptor).await;
    assert_eq!(said(accepted), "the peer's certificate has expired");
}

#[tokio::test]
async fn versions_are_agreed_on_within_both_sides_bounds() {
    use TlsVersion::{V12, V13};
    let ca = Ca::new();
    let (tls12, tls13) = (Some(ProtocolVersion::TLSv1_2), Some(ProtocolVersion::TLSv1_3));
    // (client's bounds, server's, agreed on)
    let table = [
        ((V12, V13), (V12, V13), tls13),
        ((V12, V12), (V12, V13), tls12),
        ((V12, V13), (V12, V12), tls12),
        ((V13, V13), (V12, V13), tls13),
        ((V12, V12), (V13, V13), None),
        ((V13, V13), (V12, V12), None),
    ];
    for (client, server, agreed) in table {
        let bounds = |(min, max)| TlsVersions { min, max };
        let settings = DownstreamTls { versions: bounds(server), ..downstream(&[WEB]) };
        let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&settings).unwrap();
        let settings = UpstreamTls { versions: bounds(client), ..upstream(&[REVIEWS]) };
        let connector = Tls::new(ca.secrets(WEB)).connector(&settings).unwrap();
        let (connected, _) = handshake(&connector, &acceptor).await;
        let version = connected
            .ok()
            .and_then(|mut connected| tls_of(&mut connected.wire).get_ref().1.protocol_version());
        assert_eq!(version, agreed, "{client:?} and {server:?}");
    }
}

#[tokio::test]
async fn proxies_agree_on_the_hybrid_group() {
    let ca = Ca::new();
    let acceptor = Tls::new(ca.secrets(REVIEWS)).acceptor(&downstream(&[WEB])).unwrap();
    let connector = Tls::new(ca.secrets(WEB)).connector(&upstream(&[REVIEWS])).unwrap();
    let (connected, accepted) = handshake(&connector, &acceptor).await;
    let (mut connected, mut accepted) = (connected.unwrap(), accepted.unwrap());
    for wire in [&mut connected.wire, &mut accepted.wire] {
        let tls = tls_of(wire);
        let (_, connection) = tls.get_ref();
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        // The first share fits: no second round trip.
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn the_key_log_holds_what_the_other_side_has() {
    let ca = Ca::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (cert, key) = ca.issue_pem(WEB, HOUR, 24 * HOUR);
    std::fs::write(file("cert"), cert).unwrap();
    std::fs::write(file("key"), key).unwrap();
    let log = Arc::new(KeyLog::open(&file("ours")).unwrap());
    let tls = Tls::with_key_log(ca.secrets(REVIEWS), Some(log));
    let acceptor = tls.acceptor(&downstream(&[])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &listener.local_addr().unwrap().to_string()])
        .arg("-cert")
        .arg(file("cert"))
        .arg("-key")
        .arg(file("key"))
        .arg("-keylogfile")
        .arg(file("theirs"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let (stream, _) = listener.accept().await.unwrap();
    acceptor
        .accept(Prefixed::new(crate::wire::Wire::Tcp(stream.into()), Vec::new()))
        .await
        .unwrap();
    tokio::task::spawn_blocking(move || client.wait().unwrap()).await.unwrap();
    let lines = |name: &str| {
        let text = std::fs::read_to_string(file(name)).unwrap();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("EXPORTER"))
            .map(str::to_lowercase)
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(lines("ours"), lines("theirs"));
    assert_eq!(lines("ours").len(), 4, "both sides' handshake and traffic secrets");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(file("ours")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
