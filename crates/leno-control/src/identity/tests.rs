use std::os::unix::fs::PermissionsExt as _;

use leno_identity::issuance::{CertificateRequest, create_certificate, signing_request};
use leno_identity::{Expected, PrivateKey, Role, Svid, verify};
use tonic::Code;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn domain() -> TrustDomain {
    "cluster.local".parse().unwrap()
}

fn options(directory: &Path) -> IdentityOptions {
    let server_names = vec!["mesh.example.com".into()];
    IdentityOptions { server_names, ..IdentityOptions::new(directory.to_owned()) }
}

fn reviews() -> SpiffeId {
    SpiffeId::of_workload(&domain(), "default", "reviews").unwrap()
}

struct Lab {
    identity: Arc<Identity>,
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open(options(folder.path()), SystemTime::now()).unwrap();
        Self { identity, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reopen(&self) -> Result<Arc<Identity>, String> {
        let opened = Identity::open(options(self.folder.path()), SystemTime::now());
        opened.map_err(|error| error.to_string())
    }

    fn token(&self, account: &str) -> String {
        self.identity.mint_token("default", account, HOUR, SystemTime::now()).unwrap()
    }

    /// Through the real gRPC stack, in memory.
    async fn create(
        &self,
        token: Option<&str>,
        csr: String,
        validity_duration: i64,
    ) -> Result<Vec<String>, tonic::Status> {
        let request = CertificateRequest { csr, validity_duration, metadata: None };
        let service = self.identity.service();
        create_certificate(service, token, request).await.map(|answer| answer.cert_chain)
    }
}

fn request_for(id: &SpiffeId) -> (PrivateKey, String) {
    let key = PrivateKey::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(id.as_str().try_into().unwrap())];
    let csr = params.serialize_request(&key.pair().unwrap()).unwrap().pem().unwrap();
    (key, csr)
}

#[tokio::test]
async fn a_token_gets_an_svid_that_verifies() {
    let lab = Lab::new();
    let key = PrivateKey::generate().unwrap();
    let csr = signing_request(&key).unwrap();
    let chain = lab.create(Some(&lab.token("reviews")), csr, 0).await.unwrap();
    assert_eq!(chain[1], lab.identity.authority().root_pem());
    let svid = Svid::from_pem(chain[0].as_bytes(), key).unwrap();
    assert_eq!(svid.id(), &reviews());
    let bundle = lab.identity.authority().bundle().unwrap();
    let now = SystemTime::now();
    for role in [Role::Client, Role::Server] {
        let peer = verify(svid.chain(), role, &bundle, &Expected::anyone(), now).unwrap();
        assert_eq!(peer.id, Some(reviews()));
    }
    let facts = svid.facts();
    let lifetime = facts.not_after.duration_since(facts.not_before).unwrap();
    assert_eq!(
        lifetime,
        24 * HOUR + Duration::from_secs(60),
        "and a minute for clocks that differ"
    );
}

#[tokio::test]
async fn what_does_not_prove_the_id_gets_nothing() {
    let lab = Lab::new();
    let now = SystemTime::now();
    let good = lab.token("reviews");
    let ratings = lab.token("ratings");
    let old = lab.identity.mint_token("default", "reviews", HOUR, now - 2 * HOUR).unwrap();
    let foreign = Lab::new().token("reviews");
    // Three characters less is still base64url of whole bytes.
    let cut = &good[..good.len() - 3];
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    // (token, code, part of the message)
    let table = [
        (None, Code::Unauthenticated, "no join token and no certificate"),
        (Some(""), Code::Unauthenticated, "not a signed JWT"),
        (Some("x.y"), Code::Unauthenticated, "not a signed JWT"),
        (Some(unsigned), Code::Unauthenticated, "signed by \"none\""),
        (Some(cut), Code::Unauthenticated, "signature"),
        (Some(foreign.as_str()), Code::Unauthenticated, "signature"),
        (Some(old.as_str()), Code::Unauthenticated, "join token: it expired 36"),
        (
            Some(ratings.as_str()),
            Code::PermissionDenied,
            "the caller is spiffe://cluster.local/ns/default/sa/ratings",
        ),
    ];
    for (token, code, message) in table {
        let status = lab.create(token, request_for(&reviews()).1, 0).await.unwrap_err();
        assert_eq!(status.code(), code, "{message}: {status:?}");
        assert!(status.message().contains(message), "{message}: {status:?}");
    }
}

