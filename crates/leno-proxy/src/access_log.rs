//! Access records on their way to a log, in the form its configuration gives.
//!
//! What an operator means for a finished exchange or connection is answered here from its record and its heads; what is
//! in a line, and in which form, is `leno_core::format`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use leno_core::format::{self, Exchange, Fact, Header, HeaderChoice, LogLine, Operator, Value};
use leno_core::grpc;
use leno_http::{Fields, Known, Name, RequestHead, ResponseHead};
use leno_telemetry::{AccessRecord, AccessWriter};

use crate::surroundings;

/// One log of a filter or listener, as one worker writes it.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) writer: Rc<RefCell<AccessWriter>>,
    /// `None` is JSON with Istio's fields.
    pub(crate) line: Option<Rc<LogLine>>,
}

impl Log {
    /// Writes one line. Never blocks.
    pub(crate) fn write(&self, logged: &Logged<'_>) {
        let mut writer = self.writer.borrow_mut();
        match &self.line {
            None => writer.write(logged.record),
            Some(line) => writer.write_with(|out| line.write(logged, out)),
        }
    }
}

/// What a line is about.
pub(crate) struct Logged<'a> {
    pub(crate) record: &'a AccessRecord<'a>,
    /// None of a connection that carried no HTTP.
    pub(crate) heads: Option<Heads<'a>>,
}

/// The heads of an exchange as they were at its end.
pub(crate) struct Heads<'a> {
    pub(crate) request: &'a RequestHead,
    /// None where nothing was answered.
    pub(crate) response: Option<&'a ResponseHead>,
    pub(crate) scheme: &'static str,
    /// The client's address, as far as it is believed.
    pub(crate) client: SocketAddr,
}

/// What is asked of a request beside its fields, by numbers above those of well-known names.
mod number {
    pub(super) const METHOD: u8 = 0x80;
    pub(super) const PATH: u8 = 0x81;
    pub(super) const AUTHORITY: u8 = 0x82;
    pub(super) const SCHEME: u8 = 0x83;
    pub(super) const ORIGINAL_PATH: u8 = 0x84;
}

/// The number that [`Heads`] know a header's name by; 0 for one that only its text tells.
pub(crate) fn number_of(name: &str) -> u8 {
    match name {
        ":method" => number::METHOD,
        ":path" => number::PATH,
        ":authority" => number::AUTHORITY,
        ":scheme" => number::SCHEME,
        "x-envoy-original-path" => number::ORIGINAL_PATH,
        name => Known::recognize(name.as_bytes()) as u8,
    }
}

impl<'a> Heads<'a> {
    fn of_request(&self, header: &Header) -> Option<&'a [u8]> {
        let head = self.request;
        match header.number {
            number::METHOD => Some(head.method_bytes()),
            number::PATH => Some(head.target_bytes()),
            number::AUTHORITY => head.fields().get(Known::Host),
            number::SCHEME => Some(self.scheme.as_bytes()),
            // Envoy keeps it in a header when a route rewrites the path.
            number::ORIGINAL_PATH => {
                let received = head.received_target_bytes();
                let said = head.fields().get(Known::XEnvoyOriginalPath);
                said.or((received != head.target_bytes()).then_some(received))
            }
            _ => field(head.fields(), header),
        }
    }

    fn of_response(&self, header: &Header) -> Option<&'a [u8]> {
        field(self.response?.fields(), header)
    }
}

fn field<'a>(fields: &'a Fields, header: &Header) -> Option<&'a [u8]> {
    match Known::numbered(header.number) {
        Known::Other => fields.get(Name::parse(&header.name)?),
        known => fields.get(known),
    }
}

