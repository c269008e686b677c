//! The functions every request passes, alone: `hot NAME COUNT` runs one of them so many times and does nothing else, so
//! that the difference between two counts is what it costs. `cargo xtask bench instructions` runs it under callgrind.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a program for measuring")]

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
use leno_core::format::{self, Fact, LogLine, Operator};
use leno_core::http_filter::Filter;
use leno_core::random::SplitMix64;
use leno_core::request::Call;
use leno_core::snapshot::{Resources, Snapshot};
use leno_http::h2::{self, Event, Then};
use leno_http::{Fields, Known, Limits, RequestHead, ResponseHead, Version, h1};
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
        "h2_exchange" => h2_exchange(count),
        "h2_data" => h2_data(count),
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

/// A client, the two machines of a proxy, and an endpoint: what each has to say to the next.
struct Hop {
    ends: [(h2::Connection, Vec<u8>); 4],
    heads: h2::Heads,
    now: Instant,
    response: ResponseHead,
    /// The proxy's two streams of each call.
    streams: Vec<(h2::Stream, h2::Stream)>,
}

const CLIENT: usize = 0;
const DOWN: usize = 1;
const UP: usize = 2;
const ORIGIN: usize = 3;
/// Streams at a time.
const STREAMS: usize = 50;
const BODY: [u8; 1024] = [b'x'; 1024];

impl Hop {
    fn new() -> Self {
        let settings = h2::Settings::DEFAULT;
        let ends = [
            h2::Connection::client(settings),
            h2::Connection::server(settings),
            h2::Connection::client(settings),
            h2::Connection::server(settings),
        ];
        let mut response = ResponseHead::new();
        response.start(Version::Http2, 200);
        response.fields_mut().append(Known::ContentType, b"application/grpc");
        let mut hop = Self {
            ends: ends.map(|machine| (machine, Vec::with_capacity(1 << 20))),
            heads: h2::Heads::default(),
            now: Instant::now(),
            response,
            streams: Vec::new(),
        };
        hop.ends.iter_mut().for_each(|(machine, out)| machine.start(out));
        for _ in 0..4 {
            hop.pass(CLIENT, DOWN, |_, _| {});
            hop.pass(DOWN, CLIENT, |_, _| {});
            hop.pass(UP, ORIGIN, |_, _| {});
            hop.pass(ORIGIN, UP, |_, _| {});
        }
        hop
    }

    /// Moves what `from` said to `to`, and has each event looked at.
    fn pass(&mut self, from: usize, to: usize, mut on: impl FnMut(&mut Self, Event<'_>)) {
        let said = std::mem::take(&mut self.ends[from].1);
        let mut input = said.as_slice();
        loop {
            let (machine, out) = &mut self.ends[to];
            let event = machine.receive(self.now, &mut input, &mut self.heads, out).unwrap();
            let Some(event) = event else { break };
            on(self, event);
        }
        let mut said = said;
        said.clear();
        // What was said meanwhile, such as acknowledgements, goes first.
        said.extend_from_slice(&self.ends[from].1);
        self.ends[from].1 = said;
    }

    /// What the proxy's downstream end received goes up.
    fn up(&mut self, event: Event<'_>) {
        let (machine, out) = &mut self.ends[UP];
        match event {
            Event::Request { stream, then } => {
                let up = machine.request(&self.heads.request, then, out).unwrap();
                self.streams.push((stream, up));
            }
            Event::Data { stream, bytes, then } => {
                let (_, up) = self.streams[call_of(stream)];
                assert_eq!(machine.data(up, bytes, then, out), bytes.len());
                let (machine, out) = &mut self.ends[DOWN];
                machine.release(stream, bytes.len(), out);
            }
            _ => {}
        }
    }

    /// What its upstream end received goes down.
    fn down(&mut self, event: Event<'_>) {
        let stream = match event {
            Event::Response { stream, .. } | Event::Data { stream, .. } => stream,
            Event::Trailers { stream } => stream,
            _ => return,
        };
        let (down, _) = self.streams[call_of(stream)];
        let (machine, out) = &mut self.ends[DOWN];
        match event {
            Event::Response { then, .. } => machine.response(down, &self.heads.response, then, out),
            Event::Data { bytes, then, .. } => {
                assert_eq!(machine.data(down, bytes, then, out), bytes.len());
                let (machine, out) = &mut self.ends[UP];
                machine.release(stream, bytes.len(), out);
            }
            _ => machine.trailers(down, &self.heads.trailers, out),
        }
    }

    /// Fifty calls at a time, from heads to heads, each with a body of 100 bytes and back as many as `answer` says.
    fn calls(&mut self, request: &RequestHead, answer: &mut impl FnMut(&mut Self, h2::Stream)) {
        let mut calls = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let (machine, out) = &mut self.ends[CLIENT];
            let stream = machine.request(request, Then::More, out).unwrap();
            machine.data(stream, &BODY[..100], Then::End, out);
            calls.push(stream);
        }
        self.streams.clear();
        self.pass(CLIENT, DOWN, |hop, event| hop.up(event));
        let mut asked = Vec::with_capacity(STREAMS);
        self.pass(UP, ORIGIN, |_, event| {
            if let Event::Request { stream, .. } = event {
                asked.push(stream);
            }
        });
        for stream in &asked {
            answer(self, *stream);
        }
        self.pass(ORIGIN, UP, |hop, event| hop.down(event));
        self.pass(DOWN, CLIENT, |hop, event| {
            if let Event::Data { stream, bytes, .. } = event {
                let (machine, out) = &mut hop.ends[CLIENT];
                machine.release(stream, bytes.len(), out);
            }
        });
        for at in 0..STREAMS {
            let (down, up) = self.streams[at];
            for (end, stream) in [(CLIENT, calls[at]), (DOWN, down), (UP, up), (ORIGIN, asked[at])]
            {
                let (machine, out) = &mut self.ends[end];
                machine.finish(stream, out);
            }
        }
    }
}

