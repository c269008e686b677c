//! The headers a proxy owes: request id, forwarded address, attempt count, service time, whom it stands for.

use leno_core::config::{ClientCertForward, SchemeRewrite, ServerHeader};
use leno_core::path::{self, Outcome};
use leno_core::reply::{Failure, Side};
use leno_http::{Fields, Known, RequestHead, Scheme};

use super::session::Session;
use crate::ids::RequestId;
use crate::listener::Proof;

/// The name in `server` where the configuration has none.
const SERVER: &str = "leno";

/// What is done to every request on arrival.
pub(super) fn receive(session: &mut Session) {
    session.peer_asks = false;
    receive_client_cert(session);
    receive_scheme(session);
    let settings = &session.manager.settings;
    let fields = session.request.fields_mut();
    append_via(fields, &settings.via);
    if settings.use_remote_address {
        // An edge: what strangers say about themselves is not believed (Envoy's `use_remote_address`).
        let address = session.facts.peer_ip.as_bytes();
        match fields.get(Known::XForwardedFor) {
            None => fields.append(Known::XForwardedFor, address),
            Some(before) => {
                let joined = [before, b",", address].concat();
                fields.set(Known::XForwardedFor, &joined);
            }
        }
        fields.set(Known::XForwardedProto, session.facts.scheme().as_bytes());
        fields.set(Known::XRequestId, new_id(&session.worker).as_bytes());
        return;
    }
    if !fields.has(Known::XForwardedProto) {
        fields.append(Known::XForwardedProto, session.facts.scheme().as_bytes());
    }
    if settings.generate_request_id && !fields.has(Known::XRequestId) {
        fields.append(Known::XRequestId, new_id(&session.worker).as_bytes());
    }
}

/// `:scheme` as the listener says; a request of HTTP/1 has the one of its connection.
fn receive_scheme(session: &mut Session) {
    let scheme = match session.manager.settings.scheme {
        SchemeRewrite::Http => Scheme::Http,
        SchemeRewrite::Https => Scheme::Https,
        SchemeRewrite::Keep | SchemeRewrite::MatchUpstream if session.facts.is_tls => {
            session.request.scheme().unwrap_or(Scheme::Https)
        }
        SchemeRewrite::Keep | SchemeRewrite::MatchUpstream => return,
    };
    session.request.set_scheme(scheme);
}

/// `:scheme`, as routes and operators see it.
pub(super) fn scheme(session: &Session) -> &'static str {
    session.request.scheme().map_or(session.facts.scheme(), Scheme::as_str)
}

/// Who the peer says it is: heard where peers exchange metadata, and never passed on.
pub(super) fn receive_peer(session: &mut Session) {
    if session.facts.side() == Side::Outbound {
        return;
    }
    let fields = session.request.fields_mut();
    let header = fields.get(Known::XEnvoyPeerMetadata);
    session.peer_asks = header.is_some();
    session.peer_party = session.peers.party(header, session.worker.telemetry.shard.metrics());
    strip_peer(fields);
}

/// What peers say to each other stays between them.
fn strip_peer(fields: &mut Fields) {
    if fields.has(Known::XEnvoyPeerMetadata) || fields.has(Known::XEnvoyPeerMetadataId) {
        fields.remove(Known::XEnvoyPeerMetadata);
        fields.remove(Known::XEnvoyPeerMetadataId);
    }
}

/// What is done to every response, whoever made it, before it is passed on.
pub(super) fn respond(session: &mut Session) {
    let settings = &session.manager.settings;
    let fields = session.response.fields_mut();
    if session.exchanges_metadata {
        strip_peer(fields);
        // A peer that told whom it stands for and proved its identity is told the same; nobody else is.
        let own = &session.worker.process.peer_metadata;
        let is_peer = session.facts.side() == Side::Inbound && session.facts.proof.is_mutual;
        if is_peer && session.peer_asks && !own.workload.is_empty() {
            fields.append(Known::XEnvoyPeerMetadata, own.workload.as_bytes());
            fields.append(Known::XEnvoyPeerMetadataId, own.id.as_bytes());
        }
    }
    let name = match settings.server_name.as_str() {
        "" => SERVER,
        name => name,
    };
    match settings.server_header {
        ServerHeader::PassThrough => {}
        ServerHeader::AppendIfAbsent if fields.has(Known::Server) => {}
        ServerHeader::AppendIfAbsent | ServerHeader::Overwrite => {
            fields.set(Known::Server, name.as_bytes());
        }
    }
    append_via(fields, &settings.via);
}

