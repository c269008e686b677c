//! `envoy.config.endpoint.v3`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leno_core::config::{
    Address, ClusterLoadAssignment, EndpointHealth, LbEndpoint, Locality, LocalityEndpoints,
    WorkloadRef,
};
use serde_json::{Map, Value};

use super::{address, value};
use crate::read::{Names, Reader, exactly};
use crate::wire::Writer;

/// Names, and settings of active health checks that are not made.
const HARMLESS_ENDPOINT: &Names =
    &[(2, "health_check_config"), (3, "hostname"), (5, "observability_name")];

/// How generously lower priorities are used, and when unrefreshed endpoints expire.
const HARMLESS_POLICY: &Names =
    &[(3, "overprovisioning_factor"), (4, "endpoint_stale_after"), (6, "weighted_priority_health")];

const HEALTH: [(u32, &str, EndpointHealth); 6] = [
    (0, "UNKNOWN", EndpointHealth::Unknown),
    (1, "HEALTHY", EndpointHealth::Healthy),
    (2, "UNHEALTHY", EndpointHealth::Unhealthy),
    (3, "DRAINING", EndpointHealth::Draining),
    (4, "TIMEOUT", EndpointHealth::Timeout),
    (5, "DEGRADED", EndpointHealth::Degraded),
];

const TRANSPORT_MATCH: &str = "envoy.transport_socket_match";
const ISTIO: &str = "istio";
/// Where a listener without a socket is to find the connection going.
const ORIGINAL_DST: &str = "envoy.filters.listener.original_dst";

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> ClusterLoadAssignment {
    r.message(4, "policy", |r| r.harmless(HARMLESS_POLICY));
    ClusterLoadAssignment {
        cluster_name: r.required_string(1, "cluster_name"),
        localities: r.messages(2, "endpoints", locality_endpoints),
    }
}

fn locality_endpoints(r: &mut Reader<'_, '_>) -> LocalityEndpoints {
    r.harmless(&[(6, "proximity"), (9, "metadata")]);
    let locality = r.message(1, "locality", |r| Locality {
        region: r.string(1, "region"),
        zone: r.string(2, "zone"),
        sub_zone: r.string(3, "sub_zone"),
    });
    LocalityEndpoints {
        locality: locality.map_or_else(Locality::unknown, Arc::new),
        priority: r.u32(5, "priority"),
        weight: r.wrapped_u32(3, "load_balancing_weight"),
        endpoints: exactly(r.messages(2, "lb_endpoints", lb_endpoint).into_iter().flatten()),
    }
}

fn lb_endpoint(r: &mut Reader<'_, '_>) -> Option<LbEndpoint> {
    let health = r.choice(2, "health_status", &HEALTH).unwrap_or(EndpointHealth::Unknown);
    let weight = r.wrapped_u32(4, "load_balancing_weight").unwrap_or(1);
    if weight == 0 {
        r.problem_at("load_balancing_weight", "is zero; at least 1 is expected");
    }
    let metadata = value::metadata(r, 3, &[TRANSPORT_MATCH, ISTIO, ORIGINAL_DST]);
    let address = r.message(1, "endpoint", |r| {
        r.harmless(HARMLESS_ENDPOINT);
        let more = r.messages(4, "additional_addresses", |r| {
            r.message(1, "address", address::decode_socket)
        });
        (r.message(1, "address", address::decode), more)
    });
    let (address, additional_addresses) = address.unwrap_or_default();
    let Some(mut address) = address else {
        r.problem_at("endpoint.address", "is missing");
        return None;
    };
    if let Address::Internal(internal) = &mut address {
        internal.destination = original_destination(r, metadata.get(ORIGINAL_DST));
    }
    let workload = value::text_at(metadata.get(ISTIO), "workload");
    Some(LbEndpoint {
        address,
        additional_addresses: exactly(additional_addresses.into_iter().flatten()),
        health,
        weight,
        labels: metadata.get(TRANSPORT_MATCH).map(labels).unwrap_or_default(),
        workload: workload.map(|text| Arc::new(workload_ref(&text))),
    })
}

fn original_destination(
    r: &Reader<'_, '_>,
    fields: Option<&Map<String, Value>>,
) -> Option<SocketAddr> {
    let local = value::text_at(fields, "local")?;
    let parsed = local.parse();
    if parsed.is_err() {
        r.problem_at("metadata", &format!("local \"{local}\" is not an IP address and port"));
    }
    parsed.ok()
}

/// Labels of a transport match: texts; anything else is compared as its JSON.
pub(crate) fn labels(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

pub(crate) fn labels_json(labels: &BTreeMap<String, String>) -> Map<String, Value> {
    labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
}

/// `name;namespace;canonical-name;canonical-revision;cluster-id`; what is missing at the end is empty.
fn workload_ref(text: &str) -> WorkloadRef {
    let mut parts = text.split(';').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    WorkloadRef {
        name: next(),
        namespace: next(),
        canonical_name: next(),
        canonical_revision: next(),
        cluster_id: next(),
    }
}

pub(crate) fn encode(w: &mut Writer, assignment: &ClusterLoadAssignment) {
    w.string(1, &assignment.cluster_name);
    for group in &assignment.localities {
        w.message(2, |w| {
            let Locality { region, zone, sub_zone } = &*group.locality;
            w.message(1, |w| {
                w.string(1, region);
                w.string(2, zone);
                w.string(3, sub_zone);
            });
            for endpoint in &group.endpoints {
                w.message(2, |w| encode_endpoint(w, endpoint));
            }
            w.wrapped(3, group.weight);
            w.number(5, group.priority.into());
        });
    }
}

fn encode_endpoint(w: &mut Writer, endpoint: &LbEndpoint) {
    w.message(1, |w| {
        address::encode(w, 1, &endpoint.address);
        for address in &endpoint.additional_addresses {
            w.message(4, |w| address::encode(w, 1, &Address::Socket(*address)));
        }
    });
    w.number(2, value::number_of(&HEALTH, endpoint.health));
    let mut istio = Map::new();
    if let Some(workload) = &endpoint.workload {
        let WorkloadRef { name, namespace, canonical_name, canonical_revision, cluster_id } =
            &**workload;
        let text =
            [name, namespace, canonical_name, canonical_revision, cluster_id].map(String::as_str);
        istio.insert("workload".to_owned(), Value::from(text.join(";")));
    }
    let labels = labels_json(&endpoint.labels);
    let mut original = Map::new();
    if let Address::Internal(internal) = &endpoint.address
        && let Some(destination) = internal.destination
    {
        original.insert("local".to_owned(), Value::from(destination.to_string()));
    }
    let namespaces = [(ORIGINAL_DST, original), (TRANSPORT_MATCH, labels), (ISTIO, istio)];
    value::write_metadata(w, 3, &namespaces);
    w.wrapped(4, Some(endpoint.weight));
}
