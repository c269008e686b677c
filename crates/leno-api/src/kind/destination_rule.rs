//! `networking.istio.io DestinationRule`: how a service is called once routing has chosen it, and its subsets.

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, schema};

mod rules;

const FIELDS: &str = "
spec {} How a service is called.
spec.host* string Name of the service (a short one is of this namespace) or a wildcard such as *.example.com.
spec.exportTo[] string Namespaces that see the rule: . (this one), * (all; also when empty) or names.
spec.trafficPolicy @TrafficPolicy For every subset that has none of its own.
spec.subsets[name] {} Named parts of the service.
spec.subsets[name].name* string The name routes use.
spec.subsets[name].labels map<string> Labels of the workloads in it.
spec.subsets[name].trafficPolicy @TrafficPolicy For this subset.
spec.workloadSelector {} Only for workloads that call with these labels.
spec.workloadSelector.matchLabels map<string> Labels of the workload that calls.
status @IstioStatus What became of the rule.
";

const GROUPS: &[(&str, &str)] = &[
    (
        "TrafficPolicy",
        "
loadBalancer @LoadBalancer How an endpoint is picked.
connectionPool @ConnectionPool How many connections and requests at once.
outlierDetection @OutlierDetection When a failing endpoint is ejected.
tls @Tls How connections are secured; mutual TLS between sidecars when empty.
portLevelSettings[] {} Settings of single ports; they replace those above.
portLevelSettings[].port {} Which port.
portLevelSettings[].port.number integer The service's port.
portLevelSettings[].loadBalancer @LoadBalancer How an endpoint is picked.
portLevelSettings[].connectionPool @ConnectionPool How many connections and requests at once.
portLevelSettings[].outlierDetection @OutlierDetection When a failing endpoint is ejected.
portLevelSettings[].tls @Tls How connections are secured.
~tunnel {} Tunnel TCP through a proxy.
tunnel.protocol string CONNECT or POST.
tunnel.targetHost* string Where to.
tunnel.targetPort* integer Where to.
~proxyProtocol {} Say the client's address to the endpoint.
proxyProtocol.version enum:V1,V2 Which version.
retryBudget {} Retries as a share of the requests in flight.
retryBudget.percent number Share in percent; 20 when empty.
retryBudget.minRetryConcurrency integer Retries that are always allowed; 3 when empty.
~retryBudget.budgetInterval duration Over which time the share is taken.
",
    ),
    (
        "LoadBalancer",
        "
simple enum:UNSPECIFIED,LEAST_CONN,RANDOM,PASSTHROUGH,ROUND_ROBIN,LEAST_REQUEST How; LEAST_REQUEST when empty.
~consistentHash {} The same key goes to the same endpoint.
consistentHash.httpHeaderName string The key is this header.
consistentHash.httpCookie {} The key is a cookie.
consistentHash.httpCookie.name* string Its name.
consistentHash.httpCookie.path string Its path.
consistentHash.httpCookie.ttl duration How long it lives.
consistentHash.httpCookie.attributes[] {} Further attributes.
consistentHash.httpCookie.attributes[].name* string Name.
consistentHash.httpCookie.attributes[].value string Value.
consistentHash.useSourceIp boolean The key is the client's address.
consistentHash.httpQueryParameterName string The key is this query parameter.
consistentHash.ringHash {} By a ring.
consistentHash.ringHash.minimumRingSize integer How many points at least.
consistentHash.maglev {} By Maglev's table.
consistentHash.maglev.tableSize integer A prime.
consistentHash.minimumRingSize integer Old form of ringHash.
~localityLbSetting {} Prefer near endpoints.
localityLbSetting.enabled boolean Whether it is on.
localityLbSetting.distribute[] {} Shares by place.
localityLbSetting.distribute[].from string The place that calls.
localityLbSetting.distribute[].to map<integer> Shares in percent by place.
localityLbSetting.failover[] {} Where to when a region fails.
localityLbSetting.failover[].from string The region that fails.
localityLbSetting.failover[].to string The region instead.
localityLbSetting.failoverPriority[] string Labels that order endpoints.
~zoneAwareLbSetting {} Prefer endpoints of the same zone.
zoneAwareLbSetting.enabled boolean Whether it is on.
zoneAwareLbSetting.minClusterSize integer From how many endpoints on.
zoneAwareLbSetting.failover[] {} Where to when a region fails.
zoneAwareLbSetting.failover[].from string The region that fails.
zoneAwareLbSetting.failover[].to string The region instead.
zoneAwareLbSetting.failoverPriority[] string Labels that order endpoints.
~warmup {} New endpoints get less at first.
warmup.duration* duration How long.
warmup.aggression number How steeply.
warmup.minimumPercent number From which share on.
~warmupDurationSecs duration Old form of warmup.
",
    ),
    (
        "ConnectionPool",
        "
tcp {} For every connection.
tcp.maxConnections integer Connections to the service; no limit when empty.
tcp.connectTimeout duration How long connecting may take; 10s when empty.
~tcp.maxConnectionDuration duration How long a connection may live.
tcp.idleTimeout duration How long a connection without bytes is kept.
~tcp.tcpKeepalive {} Probes of the kernel.
tcp.tcpKeepalive.probes integer How many.
tcp.tcpKeepalive.time duration When the first.
tcp.tcpKeepalive.interval duration How far apart.
http {} For HTTP.
http.http1MaxPendingRequests integer Requests that wait for a connection; no limit when empty.
http.http2MaxRequests integer Requests in flight; no limit when empty.
http.maxRequestsPerConnection integer After so many a connection is retired; 0 is never.
http.maxRetries integer Retries in flight; no limit when empty.
http.idleTimeout duration How long a connection without requests is kept; 1h when empty.
~http.h2UpgradePolicy enum:DEFAULT,DO_NOT_UPGRADE,UPGRADE Whether HTTP/1.1 becomes HTTP/2 on the way.
~http.useClientProtocol boolean Whether the client's version is kept.
~http.maxConcurrentStreams integer Streams of one HTTP/2 connection.
~http.http2KeepAlive {} HTTP/2 pings.
http.http2KeepAlive.interval duration How far apart.
http.http2KeepAlive.timeout duration How long an answer may take.
",
    ),
    (
        "OutlierDetection",
        "
consecutive5xxErrors integer 5xx, connection failures and time-outs in a row; 5 when empty, 0 is off.
consecutiveGatewayErrors integer 502, 503, 504 in a row; off when empty.
consecutiveErrors integer Old form of consecutiveGatewayErrors.
~consecutiveLocalOriginFailures integer Connection failures in a row, with splitExternalLocalOriginErrors.
~splitExternalLocalOriginErrors boolean Count connection failures apart.
~outlierDetectionHttpErrorCodes[] integer Statuses that count as errors.
interval duration How often endpoints are looked at; 10s when empty.
baseEjectionTime duration Length of the first ejection; the n-th is n times as long; 30s when empty.
maxEjectionPercent integer At most this share is ejected; 10 when empty.
minHealthPercent integer Below this share of healthy endpoints nothing is ejected.
",
    ),
    (
        "Tls",
        "
mode enum:DISABLE,SIMPLE,MUTUAL,ISTIO_MUTUAL Plain text, TLS, TLS with given certificates, or with the mesh's own.
~clientCertificate string File with our certificate, for MUTUAL.
~privateKey string File with our key, for MUTUAL.
~caCertificates string File with the roots the server is verified with.
~credentialName string Secret with certificate, key and roots.
subjectAltNames[] string Names, one of which the server's certificate must have.
sni string Server name that is sent.
~insecureSkipVerify boolean Do not verify the server.
~caCrl string File with revoked certificates.
",
    ),
];

const COLUMNS: &[Column] =
    &[Column::path("Host", ".spec.host").described("The service it is for."), Column::age()];

pub(super) fn kind() -> Kind {
    Kind {
        group: "networking.istio.io",
        versions: &["v1", "v1beta1", "v1alpha3"],
        kind: "DestinationRule",
        list_kind: "DestinationRuleList",
        plural: "destinationrules",
        singular: "destinationrule",
        short_names: &["dr"],
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