/// RFC 9110 §7.6.3: after those who passed it on before us.
fn append_via(fields: &mut Fields, via: &str) {
    if via.is_empty() {
        return;
    }
    let joined = fields.get(Known::Via).map(|before| [before, b", ", via.as_bytes()].concat());
    fields.set(Known::Via, joined.as_deref().unwrap_or(via.as_bytes()));
}

/// `x-envoy-upstream-service-time`: milliseconds from the request to the head of its response.
pub(super) fn note_service_time(session: &mut Session) {
    if session.manager.settings.suppress_envoy_headers {
        return;
    }
    let Some(time) = session.record.service_time() else { return };
    let mut digits = [0; 20];
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let digits = decimal(milliseconds, &mut digits);
    session.response.fields_mut().set(Known::XEnvoyUpstreamServiceTime, digits);
}

/// The digits of a number, without the formatter, which costs more than the rest of a field.
fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
}

/// Says to a peer that proved its identity whom we stand for; nobody else is told. The scheme is the one of the
/// connection that the request leaves by, where the listener asks for that.
pub(super) fn leave(session: &mut Session, proof: &Proof, is_tls: bool) {
    if session.manager.settings.scheme == SchemeRewrite::MatchUpstream {
        session.request.set_scheme(if is_tls { Scheme::Https } else { Scheme::Http });
    }
    if !session.exchanges_metadata || session.facts.side() == Side::Inbound {
        return;
    }
    let fields = session.request.fields_mut();
    let own = &session.worker.process.peer_metadata;
    if proof.is_mutual && !own.workload.is_empty() {
        fields.set(Known::XEnvoyPeerMetadata, own.workload.as_bytes());
        fields.set(Known::XEnvoyPeerMetadataId, own.id.as_bytes());
    } else {
        fields.remove(Known::XEnvoyPeerMetadata);
        fields.remove(Known::XEnvoyPeerMetadataId);
    }
}

/// `x-forwarded-client-cert`, as the listener says; without a client certificate nothing is believed.
fn receive_client_cert(session: &mut Session) {
    let mode = session.manager.settings.forward_client_cert;
    let fields = session.request.fields_mut();
    let own = session.facts.client_cert.as_deref();
    match (mode, own) {
        (ClientCertForward::ForwardOnly, _) => {}
        (ClientCertForward::Sanitize, _) | (_, None) => {
            fields.remove(Known::XForwardedClientCert);
        }
        (ClientCertForward::SanitizeSet, Some(own)) => {
            fields.set(Known::XForwardedClientCert, own.as_bytes());
        }
        (ClientCertForward::AppendForward, Some(own)) => {
            let joined = fields
                .get(Known::XForwardedClientCert)
                .map(|before| [before, b",", own.as_bytes()].concat());
            let value = joined.as_deref().unwrap_or(own.as_bytes());
            fields.set(Known::XForwardedClientCert, value);
        }
    }
}

fn new_id(worker: &crate::worker::Worker) -> RequestId {
    RequestId::random(&mut *worker.random.borrow_mut())
}

/// `x-envoy-attempt-count`, for virtual hosts that ask for it.
pub(super) fn set_attempt_count(request: &mut RequestHead, count: u32) {
    request.fields_mut().set(Known::XEnvoyAttemptCount, count.to_string().as_bytes());
}

/// Brings the path into the form that the listener says, so that routing, policy and the upstream read the same.
/// `Some` is where the client is sent instead.
pub(super) fn read_path(session: &mut Session) -> Result<Option<Vec<u8>>, Failure> {
    let (settings, mut read) = (session.manager.settings.path, Vec::new());
    match path::normalize(settings, session.request.target().as_bytes(), &mut read) {
        Ok(Outcome::Unchanged) => {}
        Ok(Outcome::Changed) => session.request.set_target(&String::from_utf8_lossy(&read)),
        Ok(Outcome::Redirect) => return Ok(Some(read)),
        Err(_) => return Err(Failure::PathRefused),
    }
    Ok(None)
}

/// Replaces path and query; what the client sent stays visible to the workload, as with Envoy.
pub(super) fn set_target(request: &mut RequestHead, target: &[u8]) {
    let received = request.received_target().as_bytes().to_vec();
    request.fields_mut().set(Known::XEnvoyOriginalPath, &received);
    request.set_target(&String::from_utf8_lossy(target));
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for value in [0, 9, 10, 1024, u64::MAX] {
            assert_eq!(decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }
}
