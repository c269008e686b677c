//! Access records on their way to a log, in the form its configuration gives.
//!
//! What an operator means for a finished exchange or connection is answered here from its record and its heads; what is
//! in a line, and in which form, is `leno_core::format`.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use leno_core::format::{Exchange, Fact, HeaderChoice, LogLine, Operator};
use leno_http::{Known, Name, RequestHead, ResponseHead};
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

impl<'a> Heads<'a> {
    fn of_request(&self, name: &str) -> Option<&'a [u8]> {
        let head = self.request;
        match name {
            ":method" => Some(head.method_str().as_bytes()),
            ":path" => Some(head.target().as_bytes()),
            ":authority" => head.fields().get(Known::Host),
            ":scheme" => Some(self.scheme.as_bytes()),
            // Envoy keeps it in a header when a route rewrites the path.
            "x-envoy-original-path" => {
                let received = head.received_target();
                let said = head.fields().get(Name::parse(name)?);
                said.or((received != head.target()).then_some(received.as_bytes()))
            }
            name => head.fields().get(Name::parse(name)?),
        }
    }

    fn of_response(&self, name: &str) -> Option<&'a [u8]> {
        self.response?.fields().get(Name::parse(name)?)
    }
}

impl Logged<'_> {
    fn fact(&self, fact: Fact, out: &mut Vec<u8>) {
        let record = self.record;
        let remote = self.heads.as_ref().map(|heads| heads.client);
        let remote = remote.or(record.downstream_remote_address);
        let text = match fact {
            Fact::ResponseCode => return show(out, Some(record.response_code)),
            Fact::BytesReceived => return show(out, Some(record.bytes_received)),
            Fact::BytesSent => return show(out, Some(record.bytes_sent)),
            Fact::Duration => return show(out, Some(record.duration.as_millis())),
            Fact::ResponseFlags => {
                let part = |part: &'static str| out.extend_from_slice(part.as_bytes());
                return record.response_flags.each_part(part);
            }
            Fact::UpstreamHost | Fact::UpstreamRemoteAddress => {
                return show(out, record.upstream_host);
            }
            Fact::UpstreamLocalAddress => return show(out, record.upstream_local_address),
            Fact::DownstreamLocalAddress => return show(out, record.downstream_local_address),
            Fact::DownstreamLocalAddressWithoutPort => {
                return show(out, record.downstream_local_address.map(|address| address.ip()));
            }
            Fact::DownstreamLocalPort => {
                return show(out, record.downstream_local_address.map(|address| address.port()));
            }
            Fact::DownstreamRemoteAddress => return show(out, remote),
            Fact::DownstreamRemoteAddressWithoutPort => {
                return show(out, remote.map(|address| address.ip()));
            }
            Fact::DownstreamRemotePort => return show(out, remote.map(|address| address.port())),
            Fact::DownstreamDirectRemoteAddress => {
                return show(out, record.downstream_remote_address);
            }
            Fact::DownstreamDirectRemoteAddressWithoutPort => {
                return show(out, record.downstream_remote_address.map(|address| address.ip()));
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
        let first = |choice: &HeaderChoice, of: &dyn Fn(&str) -> Option<Vec<u8>>| {
            of(&choice.name).or_else(|| of(choice.or.as_ref()?))
        };
        let heads = self.heads.as_ref();
        let value = match operator {
            Operator::Request(choice) => {
                first(choice, &|name| heads?.of_request(name).map(<[u8]>::to_vec))
            }
            Operator::Response(choice) => {
                first(choice, &|name| heads?.of_response(name).map(<[u8]>::to_vec))
            }
            Operator::StartTime(format) => return format.write(self.record.start_time, out),
            Operator::Environment(name) => Some(surroundings::variable(name).to_vec()),
            Operator::Fact(fact) => return self.fact(*fact, out),
        };
        out.extend(value.into_iter().flatten());
    }
}

fn show(out: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        write!(out, "{value}").expect("writing to a Vec cannot fail");
    }
}
