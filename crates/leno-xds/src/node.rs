//! Who a proxy says it is (`envoy.config.core.v3.Node`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The proxy's name and what it tells of its workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Istio's form is `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`.
    pub id: String,
    /// The service's name, or empty.
    pub cluster: String,
    /// `NAMESPACE`, `SERVICE_ACCOUNT`, `LABELS`, `WORKLOAD_NAME`, `CLUSTER_ID` and so on.
    pub metadata: Map<String, Value>,
    /// Which program it is: `leno`, `envoy`, a gRPC library's name.
    pub user_agent: String,
    /// What it can do that not every client can (`client_features`), such as [`TAKES_PARTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// A client with this feature that refuses a response refuses only what its problems name: the other resources of the
/// response, and the other virtual hosts of a route configuration, are in force.
pub const TAKES_PARTS: &str = "dev.leno.takes_parts";

impl Node {
    /// Whether it refuses no more than it must ([`TAKES_PARTS`]).
    #[must_use]
    pub fn takes_parts(&self) -> bool {
        self.features.iter().any(|feature| feature == TAKES_PARTS)
    }

    /// The text at `key` of the metadata.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }
}
