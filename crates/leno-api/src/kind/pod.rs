//! `v1 Pod`: one workload instance; its labels choose services and subsets, its account is its identity.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Access, Column, Kind, Scope, StatusWrites, default_to, no_remarks, schema};
use crate::field::{Field, Findings, is_dns_label, is_dns_name};
use crate::problem::Problem;

const FIELDS: &str = "
spec {} What should run.
spec.containers[name]* {} The processes.
spec.containers[name].name* string A DNS label.
spec.containers[name].image string What it was made from.
spec.containers[name].command[] string What is run.
spec.containers[name].args[] string Its arguments.
spec.containers[name].workingDir string Where it runs.
spec.containers[name].ports[containerPort,protocol] {} What it listens on.
spec.containers[name].ports[containerPort,protocol].name string What a service's targetPort may say.
spec.containers[name].ports[containerPort,protocol].containerPort* integer The port.
spec.containers[name].ports[containerPort,protocol].protocol enum:TCP,UDP,SCTP TCP when empty.
spec.containers[name].ports[containerPort,protocol].hostPort integer The port on the node.
spec.containers[name].ports[containerPort,protocol].hostIP string The address on the node.
spec.containers[name].env[name] any Its environment.
spec.containers[name].envFrom[] any Its environment, from elsewhere.
spec.containers[name].resources any What it may use.
spec.containers[name].volumeMounts[mountPath] any What is mounted.
spec.containers[name].volumeDevices[devicePath] any What devices it has.
spec.containers[name].livenessProbe any How its life is told.
spec.containers[name].readinessProbe any How its readiness is told.
spec.containers[name].startupProbe any How its start is told.
spec.containers[name].lifecycle any What is done when it starts and stops.
spec.containers[name].securityContext any What it may do.
spec.containers[name].imagePullPolicy string When the image is pulled.
spec.containers[name].terminationMessagePath string Where its last words are.
spec.containers[name].terminationMessagePolicy string How its last words are read.
spec.containers[name].resizePolicy[] any What a resize does.
spec.containers[name].restartPolicy string What its end does.
spec.containers[name].stdin boolean Whether it reads.
spec.containers[name].stdinOnce boolean Whether it reads once.
spec.containers[name].tty boolean Whether it has a terminal.
spec.initContainers[name] any Processes that run before.
spec.ephemeralContainers[name] any Processes for debugging.
spec.serviceAccountName string The identity; default when empty.
spec.serviceAccount string Old name of serviceAccountName.
spec.automountServiceAccountToken boolean Whether it gets a token.
spec.nodeName string Where it runs.
spec.nodeSelector map<string> Where it may run.
spec.hostname string Its name.
spec.subdomain string The headless service its name is below.
spec.hostNetwork boolean Whether it uses the node's addresses.
spec.hostPID boolean Whether it sees the node's processes.
spec.hostIPC boolean Whether it shares the node's memory segments.
spec.hostUsers boolean Whether it has the node's users.
spec.hostAliases[ip] any Further names.
spec.restartPolicy enum:Always,OnFailure,Never What the end of a process does.
spec.terminationGracePeriodSeconds int64 How long it may take to stop.
spec.activeDeadlineSeconds int64 How long it may run.
spec.dnsPolicy string How it resolves names.
spec.dnsConfig any How it resolves names.
spec.schedulerName string Who places it.
spec.schedulingGates[name] any What its placing waits for.
spec.securityContext any What it may do.
spec.affinity any Where it would rather run.
spec.tolerations[] any What it tolerates.
spec.topologySpreadConstraints[] any How it is spread.
spec.priority integer How important it is.
spec.priorityClassName string How important it is, by name.
spec.preemptionPolicy string Whom it may push away.
spec.runtimeClassName string What runs it.
spec.enableServiceLinks boolean Whether services are in its environment.
spec.shareProcessNamespace boolean Whether its processes see each other.
spec.readinessGates[] any What else its readiness needs.
spec.resourceClaims[name] any Devices.
spec.resources any What it may use.
spec.overhead any What running it costs.
spec.os any Which system.
spec.imagePullSecrets[name] any Secrets for pulling images.
spec.setHostnameAsFQDN boolean Whether its name is its full name.
spec.volumes[name] any What can be mounted.
status {} What runs.
status.phase enum:Pending,Running,Succeeded,Failed,Unknown Where it is in its life.
status.podIP string Its address.
status.podIPs[ip] {} Its addresses.
status.podIPs[ip].ip* string One address.
status.hostIP string The node's address.
status.hostIPs[] any The node's addresses.
status.startTime time When it was started.
status.conditions[type] @Condition Its state.
status.message string For people.
status.reason string One word why.
status.nominatedNodeName string Where it may go.
status.containerStatuses[] any State of its processes.
status.initContainerStatuses[] any State of the processes before.
status.ephemeralContainerStatuses[] any State of the processes for debugging.
status.qosClass string Its quality of service.
status.observedGeneration int64 The metadata.generation it speaks about.
status.resize string State of a resize.
";

