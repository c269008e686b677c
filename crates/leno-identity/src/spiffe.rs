//! SPIFFE ids and trust domains, parsed as the SPIFFE-ID specification (section 2) says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest id an implementation must take (SPIFFE-ID section 2.3); longer ones are refused.
const ID_BYTES_MAX: usize = 2048;
/// Longest trust domain (SPIFFE-ID section 2.3).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
const SCHEME: &str = "spiffe://";

/// Why a text is no SPIFFE id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SpiffeIdError {
    #[error("{id:?} does not start with spiffe://")]
    Scheme { id: String },
    #[error("the id has {bytes} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error(
        "trust domain {domain:?} is not valid; use 1 to {TRUST_DOMAIN_BYTES_MAX} of a-z, 0-9, `.`, `-` and `_`"
    )]
    TrustDomain { domain: String },
    #[error(
        "path {path:?} is not valid; segments are of a-z, A-Z, 0-9, `.`, `-` and `_`, not empty, not `.` or `..`"
    )]
    Path { path: String },
    #[error("{what} {name:?} cannot be a path segment; use a-z, A-Z, 0-9, `.`, `-` and `_`")]
    Segment { what: &'static str, name: String },
}

/// The name of a trust root's realm: `cluster.local`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(domain: &str) -> Result<Self, SpiffeIdError> {
        if is_trust_domain(domain) {
            Ok(Self(domain.into()))
        } else {
            Err(SpiffeIdError::TrustDomain { domain: domain.to_owned() })
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `spiffe://TRUST-DOMAIN/PATH`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the trust domain ends.
    domain_end: usize,
}

impl SpiffeId {
    /// The id of a service account, in Istio's form.
    ///
    /// # Errors
    /// When a name cannot stand in a path.
    pub fn of_workload(
        domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeIdError> {
        for (what, name) in [("namespace", namespace), ("service account", service_account)] {
            if !is_segment(name) {
                return Err(SpiffeIdError::Segment { what, name: name.to_owned() });
            }
        }
        format!("{SCHEME}{domain}/ns/{namespace}/sa/{service_account}").parse()
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole id, shared.
    #[must_use]
    pub fn shared(&self) -> &Arc<str> {
        &self.text
    }

    /// The trust domain's name.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end]
    }

    /// The path with its leading slash; empty for the trust domain's own id.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.domain_end..]
    }

    /// Namespace and service account, if the path is in Istio's form.
    #[must_use]
    pub fn workload(&self) -> Option<(&str, &str)> {
        let (namespace, service_account) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        (!namespace.contains('/') && !service_account.contains('/'))
            .then_some((namespace, service_account))
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(id: &str) -> Result<Self, SpiffeIdError> {
        if id.len() > ID_BYTES_MAX {
            return Err(SpiffeIdError::TooLong { bytes: id.len() });
        }
        let Some(rest) = id.strip_prefix(SCHEME) else {
            return Err(SpiffeIdError::Scheme { id: id.to_owned() });
        };
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_trust_domain(domain) {
            return Err(SpiffeIdError::TrustDomain { domain: domain.to_owned() });
        }
        if !path.is_empty() && !path[1..].split('/').all(is_segment) {
            return Err(SpiffeIdError::Path { path: path.to_owned() });
        }
        Ok(Self { text: id.into(), domain_end: SCHEME.len() + domain.len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_trust_domain(domain: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&domain.len()) && domain.bytes().all(allowed)
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_nul_in_an_identity_is_no_end_of_it_cve_2025_66220() {
        for text in
            ["spiffe://cluster.local/ns/a/sa/b\0", "spiffe://cluster.local\0.evil/ns/a/sa/b"]
        {
            assert!(text.parse::<SpiffeId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_are_taken_and_refused_as_the_specification_says() {
        // (text, is valid)
        let table = [
            ("spiffe://cluster.local/ns/default/sa/reviews", true),
            ("spiffe://cluster.local", true),
            ("spiffe://a_b-c.1/X.y-z_9", true),
            ("spiffe://cluster.local/", false),
            ("spiffe://cluster.local//a", false),
            ("spiffe://cluster.local/a/", false),
            ("spiffe://cluster.local/a/../b", false),
            ("spiffe://cluster.local/./b", false),
            ("spiffe://Cluster.local/a", false),
            ("spiffe:///a", false),
            ("spiffe://", false),
            ("SPIFFE://cluster.local/a", false),
            ("https://cluster.local/a", false),
            ("spiffe://cluster.local:80/a", false),
            ("spiffe://user@cluster.local/a", false),
            ("spiffe://cluster.local/a?b=c", false),
            ("spiffe://cluster.local/a#b", false),
            ("spiffe://cluster.local/a%20b", false),
            ("spiffe://cluster.local/é", false),
            ("", false),
        ];
        for (text, is_valid) in table {
            assert_eq!(text.parse::<SpiffeId>().is_ok(), is_valid, "{text}");
        }
        let long = format!("spiffe://cluster.local/{}", "a".repeat(2048));
        assert_eq!(long.parse::<SpiffeId>(), Err(SpiffeIdError::TooLong { bytes: long.len() }));
        assert!(format!("spiffe://{}", "a".repeat(255)).parse::<SpiffeId>().is_ok());
        assert!(format!("spiffe://{}", "a".repeat(256)).parse::<SpiffeId>().is_err());
    }

    #[test]
    fn a_workload_is_read_from_istios_form_only() {
        // (path, namespace and service account)
        let table = [
            ("/ns/default/sa/reviews", Some(("default", "reviews"))),
            ("/ns/default/sa/a/b", None),
            ("/ns/a/b/sa/c", None),
            ("/workload/1", None),
            ("", None),
        ];
        for (path, workload) in table {
            let id: SpiffeId = format!("spiffe://td{path}").parse().unwrap();
            assert_eq!(id.workload(), workload, "{path}");
        }
    }

    proptest! {
        #[test]
        fn parts_of_an_id_are_what_it_was_made_of(
            domain in "[a-z0-9._-]{1,20}", namespace in "[a-z0-9]{1,10}", account in "[a-zA-Z0-9_-]{1,10}",
        ) {
            let domain: TrustDomain = domain.parse().unwrap();
            let id = SpiffeId::of_workload(&domain, &namespace, &account).unwrap();
            prop_assert_eq!(id.trust_domain(), domain.as_str());
            prop_assert_eq!(id.workload(), Some((namespace.as_str(), account.as_str())));
            prop_assert_eq!(id.as_str().parse::<SpiffeId>().unwrap(), id);
        }

        #[test]
        fn no_name_escapes_its_segment(namespace in ".{0,8}", account in ".{0,8}") {
            let domain: TrustDomain = "td".parse().unwrap();
            if let Ok(id) = SpiffeId::of_workload(&domain, &namespace, &account) {
                prop_assert_eq!(id.workload(), Some((namespace.as_str(), account.as_str())));
            }
        }
    }
}
