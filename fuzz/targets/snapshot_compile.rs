//! Resources from arbitrary bytes: compile refuses them with places and reasons, or gives a snapshot that answers every
//! call, and answers it as a naive scan over the routes does.
#![no_main]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::*;
use leno_core::explain::{Entry, explain};
use leno_core::request::Call;
use leno_core::route_table::Action;
use leno_core::snapshot::{Resources, Snapshot};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Unstructured::new(data);
    let Ok((resources, call)) = read(&mut bytes) else { return };
    match Snapshot::compile(&resources, None) {
        Ok(snapshot) => ask(&snapshot, &resources, &call),
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let line = problem.to_string();
                assert!(problem.at.contains('[') && line.len() > problem.at.len() + 10, "{line}");
            }
        }
    }
});

fn ask(snapshot: &Snapshot, resources: &Resources, call: &Call) {
    let again = Snapshot::compile(resources, Some(snapshot)).expect("it compiled before");
    let pairs = again.route_tables().iter().zip(snapshot.route_tables());
    assert!(pairs.into_iter().all(|(a, b)| Arc::ptr_eq(a, b)), "nothing changed, all is shared");
    for table in snapshot.route_tables() {
        let naive = table
            .virtual_host(call)
            .and_then(|host| host.routes().iter().position(|route| route.mismatch(call).is_none()));
        let found = table.route(call).ok();
        assert_eq!(found.map(|matched| matched.position), naive);
        if let Some(Action::Forward(forward)) = found.map(|matched| &matched.route.action) {
            assert!([0, 1, u64::MAX].iter().all(|&at| forward.clusters.pick(at).weight > 0));
        }
    }
    let destination = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);
    for entry in [Entry::RouteConfiguration("t"), Entry::Destination(destination)] {
        assert!(!explain(snapshot, entry, call).to_string().is_empty());
    }
}

fn read(bytes: &mut Unstructured<'_>) -> Result<(Resources, Call)> {
    let mut call = Call::get(&text(bytes)?, &text(bytes)?);
    for name in ["x-a", "X-A", "x-b"] {
        call = call.with_header(name, &text(bytes)?);
    }
    let hosts = list(bytes, 3, |bytes| {
        Ok(VirtualHost {
            name: text(bytes)?,
            domains: list(bytes, 4, text)?,
            routes: list(bytes, 16, route)?,
            request_headers: edits(bytes)?,
            response_headers: HeaderMutations::default(),
            retry_policy: None,
            include_attempt_count: false,
        })
    })?;
    let table = RouteConfiguration {
        name: "t".to_owned(),
        virtual_hosts: hosts,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: bytes.ratio(1, 16)?,
    };
    let listener = listener(bytes)?;
    let resources = Resources {
        listeners: BTreeMap::from([("l".to_owned(), Arc::new(listener))]),
        routes: BTreeMap::from([("t".to_owned(), Arc::new(table))]),
        clusters: BTreeMap::new(),
    };
    Ok((resources, call))
}

/// Up to `max` of them.
fn list<T>(
    bytes: &mut Unstructured<'_>,
    max: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = bytes.int_in_range(0..=max)?;
    (0..count).map(|_| one(bytes)).collect()
}

/// Short, so that texts meet; from words that mean something somewhere, or from the bytes.
fn text(bytes: &mut Unstructured<'_>) -> Result<String> {
    const WORDS: [&str; 12] =
        ["/", "/a", "/a/b", "/A", "*", "*.b", "a.*", "a.b", "a.b:80", "x-a", "[a-z]+", r"\1"];
    match bytes.int_in_range(0..=15)? {
        word @ 0..=11 => Ok(WORDS[word].to_owned()),
        _ => {
            let length = bytes.int_in_range(0..=24)?.min(bytes.len());
            Ok(String::from_utf8_lossy(bytes.bytes(length)?).into_owned())
        }
    }
}

fn pattern(bytes: &mut Unstructured<'_>) -> Result<StringMatch> {
    let text = text(bytes)?;
    let pattern = match bytes.int_in_range(0..=4)? {
        0 => StringPattern::Exact(text),
        1 => StringPattern::Prefix(text),
        2 => StringPattern::Suffix(text),
        3 => StringPattern::Contains(text),
        _ => StringPattern::Regex(text),
    };
    Ok(StringMatch { pattern, ignore_case: bytes.arbitrary()? })
}

fn route(bytes: &mut Unstructured<'_>) -> Result<Route> {
    let path = text(bytes)?;
    let path = match bytes.int_in_range(0..=8)? {
        0..=2 => PathMatch::Prefix(path),
        3..=5 => PathMatch::Exact(path),
        6 => PathMatch::PathSeparatedPrefix(path),
        7 => PathMatch::Connect,
        _ => PathMatch::Regex(path),
    };
    let headers = list(bytes, 2, |bytes| {
        Ok(HeaderMatch {
            name: text(bytes)?,
            kind: match bytes.int_in_range(0..=2)? {
                0 => HeaderMatchKind::Present(bytes.arbitrary()?),
                1 => HeaderMatchKind::Range { start: bytes.arbitrary()?, end: bytes.arbitrary()? },
                _ => HeaderMatchKind::String(pattern(bytes)?),
            },
            invert: bytes.arbitrary()?,
            treat_missing_as_empty: bytes.arbitrary()?,
        })
    })?;
    let query = list(bytes, 1, |bytes| {
        Ok(QueryMatch { name: text(bytes)?, kind: QueryMatchKind::String(pattern(bytes)?) })
    })?;
    Ok(Route {
        name: String::new(),
        origin: None,
        route_match: RouteMatch { path, case_sensitive: bytes.arbitrary()?, headers, query },
        action: action(bytes)?,
        request_headers: edits(bytes)?,
        response_headers: HeaderMutations::default(),
        fault: None,
        authorization: optional(bytes, |bytes| {
            Ok(RouteAuthorization::Check(Box::new(authorization(bytes)?)))
        })?,
    })
}