impl Logged<'_> {
    /// Facts that are there as they are written.
    fn fact(&self, fact: Fact) -> Value<'_> {
        let record = self.record;
        let remote = || {
            let client = self.heads.as_ref().map(|heads| heads.client);
            client.or(record.downstream_remote_address)
        };
        let text = match fact {
            Fact::ResponseCode => return Value::Number(record.response_code.into()),
            Fact::BytesReceived => return Value::Number(record.bytes_received),
            Fact::BytesSent => return Value::Number(record.bytes_sent),
            Fact::Duration => return Value::Number(milliseconds(record.duration)),
            Fact::UpstreamRequestAttemptCount => {
                let attempts = Some(record.upstream_attempts).filter(|attempts| *attempts != 0);
                return attempts.map_or(Value::Nothing, |count| Value::Number(count.into()));
            }
            Fact::ResponseFlags | Fact::ResponseFlagsLong if record.response_flags.is_empty() => {
                return Value::Text(b"-");
            }
            Fact::StreamId => return record.request_id.map_or(Value::Nothing, Value::Text),
            Fact::UpstreamHost | Fact::UpstreamRemoteAddress => {
                return address(record.upstream_host);
            }
            Fact::UpstreamLocalAddress => return address(record.upstream_local_address),
            Fact::DownstreamLocalAddress => return address(record.downstream_local_address),
            Fact::DownstreamRemoteAddress => return address(remote()),
            Fact::DownstreamDirectRemoteAddress => {
                return address(record.downstream_remote_address);
            }
            Fact::UpstreamRemotePort => return port(record.upstream_host),
            Fact::UpstreamLocalPort => return port(record.upstream_local_address),
            Fact::DownstreamLocalPort => return port(record.downstream_local_address),
            Fact::DownstreamRemotePort => return port(remote()),
            Fact::DownstreamDirectRemotePort => return port(record.downstream_remote_address),
            Fact::Hostname => return Value::Text(surroundings::hostname()),
            Fact::Protocol => record.protocol,
            Fact::UpstreamProtocol => record.upstream_protocol,
            Fact::AccessLogType => {
                Some(if self.heads.is_some() { "DownstreamEnd" } else { "TcpConnectionEnd" })
            }
            Fact::ResponseCodeDetails => record.response_code_details,
            Fact::RouteName => record.route_name,
            Fact::UpstreamCluster | Fact::UpstreamClusterRaw => record.upstream_cluster,
            Fact::UpstreamPeerUriSan => record.upstream_peer,
            Fact::UpstreamTransportFailureReason => record.upstream_transport_failure_reason,
            Fact::ConnectionTerminationDetails => record.connection_termination_details,
            Fact::DownstreamPeerUriSan => record.peer,
            Fact::RequestedServerName => record.requested_server_name,
            Fact::Nothing => None,
            Fact::ResponseFlags
            | Fact::ResponseFlagsLong
            | Fact::TraceId
            | Fact::ResponseDuration
            | Fact::ResponseTxDuration
            | Fact::GrpcStatus
            | Fact::GrpcStatusSnake
            | Fact::GrpcStatusNumber
            | Fact::UpstreamRemoteAddressWithoutPort
            | Fact::UpstreamLocalAddressWithoutPort
            | Fact::DownstreamRemoteAddressWithoutPort
            | Fact::DownstreamDirectRemoteAddressWithoutPort
            | Fact::DownstreamLocalAddressWithoutPort => return Value::Written,
        };
        text.map_or(Value::Nothing, |text| Value::Text(text.as_bytes()))
    }

    /// The other facts.
    fn write_fact(&self, fact: Fact, out: &mut Vec<u8>) {
        let record = self.record;
        let of = match fact {
            Fact::ResponseFlags => {
                let part = |part: &'static str| out.extend_from_slice(part.as_bytes());
                return record.response_flags.each_part(part);
            }
            Fact::ResponseFlagsLong => {
                let part = |part: &'static str| out.extend_from_slice(part.as_bytes());
                return record.response_flags.each_name_part(part);
            }
            Fact::TraceId => return record.trace_id.into_iter().for_each(|id| trace_id(id, out)),
            Fact::UpstreamRemoteAddressWithoutPort => record.upstream_host,
            Fact::UpstreamLocalAddressWithoutPort => record.upstream_local_address,
            Fact::DownstreamLocalAddressWithoutPort => record.downstream_local_address,
            Fact::DownstreamDirectRemoteAddressWithoutPort => record.downstream_remote_address,
            Fact::DownstreamRemoteAddressWithoutPort => {
                let client = self.heads.as_ref().map(|heads| heads.client);
                client.or(record.downstream_remote_address)
            }
            _ => return result(record, fact, out),
        };
        of.into_iter().for_each(|address| format::ip(address.ip(), out));
    }
}

