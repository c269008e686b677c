//! Access records on their way to a log, in the form its configuration gives.
//!
//! What an operator means for a finished exchange or connection is answered here from its record and its heads; what is
//! in a line, and in which form, is `leno_core::format`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use leno_core::format::{self, Exchange, Fact, Header, HeaderChoice, LogLine, Operator};
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
    fn fact(&self, fact: Fact, out: &mut Vec<u8>) {
        let record = self.record;
        let remote = || {
            let client = self.heads.as_ref().map(|heads| heads.client);
            client.or(record.downstream_remote_address)
        };
        let number = |number: u64, out: &mut Vec<u8>| format::decimal(number, out);
        let address = |address: Option<SocketAddr>, out: &mut Vec<u8>| {
            address.into_iter().for_each(|address| format::address(address, out));
        };
        let ip = |address: Option<SocketAddr>, out: &mut Vec<u8>| {
            address.into_iter().for_each(|address| format::ip(address.ip(), out));
        };
        let port = |address: Option<SocketAddr>, out: &mut Vec<u8>| {
            address.into_iter().for_each(|address| number(address.port().into(), out));
        };
        let text = match fact {
            Fact::ResponseCode => return number(record.response_code.into(), out),
            Fact::BytesReceived => return number(record.bytes_received, out),
            Fact::BytesSent => return number(record.bytes_sent, out),
            Fact::Duration => {
                let milliseconds = u64::try_from(record.duration.as_millis());
                return number(milliseconds.unwrap_or(u64::MAX), out);
            }
            Fact::ResponseDuration
            | Fact::ResponseTxDuration
            | Fact::GrpcStatus
            | Fact::GrpcStatusSnake
            | Fact::GrpcStatusNumber => return result(record, fact, out),
            Fact::ResponseFlags => {
                let part = |part: &'static str| out.extend_from_slice(part.as_bytes());
                return record.response_flags.each_part(part);
            }
            Fact::UpstreamHost | Fact::UpstreamRemoteAddress => {
                return address(record.upstream_host, out);
            }
            Fact::UpstreamLocalAddress => return address(record.upstream_local_address, out),
            Fact::UpstreamRemoteAddressWithoutPort
            | Fact::UpstreamRemotePort
            | Fact::UpstreamLocalAddressWithoutPort
            | Fact::UpstreamLocalPort => return part(record, fact, out),
            Fact::DownstreamLocalAddress => return address(record.downstream_local_address, out),
            Fact::DownstreamLocalAddressWithoutPort => {
                return ip(record.downstream_local_address, out);
            }
            Fact::DownstreamLocalPort => return port(record.downstream_local_address, out),
            Fact::DownstreamRemoteAddress => return address(remote(), out),
            Fact::DownstreamRemoteAddressWithoutPort => return ip(remote(), out),
            Fact::DownstreamRemotePort => return port(remote(), out),
            Fact::DownstreamDirectRemoteAddress => {
                return address(record.downstream_remote_address, out);
            }
            Fact::DownstreamDirectRemoteAddressWithoutPort => {
                return ip(record.downstream_remote_address, out);
            }
            Fact::Hostname => return out.extend_from_slice(surroundings::hostname()),
            Fact::Protocol => record.protocol,
            Fact::ResponseCodeDetails => record.response_code_details,
            Fact::RouteName => record.route_name,
            Fact::UpstreamCluster | Fact::UpstreamClusterRaw => record.upstream_cluster,
            Fact::UpstreamPeerUriSan => record.upstream_peer,
            Fact::UpstreamTransportFailureReason => record.upstream_transport_failure_reason,
            Fact::ConnectionTerminationDetails => record.connection_termination_details,
            Fact::DownstreamPeerUriSan => record.peer,
            Fact::RequestedServerName => record.requested_server_name,
            Fact::Nothing => None,
        };
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

impl Exchange for Logged<'_> {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        let heads = self.heads.as_ref();
        let value = match operator {
            Operator::Request(choice) => first(choice, |header| heads?.of_request(header)),
            Operator::Response(choice) => first(choice, |header| heads?.of_response(header)),
            Operator::StartTime(format) => return format.write(self.record.start_time, out),
            Operator::Environment(name) => Some(surroundings::variable(name)),
            Operator::Fact(fact) => return self.fact(*fact, out),
        };
        out.extend_from_slice(value.unwrap_or_default());
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
    let milliseconds = duration.map(|duration| u64::try_from(duration.as_millis()));
    milliseconds.into_iter().for_each(|ms| format::decimal(ms.unwrap_or(u64::MAX), out));
}

/// The upstream's addresses without their ports, and the ports.
fn part(record: &AccessRecord<'_>, fact: Fact, out: &mut Vec<u8>) {
    let (remote, local) = (record.upstream_host, record.upstream_local_address);
    let (address, is_port) = match fact {
        Fact::UpstreamRemoteAddressWithoutPort => (remote, false),
        Fact::UpstreamRemotePort => (remote, true),
        Fact::UpstreamLocalAddressWithoutPort => (local, false),
        _ => (local, true),
    };
    match address {
        Some(address) if is_port => format::decimal(address.port().into(), out),
        Some(address) => format::ip(address.ip(), out),
        None => {}
    }
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
