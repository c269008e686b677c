//! Bootstrap files: what Envoy reads, and what is wrong where.

use std::fmt::Write as _;
use std::time::Duration;

use leno_core::config::*;
use leno_xds::discovery::Variant;
use leno_xds::static_file::{AdsSource, parse};

const PLAIN: &str = r#"
node: { id: sidecar~1, cluster: c, metadata: { NAMESPACE: default, WEIGHT: 2 } }
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 15000 } }
static_resources:
  listeners:
  - name: plain
    address: { socket_address: { address: 127.0.0.1, port_value: 8001 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          codec_type: AUTO
          useRemoteAddress: true
          route_config:
            name: r
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route:
                  cluster: b1
                  timeout: 1.5s
                  retry_policy: { retry_on: "connect-failure,refused-stream", num_retries: 2 }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: b1
    type: STATIC
    connect_timeout: 0.25s
    circuit_breakers: { thresholds: [{ max_connections: 10000 }] }
    load_assignment:
      cluster_name: b1
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }
"#;

#[test]
fn a_plain_file_gives_the_same_values_as_the_wire() {
    let file = parse(PLAIN).unwrap().value;
    assert_eq!(file.admin, Some(([127, 0, 0, 1], 15000).into()));
    assert_eq!(file.node.as_ref().unwrap().metadata["WEIGHT"], 2);
    let [listener] = &file.listeners[..] else { panic!("one listener") };
    let [cluster] = &file.clusters[..] else { panic!("one cluster") };
    assert_eq!(cluster.connect_timeout, Duration::from_millis(250));
    assert_eq!(cluster.circuit.max_connections, Some(10_000));
    let NetworkFilter::Http(manager) = &listener.filter_chains[0].filter else { panic!("HTTP") };
    assert!(manager.use_remote_address);
    let RouteSource::Inline(routes) = &manager.routes else { panic!("inline") };
    assert!(routes.validate_clusters, "Envoy checks the clusters of routes written in place");
    let RouteAction::Forward(forward) = &routes.virtual_hosts[0].routes[0].action else {
        panic!("forward")
    };
    assert_eq!(forward.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(forward.retry_policy.as_ref().unwrap().num_retries, 2);
    let again = leno_xds::decode_listener(&leno_xds::encode_listener(listener)).unwrap();
    assert_eq!(again.value, *listener);
    let again = leno_xds::decode_cluster(&leno_xds::encode_cluster(cluster)).unwrap();
    assert_eq!(again.value, *cluster);
}

#[test]
fn json_is_yaml() {
    let yaml = parse(PLAIN).unwrap().value;
    let value: serde_json::Value = serde_saphyr::from_str(PLAIN).unwrap();
    let json = parse(&serde_json::to_string_pretty(&value).unwrap()).unwrap().value;
    assert_eq!(json, yaml);
}

#[test]
fn a_control_plane_is_recognised() {
    let text = format!(
        "{PLAIN}\ndynamic_resources:
  cds_config: {{ ads: {{}}, resource_api_version: V3 }}
  lds_config: {{ ads: {{}}, resource_api_version: V3 }}
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services: [{{ envoy_grpc: {{ cluster_name: b1 }} }}]
"
    );
    let file = parse(&text).unwrap().value;
    assert_eq!(file.ads, Some(AdsSource { variant: Variant::Delta, cluster: "b1".to_owned() }));
}

/// What a change of [`PLAIN`] is told.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(PLAIN.contains(from), "{from}");
    let problems = parse(&PLAIN.replacen(from, to, 1)).unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "{to}");
}

#[test]
fn wrong_files_are_told_every_problem_with_its_place() {
    let route = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config\
                 .virtual_hosts[0].routes[0]";
    check(
        "timeout: 1.5s",
        "timeout: soon\n                  hash_policy: []",
        &[
            &format!("26:28: {route}.route.timeout: is not a duration; \"1.5s\" is one"),
            &format!("27:19: {route}.route.hash_policy: is not a supported field"),
        ],
    );
    check(
        "type: STATIC",
        "type: RING",
        &["34:11: static_resources.clusters[0].type: is not supported; \
           STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST are"],
    );
    check(
        "name: b1\n    type",
        "name: 7\n    type",
        &[
            "33:11: static_resources.clusters[0].name: is a number; a text is expected",
            "33:5: static_resources.clusters[0].name: is missing",
        ],
    );
    check(
        "port_value: 9000",
        "port_value: 90000",
        &[
            "41:50: static_resources.clusters[0].load_assignment.endpoints[0].lb_endpoints[0].endpoint\
           .address.socket_address.port_value: is not a port; 0 to 65535 are",
        ],
    );
    check("admin:", "node: {}\nadmin:", &["3:1: duplicate mapping key: node"]);
    check("admin:", "admin: ]\n#", &["3:8: misplaced bracket"]);
}

#[test]
fn large_files_are_read() {
    let mut text = String::from("static_resources:\n  clusters:\n");
    for index in 0..3_000 {
        writeln!(text, "  - {{ name: c{index}, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED }}")
            .unwrap();
    }
    assert_eq!(parse(&text).unwrap().value.clusters.len(), 3_000);
}