/// Which of the fifty calls a stream is: identifiers are given in their order.
fn call_of(stream: h2::Stream) -> usize {
    (stream.id() / 2) as usize % STREAMS
}

fn grpc_request() -> RequestHead {
    let mut request = RequestHead::new();
    request.start(Version::Http2, "POST", "svc7.ns.svc.cluster.local", "/shop.Cart/Add");
    for (name, value) in [
        (Known::ContentType, "application/grpc"),
        (Known::Te, "trailers"),
        (Known::UserAgent, "grpc-go/1.85.0"),
        (Known::Authorization, "Bearer 0123456789abcdef0123456789abcdef"),
    ] {
        request.fields_mut().append(name, value.as_bytes());
    }
    request
}

/// A unary call through the machines of client, proxy and endpoint, with trailers; fifty at a time.
fn h2_exchange(count: usize) {
    let (mut hop, request) = (Hop::new(), grpc_request());
    let mut trailers = Fields::new();
    trailers.append(Known::GrpcStatus, b"0");
    for _ in 0..count / STREAMS {
        hop.calls(black_box(&request), &mut |hop: &mut Hop, stream: h2::Stream| {
            let (machine, out) = &mut hop.ends[ORIGIN];
            machine.response(stream, &hop.response, Then::More, out);
            machine.data(stream, &BODY[..100], Then::More, out);
            machine.trailers(stream, &trailers, out);
        });
    }
}

/// A DATA frame of 1 KiB from an endpoint through the proxy's machines to a client's, ten of each of fifty streams.
fn h2_data(count: usize) {
    const FRAMES: usize = 10;
    let (mut hop, request) = (Hop::new(), grpc_request());
    for _ in 0..count / (STREAMS * FRAMES) {
        hop.calls(black_box(&request), &mut |hop: &mut Hop, stream: h2::Stream| {
            let (machine, out) = &mut hop.ends[ORIGIN];
            machine.response(stream, &hop.response, Then::More, out);
            for frame in 1..=FRAMES {
                let then = if frame == FRAMES { Then::End } else { Then::More };
                assert_eq!(machine.data(stream, black_box(&BODY), then, out), BODY.len());
            }
        });
    }
}

/// The resources of the bench's mesh configuration.
fn resources() -> Resources {
    let template = include_str!("../../../../bench/hop/mesh.yaml");
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
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        let text: &[u8] = match operator {
            Operator::StartTime(format) => return format.write(self.started, out),
            Operator::Request(header) => match &*header.name {
                ":method" => b"GET",
                "x-envoy-original-path" => b"/productpage?u=1",
                "user-agent" => b"curl/8.5.0",
                "x-request-id" => b"0f8fad5b-d9cb-469f-a165-70867728950e",
                ":authority" => b"svc7.ns.svc.cluster.local",
                _ => b"127.0.0.1",
            },
            Operator::Fact(fact) => match fact {
                Fact::ResponseCode => return format::decimal(200, out),
                Fact::BytesReceived | Fact::Duration => return format::decimal(3, out),
                Fact::BytesSent => return format::decimal(1024, out),
                Fact::UpstreamHost | Fact::DownstreamRemoteAddress => {
                    return format::address(([127, 0, 0, 1], 49_080).into(), out);
                }
                Fact::ResponseCodeDetails => b"via_upstream",
                Fact::Protocol => b"HTTP/2",
                Fact::UpstreamCluster => b"app",
                Fact::RouteName => b"default",
                _ => b"-",
            },
            Operator::Response(_) | Operator::Environment(_) => b"",
        };
        out.extend_from_slice(text);
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
