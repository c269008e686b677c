//! `envoy.service.discovery.v3`: the four messages of the streams, with the fields that are used.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use prost_types::Struct;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

use super::{Request, Resource, Response};
use crate::name_table::NAME_TABLE;
use crate::{Node, ResourceType};

/// gRPC's `INVALID_ARGUMENT`, which a NACK carries.
const INVALID_ARGUMENT: i32 = 3;

#[derive(Clone, PartialEq, Message)]
pub(super) struct SotwRequest {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(message, optional, tag = "2")]
    node: Option<WireNode>,
    #[prost(string, repeated, tag = "3")]
    resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    response_nonce: String,
    #[prost(message, optional, tag = "6")]
    error_detail: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<WireNode>,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, repeated, tag = "3")]
    resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    resource_names_unsubscribe: Vec<String>,
    #[prost(btree_map = "string, string", tag = "5")]
    initial_resource_versions: BTreeMap<String, String>,
    #[prost(string, tag = "6")]
    response_nonce: String,
    #[prost(message, optional, tag = "7")]
    error_detail: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SotwResponse {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Any>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeltaResponse {
    #[prost(string, tag = "1")]
    system_version_info: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<DeltaResource>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
    #[prost(string, repeated, tag = "6")]
    removed_resources: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct DeltaResource {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, optional, tag = "2")]
    resource: Option<Any>,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireNode {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Struct>,
    #[prost(string, tag = "6")]
    user_agent_name: String,
    #[prost(string, repeated, tag = "10")]
    client_features: Vec<String>,
}

/// All types but the name table have their name in field 1.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

impl From<&Request> for SotwRequest {
    fn from(request: &Request) -> Self {
        Self {
            version_info: request.version.clone(),
            node: request.node.as_ref().map(WireNode::from),
            resource_names: request.subscribe.clone(),
            type_url: request.type_url.clone(),
            response_nonce: request.nonce.clone(),
            error_detail: request.error.as_deref().map(Status::refusal),
        }
    }
}

impl From<SotwRequest> for Request {
    fn from(wire: SotwRequest) -> Self {
        Self {
            type_url: wire.type_url,
            node: wire.node.map(Node::from),
            subscribe: wire.resource_names,
            version: wire.version_info,
            nonce: wire.response_nonce,
            error: wire.error_detail.map(|status| status.message),
            ..Self::default()
        }
    }
}

impl From<&Request> for DeltaRequest {
    fn from(request: &Request) -> Self {
        Self {
            node: request.node.as_ref().map(WireNode::from),
            type_url: request.type_url.clone(),
            resource_names_subscribe: request.subscribe.clone(),
            resource_names_unsubscribe: request.unsubscribe.clone(),
            initial_resource_versions: request.initial_versions.iter().cloned().collect(),
            response_nonce: request.nonce.clone(),
            error_detail: request.error.as_deref().map(Status::refusal),
        }
    }
}

impl From<DeltaRequest> for Request {
    fn from(wire: DeltaRequest) -> Self {
        Self {
            type_url: wire.type_url,
            node: wire.node.map(Node::from),
            subscribe: wire.resource_names_subscribe,
            unsubscribe: wire.resource_names_unsubscribe,
            initial_versions: wire.initial_resource_versions.into_iter().collect(),
            version: String::new(),
            nonce: wire.response_nonce,
            error: wire.error_detail.map(|status| status.message),
        }
    }
}

impl From<&Response> for SotwResponse {
    fn from(response: &Response) -> Self {
        let any = |resource: &Resource| Any {
            type_url: response.type_url.clone(),
            value: resource.bytes.clone(),
        };
        Self {
            version_info: response.version.clone(),
            resources: response.resources.iter().map(any).collect(),
            type_url: response.type_url.clone(),
            nonce: response.nonce.clone(),
        }
    }
}

impl TryFrom<SotwResponse> for Response {
    type Error = prost::DecodeError;

    fn try_from(wire: SotwResponse) -> Result<Self, prost::DecodeError> {
        let kind = ResourceType::of_url(&wire.type_url);
        let resource = |any: Any| {
            let name = match kind {
                Some(ResourceType::NameTable) => NAME_TABLE.to_owned(),
                _ => Named::decode(any.value.clone())?.name,
            };
            Ok(Resource { name, version: String::new(), bytes: any.value })
        };
        Ok(Self {
            type_url: wire.type_url,
            nonce: wire.nonce,
            version: wire.version_info,
            resources: wire
                .resources
                .into_iter()
                .map(resource)
                .collect::<Result<_, prost::DecodeError>>()?,
            removed: Vec::new(),
        })
    }
}

impl From<&Response> for DeltaResponse {
    fn from(response: &Response) -> Self {
        let resource = |resource: &Resource| DeltaResource {
            version: resource.version.clone(),
            resource: Some(Any {
                type_url: response.type_url.clone(),
                value: resource.bytes.clone(),
            }),
            name: resource.name.clone(),
        };
        Self {
            system_version_info: response.version.clone(),
            resources: response.resources.iter().map(resource).collect(),
            type_url: response.type_url.clone(),
            nonce: response.nonce.clone(),
            removed_resources: response.removed.clone(),
        }
    }
}

impl From<DeltaResponse> for Response {
    fn from(wire: DeltaResponse) -> Self {
        let resource = |resource: DeltaResource| Resource {
            name: resource.name,
            version: resource.version,
            bytes: resource.resource.map(|any| any.value).unwrap_or_default(),
        };
        Self {
            type_url: wire.type_url,
            nonce: wire.nonce,
            version: wire.system_version_info,
            resources: wire.resources.into_iter().map(resource).collect(),
            removed: wire.removed_resources,
        }
    }
}

impl Status {
    fn refusal(message: &str) -> Self {
        Self { code: INVALID_ARGUMENT, message: message.to_owned() }
    }
}

impl From<&Node> for WireNode {
    fn from(node: &Node) -> Self {
        Self {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            metadata: Some(to_struct(&node.metadata)),
            user_agent_name: node.user_agent.clone(),
            client_features: node.features.clone(),
        }
    }
}

impl From<WireNode> for Node {
    fn from(wire: WireNode) -> Self {
        Self {
            id: wire.id,
            cluster: wire.cluster,
            metadata: wire.metadata.map(from_struct).unwrap_or_default(),
            user_agent: wire.user_agent_name,
            features: wire.client_features,
        }
    }
}

fn to_struct(object: &Map<String, Value>) -> Struct {
    Struct { fields: object.iter().map(|(key, value)| (key.clone(), to_value(value))).collect() }
}

fn to_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_value).collect() })
        }
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

fn from_struct(wire: Struct) -> Map<String, Value> {
    wire.fields.into_iter().map(|(key, value)| (key, from_value(value))).collect()
}

/// Depth is bounded by prost, which refuses messages nested deeper than 100.
fn from_value(wire: prost_types::Value) -> Value {
    match wire.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(from_value).collect())
        }
        Some(Kind::StructValue(object)) => Value::Object(from_struct(object)),
    }
}
