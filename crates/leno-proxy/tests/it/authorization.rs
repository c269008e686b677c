//! Who may do what, beside a real Envoy with the same file: the same requests get the same answers, records and counts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::admin::page;
use crate::basic::OK;
use crate::ca::{Ca, id};
use crate::config::LISTENER;
use crate::envoy::{self, Pair, log, text};
use crate::h2;
use crate::origin::{Peer, answering, origin};

/// Denies what is secret, and counts what an empty list of policies would deny.
const DENY: &str = "
rules_stat_prefix: deny_
shadow_rules_stat_prefix: strict_
rules:
  action: DENY
  policies:
    no secrets:
      permissions: [{url_path: {path: {contains: secret, ignore_case: true}}}]
      principals: [{any: true}]
    no-long-query:
      permissions:
      - header: {name: ':path', string_match: {safe_regex: {regex: '.*\\?.{20,}'}}}
      principals: [{any: true}]
    an-admin-elsewhere:
      permissions: [{url_path: {path: {prefix: /admin}}}]
      principals:
      - not_id:
          or_ids: {ids: [{header: {name: x-role, string_match: {exact: admin}}}, {remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}
shadow_rules: {action: ALLOW}
";

/// Allows by path, method, header, address and port; `gap-` rules never apply.
const ALLOW: &str = "
rules:
  policies:
    readers:
      permissions:
      - and_rules:
          rules:
          - or_rules: {rules: [{header: {name: ':method', string_match: {exact: GET}}}, {header: {name: ':method', string_match: {exact: OPTIONS}}}]}
          - or_rules: {rules: [{url_path: {path: {prefix: /items/}}}, {url_path: {path: {exact: /items}}}]}
      principals: [{any: true}]
    writers:
      permissions: [{header: {name: ':method', string_match: {prefix: P}}}]
      principals:
      - and_ids:
          ids:
          - header: {name: x-role, string_match: {suffix: writer}}
          - not_id: {header: {name: x-suspended}}
    hosts:
      permissions: [{header: {name: ':authority', string_match: {suffix: .internal, ignore_case: true}}}]
      principals: [{source_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}]
    exact-case:
      permissions: [{url_path: {path: {exact: /Case, ignore_case: true}}}]
      principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]
    ports:
      permissions:
      - and_rules: {rules: [{destination_port_range: {start: 1, end: 65536}}, {destination_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}, {url_path: {path: {safe_regex: {regex: '/re/[0-9]+'}}}}]}
      principals: [{any: true}]
    gap-port:
      permissions: [{destination_port: 1}]
      principals: [{any: true}]
    gap-net:
      permissions: [{any: true}]
      principals: [{remote_ip: {address_prefix: 192.0.2.0, prefix_len: 24}}]
    gap-tls:
      permissions: [{any: true}]
      principals: [{authenticated: {}}, {authenticated: {principal_name: {prefix: spiffe}}}]
    gap-sni:
      permissions: [{requested_server_name: {exact: a.test}}]
      principals: [{any: true}]
    levels:
      permissions: [{header: {name: x-level, range_match: {start: 3, end: 5}}}]
      principals: [{url_path: {path: {prefix: /}}}]
    absent:
      permissions: [{not_rule: {header: {name: x-any, present_match: true}}}]
      principals: [{header: {name: x-open, string_match: {exact: 'yes'}, treat_missing_header_as_empty: true}}]
    admins:
      permissions: [{url_path: {path: {prefix: /admin}}}]
      principals: [{header: {name: x-role, string_match: {exact: admin}}}]
";

fn rbac(kind: &str, settings: &str) -> String {
    let name = format!("envoy.filters.{kind}.rbac");
    envoy::filter(&name, &format!("envoy.extensions.filters.{kind}.rbac.v3.RBAC"), settings)
}

/// Answers by routes, behind these HTTP filters.
fn web(filters: &str, access_log: &str) -> String {
    const ANSWER: &str = "direct_response: { status: 200, body: { inline_string: served } }";
    let own = |what: &str| {
        format!(
            "typed_per_filter_config: {{ envoy.filters.http.rbac: {{ \"@type\": \
             type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute{what} }} }}"
        )
    };
    let routes = format!(
        "{{ match: {{ prefix: /free }}, {ANSWER}, {} }}, {{ match: {{ prefix: /closed }}, {ANSWER}, {} }}, \
         {{ match: {{ prefix: / }}, {ANSWER} }}",
        own(""),
        own(", rbac: { rules: {} }")
    );
    let settings = format!(
        "normalize_path: true
use_remote_address: true
server_header_transformation: PASS_THROUGH
{access_log}"
    );
    envoy::http("", &settings, &routes, filters)
}

/// What both counted, as lines of the exposition.
fn counted(pair: &Pair) -> [BTreeSet<String>; 2] {
    let (_, ours) = page(&pair.ours, "GET /stats/prometheus");
    [ours, pair.theirs.page("/stats/prometheus")].map(|text| {
        let lines = text.lines().filter(|line| line.contains("rbac_") && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    })
}

/// Requests with every combination of what the policies look at.
fn requests() -> Vec<String> {
    let paths = [
        "/items",
        "/items/7?x=1",
        "/itemsx",
        "/a/../items/1",
        "/admin/x",
        "/caSE",
        "/re/77",
        "/re/7x",
        "/a/SECRETS?y",
        "/items/1?q=0123456789012345678901234567890",
        "/free/x",
        "/closed",
        "/items/%2e%2e/admin",
    ];
    let heads = [
        ("GET", "Host: a.example\r\nX-Any: 1\r\n"),
        ("POST", "Host: a.example\r\nX-Any: 1\r\nX-Role: writer\r\nContent-Length: 0\r\n"),
        (
            "PUT",
            "Host: a.example\r\nX-Any: 1\r\nX-Role: writer\r\nX-Suspended: 1\r\nContent-Length: 0\r\n",
        ),
        ("GET", "Host: b.INTERNAL\r\nX-Any: 1\r\nX-Role: admin\r\n"),
        ("DELETE", "Host: a.example\r\nX-Any: 1\r\nX-Level: 4\r\n"),
        ("DELETE", "Host: a.example\r\nX-Any: 1\r\nX-Level: 5\r\n"),
        ("DELETE", "Host: a.example\r\nX-Open: yes\r\n"),
        ("DELETE", "Host: a.example\r\n"),
        ("GET", "Host: a.example\r\nX-Any: 1\r\nX-Forwarded-For: 192.0.2.7\r\n"),
        (
            "POST",
            "Host: a.example\r\nX-Any: 1\r\nX-Role: a\r\nX-Role: writer\r\nContent-Length: 0\r\n",
        ),
    ];
    let each = |path: &&str| {
        let path = (*path).to_owned();
        heads.map(|(method, fields)| format!("{method} {path} HTTP/1.1\r\n{fields}\r\n"))
    };
    paths.iter().flat_map(each).collect()
}

#[test]
fn requests_are_decided_recorded_and_counted_as_by_envoy() {
    const FORMAT: &str =
        "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%";
    let filters = rbac("http", DENY) + &rbac("http", ALLOW);
    let chain = |path: &Path| web(&filters, &log(path, &text(FORMAT)));
    let Some(pair) = Pair::start(|path| envoy::file(&chain(path), &[])) else { return };
    let requests = requests();
    let mut told = Vec::new();
    for request in &requests {
        let answers = pair.addresses.map(|address| {
            let answer = Peer::connect(address).call(request);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
        });
        assert_eq!(answers[0], answers[1], "{request}");
        told.push(answers[0].clone());
    }
    let denied = ("403".to_owned(), "RBAC: access denied".to_owned());
    let count = told.iter().filter(|answer| **answer == denied).count();
    assert!(count > 30 && count < told.len() - 30, "{count} of {} are denied", told.len());
    let [ours, theirs] = pair.logged(requests.len());
    assert_eq!(ours, theirs);
    let secrets = "403 - rbac_access_denied_matched_policy[no_secrets]";
    assert!(ours.iter().any(|line| line.ends_with(secrets)), "{ours:#?}");
    let [ours, theirs] = counted(&pair);
    assert_eq!(ours, theirs);
}

/// The status that `curl` gets as `name`, and the version of HTTP.
fn curl(ca: &Ca, name: &str, address: SocketAddr, version: &str, path: &str) -> String {
    let (chain, key) = ca.issue(name);
    let port = address.port();
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "--max-time", "30", "-w", "%{http_code} %{http_version}"])
        .args([version, "--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(ca.root())
        .arg("--cert")
        .arg(chain)
        .arg("--key")
        .arg(key)
        .arg(format!("https://localhost:{port}{path}"))
        .output()
        .expect("curl is installed");
    String::from_utf8(output.stdout).unwrap()
}

fn principals() -> String {
    let one = |name: &str, path: &str, principal: &str| {
        format!(
            "    {name}:\n      permissions: [{{url_path: {{path: {{exact: {path}}}}}}}]\n      \
             principals: [{{authenticated: {{principal_name: {principal}}}}}]\n"
        )
    };
    format!(
        "rules:\n  policies:\n{}{}{}{}",
        one("alice-only", "/exact", &format!("{{exact: '{}'}}", id("alice"))),
        one("by-prefix", "/prefix", "{prefix: 'spiffe://cluster.local/ns/default/sa/al'}"),
        one("by-regex", "/regex", "{safe_regex: {regex: 'spiffe://.*/sa/b.*'}}"),
        one("by-suffix", "/suffix", "{suffix: /sa/BOB, ignore_case: true}")
    )
}

#[test]
fn a_client_certificate_says_who_asks() {
    let ca = Ca::new();
    let tls = envoy::tls("DownstreamTlsContext", &ca, "server", &["h2", "http/1.1"]);
    let chain = web(&rbac("http", &principals()), "") + &tls;
    let Some(pair) = Pair::start(|_| envoy::file(&chain, &[])) else { return };
    // (path, what alice gets, what bob gets)
    let table = [
        ("/exact", 200, 403),
        ("/prefix", 200, 403),
        ("/regex", 403, 200),
        ("/suffix", 403, 200),
        ("/none", 403, 403),
    ];
    for (path, alice, bob) in table {
        for (name, status) in [("alice", alice), ("bob", bob)] {
            for (version, said) in [("--http1.1", "1.1"), ("--http2", "2")] {
                for address in pair.addresses {
                    let found = curl(&ca, name, address, version, path);
                    assert_eq!(found, format!("{status} {said}"), "{name} {path} at {address}");
                }
            }
        }
    }
}

#[test]
fn connections_are_decided_recorded_and_counted_as_by_envoy() {
    const FORMAT: &str =
        "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%";
    let echo = origin(|mut peer| {
        while let Some(line) = peer.until("\n") {
            peer.write(line);
        }
    });
    let here = "source_ip: {address_prefix: 127.0.0.0, prefix_len: 8}";
    let there = "source_ip: {address_prefix: 192.0.2.0, prefix_len: 24}";
    let port = "and_rules: {rules: [{destination_port: 1}]}";
    // (action, permission, principal, whether it passes, what the record ends with)
    let table = [
        ("ALLOW", "any: true", here, None),
        ("ALLOW", "any: true", there, Some("none")),
        ("ALLOW", port, here, Some("none")),
        ("DENY", "any: true", here, Some("the_policy")),
        ("DENY", "any: true", there, None),
        ("LOG", "any: true", here, None),
        ("ALLOW", "url_path: {path: {prefix: /}}", here, Some("none")),
        ("DENY", "not_rule: {url_path: {path: {prefix: /}}}", here, Some("the_policy")),
    ];
    for (action, permission, principal, denied) in table {
        let policies = format!(
            "{{the policy: {{permissions: [{{{permission}}}], principals: [{{{principal}}}]}}}}"
        );
        let settings =
            format!("stat_prefix: it.\nrules: {{action: {action}, policies: {policies}}}\n");
        let filter = rbac("network", &settings);
        let pair = Pair::start(|path| {
            let chain = envoy::tcp(&filter, "c", &log(path, &text(FORMAT)));
            envoy::file(&chain, &[envoy::cluster("c", "", echo)])
        });
        let Some(pair) = pair else { return };
        for address in pair.addresses {
            let mut client = Peer::connect(address);
            client.write("hello\n");
            let said = client.until("\n");
            assert_eq!(said.as_deref() == Some("hello\n"), denied.is_none(), "{policies}");
        }
        let [ours, theirs] = pair.logged(1);
        let expected = denied
            .map_or("-".to_owned(), |name| format!("rbac_access_denied_matched_policy[{name}]"));
        for lines in [&ours, &theirs] {
            assert!(lines[0].ends_with(&format!(" {expected}")), "{policies}: {ours:?} {theirs:?}");
        }
        let [ours, theirs] = counted(&pair);
        assert_eq!(ours, theirs, "{policies}");
    }
}

#[test]
fn a_connection_is_authorized_by_its_certificate() {
    let ca = Ca::new();
    let (web, _requests) = answering(OK);
    let alice = format!(
        "stat_prefix: it.\nrules: {{policies: {{alice: {{permissions: [{{any: true}}], principals: [\
         {{authenticated: {{principal_name: {{exact: '{}'}}}}}}]}}}}}}\n",
        id("alice")
    );
    let tls = envoy::tls("DownstreamTlsContext", &ca, "server", &["http/1.1"]);
    let chain = envoy::tcp(&rbac("network", &alice), "c", "") + &tls;
    let text = envoy::file(&chain, &[envoy::cluster("c", "", web)]);
    let Some(pair) = Pair::start(|_| text.clone()) else { return };
    for address in pair.addresses {
        assert_eq!(curl(&ca, "alice", address, "--http1.1", "/"), "200 1.1");
        assert_eq!(curl(&ca, "bob", address, "--http1.1", "/"), "000 0");
    }
}

#[tokio::test]
async fn streams_of_one_connection_are_decided_each_for_itself() {
    let running = envoy::ours(&envoy::file(&web(&rbac("http", ALLOW), ""), &[])).unwrap();
    let mut client = h2::Client::connect(running.address(LISTENER).unwrap()).await;
    for _ in 0..3 {
        for (method, path, status) in
            [("GET", "/items/1", 200), ("DELETE", "/items/1", 200), ("GET", "/x", 200)]
        {
            // Without x-any everything is open to those who say nothing about themselves.
            let mut request = h2::request(method, path);
            request.headers_mut().insert("x-open", "yes".parse().unwrap());
            assert_eq!(client.call(request, b"", None).await.unwrap().status, status);
        }
        for (method, path, status) in
            [("GET", "/items/1", 200), ("DELETE", "/items/1", 403), ("GET", "/x", 403)]
        {
            let answer = client.call(h2::request(method, path), b"", None).await.unwrap();
            assert_eq!(answer.status, status, "{method} {path}");
            if status == 403 {
                assert_eq!(&answer.body[..], b"RBAC: access denied");
                assert_eq!(answer.headers["x-leno-blame"], "policy");
            }
        }
        let mut grpc = h2::request("POST", "/x");
        grpc.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let answer = client.call(grpc, b"", None).await.unwrap();
        assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &"7".parse().unwrap()));
    }
}

