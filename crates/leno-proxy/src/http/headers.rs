//! The headers a proxy owes: request id, forwarded address, attempt count.

use leno_http::{Known, RequestHead};

use super::session::Session;
use crate::ids::RequestId;

/// What is done to every request on arrival.
pub(super) fn receive(session: &mut Session) {
    let settings = &session.manager.settings;
    let fields = session.request.fields_mut();
    if settings.use_remote_address {
        // An edge: what strangers say about themselves is not believed (Envoy's `use_remote_address`).
        let mut text = [0; 48];
        let address = write_ip(&mut text, session.facts.peer.ip());
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

fn new_id(worker: &crate::worker::Worker) -> RequestId {
    RequestId::random(&mut *worker.random.borrow_mut())
}

fn write_ip(text: &mut [u8; 48], ip: std::net::IpAddr) -> &[u8] {
    use std::io::Write as _;
    let mut rest = &mut text[..];
    // The longest IPv6 address has 45 characters.
    let written = write!(rest, "{}", ip.to_canonical());
    debug_assert!(written.is_ok(), "an address fits");
    let left = rest.len();
    &text[..48 - left]
}

/// `x-envoy-attempt-count`, for virtual hosts that ask for it.
pub(super) fn set_attempt_count(request: &mut RequestHead, count: u32) {
    request.fields_mut().set(Known::XEnvoyAttemptCount, count.to_string().as_bytes());
}

/// Replaces path and query; what the client sent stays visible to the workload, as with Envoy.
pub(super) fn set_target(request: &mut RequestHead, target: &[u8]) {
    let received = request.received_target().as_bytes().to_vec();
    request.fields_mut().set(Known::XEnvoyOriginalPath, &received);
    request.set_target(&String::from_utf8_lossy(target));
}