#[test]
fn hostile_files_end() {
    let deep = "[".repeat(100_000);
    assert!(parse(&deep).is_err());
    let metadata = format!("node: {{ metadata: {{ a: {}{} }} }}", "[".repeat(200), "]".repeat(200));
    let _ = parse(&metadata);
    let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for index in 1..12 {
        let previous = format!("*a{}", index - 1);
        let list = vec![previous; 10].join(",");
        writeln!(laughs, "a{index}: &a{index} [{list}]").unwrap();
    }
    assert!(parse(&laughs).is_err());
}

/// What a listener's `transport_socket` with this context becomes, or is told.
fn downstream(context: &str) -> Result<DownstreamTls, Vec<String>> {
    let text = format!(
        "static_resources: {{ listeners: [{{ name: a,
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 1 }} }},
  filter_chains: [{{
    filters: [{{ name: tcp, typed_config: {{
      '@type': x/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: a }} }}],
    transport_socket: {{ name: tls, typed_config: {{
      '@type': x/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, {context} }} }} }}] }}] }}"
    );
    let parsed = parse(&text).map_err(|p| p.into_iter().map(|p| p.what).collect::<Vec<_>>())?;
    Ok(parsed.value.listeners[0].filter_chains[0].tls.clone().unwrap())
}

#[test]
fn nobody_goes_unverified_by_accident() {
    const CERTIFICATE: &str = "tls_certificates: [{ certificate_chain: { filename: /c }, private_key: { filename: /k } }]";
    let tls = downstream(&format!("common_tls_context: {{ {CERTIFICATE} }}")).unwrap();
    assert_eq!((&*tls.certificate, tls.trust_bundle), ("file-cert:/c~/k", None));

    // The system's roots are roots: clients are verified with them.
    let roots =
        "validation_context: { trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt } }";
    let tls = downstream(&format!("common_tls_context: {{ {CERTIFICATE}, {roots} }}")).unwrap();
    assert_eq!(tls.trust_bundle.as_deref(), Some("file-root:/etc/ssl/certs/ca-certificates.crt"));

    for context in [
        format!("require_client_certificate: true, common_tls_context: {{ {CERTIFICATE} }}"),
        format!(
            "common_tls_context: {{ {CERTIFICATE}, validation_context: {{
               match_typed_subject_alt_names: [{{ san_type: URI, matcher: {{ exact: a }} }}] }} }}"
        ),
    ] {
        let told = downstream(&context).unwrap_err();
        assert_eq!(
            told,
            ["nothing says what clients are verified with; name a secret or trusted_ca"]
        );
    }
    let refused = "common_tls_context: { validation_context: { trust_chain_verification: ACCEPT_UNTRUSTED } }";
    assert_eq!(downstream(refused).unwrap_err()[0], "is not a supported field");
}

/// `PLAIN` with these HTTP filters and this beside the routes of its virtual host.
fn with_filters(filters: &str, of_host: &str, of_route: &str) -> String {
    const ROUTER: &str = "          - name: envoy.filters.http.router\n";
    let text = PLAIN.replace(ROUTER, &format!("          - {filters}\n{ROUTER}"));
    let host = "              domains: [\"*\"]\n";
    let text = text.replace(host, &format!("{host}              {of_host}\n"));
    let route = "              - match: { prefix: / }\n";
    text.replace(route, &format!("{route}                {of_route}\n"))
}

#[test]
fn a_filters_settings_are_its_own_or_the_nearest_levels() {
    const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
    let settings = |status: u16| {
        format!(
            "\"@type\": {TYPE}, abort: {{ http_status: {status}, percentage: {{ numerator: 1 }} }}"
        )
    };
    let own = |status, more: &str| {
        let settings = settings(status);
        format!("{{ name: envoy.filters.http.fault, typed_config: {{ {settings} }}{more} }}")
    };
    let says = |what: &str| {
        format!("typed_per_filter_config: {{ envoy.filters.http.fault: {{ {what} }} }}")
    };
    let wrapped = |what: &str| {
        says(&format!("\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, {what}"))
    };
    let inner = wrapped(&format!("config: {{ {} }}", settings(504)));
    let status = |fault: &FaultInjection| fault.abort.as_ref().unwrap().status;
    // (the filter, the virtual host, the route; the filter's own, what the route is told)
    type Row = (String, String, String, Option<u16>, Option<Option<u16>>);
    let table: [Row; 6] = [
        (own(501, ""), String::new(), String::new(), Some(501), None),
        (own(501, ", disabled: true"), String::new(), String::new(), None, None),
        (own(501, ""), says(&settings(502)), String::new(), Some(501), Some(Some(502))),
        (own(501, ""), says(&settings(502)), says(&settings(503)), Some(501), Some(Some(503))),
        (own(501, ""), wrapped("disabled: true"), inner, Some(501), Some(Some(504))),
        (own(501, ""), says(&settings(502)), wrapped("disabled: true"), Some(501), Some(None)),
    ];
    for (filter, host, route, own, said) in table {
        let text = with_filters(&filter, &host, &route);
        let file = parse(&text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).value;
        let NetworkFilter::Http(manager) = &file.listeners[0].filter_chains[0].filter else {
            panic!("HTTP")
        };
        let HttpFilter::Fault(found) = &manager.http_filters[0] else { panic!("fault is first") };
        assert_eq!(found.as_ref().map(status), own, "{text}");
        let RouteSource::Inline(routes) = &manager.routes else { panic!("inline") };
        let found = routes.virtual_hosts[0].routes[0].fault.as_ref().map(|said| match said {
            RouteFault::Disabled => None,
            RouteFault::Inject(fault) => Some(status(fault)),
        });
        assert_eq!(found, said, "{text}");
    }
}

