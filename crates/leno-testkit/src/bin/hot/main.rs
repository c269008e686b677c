//! The functions every request passes, alone: `hot NAME COUNT` runs one of them so many times and does nothing else, so
//! that the difference between two counts is what it costs. `cargo xtask bench instructions` runs it under callgrind.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a program for measuring")]

mod hop;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leno_core::authorization::{Caller, Permit};
use leno_core::balance::{Balancer, Pick};
use leno_core::cluster::Cluster;
use leno_core::config::{self, ClusterLoadAssignment, Discovery};
use leno_core::endpoint::EndpointSet;
use leno_core::filter_chain::NetworkFilter;
use leno_core::format::{self, Fact, LogLine, Operator, Value};
use leno_core::http_filter::Filter;
use leno_core::random::SplitMix64;
use leno_core::request::Call;
use leno_core::snapshot::{Resources, Snapshot};
use leno_http::{Limits, RequestHead, ResponseHead, h1};
use leno_telemetry::{
    AccessLog, AccessRecord, Exchange, Metrics, Party, PartyId, Protocol, Reporter, ResponseFlags,
    Security, SeriesKey, SeriesLimits, ServiceId,
};

const REQUEST: &[u8] = b"GET /productpage?u=1 HTTP/1.1\r\nHost: svc7.ns.svc.cluster.local\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\
    Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\
    Date: Sat, 21 Nov 2026 12:00:00 GMT\r\nServer: app\r\n\r\nhello";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let count = arguments.get(2).and_then(|count| count.parse().ok());
    // cargo itself may start every bench without arguments.
    let (Some(name), Some(count)) = (arguments.get(1), count) else { return };
    match name.as_str() {
        "h1_exchange" => h1_exchange(count),
        "h2_exchange" => hop::h2_exchange(count),
        "h2_data" => hop::h2_data(count),
        "route_100_hosts" => route(count),
        "authz_100_rules" => authorize(count),
        "pick_round_robin" => pick(count),
        "access_record" => access_record(count),
        "access_log_json" => access_log_json(count),
        "metrics" => metrics(count),
        other => panic!("no function {other}"),
    }
}

/// One exchange through both machines, from bytes to bytes.
fn h1_exchange(count: usize) {
    let (mut server, mut client) =
        (h1::Server::new(Limits::DEFAULT), h1::Client::new(Limits::DEFAULT));
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    let (mut up, mut down) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    for _ in 0..count {
        up.clear();
        down.clear();
        server.head(black_box(REQUEST), &mut request).unwrap().unwrap();
        client.request(&request, &mut up);
        h1::relay(server.request_body(), client.request_body(), &[], &mut up).unwrap();
        let head = client.response(black_box(RESPONSE), &mut response).unwrap().unwrap();
        server.response(&response, &mut down);
        let body = &RESPONSE[head..];
        h1::relay(client.response_body(), server.response_body(), body, &mut down).unwrap();
        assert_eq!(client.finish(&[]), h1::Persistence::Keep);
        assert_eq!(server.finish(), h1::Persistence::Keep);
        black_box((&up, &down));
    }
}

/// The resources of the bench's mesh configuration.
fn resources() -> Resources {
    let template = include_str!("../../../../../bench/hop/mesh.yaml");
    let (mut text, mut block) = (String::new(), None::<String>);
    for line in template.lines() {
        match (line.trim(), &mut block) {
            ("# for each service", _) => block = Some(String::new()),
            ("# end", Some(lines)) => {
                (0..100).for_each(|n| text += &lines.replace("{{N}}", &format!("{n}")));
                block = None;
            }
            (_, Some(lines)) => *lines += &format!("{line}\n"),
            (_, None) => text += &format!("{line}\n"),
        }
    }
    let text = text.replace("{{BACKEND_HOST}}", "127.0.0.1").replace("{{FOLDER}}", "/tmp");
    let text =
        text.replace("{{PORT}}", "1").replace("{{ADMIN}}", "2").replace("{{BACKEND_PORT}}", "3");
    let file = leno_xds::static_file::parse(&text).unwrap().value;
    Resources {
        listeners: file.listeners.into_iter().map(|l| (l.name.clone(), Arc::new(l))).collect(),
        routes: BTreeMap::new(),
        clusters: file.clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    }
}

/// The route of a request among a hundred virtual hosts.
fn route(count: usize) {
    let snapshot = Snapshot::compile(&resources(), None).unwrap();
    let chain = snapshot.listeners()[0].filter_chains().next().unwrap();
    let NetworkFilter::Http(manager) = &chain.filter else { panic!("not HTTP") };
    let table = snapshot.routes(&manager.routes).unwrap();
    let call = Call::get("svc77.ns.svc.cluster.local", "/productpage?u=1")
        .with_header("user-agent", "curl/8.5.0");
    for _ in 0..count {
        let matched = table.route(black_box(&call)).unwrap();
        black_box(&matched);
    }
}

