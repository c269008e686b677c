//! The access record of one exchange, and its one-line JSON form with the field names of Istio's JSON access log.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::{Blame, ResponseFlags};

mod json;

pub(crate) use json::line;

/// One finished exchange (or TCP connection). Borrowed: writing it copies nothing but into the line.
///
/// Wire values are bytes; what is not UTF-8 is written with replacement characters. `None` is `null`.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are Istio's names; the ones below the rule are explained"
)]
pub struct AccessRecord<'a> {
    pub start_time: SystemTime,
    pub method: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
    pub protocol: Option<&'static str>,
    pub response_code: u16,
    pub response_flags: ResponseFlags,
    pub response_code_details: Option<&'a str>,
    pub connection_termination_details: Option<&'a str>,
    pub upstream_transport_failure_reason: Option<&'a str>,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub duration: Duration,
    pub upstream_service_time: Option<Duration>,
    /// From the beginning to the first byte of the endpoint's answer.
    pub response_duration: Option<Duration>,
    /// How a gRPC call ended; `None` of what is none.
    pub grpc_status: Option<u8>,
    pub x_forwarded_for: Option<&'a [u8]>,
    pub user_agent: Option<&'a [u8]>,
    pub request_id: Option<&'a [u8]>,
    pub authority: Option<&'a [u8]>,
    pub upstream_host: Option<SocketAddr>,
    pub upstream_cluster: Option<&'a str>,
    pub upstream_local_address: Option<SocketAddr>,
    pub downstream_local_address: Option<SocketAddr>,
    pub downstream_remote_address: Option<SocketAddr>,
    pub requested_server_name: Option<&'a str>,
    pub route_name: Option<&'a str>,
    /// Whose fault a failure is.
    pub blame: Option<Blame>,
    /// What exactly failed, in words of a closed set.
    pub blame_detail: Option<&'a str>,
    /// SPIFFE id of the caller.
    pub peer: Option<&'a str>,
    /// SPIFFE id of the endpoint.
    pub upstream_peer: Option<&'a str>,
    /// What was spoken to the endpoint.
    pub upstream_protocol: Option<&'static str>,
    /// Requests and attempts to connect, the first included; 0 where none was made.
    pub upstream_attempts: u32,
    /// The trace that the exchange is part of, where the proxy takes part in tracing.
    pub trace_id: Option<u128>,
}

impl AccessRecord<'_> {
    /// A record that knows only when it began; the rest is filled by struct update.
    #[must_use]
    pub const fn at(start_time: SystemTime) -> Self {
        Self {
            start_time,
            method: None,
            path: None,
            protocol: None,
            response_code: 0,
            response_flags: ResponseFlags::NONE,
            response_code_details: None,
            connection_termination_details: None,
            upstream_transport_failure_reason: None,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream_service_time: None,
            response_duration: None,
            grpc_status: None,
            x_forwarded_for: None,
            user_agent: None,
            request_id: None,
            authority: None,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local_address: None,
            downstream_local_address: None,
            downstream_remote_address: None,
            requested_server_name: None,
            route_name: None,
            blame: None,
            blame_detail: None,
            peer: None,
            upstream_peer: None,
            upstream_protocol: None,
            upstream_attempts: 0,
            trace_id: None,
        }
    }
}
