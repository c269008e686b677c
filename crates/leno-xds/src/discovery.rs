//! What travels on an ADS stream, the same for both variants: [`Request`] up, [`Response`] down.
//!
//! State of the world and delta differ in their messages, not in what is meant; the two codecs are here, the machines
//! that decide what to say are [`crate::client`] and [`crate::server`].

use bytes::Bytes;
use prost::Message as _;

use crate::{Node, ResourceType};

mod message;

/// Which of the two protocols a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `DeltaAggregatedResources`: only what changed.
    Delta,
    /// `StreamAggregatedResources`: everything of a type that changed.
    StateOfTheWorld,
}

impl Variant {
    /// The gRPC path of the stream.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Delta => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
            }
            Self::StateOfTheWorld => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
            }
        }
    }
}

/// From a proxy: what it wants, and what it thinks of the last response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Which type this is about; types that Leno does not serve are kept as they came.
    pub type_url: String,
    /// Sent with the first request of a stream.
    pub node: Option<Node>,
    /// Delta: names wanted from now on. State of the world: all names wanted (empty means all of the type).
    pub subscribe: Vec<String>,
    /// Delta: names no longer wanted.
    pub unsubscribe: Vec<String>,
    /// Delta, first request of a type on a stream: what the proxy still has, name and version.
    pub initial_versions: Vec<(String, String)>,
    /// State of the world: the last version accepted.
    pub version: String,
    /// The response this answers; empty if none.
    pub nonce: String,
    /// Why that response was refused (NACK).
    pub error: Option<String>,
}

/// To a proxy: resources that are new or changed, and names that are gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// Which type this is about.
    pub type_url: String,
    /// To be named in the answer.
    pub nonce: String,
    /// State of the world: the version of the whole. Delta: for people.
    pub version: String,
    /// New and changed resources; with state of the world everything wanted that exists.
    pub resources: Vec<Resource>,
    /// Delta: names that are gone.
    pub removed: Vec<String>,
}

/// One resource on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Unique within its type.
    pub name: String,
    /// Delta only; empty with state of the world.
    pub version: String,
    /// The resource's own message.
    pub bytes: Bytes,
}

/// The bytes are not a message of the stream.
#[derive(Debug, thiserror::Error)]
#[error("not a discovery message")]
pub struct Malformed(#[from] prost::DecodeError);

impl Request {
    /// As the variant writes it.
    #[must_use]
    pub fn encode(&self, variant: Variant) -> Vec<u8> {
        match variant {
            Variant::Delta => message::DeltaRequest::from(self).encode_to_vec(),
            Variant::StateOfTheWorld => message::SotwRequest::from(self).encode_to_vec(),
        }
    }

    /// Reads what [`Request::encode`] or another implementation wrote; unknown fields are skipped.
    pub fn decode(variant: Variant, bytes: Bytes) -> Result<Self, Malformed> {
        Ok(match variant {
            Variant::Delta => message::DeltaRequest::decode(bytes)?.into(),
            Variant::StateOfTheWorld => message::SotwRequest::decode(bytes)?.into(),
        })
    }

    /// The type, if it is one that Leno knows.
    #[must_use]
    pub fn kind(&self) -> Option<ResourceType> {
        ResourceType::of_url(&self.type_url)
    }
}

impl Response {
    /// As the variant writes it.
    #[must_use]
    pub fn encode(&self, variant: Variant) -> Vec<u8> {
        match variant {
            Variant::Delta => message::DeltaResponse::from(self).encode_to_vec(),
            Variant::StateOfTheWorld => message::SotwResponse::from(self).encode_to_vec(),
        }
    }

    /// Reads what [`Response::encode`] or another implementation wrote. With state of the world names are taken from
    /// the resources themselves.
    pub fn decode(variant: Variant, bytes: Bytes) -> Result<Self, Malformed> {
        Ok(match variant {
            Variant::Delta => message::DeltaResponse::decode(bytes)?.into(),
            Variant::StateOfTheWorld => message::SotwResponse::decode(bytes)?.try_into()?,
        })
    }

    /// The type, if it is one that Leno knows.
    #[must_use]
    pub fn kind(&self) -> Option<ResourceType> {
        ResourceType::of_url(&self.type_url)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(variant: Variant) -> impl Strategy<Value = Request> {
        let words = || prop::collection::vec("[a-z|.]{1,12}", 0..4);
        let delta = variant == Variant::Delta;
        ("[a-z]{0,8}", words(), words(), "[0-9]{0,4}", "[a-f0-9]{0,6}", prop::option::of("[ -~]{1,20}")).prop_map(
            move |(type_url, subscribe, unsubscribe, version, nonce, error)| Request {
                type_url,
                node: Some(Node {
                    id: "sidecar~1".into(),
                    cluster: "c".into(),
                    metadata: serde_json::json!({"LABELS": {"app": "a"}, "N": 1.5, "L": [true, null, "x"]})
                        .as_object()
                        .cloned()
                        .unwrap_or_default(),
                    user_agent: "leno".into(),
                    features: vec![crate::TAKES_PARTS.into()],
                }),
                initial_versions: if delta { unsubscribe.iter().map(|n| (n.clone(), "1".into())).collect() } else { vec![] },
                unsubscribe: if delta { unsubscribe } else { vec![] },
                version: if delta { String::new() } else { version },
                subscribe,
                nonce,
                error,
            },
        )
    }

    proptest! {
        #[test]
        fn requests_survive_the_wire(
            (variant, mut request) in prop_oneof![Just(Variant::Delta), Just(Variant::StateOfTheWorld)]
                .prop_flat_map(|variant| (Just(variant), request(variant)))
        ) {
            let mut back = Request::decode(variant, request.encode(variant).into()).unwrap();
            request.initial_versions.sort();
            request.initial_versions.dedup();
            back.initial_versions.sort();
            prop_assert_eq!(back, request);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for variant in [Variant::Delta, Variant::StateOfTheWorld] {
                let _ = Request::decode(variant, bytes.clone().into());
                let _ = Response::decode(variant, bytes.clone().into());
            }
        }
    }

    #[test]
    fn responses_survive_the_wire() {
        // A resource whose first field is its name, as all four types have it.
        let named = Bytes::from_static(b"\x0a\x07reviews");
        for (variant, version) in [(Variant::Delta, "7"), (Variant::StateOfTheWorld, "")] {
            let delta = variant == Variant::Delta;
            let response = Response {
                type_url: ResourceType::Cluster.type_url().into(),
                nonce: "n1".into(),
                version: "3".into(),
                resources: vec![Resource {
                    name: "reviews".into(),
                    version: version.into(),
                    bytes: named.clone(),
                }],
                removed: if delta { vec!["ratings".into()] } else { vec![] },
            };
            assert_eq!(
                Response::decode(variant, response.encode(variant).into()).unwrap(),
                response
            );
        }
    }
}
