//! `networking.istio.io ServiceEntry`: a service that is not in the registry, such as one outside the mesh.

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, schema};

mod rules;

const FIELDS: &str = "
spec {} A service that is not in the registry.
spec.hosts[]* string DNS names of the service; wildcards such as *.example.com with resolution NONE.
spec.addresses[] string Virtual addresses, or networks in CIDR form.
spec.ports[name] {} Ports of the service.
spec.ports[name].number* integer The port.
spec.ports[name].name* string Its name.
spec.ports[name].protocol string HTTP, HTTPS, HTTP2, GRPC, TLS, TCP, MONGO, ...
spec.ports[name].targetPort integer The endpoints' port, when it is another.
spec.location enum:MESH_EXTERNAL,MESH_INTERNAL Whether its workloads are of the mesh.
spec.resolution enum:NONE,STATIC,DNS,DNS_ROUND_ROBIN,DYNAMIC_DNS How endpoints are found: the address that was called, the list below, or DNS.
spec.endpoints[] {} The endpoints.
spec.endpoints[].address string An address or DNS name.
spec.endpoints[].ports map<integer> The endpoint's ports by the names above.
spec.endpoints[].labels map<string> Labels for subsets.
~spec.endpoints[].network string The network it is in.
spec.endpoints[].locality string Region/zone/sub-zone.
spec.endpoints[].weight integer Its share.
spec.endpoints[].serviceAccount string The identity it has.
~spec.workloadSelector {} Pods and WorkloadEntries behind it, instead of endpoints.
spec.workloadSelector.labels map<string> Their labels.
spec.exportTo[] string Namespaces that see it: . (this one), * (all; also when empty) or names.
spec.subjectAltNames[] string Names, one of which the endpoints' certificates must have.
status @IstioStatus What became of it.
";

const COLUMNS: &[Column] = &[
    Column::path("Hosts", ".spec.hosts").described("DNS names of the service."),
    Column::path("Location", ".spec.location").described("Whether its workloads are of the mesh."),
    Column::path("Resolution", ".spec.resolution").described("How endpoints are found."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "networking.istio.io",
        versions: &["v1", "v1beta1", "v1alpha3"],
        kind: "ServiceEntry",
        list_kind: "ServiceEntryList",
        plural: "serviceentries",
        singular: "serviceentry",
        short_names: &["se"],
        categories: &["istio-io", "networking-istio-io"],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate: rules::validate,
        remarks: rules::remarks,
    }
}
