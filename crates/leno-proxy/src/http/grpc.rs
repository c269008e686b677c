//! gRPC on its way through an exchange: told by its content type, answered in its own words, counted by its messages.

use std::time::Duration;

use leno_core::endpoint::Endpoint;
use leno_core::grpc;
use leno_core::outlier::EndpointOutcome;
use leno_core::reply::Failure;
use leno_core::route_table::Forward;
use leno_http::{Fields, Known, Version};

use super::attempt::Attempt;
use super::session::Session;
use crate::upstream::cluster::ClusterState;

/// Notes whether the request is gRPC's.
pub(super) fn recognise(session: &mut Session) {
    let kind = session.request.fields().get(Known::ContentType);
    if kind.is_some_and(grpc::is_grpc) {
        session.record.found_grpc();
    }
}

/// Whether messages of this content type come as they arise: gRPC's, gRPC-Web's and those of Connect's streams.
pub(super) fn streams(content_type: &[u8]) -> bool {
    let begins = |with: &str| {
        let start = content_type.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    begins("application/grpc") || begins("application/connect+")
}

/// The route's timeout, and the deadline that a client of gRPC set.
pub(super) fn timeout(session: &Session, forward: &Forward) -> Option<Duration> {
    let route = forward.timeout;
    let asked = session.request.fields().get(Known::GrpcTimeout);
    let asked = asked.filter(|_| session.record.is_grpc()).and_then(grpc::timeout);
    match (asked, &forward.grpc_timeout) {
        (None, _) => route,
        (Some(asked), Some(granted)) => Some(grpc::granted(asked, **granted)),
        // The client's own, where it is the shorter one.
        (Some(asked), None) => Some(route.map_or(asked, |route| route.min(asked))),
    }
}

/// Whether the deadline that the client set is over.
pub(super) fn is_late(session: &Session) -> bool {
    let asked = session.request.fields().get(Known::GrpcTimeout).and_then(grpc::timeout);
    asked.is_some_and(|asked| session.record.started().elapsed() >= asked)
}

/// Puts a failure into a response that is nothing but its head: the status and the words are gRPC's.
pub(super) fn fail(session: &mut Session, failure: Failure, status: u16, text: &str) {
    let has_deadline = session.request.fields().has(Known::GrpcTimeout);
    let grpc_status = match failure {
        Failure::ResponseTimeout if has_deadline => grpc::DEADLINE_EXCEEDED,
        Failure::DurationTimeout => grpc::DEADLINE_EXCEEDED,
        // The endpoint counts by the same deadline, and may have been quicker than our timer.
        Failure::RemoteReset if has_deadline && is_late(session) => grpc::DEADLINE_EXCEEDED,
        _ => grpc::of_http(status),
    };
    session.record.replied_status(200);
    session.record.grpc_ended(Some(grpc_status));
    session.response.start(Version::Http11, 200);
    let fields = session.response.fields_mut();
    fields.append(Known::ContentType, b"application/grpc");
    fields.append(Known::GrpcStatus, grpc_status.to_string().as_bytes());
    if !text.is_empty() {
        fields.append(Known::GrpcMessage, grpc::message(text).as_bytes());
    }
}

/// The HTTP status by which the endpoint is judged when its response has begun; `None` where only its end tells.
pub(super) fn judge_head(session: &mut Session) -> Option<u16> {
    let status = session.response.status();
    if !session.record.is_grpc() || status != 200 {
        return Some(status);
    }
    let ended = status_of(session.response.fields());
    session.record.grpc_ended(ended);
    ended.map(grpc::to_http)
}

/// Notes how the call ended, once all of its response is there, and judges the endpoint by it.
pub(super) fn finish(
    session: &mut Session,
    attempt: &mut Attempt,
    (cluster, endpoint): (&ClusterState, &Endpoint),
) {
    if !session.record.is_grpc() {
        return;
    }
    let (received, sent) = attempt.messages();
    session.record.messages(received, sent);
    if let Some(status) = attempt.upstream.with_trailers(status_of) {
        session.record.grpc_ended(Some(status));
        let outcome = EndpointOutcome::Status(grpc::to_http(status));
        cluster.on_result(endpoint, outcome, session.record.now());
    }
}

fn status_of(fields: &Fields) -> Option<u8> {
    fields.get_str(Known::GrpcStatus)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::streams;

    #[test]
    fn who_sends_as_things_arise_is_told_by_the_content_type() {
        for kind in ["application/grpc", "Application/gRPC-Web+proto", "application/connect+json"] {
            assert!(streams(kind.as_bytes()), "{kind}");
        }
        for kind in ["", "application/json", "application/connectors", "text/plain"] {
            assert!(!streams(kind.as_bytes()), "{kind}");
        }
    }
}