const COLUMNS: &[Column] = &[
    Column::of("Ready", ready).described("How many of its containers are ready."),
    Column::of("Status", phase).described("Where it is in its life."),
    Column::of("Restarts", restarts).described("How often its containers were restarted."),
    Column::age(),
    Column::of("IP", address).wide().described("Its address."),
    Column::of("Node", node).wide().described("Where it runs."),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Pod",
        list_kind: "PodList",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default,
        validate,
        remarks: no_remarks,
    }
}

fn statuses(document: &Value) -> impl Iterator<Item = &Value> {
    document["status"]["containerStatuses"].as_array().into_iter().flatten()
}

fn ready(document: &Value) -> Value {
    let all = document["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = statuses(document).filter(|status| status["ready"] == true).count();
    format!("{ready}/{all}").into()
}

fn phase(document: &Value) -> Value {
    if !document["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".into();
    }
    let status = &document["status"];
    let word = status["reason"].as_str().or(status["phase"].as_str());
    word.unwrap_or("Unknown").into()
}

fn restarts(document: &Value) -> Value {
    let count: i64 = statuses(document).filter_map(|status| status["restartCount"].as_i64()).sum();
    count.to_string().into()
}

fn address(document: &Value) -> Value {
    document["status"]["podIP"].as_str().unwrap_or("<none>").into()
}

fn node(document: &Value) -> Value {
    document["spec"]["nodeName"].as_str().unwrap_or("<none>").into()
}

fn default(document: &mut Value) {
    default_to(document, "spec", json!({}));
    default_to(document, "status", json!({}));
    default_to(&mut document["status"], "phase", "Pending");
    let spec = &mut document["spec"];
    default_to(spec, "restartPolicy", "Always");
    let account = match spec["serviceAccount"].as_str() {
        Some(old) if !old.is_empty() => old.to_owned(),
        _ => "default".to_owned(),
    };
    default_to(spec, "serviceAccountName", account);
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten()
    {
        for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            default_to(port, "protocol", "TCP");
        }
    }
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let document = Field::document(document);
    let spec = document.at("spec");
    let containers = spec.at("containers");
    if containers.items().is_empty() {
        findings.required(&containers, "a pod has a container");
    }
    for container in containers.items() {
        let name = container.at("name");
        if name.has_content() && !is_dns_label(name.text()) {
            let right = "must be lower-case letters, digits and '-', at most 63";
            findings.invalid(&name, format!("{:?}: {right}", name.text()));
        }
        for port in container.at("ports").items() {
            findings.port(&port.at("containerPort"));
        }
    }
    let account = spec.at("serviceAccountName");
    if account.has_content() && !is_dns_name(account.text()) {
        findings
            .invalid(&account, format!("{:?}: must be a service account's name", account.text()));
    }
    let address = document.below("status.podIP");
    if address.has_content() && address.text().parse::<IpAddr>().is_err() {
        findings.invalid(&address, format!("{:?}: must be an IP address", address.text()));
    }
    findings.into_problems()
}