/// The verdict on a request among a hundred policies, one of which applies.
fn authorize(count: usize) {
    let snapshot = Snapshot::compile(&resources(), None).unwrap();
    let chain = snapshot.listeners()[0].filter_chains().next().unwrap();
    let NetworkFilter::Http(manager) = &chain.filter else { panic!("not HTTP") };
    let mut filters = manager.filters.iter();
    let check = filters.find_map(|filter| match filter {
        Filter::Authorization(filter) => filter.of(None),
        _ => None,
    });
    let peer = IpAddr::from([127, 0, 0, 1]);
    let caller = Caller {
        principal: Some("spiffe://cluster.local/ns/default/sa/front"),
        source: Some(peer),
        direct: Some(peer),
        client: Some(peer),
        destination: Some((peer, 9080).into()),
        server_name: None,
    };
    let call = Call::get("svc77.ns.svc.cluster.local", "/productpage?u=1")
        .with_header("user-agent", "curl/8.5.0");
    for _ in 0..count {
        let verdicts = check.unwrap().judge(black_box(&caller), black_box(&call));
        assert!(verdicts.enforce(Permit::unasked()).is_ok());
    }
}

/// One endpoint of one.
fn pick(count: usize) {
    let resources = resources();
    let source = resources.clusters.values().next().unwrap();
    let Discovery::Static(endpoints) = &source.discovery else { panic!("not static") };
    let assignment: &ClusterLoadAssignment = endpoints;
    let cluster = Cluster::compile(source).unwrap();
    let now = Instant::now();
    let set = EndpointSet::compile(&cluster, &Arc::new(assignment.clone()), None, now).unwrap();
    let (set, mut balancer) = (Arc::new(set), Balancer::new(&cluster));
    let mut random = SplitMix64::new(1);
    for _ in 0..count {
        let pick = Pick { now: black_box(now), tried: &[] };
        black_box(balancer.pick(&set, pick, &mut random).unwrap());
    }
}

/// One JSON line.
fn access_record(count: usize) {
    let log = AccessLog::start(std::io::sink()).unwrap();
    let mut writer = log.writer();
    for _ in 0..count {
        let record = AccessRecord {
            method: Some(b"GET"),
            path: Some(b"/productpage?u=1"),
            protocol: Some("HTTP/1.1"),
            response_code: 200,
            bytes_sent: 1024,
            duration: Duration::from_millis(3),
            user_agent: Some(b"curl/8.5.0"),
            request_id: Some(b"0f8fad5b-d9cb-469f-a165-70867728950e"),
            authority: Some(b"svc7.ns.svc.cluster.local"),
            upstream_cluster: Some("app"),
            upstream_host: Some(([127, 0, 0, 1], 9080).into()),
            route_name: Some("default"),
            ..AccessRecord::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400))
        };
        writer.write(black_box(&record));
    }
}

/// What a log with a form of its own asks of an exchange.
struct Answered {
    started: SystemTime,
}

impl format::Exchange for Answered {
    fn write(&self, operator: &Operator, _: &mut Vec<u8>) {
        panic!("{operator:?} has a value");
    }

    fn value<'v>(&'v self, operator: &'v Operator) -> Value<'v> {
        Value::Text(match operator {
            Operator::StartTime(_) => return Value::Time(self.started),
            Operator::Request(header) => match &*header.first.name {
                ":method" => b"GET",
                "x-envoy-original-path" => b"/productpage?u=1",
                "user-agent" => b"curl/8.5.0",
                "x-request-id" => b"0f8fad5b-d9cb-469f-a165-70867728950e",
                ":authority" => b"svc7.ns.svc.cluster.local",
                _ => b"127.0.0.1",
            },
            Operator::Fact(fact) => match fact {
                Fact::ResponseCode => return Value::Number(200),
                Fact::BytesReceived | Fact::Duration => return Value::Number(3),
                Fact::BytesSent => return Value::Number(1024),
                Fact::UpstreamHost | Fact::DownstreamRemoteAddress => {
                    return Value::Address(([127, 0, 0, 1], 49_080).into());
                }
                Fact::ResponseCodeDetails => b"via_upstream",
                Fact::Protocol => b"HTTP/2",
                Fact::UpstreamCluster => b"app",
                Fact::RouteName => b"default",
                _ => b"-",
            },
            Operator::Response(_) | Operator::Environment(_) => return Value::Nothing,
        })
    }
}

/// One line in the form of the bench's mesh configuration.
fn access_log_json(count: usize) {
    let resources = resources();
    let chain = resources.listeners.values().next().unwrap().filter_chains.first().unwrap();
    let config::NetworkFilter::Http(manager) = &chain.filter else { panic!("not HTTP") };
    let line = LogLine::compile(&manager.access_log[0].format).unwrap().unwrap();
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400);
    let (answered, mut out) = (Answered { started }, Vec::with_capacity(4096));
    for _ in 0..count {
        out.clear();
        line.write(black_box(&answered), &mut out);
        black_box(&out);
    }
}

/// The counters and histograms of one request.
fn metrics(count: usize) {
    let metrics = Metrics::new(Party::default(), "proxy", SeriesLimits::SIDECAR);
    let shard = metrics.shard();
    let key = SeriesKey {
        reporter: Reporter::Source,
        peer: PartyId::UNKNOWN,
        service: ServiceId::UNKNOWN,
        protocol: Protocol::Http,
        security: Security::MutualTls,
        response_code: 200,
        flags: ResponseFlags::NONE,
        grpc_status: None,
        blame: None,
    };
    let exchange = Exchange {
        duration: Duration::from_micros(730),
        request_bytes: 300,
        response_bytes: 1300,
        request_messages: 0,
        response_messages: 0,
    };
    for _ in 0..count {
        shard.request(black_box(&key), black_box(&exchange));
    }
}
