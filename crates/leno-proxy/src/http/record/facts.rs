//! What texts and spans ask of a record while its exchange goes on.

use std::net::SocketAddr;
use std::rc::Rc;

use leno_core::config::Address;
use leno_core::format::{self, Fact};
use leno_telemetry::attribute_key as key;
use leno_telemetry::span::Attributes;

use super::Record;
use crate::access_log::trace_id;
use crate::upstream::cluster::ClusterState;

impl Record {
    /// What a span says of where the request went and how that was.
    pub(in crate::http) fn write_span(&self, attributes: &mut Attributes<'_>) {
        attributes.written(key!("response_flags"), |out| {
            self.flags.each_part(|part| out.extend_from_slice(part.as_bytes()));
        });
        if let Some(cluster) = &self.cluster {
            attributes.str(key!("upstream_cluster"), cluster.settings().name().as_str());
        }
        if let Some(Address::Socket(address)) = self.endpoint.as_ref().map(|e| &e.address) {
            attributes.written(key!("upstream_address"), |out| format::address(*address, out));
        }
        if let Some(blame) = self.blame {
            attributes.str(key!("leno.blame"), blame.as_str());
        }
        if self.status >= 500 || self.status == 0 {
            attributes.str(key!("error"), "true");
        }
    }

    /// What a command operator asks of the record; nothing of what is not known (yet).
    pub(in crate::http) fn write_fact(&self, fact: Fact, out: &mut Vec<u8>) {
        let text = match fact {
            Fact::ResponseCode if self.status != 0 => {
                return format::decimal(self.status.into(), out);
            }
            Fact::ResponseFlags => {
                return self.flags.each_part(|part| out.extend_from_slice(part.as_bytes()));
            }
            Fact::UpstreamHost | Fact::UpstreamRemoteAddress => {
                return match self.endpoint.as_ref().map(|endpoint| &endpoint.address) {
                    Some(Address::Socket(address)) => format::address(*address, out),
                    Some(Address::Host { .. } | Address::Pipe(_) | Address::Internal(_)) | None => {
                    }
                };
            }
            Fact::UpstreamLocalAddress => {
                return self
                    .upstream_local
                    .into_iter()
                    .for_each(|address| format::address(address, out));
            }
            Fact::UpstreamCluster | Fact::UpstreamClusterRaw => {
                let name = |cluster: &Rc<ClusterState>| {
                    out.extend_from_slice(cluster.settings().name().as_str().as_bytes());
                };
                return self.cluster.iter().for_each(name);
            }
            Fact::UpstreamRemoteAddressWithoutPort | Fact::UpstreamRemotePort => {
                let address = self.endpoint.as_ref().map(|endpoint| &endpoint.address);
                let Some(Address::Socket(address)) = address else { return };
                return write_part(*address, fact == Fact::UpstreamRemotePort, out);
            }
            Fact::UpstreamLocalAddressWithoutPort | Fact::UpstreamLocalPort => {
                let Some(address) = self.upstream_local else { return };
                return write_part(address, fact == Fact::UpstreamLocalPort, out);
            }
            Fact::ResponseFlagsLong => {
                return self.flags.each_name_part(|part| out.extend_from_slice(part.as_bytes()));
            }
            Fact::UpstreamRequestAttemptCount if self.attempts != 0 => {
                return format::decimal(self.attempts.into(), out);
            }
            Fact::TraceId => {
                return self.trace_id().into_iter().for_each(|id| trace_id(id, out));
            }
            Fact::UpstreamProtocol => self.upstream_protocol,
            Fact::ResponseCodeDetails => self.details(),
            Fact::RouteName => self.route.as_deref(),
            Fact::UpstreamPeerUriSan => self.upstream_peer.as_deref(),
            Fact::UpstreamTransportFailureReason => self.transport_failure.as_deref(),
            _ => None,
        };
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
}

/// The port of an address, or all but that.
fn write_part(address: SocketAddr, is_port: bool, out: &mut Vec<u8>) {
    if is_port {
        format::decimal(address.port().into(), out);
    } else {
        format::ip(address.ip(), out);
    }
}
