//! What is an SVID, what is a bundle, who passes.

use std::time::{Duration, SystemTime};

use leno_core::config::{StringMatch, StringPattern};
use leno_identity::issuance::{CertificateResponse, signing_request, split_answer};
use leno_identity::{
    BundleError, Expected, PrivateKey, Refused, Role, Svid, SvidError, TrustBundle, verify,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

const WEB: &str = "spiffe://cluster.local/ns/default/sa/web";
const HOUR: Duration = Duration::from_secs(3600);

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
}

fn ca() -> Ca {
    let (issuer, root) = leno_testkit::ca::root().unwrap();
    Ca { issuer, root }
}

fn names(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - HOUR).into();
    params.not_after = (SystemTime::now() + HOUR).into();
    let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
    params.subject_alt_names = uris.iter().map(uri).collect();
    params
}

fn issue(ca: &Ca, params: &CertificateParams) -> (String, PrivateKey) {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &ca.issuer).unwrap();
    (leaf.pem(), PrivateKey::from_pem(key.serialize_pem().as_bytes()).unwrap())
}

fn bundle(ca: &Ca) -> TrustBundle {
    let domain = "cluster.local".parse().unwrap();
    TrustBundle::from_pem(Some(domain), ca.root.pem().as_bytes()).unwrap()
}

fn error(outcome: Result<Svid, SvidError>) -> String {
    outcome.err().map_or("none".into(), |error| error.to_string())
}

#[test]
fn a_leaf_that_is_no_svid_is_refused_by_name() {
    let ca = ca();
    let mut signing = names(&[WEB]);
    signing.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // (names, what is said)
    let table = [
        (names(&[WEB]), "none"),
        (names(&[]), "the leaf has 0 URI names; an SVID has exactly one"),
        (names(&[WEB, WEB]), "the leaf has 2 URI names; an SVID has exactly one"),
        (names(&["https://a"]), "\"https://a\" does not start with spiffe://"),
        (signing, "the leaf may sign certificates; an SVID must not"),
    ];
    for (params, said) in table {
        let (chain, key) = issue(&ca, &params);
        assert_eq!(error(Svid::from_pem(chain.as_bytes(), key)), said);
    }
    let (chain, _) = issue(&ca, &names(&[WEB]));
    let other = PrivateKey::generate().unwrap();
    let mismatch = error(Svid::from_pem(chain.as_bytes(), other));
    assert_eq!(mismatch, "the key does not belong to the certificate");
    let empty = error(Svid::from_pem(b"", PrivateKey::generate().unwrap()));
    assert_eq!(empty, "the chain has no certificate; give it in PEM, leaf first");
}

#[test]
fn a_bundle_holds_roots_only() {
    let ca = ca();
    let (leaf, _) = issue(&ca, &names(&[WEB]));
    let domain = || Some("cluster.local".parse().unwrap());
    let empty = TrustBundle::from_pem(domain(), b"nothing").unwrap_err();
    assert!(matches!(empty, BundleError::Empty));
    let both = format!("{}{leaf}", ca.root.pem());
    let error = TrustBundle::from_pem(domain(), both.as_bytes()).unwrap_err();
    assert!(matches!(error, BundleError::Certificate { number: 2, .. }), "{error}");
}

fn check(
    chain: &str,
    key: PrivateKey,
    bundle: &TrustBundle,
    expected: &Expected,
) -> Option<Refused> {
    let svid = Svid::from_pem(chain.as_bytes(), key).unwrap();
    let checked = |role| verify(svid.chain(), role, bundle, expected, SystemTime::now());
    assert_eq!(checked(Role::Client).is_ok(), checked(Role::Server).is_ok());
    checked(Role::Client).err()
}

#[test]
fn a_peer_is_checked_for_its_root_domain_and_name() {
    let ca = ca();
    let bundle = bundle(&ca);
    let pattern =
        |pattern| Expected::one_of(&[StringMatch { pattern, ignore_case: false }]).unwrap();
    let exact = |name: &str| pattern(StringPattern::Exact(name.into()));
    let (foreign, foreign_key) = issue(&self::ca(), &names(&[WEB]));
    let refused = check(&foreign, foreign_key, &bundle, &Expected::anyone());
    assert_eq!(refused, Some(Refused::UnknownIssuer));
    // (id, expected, whether it passes)
    let table = [
        (WEB, Expected::anyone(), true),
        (WEB, exact(WEB), true),
        (WEB, exact("spiffe://cluster.local/ns/default/sa/we"), false),
        (WEB, pattern(StringPattern::Prefix("spiffe://cluster.local/ns/default/".into())), true),
        (WEB, pattern(StringPattern::Regex("spiffe://[^/]+/ns/other/.*".into())), false),
        ("spiffe://other.domain/ns/default/sa/web", Expected::anyone(), false),
    ];
    for (id, expected, passes) in table {
        let (chain, key) = issue(&ca, &names(&[id]));
        let refused = check(&chain, key, &bundle, &expected);
        assert_eq!(refused.is_none(), passes, "{id} {expected:?}: {refused:?}");
    }
    let wrong = StringMatch { pattern: StringPattern::Regex("(".into()), ignore_case: false };
    assert_eq!(Expected::one_of(&[wrong]).unwrap_err()[0].at, "peer_sans");
}

#[test]
fn time_and_purpose_are_checked_too() {
    let ca = ca();
    let bundle = bundle(&ca);
    let (chain, key) = issue(&ca, &names(&[WEB]));
    let svid = Svid::from_pem(chain.as_bytes(), key).unwrap();
    let at = |now| verify(svid.chain(), Role::Server, &bundle, &Expected::anyone(), now).err();
    let now = SystemTime::now();
    assert_eq!(at(now), None);
    assert_eq!(at(now + 2 * HOUR), Some(Refused::Expired));
    assert_eq!(at(now - 2 * HOUR), Some(Refused::NotYetValid));
    assert_eq!(at(SystemTime::UNIX_EPOCH - HOUR), Some(Refused::NotYetValid));
    assert!(svid.is_valid(now) && !svid.is_valid(now + 2 * HOUR));

    let mut client_only = names(&[WEB]);
    client_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (chain, key) = issue(&ca, &client_only);
    let svid = Svid::from_pem(chain.as_bytes(), key).unwrap();
    let checked = |role| verify(svid.chain(), role, &bundle, &Expected::anyone(), now);
    assert!(checked(Role::Client).is_ok());
    assert!(matches!(checked(Role::Server), Err(Refused::Unusable { .. })));
    assert_eq!(
        verify(&[], Role::Client, &bundle, &Expected::anyone(), now).err(),
        Some(Refused::NoCertificate)
    );
}

#[test]
fn a_signing_request_proves_its_key_and_names_nobody() {
    let key = PrivateKey::generate().unwrap();
    let request = signing_request(&key).unwrap();
    let parsed = CertificateSigningRequestParams::from_pem(&request).unwrap();
    assert!(parsed.params.subject_alt_names.is_empty());
    assert_eq!(parsed.public_key.algorithm(), &rcgen::PKCS_ECDSA_P256_SHA256);
}

#[test]
fn an_answer_is_a_chain_and_a_root() {
    let answer = |parts: &[&str]| {
        let cert_chain = parts.iter().map(|part| (*part).to_owned()).collect();
        split_answer(&CertificateResponse { cert_chain })
    };
    assert_eq!(answer(&[]), None);
    assert_eq!(answer(&["root"]), None);
    assert_eq!(answer(&["leaf", "mid", "root"]), Some(("leaf\nmid".into(), "root".into())));
}