fn address(address: Option<SocketAddr>) -> Value<'static> {
    address.map_or(Value::Nothing, Value::Address)
}

fn port(address: Option<SocketAddr>) -> Value<'static> {
    address.map_or(Value::Nothing, |address| Value::Number(address.port().into()))
}

/// As W3C Trace Context writes it: 32 digits.
pub(crate) fn trace_id(id: u128, out: &mut Vec<u8>) {
    for digit in (0..32).rev() {
        out.push(b"0123456789abcdef"[(id >> (4 * digit)) as usize & 0xf]);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    // Not by `as_millis`, whose numbers are of 128 bits.
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis().into())
}

impl Exchange for Logged<'_> {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        match (self.value(operator), operator) {
            (Value::Nothing, _) => {}
            (Value::Text(text), _) => out.extend_from_slice(text),
            (Value::Number(number), _) => format::decimal(number, out),
            (Value::Address(address), _) => format::address(address, out),
            (Value::Time(at), Operator::StartTime(format)) => format.write(at, out),
            (Value::Time(_) | Value::Written, Operator::Fact(fact)) => self.write_fact(*fact, out),
            (Value::Time(_) | Value::Written, _) => {}
        }
    }

    fn value<'v>(&'v self, operator: &'v Operator) -> Value<'v> {
        let heads = self.heads.as_ref();
        let text = match operator {
            Operator::Request(choice) => first(choice, |header| heads?.of_request(header)),
            Operator::Response(choice) => first(choice, |header| heads?.of_response(header)),
            Operator::StartTime(_) => return Value::Time(self.record.start_time),
            Operator::Environment(name) => Some(surroundings::variable(name)),
            Operator::Fact(fact) => return self.fact(*fact),
        };
        text.map_or(Value::Nothing, Value::Text)
    }
}

/// How an exchange ended, and how long its parts took.
fn result(record: &AccessRecord<'_>, fact: Fact, out: &mut Vec<u8>) {
    let duration = match fact {
        Fact::ResponseDuration => record.response_duration,
        Fact::ResponseTxDuration => {
            record.response_duration.map(|until| record.duration.saturating_sub(until))
        }
        Fact::GrpcStatus => return grpc_status(record.grpc_status, |names| names.0, out),
        Fact::GrpcStatusSnake => return grpc_status(record.grpc_status, |names| names.1, out),
        _ => {
            let status = record.grpc_status.into_iter();
            return status.for_each(|status| format::decimal(status.into(), out));
        }
    };
    duration.into_iter().for_each(|duration| format::decimal(milliseconds(duration), out));
}

/// The status by one of its names; what has none by its number.
fn grpc_status(
    status: Option<u8>,
    name: impl Fn((&'static str, &'static str)) -> &'static str,
    out: &mut Vec<u8>,
) {
    let Some(status) = status else { return };
    match grpc::names(status).map(name) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => format::decimal(status.into(), out),
    }
}

/// The first value of a header that configuration names. Most are well known, and then the name needs no other look.
pub(crate) fn named<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    match Known::recognize(name.as_bytes()) {
        Known::Other => fields.get(Name::parse(name)?),
        known => fields.get(known),
    }
}

/// The header that is named first, or else the other.
pub(crate) fn first<'a>(
    choice: &HeaderChoice,
    of: impl Fn(&Header) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    of(&choice.first).or_else(|| of(choice.or.as_ref()?))
}
