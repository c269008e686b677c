//! `networking.istio.io VirtualService`: where calls to a host go, and what happens to them on the way.

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, schema};

mod http_rules;
mod rules;

const FIELDS: &str = "
spec {} Where calls to some hosts go.
spec.hosts[]* string Hosts the rules are for: names of services (short names are of this namespace), DNS names, or wildcards such as *.example.com.
spec.gateways[] string Where the rules hold: mesh (every sidecar; also when empty) or names of gateways.
spec.exportTo[] string Namespaces that see the rules: . (this one), * (all; also when empty) or names.
spec.http[] {} Rules for HTTP; the first that matches is followed.
spec.http[].name string A name for logs and metrics.
spec.http[].match[] {} Any of these must match; without one, every request does.
spec.http[].match[].name string A name for logs and metrics.
spec.http[].match[].uri @StringMatch The path.
spec.http[].match[].ignoreUriCase boolean Ignore case in an exact or prefix match of the path.
spec.http[].match[].scheme @StringMatch The scheme.
spec.http[].match[].method @StringMatch The method.
spec.http[].match[].authority @StringMatch The Host header.
spec.http[].match[].headers{} @StringMatch Headers by lower-case name; an empty match asks that the header is there.
spec.http[].match[].withoutHeaders{} @StringMatch Headers that must not match.
spec.http[].match[].queryParams{} @StringMatch Query parameters by name.
spec.http[].match[].port integer The service's port that was called.
spec.http[].match[].sourceLabels map<string> Labels of the workload that calls.
spec.http[].match[].sourceNamespace string Namespace of the workload that calls.
spec.http[].match[].gateways[] string Where this match holds, instead of spec.gateways.
~spec.http[].match[].statPrefix string A prefix for statistics.
spec.http[].route[] {} Where matching requests go, by weight.
spec.http[].route[].destination @Destination The service.
spec.http[].route[].weight integer Its share; the shares are added up.
spec.http[].route[].headers @Headers Edits for this destination only.
spec.http[].redirect {} Answer with a redirect.
spec.http[].redirect.uri string The new path.
spec.http[].redirect.prefixRewrite string What the matched prefix becomes.
spec.http[].redirect.authority string The new host.
spec.http[].redirect.port integer The new port.
spec.http[].redirect.derivePort enum:FROM_PROTOCOL_DEFAULT,FROM_REQUEST_PORT Where the new port comes from.
spec.http[].redirect.scheme string The new scheme.
spec.http[].redirect.redirectCode integer 301 when empty.
spec.http[].directResponse {} Answer without asking anybody.
spec.http[].directResponse.status* integer The status.
spec.http[].directResponse.body {} The body.
spec.http[].directResponse.body.string string As text.
spec.http[].directResponse.body.bytes bytes As base64.
~spec.http[].delegate {} Another VirtualService that goes on.
spec.http[].delegate.name string Its name.
spec.http[].delegate.namespace string Its namespace.
spec.http[].rewrite {} What becomes of the path and the host.
spec.http[].rewrite.uri string What the matched prefix or path becomes.
spec.http[].rewrite.authority string What the host becomes.
spec.http[].rewrite.uriRegexRewrite {} Replace by a regular expression.
spec.http[].rewrite.uriRegexRewrite.match string RE2 syntax.
spec.http[].rewrite.uriRegexRewrite.rewrite string With groups as in a\\1b.
spec.http[].timeout duration From the end of the request to the end of the response; none when empty.
spec.http[].retries {} When a failed request is tried again; twice for connection failures and 503 when empty.
spec.http[].retries.attempts integer Tries after the first; 0 turns retries off.
spec.http[].retries.perTryTimeout duration For each try; the route's timeout when empty.
spec.http[].retries.retryOn string Conditions and statuses, joined by commas, such as 5xx,reset,503.
spec.http[].retries.backoff duration First pause between tries; 25ms when empty.
spec.http[].retries.retryIgnorePreviousHosts boolean Whether endpoints that were tried are avoided; true when empty.
~spec.http[].retries.retryRemoteLocalities boolean Whether other places are tried.
spec.http[].fault {} Make a service worse on purpose.
spec.http[].fault.delay {} Wait before going on.
spec.http[].fault.delay.fixedDelay duration How long.
~spec.http[].fault.delay.exponentialDelay duration A mean.
spec.http[].fault.delay.percent integer Share of requests (old form of percentage).
spec.http[].fault.delay.percentage {} Share of requests.
spec.http[].fault.delay.percentage.value number 0 to 100.
spec.http[].fault.abort {} Answer instead of going on.
spec.http[].fault.abort.httpStatus integer The status.
~spec.http[].fault.abort.grpcStatus string The status, for gRPC.
~spec.http[].fault.abort.http2Error string The error, for HTTP/2.
spec.http[].fault.abort.percentage {} Share of requests.
spec.http[].fault.abort.percentage.value number 0 to 100.
spec.http[].mirror @Destination A service that gets a copy of each request; answers are dropped.
spec.http[].mirrors[] {} Services that get copies.
spec.http[].mirrors[].destination @Destination The service.
spec.http[].mirrors[].percentage {} Share of requests.
spec.http[].mirrors[].percentage.value number 0 to 100.
spec.http[].mirrorPercentage {} Share of requests that are copied.
spec.http[].mirrorPercentage.value number 0 to 100.
spec.http[].mirrorPercent integer Old form of mirrorPercentage.
spec.http[].mirror_percent integer Old form of mirrorPercentage.
~spec.http[].corsPolicy {} Cross-origin rules.
spec.http[].corsPolicy.allowOrigin[] string Old form of allowOrigins.
spec.http[].corsPolicy.allowOrigins[] @StringMatch Origins that may call.
spec.http[].corsPolicy.allowMethods[] string Methods they may use.
spec.http[].corsPolicy.allowHeaders[] string Headers they may send.
spec.http[].corsPolicy.exposeHeaders[] string Headers they may read.
spec.http[].corsPolicy.maxAge duration How long a preflight may be kept.
spec.http[].corsPolicy.allowCredentials boolean Whether credentials may be sent.
spec.http[].corsPolicy.unmatchedPreflights enum:UNSPECIFIED,FORWARD,IGNORE What becomes of other preflights.
spec.http[].headers @Headers Edits of requests and responses.
spec.tcp[] {} Rules for TCP; the first that matches is followed.
spec.tcp[].match[] {} Any of these must match; without one, every connection does.
spec.tcp[].match[].port integer The service's port that was called.
~spec.tcp[].match[].destinationSubnets[] string Addresses that were called.
~spec.tcp[].match[].sourceSubnet string Addresses that call.
spec.tcp[].match[].sourceLabels map<string> Labels of the workload that calls.
spec.tcp[].match[].sourceNamespace string Namespace of the workload that calls.
spec.tcp[].match[].gateways[] string Where this match holds, instead of spec.gateways.
spec.tcp[].route[] {} Where connections go, by weight.
spec.tcp[].route[].destination @Destination The service.
spec.tcp[].route[].weight integer Its share.
~spec.tls[] {} Rules for TLS that is not terminated, by server name.
spec.tls[].match[]* {} Any of these must match.
spec.tls[].match[].sniHosts[]* string Server names.
spec.tls[].match[].port integer The service's port that was called.
spec.tls[].match[].destinationSubnets[] string Addresses that were called.
spec.tls[].match[].sourceLabels map<string> Labels of the workload that calls.
spec.tls[].match[].sourceNamespace string Namespace of the workload that calls.
spec.tls[].match[].gateways[] string Where this match holds, instead of spec.gateways.
spec.tls[].route[] {} Where connections go, by weight.
spec.tls[].route[].destination @Destination The service.
spec.tls[].route[].weight integer Its share.
status @IstioStatus What became of the rules.
";

const GROUPS: &[(&str, &str)] = &[
    (
        "Destination",
        "
host* string Name of the service; a short one is of this namespace.
subset string A subset that a DestinationRule of the host defines.
port {} Which of its ports; the port that was called when empty.
port.number integer The port.
",
    ),
    (
        "Headers",
        "
request @HeaderEdits Edits before the request goes on.
response @HeaderEdits Edits before the response goes back.
",
    ),
    (
        "HeaderEdits",
        "
set map<string> Replace these headers.
add map<string> Add values to these headers.
remove[] string Remove these headers.
",
    ),
];

const COLUMNS: &[Column] = &[
    Column::path("Gateways", ".spec.gateways").described("Where the rules hold."),
    Column::path("Hosts", ".spec.hosts").described("Hosts the rules are for."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "networking.istio.io",
        versions: &["v1", "v1beta1", "v1alpha3"],
        kind: "VirtualService",
        list_kind: "VirtualServiceList",
        plural: "virtualservices",
        singular: "virtualservice",
        short_names: &["vs"],
        categories: &["istio-io", "networking-istio-io"],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, GROUPS),
        columns: COLUMNS,
        default: no_defaults,
        validate: rules::validate,
        remarks: rules::remarks,
    }
}