#[test]
fn what_would_decide_and_is_not_known_is_refused_with_its_place() {
    let policy = |permission: &str, principal: &str| {
        format!(
            "rules: {{policies: {{p: {{permissions: [{{{permission}}}], principals: [{{{principal}}}]}}}}}}\n"
        )
    };
    let metadata = "metadata: {filter: a, path: [{key: b}], value: {present_match: true}}";
    // (settings, place, what is said)
    let table = [
        (policy(metadata, "any: true"), "policies[p].permissions[0].metadata", "is not supported"),
        (policy("any: true", metadata), "policies[p].principals[0].metadata", "is not supported"),
        (
            policy("any: true", "filter_state: {key: a, string_match: {exact: b}}"),
            "principals[0].filter_state",
            "is not supported",
        ),
        (
            policy("and_rules: {rules: [{uri_template: {name: a}}]}", "any: true"),
            "permissions[0].and_rules.rules[0].uri_template",
            "is not supported",
        ),
        (policy("any: false", "any: true"), "permissions[0].any", "is false"),
        (policy("", "any: true"), "permissions[0]", "exactly one condition is expected"),
        (policy("any: true, destination_port: 1", "any: true"), "permissions[0]", "exactly one"),
        (policy("destination_port_range: {start: 2, end: 2}", "any: true"), "port_range", "2 to 2"),
        ("matcher: {}\n".to_owned(), "typed_config.matcher", "is not supported"),
        ("shadow_matcher: {}\n".to_owned(), "typed_config.shadow_matcher", "is not supported"),
        (
            "rules: {policies: {p: {permissions: [{any: true}]}}}\n".to_owned(),
            "policies[p].principals",
            "is missing",
        ),
        (
            "rules: {policies: {p: {permissions: [{any: true}], principals: [{any: true}], condition: {}}}}\n"
                .to_owned(),
            "policies[p].condition",
            "is not supported",
        ),
    ];
    let refusal = |text: &str| envoy::ours(text).map(drop).unwrap_err().to_string();
    for (settings, place, said) in table {
        let error = refusal(&envoy::file(&web(&rbac("http", &settings), ""), &[]));
        assert!(error.contains(place) && error.contains(said), "{settings}: {error}");
    }
    let header = "stat_prefix: it\nrules: {policies: {p: {permissions: [{not_rule: {header: {name: x}}}], \
         principals: [{any: true}]}}}\n";
    let to = envoy::cluster("c", "", ([127, 0, 0, 1], 1).into());
    let error = refusal(&envoy::file(&envoy::tcp(&rbac("network", header), "c", ""), &[to]));
    assert!(error.contains("not_rule.header: is not supported; a connection has no"), "{error}");
}
