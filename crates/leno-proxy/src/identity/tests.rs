use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use leno_identity::Seal;
use leno_telemetry::{Party, SeriesLimits};
use leno_xds::discovery::Variant;

use super::*;
use crate::options::Node;
use crate::tls::lab::{Ca, HOUR};

const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";

fn mesh(directory: &Path, control: &str) -> Mesh {
    Mesh {
        control: control.to_owned(),
        root_file: None,
        token_file: None,
        variant: Variant::Delta,
        node: Node { id: String::new(), cluster: String::new(), metadata: serde_json::Map::new() },
        data_dir: Some(directory.to_owned()),
        seal: None,
    }
}

fn start(mesh: Mesh, now: SystemTime) -> Identity {
    let metrics = Metrics::new(Party::default(), "proxy", SeriesLimits::SIDECAR);
    Identity::new(mesh, Secrets::new(), metrics, now)
}

#[test]
fn what_is_kept_is_in_force_at_once_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("proxy");
    let ca = Ca::new();
    let svid = ca.issue(REVIEWS);
    keep::store((&directory, None), &svid, &ca.bundle()).unwrap();
    keep::store((&directory, None), &svid, &ca.bundle()).unwrap();
    let path = directory.join("svid.pem");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);

    let now = SystemTime::now();
    let identity = start(mesh(&directory, "127.0.0.1:1"), now);
    let kept = identity.secrets.svid().unwrap();
    assert_eq!((kept.id().as_str(), kept.facts()), (REVIEWS, svid.facts()));
    assert!(identity.due > now && identity.due < svid.facts().not_after);
    assert_eq!(identity.metrics.local().principal, REVIEWS);
    let expires = svid.facts().not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(identity.metrics.value(ProcessStat::CertificateExpiry), expires.as_secs());

    let shown = certs(&identity.secrets, now);
    let chain = &shown["certificates"][0]["cert_chain"][0];
    assert_eq!(chain["subject_alt_names"][0]["uri"], REVIEWS);
    assert_eq!(chain["days_until_expiration"], "0");
    assert!(!shown.to_string().contains("KEY"), "{shown}");

    let next_day = start(mesh(&directory, "127.0.0.1:1"), now + 24 * HOUR);
    assert!(next_day.secrets.svid().is_none(), "what has expired is not used");
}

#[test]
fn what_is_damaged_or_readable_by_others_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let now = SystemTime::now();
    let path = folder.path().join("svid.pem");
    let kept = || {
        keep::store((folder.path(), None), &ca.issue(REVIEWS), &ca.bundle()).unwrap();
        std::fs::read_to_string(&path).unwrap()
    };
    let with_mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    kept();
    with_mode(0o644);
    let error = keep::load((folder.path(), None), now).err().unwrap().to_string();
    assert!(error.contains("mode 0644"), "{error}");
    let (first, second) = (kept(), kept());
    let (key, rest) = first.split_at(first.find("-----BEGIN CERT").unwrap());
    let (_, other) = second.split_at(second.find("-----BEGIN CERT").unwrap());
    let (own, _) = first.split_once("# roots").unwrap();
    let foreign = format!("{own}# roots\n{}", Ca::new().root_pem());
    // (content, what is said)
    let table = [
        (String::new(), "ends before the roots"),
        (first[..first.len() / 2].to_owned(), "ends before the roots"),
        (rest.to_owned(), "no private key"),
        (format!("{key}{other}"), "does not belong"),
        (foreign, "not issued by a root"),
    ];
    for (content, message) in table {
        std::fs::write(&path, content).unwrap();
        let error = keep::load((folder.path(), None), now).err().unwrap().to_string();
        assert!(error.contains(message), "{message}: {error}");
    }
}

#[test]
fn what_is_kept_is_closed_to_whoever_has_only_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let key = |byte: u8| Some(Arc::new(Seal::new(&[byte; Seal::KEY_BYTES]).unwrap()));
    let (ca, now) = (Ca::new(), SystemTime::now());
    let sealed = |seal: Option<Arc<Seal>>| Mesh { seal, ..mesh(folder.path(), "127.0.0.1:1") };
    let own = key(1);
    let svid = ca.issue(REVIEWS);
    let write = |seal: &Option<Arc<Seal>>| {
        keep::store((folder.path(), seal.as_deref()), &svid, &ca.bundle()).unwrap();
    };
    write(&own);
    let path = folder.path().join("svid.pem");
    let file = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("PRIVATE KEY"));
    let kept = start(sealed(own.clone()), now).secrets.svid().unwrap();
    assert_eq!(kept.facts(), svid.facts());

    let check = |seal: Option<Arc<Seal>>, said: &str| {
        let error = keep::load((folder.path(), seal.as_deref()), now).err().unwrap().to_string();
        assert!(error.contains("svid.pem") && error.contains(said), "{said}: {error}");
        let identity = start(sealed(seal), now);
        assert!(identity.secrets.svid().is_none(), "{said}");
        assert_eq!(identity.due, now, "{said}: a new one is asked for at once");
    };
    check(key(2), "sealed with another key");
    check(None, "no key was handed over");
    std::fs::write(&path, &file[..file.len() - 1]).unwrap();
    check(own.clone(), "was changed");
    std::fs::write(&path, &file[..20]).unwrap();
    check(own.clone(), "cut short");
    write(&None);
    check(own, "not sealed");
}

#[tokio::test]
async fn every_failure_has_a_name_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let now = SystemTime::now();
    let with = |control: &str| mesh(folder.path(), control);
    // (settings, what is said)
    let table = [
        (
            Mesh { token_file: Some(missing.clone()), ..with("127.0.0.1:1") },
            "reading the join token",
        ),
        (with("127.0.0.1:1"), "the control plane answered"),
        (with("nowhere"), "is not HOST:PORT"),
        (with("ftp://a:1"), "is not HOST:PORT"),
        (with("https://127.0.0.1:1"), "needs the control plane's root certificate"),
        (Mesh { root_file: Some(missing), ..with("https://127.0.0.1:1") }, "missing: No such file"),
    ];
    for (settings, message) in table {
        let mut identity = start(settings, now);
        let outcome = identity.renew().await;
        let error = outcome.as_ref().unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
        identity.settle(outcome, now);
        assert_eq!(identity.metrics.value(ProcessStat::CertificateRenewalFailures), 1);
        assert!(identity.due > now && identity.due < now + Duration::from_secs(1));
    }
}