#[test]
fn only_filters_that_are_there_take_orders_from_routes() {
    let disabled =
        "\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true";
    let of =
        |filter: &str, what: &str| format!("typed_per_filter_config: {{ {filter}: {{ {what} }} }}");
    let cors = "{ name: cors, disabled: true }";
    let absent = with_filters(cors, "", &of("envoy.filters.http.ext_authz", disabled));
    let left_out = parse(&absent).unwrap().unsupported;
    assert!(left_out.iter().any(|one| one.to_string().contains("ext_authz")), "{left_out:?}");
    let table = [
        of("istio.stats", disabled),
        of("envoy.filters.http.ext_authz", "\"@type\": type.googleapis.com/a.B"),
        of("envoy.filters.http.fault", "\"@type\": type.googleapis.com/a.B"),
    ];
    for said in table {
        let problems = parse(&with_filters(cors, "", &said)).unwrap_err();
        assert!(problems[0].to_string().contains("typed_per_filter_config"), "{problems:?}");
    }
}

/// A file with one listener filter and one cluster's transport.
fn with_proxy_protocol(filter: &str, transport: &str) -> String {
    PLAIN
        .replacen(
            "    filter_chains:",
            &format!(
                "    listener_filters:\n    - name: envoy.filters.listener.proxy_protocol\n      \
                 typed_config: {{ '@type': x/envoy.extensions.filters.listener.proxy_protocol.v3\
                 .ProxyProtocol{filter} }}\n    filter_chains:"
            ),
            1,
        )
        .replacen(
            "    type: STATIC",
            &format!(
                "    transport_socket: {{ name: p, typed_config: {{ '@type': x/envoy.extensions\
                 .transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport{transport} \
                 }} }}\n    type: STATIC"
            ),
            1,
        )
}

#[test]
fn the_proxy_protocol_is_read_both_ways() {
    let raw = "transport_socket: { name: raw, typed_config: { '@type': x/envoy.extensions\
               .transport_sockets.raw_buffer.v3.RawBuffer } }";
    let text = with_proxy_protocol(
        ", allow_requests_without_proxy_protocol: true",
        &format!(", config: {{ version: V2 }}, {raw}"),
    );
    let file = parse(&text).unwrap().value;
    let filters = &file.listeners[0].listener_filters;
    assert_eq!(filters[..], [ListenerFilter::ProxyProtocol { allow_missing: true }]);
    let expected =
        UpstreamTransport::ProxyProtocol { version: ProxyProtocolVersion::V2, tls: None };
    assert_eq!(file.clusters[0].transport, expected);
    let text = with_proxy_protocol(
        ", rules: []",
        &format!(", config: {{ pass_through_tlvs: {{}} }}, {raw}"),
    );
    let told: Vec<_> = parse(&text).unwrap_err().iter().map(ToString::to_string).collect();
    let at_filter = "static_resources.listeners[0].listener_filters[0].typed_config.rules: \
                     is not a supported field";
    let at_cluster = "static_resources.clusters[0].transport_socket.typed_config.config\
                      .pass_through_tlvs: is not a supported field";
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with(at_filter) && told[1].ends_with(at_cluster), "{told:?}");
}

#[test]
fn versions_of_tls_are_kept_within_what_is_spoken() {
    let versions = |parameters: &str| {
        let context = format!(
            "common_tls_context: {{ tls_params: {{ {parameters} }},
              tls_certificate_sds_secret_configs: [{{ name: default }}] }}"
        );
        downstream(&context).map(|tls| (tls.versions.min, tls.versions.max))
    };
    use TlsVersion::{V12, V13};
    // (parameters, versions)
    let table = [
        ("", (V12, V13)),
        ("tls_minimum_protocol_version: TLSv1_0", (V12, V13)),
        ("tls_minimum_protocol_version: TLSv1_3", (V13, V13)),
        ("tls_maximum_protocol_version: TLSv1_2", (V12, V12)),
        (
            "tls_minimum_protocol_version: TLS_AUTO, tls_maximum_protocol_version: TLS_AUTO",
            (V12, V13),
        ),
    ];
    for (parameters, expected) in table {
        assert_eq!(versions(parameters), Ok(expected), "{parameters}");
    }
    let none = [
        "tls_maximum_protocol_version: TLSv1_1",
        "tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2",
    ];
    for parameters in none {
        let told = versions(parameters).unwrap_err();
        assert_eq!(told, ["leaves no version; TLSv1_2 and TLSv1_3 are spoken"], "{parameters}");
    }
}
