//! The documents of a run as JSON. Pure.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::run::Protocol;
use crate::run::workload::Workload;

/// The annotation that says until when a run's documents count; the control plane removes them after.
pub(super) const LEASE: &str = "leno.dev/lease-until";

/// The annotation that names the program's port behind the one that the sidecar listens at, `LISTENED=PROGRAM`.
const PROGRAM_PORTS: &str = "leno.dev/program-ports";

pub(super) fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

pub(super) fn account(name: &str, namespace: &str) -> Value {
    let metadata = json!({ "name": name, "namespace": namespace });
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
}

/// The service others call it by; a workload without a port has none.
pub(super) fn service(workload: &Workload, namespace: &str) -> Option<Value> {
    let port = workload.port?;
    let name = match workload.protocol {
        Protocol::Http => "http",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
    };
    Some(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": workload.service,
            "namespace": namespace,
            "labels": { "app": workload.service },
        },
        "spec": {
            "selector": { "app": workload.service },
            "ports": [{ "name": name, "port": port, "targetPort": port, "protocol": "TCP" }],
        },
    }))
}

pub(super) fn pod(workload: &Workload, namespace: &str, lease: &str) -> Value {
    let ports: Vec<Value> =
        workload.port.iter().map(|port| json!({ "containerPort": port })).collect();
    let mut annotations = json!({ LEASE: lease });
    if let (Some(port), Some(listened)) = (workload.port, workload.listened)
        && port != listened
    {
        annotations[PROGRAM_PORTS] = format!("{listened}={port}").into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": workload.pod,
            "namespace": namespace,
            "labels": workload.labels(),
            "annotations": annotations,
        },
        "spec": {
            "serviceAccountName": workload.account,
            "restartPolicy": "Never",
            "containers": [{ "name": workload.service, "ports": ports }],
        },
    })
}

/// A merge patch of the pod's status.
pub(super) fn pod_status(address: IpAddr, is_ready: bool, now: &str) -> Value {
    let ready = if is_ready { "True" } else { "False" };
    json!({
        "status": {
            "phase": if is_ready { "Running" } else { "Pending" },
            "podIP": address,
            "podIPs": [{ "ip": address }],
            "hostIP": "127.0.0.1",
            "startTime": now,
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": now }],
            "containerStatuses": [{ "ready": is_ready, "restartCount": 0 }],
        },
    })
}

/// Where the workload takes its service's requests.
pub(super) fn slice(
    workload: &Workload,
    namespace: &str,
    (address, uid): (IpAddr, &str),
    service: &Value,
) -> Value {
    let port = workload.port.unwrap_or_default();
    let listened = workload.listened.unwrap_or(port);
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": workload.pod, "uid": uid });
    let target = json!({ "kind": "Pod", "namespace": namespace, "name": workload.pod, "uid": uid });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": workload.pod,
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": workload.service,
                "endpointslice.kubernetes.io/managed-by": "leno-run",
            },
            "ownerReferences": [owner],
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{
            "addresses": [address],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": target,
        }],
        "ports": slice_ports(port, listened, service),
    })
}

/// The service's ports that end at the program's, by their names and where they are `listened` for; a service that was
/// written by somebody for another port gets that one under no name, so that it is at least seen.
fn slice_ports(port: u16, listened: u16, service: &Value) -> Vec<Value> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let target = |candidate: &&Value| match &candidate["targetPort"] {
        Value::Null => candidate["port"] == port,
        Value::String(name) => Some(name.as_str()) == candidate["name"].as_str(),
        number => *number == port,
    };
    let matching: Vec<Value> = ports
        .filter(target)
        .map(|found| {
            let name = found["name"].as_str().unwrap_or_default();
            json!({ "name": name, "port": listened, "protocol": "TCP" })
        })
        .collect();
    if matching.is_empty() {
        return vec![json!({ "name": "", "port": listened, "protocol": "TCP" })];
    }
    matching
}

pub(super) fn token_request(seconds: u64, (pod, uid): (&str, &str)) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": ["istio-ca"],
            "expirationSeconds": seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_one_the_api_takes() {
        let workload = workload(Some(9080));
        let service = service(&workload, "shop").unwrap();
        let address = (IpAddr::from([127, 64, 0, 9]), "u-1");
        let mut pod = pod(&workload, "shop", "2030-01-01T00:00:00Z");
        let status = pod_status(address.0, true, "2030-01-01T00:00:00Z");
        pod["status"] = status["status"].clone();
        let slice = slice(&workload, "shop", address, &service);
        for document in [namespace("shop"), account("reviews", "shop"), service, pod, slice] {
            let kind = document["kind"].as_str().unwrap();
            let group = document["apiVersion"].as_str().unwrap().rsplit_once('/');
            let kind = leno_api::kind_of(group.map_or("", |(group, _)| group), kind).unwrap();
            assert_eq!(kind.problems(&document), [], "{document}");
            assert_eq!(kind.unknown_fields(&document), [""; 0], "{document}");
        }
    }

    #[test]
    fn a_slice_names_the_ports_that_end_at_the_program() {
        // (the service's ports, the slice's)
        let table = [
            (json!([{ "name": "http", "port": 80, "targetPort": 9080 }]), "http"),
            (json!([{ "name": "http", "port": 9080 }]), "http"),
            (json!([{ "name": "web", "port": 80, "targetPort": "web" }]), "web"),
            (
                json!([{ "name": "a", "port": 1, "targetPort": 9080 }, { "name": "b", "port": 2,
                    "targetPort": 9080 }, { "name": "c", "port": 3, "targetPort": 9 }]),
                "a b",
            ),
            (json!([{ "name": "other", "port": 80, "targetPort": 81 }]), ""),
        ];
        for (ports, names) in table {
            let service = json!({ "spec": { "ports": ports } });
            let found = slice_ports(9080, 15016, &service);
            let joined: Vec<_> = found.iter().map(|port| port["name"].as_str().unwrap()).collect();
            assert_eq!(joined.join(" "), names, "{service}");
            assert!(found.iter().all(|port| port["port"] == 15016));
        }
    }

    #[test]
    fn a_sidecar_at_another_port_says_which_is_the_programs() {
        let annotation = |workload: &Workload| {
            pod(workload, "shop", "")["metadata"]["annotations"][PROGRAM_PORTS].clone()
        };
        let captured = workload(Some(9080));
        assert_eq!(annotation(&captured), Value::Null);
        let beside = captured.beside_its_sidecar();
        assert_eq!(annotation(&beside), "15016=9080");
        let service = service(&beside, "shop").unwrap();
        assert_eq!(service["spec"]["ports"][0]["targetPort"], 9080);
        let slice = slice(&beside, "shop", (IpAddr::from([127, 64, 0, 9]), "u"), &service);
        assert_eq!(slice["ports"][0]["port"], 15016);
    }

    #[test]
    fn a_workload_that_only_calls_has_no_service() {
        assert_eq!(service(&workload(None), "default"), None);
    }

    fn workload(port: Option<u16>) -> Workload {
        Workload {
            service: "reviews".into(),
            version: "v2".into(),
            name: "reviews-v2".into(),
            pod: "reviews-v2-x7k2p".into(),
            namespace: None,
            account: "reviews".into(),
            port,
            listened: port,
            protocol: Protocol::Http,
        }
    }
}
