//! Istio's peer metadata exchange: two proxies tell each other which workload they stand for (`x-envoy-peer-metadata`, base64
//! of a protobuf `Struct`) and who they are (`x-envoy-peer-metadata-id`, the node's id).
//!
//! A claim, not a proof: whatever a peer says of its namespace gives way to its SPIFFE id, sizes are bounded, and the
//! headers are removed before the workload sees them. Encoded once per proxy, decoded once per connection.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;

use crate::counters::Metrics;
use crate::labels::{Party, PartyId, Workload};

/// A longer header is not decoded; Istio's own are below 1 KiB.
const ENCODED_BYTES_MAX: usize = 8 * 1024;
/// Longer names cannot be Kubernetes names; they are cut here so that a label stays a label.
const NAME_BYTES_MAX: usize = 253;

/// `google.protobuf.Struct`, as far as workload metadata needs it.
#[derive(Clone, PartialEq, prost::Message)]
struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(oneof = "Kind", tags = "3, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(string, tag = "3")]
    String(String),
    #[prost(message, tag = "5")]
    Struct(Struct),
}

impl Value {
    fn string(text: &str) -> Self {
        Self { kind: Some(Kind::String(text.to_owned())) }
    }

    fn into_string(self) -> String {
        match self.kind {
            Some(Kind::String(text)) => cut(text),
            _ => String::new(),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > NAME_BYTES_MAX {
        text.truncate(text.floor_char_boundary(NAME_BYTES_MAX));
    }
    text
}

/// The header's value for a workload; empty fields are left out.
#[must_use]
pub fn encode(workload: &Workload) -> String {
    let strings = |pairs: &[(&str, &str)]| {
        let present = pairs.iter().filter(|(_, value)| !value.is_empty());
        present.map(|(key, value)| ((*key).to_owned(), Value::string(value))).collect()
    };
    let labels: BTreeMap<String, Value> = strings(&[
        ("app", &workload.app),
        ("version", &workload.version),
        ("service.istio.io/canonical-name", &workload.canonical_name),
        ("service.istio.io/canonical-revision", &workload.canonical_revision),
    ]);
    let mut fields: BTreeMap<String, Value> = strings(&[
        ("NAME", &workload.name),
        ("NAMESPACE", &workload.namespace),
        ("WORKLOAD_NAME", &workload.name),
        ("CLUSTER_ID", &workload.cluster_id),
    ]);
    let labels = Value { kind: Some(Kind::Struct(Struct { fields: labels })) };
    fields.insert("LABELS".to_owned(), labels);
    STANDARD.encode(Struct { fields }.encode_to_vec())
}

/// The workload that a header names; `None` for what is no such header.
#[must_use]
pub fn decode(header: &[u8]) -> Option<Workload> {
    if header.len() > ENCODED_BYTES_MAX {
        return None;
    }
    let bytes = STANDARD.decode(header).ok()?;
    let mut fields = Struct::decode(bytes.as_slice()).ok()?.fields;
    let mut labels = match fields.remove("LABELS")?.kind {
        Some(Kind::Struct(labels)) => labels.fields,
        _ => BTreeMap::new(),
    };
    let mut field = |name: &str| fields.remove(name).map(Value::into_string).unwrap_or_default();
    let mut label = |name: &str| labels.remove(name).map(Value::into_string).unwrap_or_default();
    let (name, workload_name) = (field("NAME"), field("WORKLOAD_NAME"));
    let app = label("app");
    let canonical_name = label("service.istio.io/canonical-name");
    let version = label("version");
    let canonical_revision = label("service.istio.io/canonical-revision");
    Some(Workload {
        name: if workload_name.is_empty() { name } else { workload_name },
        namespace: field("NAMESPACE"),
        // Istio's own fallbacks: the canonical service stands in for the label and the other way round.
        canonical_name: first(&canonical_name, &app),
        canonical_revision: first(&canonical_revision, &version),
        app: first(&app, &canonical_name),
        version,
        cluster_id: field("CLUSTER_ID"),
    })
}

fn first(preferred: &str, otherwise: &str) -> String {
    if preferred.is_empty() { otherwise.to_owned() } else { preferred.to_owned() }
}

/// What one connection knows of its peer: the last header's bytes and what they meant.
#[derive(Debug, Default)]
pub struct PeerCache {
    /// SPIFFE id from the connection's certificate; empty without one.
    principal: String,
    last: Option<(Box<[u8]>, PartyId)>,
    without: Option<PartyId>,
}

impl PeerCache {
    /// For a connection whose peer proved this SPIFFE id (`spiffe://DOMAIN/ns/NAMESPACE/sa/…`), or none.
    #[must_use]
    pub fn new(principal: Option<&str>) -> Self {
        Self { principal: principal.unwrap_or_default().to_owned(), last: None, without: None }
    }

    /// The party behind a request or response with this header. The same bytes again cost one comparison.
    pub fn party(&mut self, header: Option<&[u8]>, metrics: &Metrics) -> PartyId {
        let Some(header) = header else { return self.without_header(metrics) };
        if let Some((last, party)) = &self.last
            && **last == *header
        {
            return *party;
        }
        let Some(mut workload) = decode(header) else { return self.without_header(metrics) };
        if let Some(namespace) = namespace(&self.principal) {
            namespace.clone_into(&mut workload.namespace);
        }
        let party = metrics.party(Party { workload, principal: self.principal.clone() });
        self.last = Some((header.into(), party));
        party
    }

    /// All that is known is the certificate.
    fn without_header(&mut self, metrics: &Metrics) -> PartyId {
        *self.without.get_or_insert_with(|| {
            let namespace = namespace(&self.principal).unwrap_or_default().to_owned();
            let workload = Workload { namespace, ..Workload::default() };
            metrics.party(Party { workload, principal: self.principal.clone() })
        })
    }
}

/// The namespace in an Istio-form SPIFFE id.
fn namespace(principal: &str) -> Option<&str> {
    let (_, path) = principal.strip_prefix("spiffe://")?.split_once('/')?;
    let (namespace, _) = path.strip_prefix("ns/")?.split_once("/sa/")?;
    Some(namespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeriesLimits;

    fn reviews() -> Workload {
        Workload {
            name: "reviews-v1".into(),
            namespace: "default".into(),
            app: "reviews".into(),
            version: "v1".into(),
            canonical_name: "reviews".into(),
            canonical_revision: "v1".into(),
            cluster_id: "Kubernetes".into(),
        }
    }

    #[test]
    fn a_header_as_istio_writes_it_is_understood() {
        // NAME and WORKLOAD_NAME differ, labels are nested, fields we do not know (a number among them) are there.
        let header = "ChsKDkFQUF9DT05UQUlORVJTEgkaB3Jldmlld3MKGgoKQ0xVU1RFUl9JRBIMGgpLdWJlcm5ldGVzCpgBCgZMQUJFTFMSjQEqigEK \
            EAoDYXBwEgkaB3Jldmlld3MKGwoRcG9kLXRlbXBsYXRlLWhhc2gSBhoEN2Q0YwosCh9zZXJ2aWNlLmlzdGlvLmlvL2Nhbm9uaWNh \
            bC1uYW1lEgkaB3Jldmlld3MKKwojc2VydmljZS5pc3Rpby5pby9jYW5vbmljYWwtcmV2aXNpb24SBBoCdjMKHQoETkFNRRIVGhNy \
            ZXZpZXdzLXYzLTdkNGMteDJ4ChMKCU5BTUVTUEFDRRIGGgRwcm9kCgwKBU9XTkVSEgMaAWsKEQoEUE9SVBIJEQAAAAAAvMFACh0K \
            DVdPUktMT0FEX05BTUUSDBoKcmV2aWV3cy12Mw==";
        let workload = decode(header.replace(' ', "").as_bytes()).unwrap();
        let expected = Workload {
            name: "reviews-v3".into(),
            namespace: "prod".into(),
            version: String::new(),
            canonical_revision: "v3".into(),
            ..reviews()
        };
        assert_eq!(workload, expected);
    }

    #[test]
    fn what_is_no_metadata_is_nobody() {
        let long = vec![b'A'; ENCODED_BYTES_MAX + 4];
        for header in [&b"!!"[..], b"AAAA", b"", &long] {
            assert_eq!(decode(header), None);
        }
    }

    #[test]
    fn a_connection_decodes_equal_headers_once_and_the_certificate_wins() {
        let metrics = Metrics::new(Party::default(), "proxy", SeriesLimits::SIDECAR);
        let mut cache = PeerCache::new(Some("spiffe://cluster.local/ns/prod/sa/reviews"));
        let header = encode(&reviews());
        let party = cache.party(Some(header.as_bytes()), &metrics);
        assert_eq!(cache.party(Some(header.as_bytes()), &metrics), party);
        let known = metrics.names.party(party);
        assert_eq!(
            (known.workload.name.as_str(), known.workload.namespace.as_str()),
            ("reviews-v1", "prod")
        );
        assert_eq!(known.principal, "spiffe://cluster.local/ns/prod/sa/reviews");
        let bare = metrics.names.party(cache.party(None, &metrics));
        assert_eq!((bare.workload.name.as_str(), bare.workload.namespace.as_str()), ("", "prod"));
        assert_eq!(PeerCache::new(None).party(Some(b"?"), &metrics), PartyId::UNKNOWN);
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(
            name in "[a-z0-9-]{1,30}", namespace in "[a-z0-9-]{0,30}", app in "[a-z]{1,9}", version in "[a-z0-9]{0,5}",
        ) {
            let workload = Workload {
                name, namespace, app: app.clone(), version: version.clone(),
                canonical_name: app, canonical_revision: version, cluster_id: "Kubernetes".into(),
            };
            prop_assert_eq!(decode(encode(&workload).as_bytes()), Some(workload));
        }

        #[test]
        fn no_header_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(STANDARD.encode(&bytes).as_bytes());
        }
    }
}