#[tokio::test]
async fn a_bad_request_is_refused_by_name() {
    let lab = Lab::new();
    let token = lab.token("reviews");
    let good = request_for(&reviews()).1;
    let other = request_for(&reviews()).1;
    // The body of one with the last lines (the signature) of the other.
    let (head, _) = good.split_at(good.len() - 130);
    let (_, tail) = other.split_at(other.len() - 130);
    let forged = format!("{head}{tail}");
    // (request, lifetime, part of the message)
    let table = [
        (String::new(), 0, "signing request in PEM"),
        (forged, 0, "signing request in PEM"),
        ("x".repeat(20_000), 0, "20000 bytes"),
        (good, -5, "lifetime of -5 s"),
    ];
    for (csr, lifetime, message) in table {
        let status = lab.create(Some(&token), csr, lifetime).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(message), "{message}: {status:?}");
    }
}

#[tokio::test]
async fn a_lifetime_is_what_was_asked_and_never_more_than_allowed() {
    let lab = Lab::new();
    // (asked, given), in seconds
    for (asked, given) in [(600, 600), (90 * 24 * 3600, 24 * 3600)] {
        let (key, csr) = request_for(&reviews());
        let chain = lab.create(Some(&lab.token("reviews")), csr, asked).await.unwrap();
        let svid = Svid::from_pem(chain[0].as_bytes(), key).unwrap();
        let facts = svid.facts();
        let lifetime = facts.not_after.duration_since(facts.not_before).unwrap();
        assert_eq!(lifetime.as_secs(), given + 60);
    }
}

#[test]
fn the_root_survives_and_others_cannot_read_it() {
    let lab = Lab::new();
    let before = lab.identity.authority().root_pem().to_owned();
    let token = lab.token("reviews");
    for name in ["root-ca.pem", "token.key"] {
        let mode = std::fs::metadata(lab.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    let again = lab.reopen().unwrap();
    assert_eq!(again.authority().root_pem(), before);
    assert!(again.tokens.verify(&token, SystemTime::now()).is_ok());
    let left: Vec<_> = std::fs::read_dir(lab.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 3, "root-ca.pem, root.pem, token.key and nothing half made");
}

#[test]
fn a_damaged_secret_is_an_error_and_stays_as_it_is() {
    let other_key = PrivateKey::generate().unwrap().pair().unwrap().serialize_pem();
    // (file, what it holds, mode, part of the message)
    let table: [(&str, Option<&str>, u32, &str); 6] = [
        ("root-ca.pem", None, 0o644, "chmod 600"),
        ("root-ca.pem", Some(""), 0o600, "no certificate in it"),
        ("root-ca.pem", Some("CERT"), 0o600, "no private key"),
        ("root-ca.pem", Some("CERT+KEY"), 0o600, "not of one pair"),
        ("token.key", None, 0o640, "mode 0640"),
        ("token.key", Some("short"), 0o600, "not 32 bytes"),
    ];
    for (file, content, mode, message) in table {
        let lab = Lab::new();
        let path = lab.file(file);
        let root = lab.identity.authority().root_pem().to_owned();
        let content = content.map(|content| match content {
            "CERT" => root.clone(),
            "CERT+KEY" => format!("{root}{other_key}"),
            other => other.to_owned(),
        });
        if let Some(content) = &content {
            std::fs::write(&path, content).unwrap();
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let Err(error) = lab.reopen() else { panic!("{message}") };
        assert!(error.contains(message) && error.contains(file), "{message}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{message}");
    }
}

#[test]
fn a_root_of_another_trust_domain_or_time_is_refused() {
    let lab = Lab::new();
    let other = IdentityOptions {
        trust_domain: "example.com".parse().unwrap(),
        ..options(lab.folder.path())
    };
    let error = Identity::open(other, SystemTime::now()).err().unwrap().to_string();
    assert!(error.contains("of trust domain cluster.local, not example.com"), "{error}");
    let in_11_years = SystemTime::now() + 11 * 365 * 24 * HOUR;
    let error = Identity::open(options(lab.folder.path()), in_11_years).err().unwrap();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn names_that_would_change_the_id_get_no_token() {
    let lab = Lab::new();
    for (namespace, account) in [("a/sa/b", "c"), ("", "c"), ("a", ".."), ("a", "b:c")] {
        let minted = lab.identity.mint_token(namespace, account, HOUR, SystemTime::now());
        assert!(minted.is_err(), "{namespace} {account}");
    }
}
