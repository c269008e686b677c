//! A head that configuration edits, and what its command operators ask of the exchange.
//!
//! Made where a route's edits are applied. Nothing here is a decision: what the operators mean is `leno_core::format`.

use std::net::{IpAddr, SocketAddr};

use leno_core::format::{self, Exchange, Fact, Operator};
use leno_core::header_edit::HeadersMut;
use leno_http::{Fields, Known, Name, RequestHead, ResponseHead, Scheme};

use super::record::Record;
use super::session::Session;
use crate::access_log::{first, named};
use crate::listener::Facts;
use crate::surroundings;
use crate::worker::Worker;

/// One head under edit.
pub(super) struct Edited<'a> {
    head: Head<'a>,
    facts: &'a Facts,
    record: &'a Record,
    worker: &'a Worker,
    /// Whether what a client says of its address is believed.
    trusts_forwarded: bool,
}

enum Head<'a> {
    Request(&'a mut RequestHead),
    Response(&'a mut ResponseHead, &'a RequestHead),
}

impl<'a> Edited<'a> {
    /// The session's request.
    pub(super) fn request(session: &'a mut Session) -> Self {
        let Session { request, facts, record, worker, manager, .. } = session;
        let trusts_forwarded = !manager.settings.use_remote_address;
        Self { head: Head::Request(request), facts, record, worker, trusts_forwarded }
    }

    /// The session's response.
    pub(super) fn response(session: &'a mut Session) -> Self {
        let Session { request, response, facts, record, worker, manager, .. } = session;
        let trusts_forwarded = !manager.settings.use_remote_address;
        let head = Head::Response(response, request);
        Self { head, facts, record, worker, trusts_forwarded }
    }

    fn fields(&self) -> &Fields {
        match &self.head {
            Head::Request(request) => request.fields(),
            Head::Response(response, _) => response.fields(),
        }
    }

    fn fields_mut(&mut self) -> &mut Fields {
        match &mut self.head {
            Head::Request(request) => request.fields_mut(),
            Head::Response(response, _) => response.fields_mut(),
        }
    }

    fn request_head(&self) -> &RequestHead {
        match &self.head {
            Head::Request(request) => request,
            Head::Response(_, request) => request,
        }
    }

    fn request_value(&self, name: &str) -> Option<&[u8]> {
        let head = self.request_head();
        match name {
            ":method" => Some(head.method_str().as_bytes()),
            ":path" => Some(head.target().as_bytes()),
            ":authority" => head.fields().get(Known::Host),
            ":scheme" => {
                let scheme = head.scheme().map_or(self.facts.scheme(), Scheme::as_str);
                Some(scheme.as_bytes())
            }
            name => named(head.fields(), name),
        }
    }

    fn response_value(&self, name: &str) -> Option<&[u8]> {
        match &self.head {
            Head::Request(_) => None,
            Head::Response(response, _) => named(response.fields(), name),
        }
    }

    fn remote(&self) -> SocketAddr {
        client(self.request_head(), self.facts, self.trusts_forwarded)
    }

    fn write_fact(&self, fact: Fact, out: &mut Vec<u8>) {
        match fact {
            Fact::Protocol => {
                out.extend_from_slice(self.request_head().version().as_str().as_bytes())
            }
            Fact::DownstreamRemoteAddress => format::address(self.remote(), out),
            Fact::DownstreamRemoteAddressWithoutPort => format::ip(self.remote().ip(), out),
            Fact::DownstreamRemotePort => format::decimal(self.remote().port().into(), out),
            Fact::DownstreamDirectRemoteAddress => format::address(self.facts.peer, out),
            Fact::DownstreamDirectRemoteAddressWithoutPort => {
                format::ip(self.facts.peer.ip(), out);
            }
            Fact::DownstreamDirectRemotePort => {
                format::decimal(self.facts.peer.port().into(), out);
            }
            Fact::StreamId => {
                out.extend_from_slice(self.request_value("x-request-id").unwrap_or_default());
            }
            // Envoy's word for what is no log.
            Fact::AccessLogType => out.extend_from_slice(b"NotSet"),
            Fact::DownstreamLocalAddress => format::address(self.facts.destination, out),
            Fact::DownstreamLocalAddressWithoutPort => {
                format::ip(self.facts.destination.ip(), out);
            }
            Fact::DownstreamLocalPort => format::decimal(self.facts.destination.port().into(), out),
            Fact::DownstreamPeerUriSan => text(out, self.facts.proof.peer.as_deref()),
            Fact::RequestedServerName => text(out, self.facts.server_name.as_deref()),
            Fact::Hostname => out.extend_from_slice(surroundings::hostname()),
            Fact::Nothing => {}
            Fact::ResponseCode
            | Fact::ResponseCodeDetails
            | Fact::ResponseFlags
            | Fact::ResponseFlagsLong
            | Fact::TraceId
            | Fact::UpstreamProtocol
            | Fact::UpstreamRequestAttemptCount
            | Fact::RouteName
            | Fact::UpstreamCluster
            | Fact::UpstreamClusterRaw
            | Fact::UpstreamRemoteAddress
            | Fact::UpstreamTransportFailureReason
            | Fact::ConnectionTerminationDetails
            | Fact::BytesReceived
            | Fact::BytesSent
            | Fact::Duration
            | Fact::ResponseDuration
            | Fact::ResponseTxDuration
            | Fact::GrpcStatus
            | Fact::GrpcStatusSnake
            | Fact::GrpcStatusNumber
            | Fact::UpstreamRemoteAddressWithoutPort
            | Fact::UpstreamRemotePort
            | Fact::UpstreamLocalAddressWithoutPort
            | Fact::UpstreamLocalPort
            | Fact::UpstreamHost
            | Fact::UpstreamLocalAddress
            | Fact::UpstreamPeerUriSan => self.record.write_fact(fact, out),
        }
    }
}

/// The client's address: what the last proxy before us says, where that is believed.
pub(super) fn client(request: &RequestHead, facts: &Facts, trusts_forwarded: bool) -> SocketAddr {
    let forwarded = || {
        let field = request.fields().get_str(Known::XForwardedFor)?;
        let last: IpAddr = field.rsplit(',').next()?.trim().parse().ok()?;
        Some(SocketAddr::new(last, 0))
    };
    trusts_forwarded.then(forwarded).flatten().unwrap_or(facts.peer)
}

fn text(out: &mut Vec<u8>, text: Option<&str>) {
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

impl Exchange for Edited<'_> {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        let value = match operator {
            Operator::Request(choice) => first(choice, |header| self.request_value(&header.name)),
            Operator::Response(choice) => first(choice, |header| self.response_value(&header.name)),
            Operator::StartTime(format) => {
                let started = self.worker.telemetry.wall_clock(self.record.started());
                return format.write(started, out);
            }
            Operator::Environment(name) => Some(surroundings::variable(name)),
            Operator::Fact(fact) => return self.write_fact(*fact, out),
        };
        out.extend_from_slice(value.unwrap_or_default());
    }
}

impl HeadersMut for Edited<'_> {
    fn contains(&self, name: &str) -> bool {
        Name::parse(name).is_some_and(|name| self.fields().get(name).is_some())
    }

    fn remove(&mut self, name: &str) {
        if let Some(name) = Name::parse(name) {
            self.fields_mut().remove(name);
        }
    }

    fn append(&mut self, name: &str, value: &[u8]) {
        if let Some(name) = Name::parse(name) {
            self.fields_mut().append(name, value);
        }
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        if let Some(name) = Name::parse(name) {
            self.fields_mut().set(name, value);
        }
    }
}
