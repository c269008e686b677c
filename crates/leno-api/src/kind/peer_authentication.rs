//! `security.istio.io PeerAuthentication`: whether workloads take plain text, mutual TLS, or both.

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, no_remarks, schema};

mod rules;

const FIELDS: &str = "
spec {} Which connections workloads take.
spec.selector {} Which workloads of the namespace; all when empty.
spec.selector.matchLabels map<string> Their labels.
spec.mtls {} For every port that is not listed below.
spec.mtls.mode enum:UNSET,DISABLE,PERMISSIVE,STRICT Plain text, both, or only mutual TLS; UNSET is what the namespace or mesh says.
spec.portLevelMtls{} {} By the workloads' port.
spec.portLevelMtls{}.mode enum:UNSET,DISABLE,PERMISSIVE,STRICT As above.
status @IstioStatus What became of it.
";

const COLUMNS: &[Column] = &[
    Column::path("Mode", ".spec.mtls.mode").described("Plain text, both, or only mutual TLS."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "security.istio.io",
        versions: &["v1", "v1beta1"],
        kind: "PeerAuthentication",
        list_kind: "PeerAuthenticationList",
        plural: "peerauthentications",
        singular: "peerauthentication",
        short_names: &["pa"],
        categories: &["istio-io", "security-istio-io"],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate: rules::validate,
        remarks: no_remarks,
    }
}