/// Rules over paths and identities.
fn authorization(bytes: &mut Unstructured<'_>) -> Result<Authorization> {
    let policies = list(bytes, 8, |bytes| {
        let permission = |bytes: &mut Unstructured<'_>| Ok(Permission::UrlPath(pattern(bytes)?));
        let principal =
            |bytes: &mut Unstructured<'_>| Ok(Principal::Authenticated(optional(bytes, pattern)?));
        let (permissions, principals) = (list(bytes, 3, permission)?, list(bytes, 3, principal)?);
        Ok((text(bytes)?, Policy { permissions, principals }))
    })?;
    let rules = AuthorizationRules {
        action: AuthorizationAction::Deny,
        policies: policies.into_iter().collect(),
    };
    Ok(Authorization { rules: Some(rules), ..Authorization::default() })
}

fn action(bytes: &mut Unstructured<'_>) -> Result<RouteAction> {
    if bytes.ratio(1, 4)? {
        return Ok(RouteAction::Redirect(Box::new(Redirect {
            scheme: bytes.arbitrary::<bool>()?.then(|| "https".to_owned()),
            host: optional(bytes, text)?,
            port: bytes.arbitrary()?,
            path: optional(bytes, |bytes| Ok(RedirectPath::Prefix(text(bytes)?)))?,
            status: 301,
            strip_query: bytes.arbitrary()?,
        })));
    }
    let parts = list(bytes, 3, |bytes| {
        Ok(WeightedCluster {
            name: "c".to_owned(),
            weight: bytes.arbitrary()?,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
        })
    })?;
    let rewrite = |bytes: &mut Unstructured<'_>| {
        Ok(match bytes.arbitrary()? {
            true => PathRewrite::Prefix(text(bytes)?),
            false => PathRewrite::Regex { pattern: text(bytes)?, substitution: text(bytes)? },
        })
    };
    Ok(RouteAction::Forward(Box::new(Forward {
        cluster: match parts.is_empty() {
            true => ClusterSpecifier::Cluster("c".to_owned()),
            false => ClusterSpecifier::Weighted(parts),
        },
        timeout: optional(bytes, |bytes| Ok(Duration::from_secs(bytes.arbitrary()?)))?,
        idle_timeout: None,
        retry_policy: None,
        path_rewrite: optional(bytes, rewrite)?.map(Box::new),
        host_rewrite: optional(bytes, text)?,
        mirrors: vec![],
        websocket: None,
        connect: None,
        max_stream_duration: None,
        grpc_timeout: None,
    })))
}

fn edits(bytes: &mut Unstructured<'_>) -> Result<HeaderMutations> {
    let edits = list(bytes, 1, |bytes| {
        let (name, value) = (text(bytes)?, text(bytes)?);
        Ok(HeaderMutation { name, value, edit: HeaderEdit::Append })
    })?;
    Ok(HeaderMutations::new(vec![], edits))
}

fn optional<T>(
    bytes: &mut Unstructured<'_>,
    read: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if bytes.ratio(1, 4)? { read(bytes).map(Some) } else { Ok(None) }
}

fn listener(bytes: &mut Unstructured<'_>) -> Result<Listener> {
    let chains = list(bytes, 4, |bytes| {
        let tcp = TcpProxy {
            max_connection_duration: None,
            max_connect_attempts: 1,
            stat_prefix: String::new(),
            cluster: ClusterSpecifier::Cluster("c".to_owned()),
            idle_timeout: None,
            access_log: vec![],
            tunneling: None,
        };
        Ok(FilterChain {
            name: text(bytes)?,
            filter_chain_match: FilterChainMatch {
                destination_port: optional(bytes, |bytes| bytes.arbitrary())?,
                server_names: list(bytes, 2, text)?,
                application_protocols: list(bytes, 2, text)?,
                ..FilterChainMatch::default()
            },
            tls: None,
            connection_limits: Vec::new(),
            authorization: Vec::new(),
            filter: NetworkFilter::Tcp(tcp),
        })
    })?;
    Ok(Listener {
        name: "l".to_owned(),
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80).into(),
        additional_addresses: Vec::new(),
        buffer_bytes: None,
        bind_to_port: false,
        use_original_dst: bytes.arbitrary()?,
        direction: TrafficDirection::Outbound,
        listener_filters: vec![],
        listener_filters_timeout: Duration::from_secs(15),
        continue_on_listener_filters_timeout: false,
        filter_chains: chains,
        default_filter_chain: None,
        access_log: vec![],
    })
}
