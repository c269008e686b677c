//! Answers that the proxy gives itself: failures by the one table of `leno_core::reply`, redirects, direct responses.
//!
//! A failure is answered once, in the place where the exchange ends; what it means (status, flag, blame) is not decided
//! here.

use std::time::Instant;

use leno_core::reply::{Failure, details};
use leno_core::route_table::{DirectResponse, Matched};
use leno_http::{BodyLength, Invalid, Known, Name, Version};
use leno_telemetry::LimitReached;

use super::downstream::Carrier;
use super::edited::Edited;
use super::exchange::Failed;
use super::session::Session;
use super::{After, grpc, headers};

/// The header that says whose fault a failure is.
const BLAME: &str = "x-leno-blame";

/// Answers a failed exchange; `status` takes the place of the table's.
pub(super) async fn fail(session: &mut Session, failure: Failure, status: Option<u16>) -> After {
    session.record.failed(failure, session.facts.side());
    let status = status.unwrap_or(failure.reaction().status);
    let is_refused = failure == Failure::Overload && session.downstream.refuse();
    if status == 0 || is_refused {
        session.record.replied_nothing();
        return After::Close;
    }
    let is_grpc = session.record.is_grpc();
    if is_grpc {
        grpc::fail(session, failure, status, body_of(failure));
    } else {
        session.record.replied_status(status);
        session.response.start(Version::Http11, status);
    }
    if let (Some(blame), Some(name)) = (session.record.blame(), Name::parse(BLAME)) {
        session.response.fields_mut().append(name, blame.as_str().as_bytes());
    }
    send(session, if is_grpc { "" } else { body_of(failure) }.as_bytes()).await
}

/// What clients of Envoy are used to read.
fn body_of(failure: Failure) -> &'static str {
    match failure {
        Failure::NoHealthyUpstream => "no healthy upstream",
        Failure::FaultAbort => "fault filter abort",
        Failure::ResponseTimeout | Failure::PerTryTimeout => "upstream request timeout",
        Failure::DurationTimeout => "downstream duration timeout",
        Failure::StreamIdleTimeout => "stream timeout",
        Failure::Overflow => {
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        }
        Failure::ConnectFailure => {
            "upstream connect error or disconnect/reset before headers. reset reason: \
             remote connection failure"
        }
        Failure::ConnectTimeout => {
            "upstream connect error or disconnect/reset before headers. reset reason: \
             connection timeout"
        }
        Failure::TlsFailure => {
            "upstream connect error or disconnect/reset before headers. reset reason: \
             remote connection failure, transport failure reason: TLS_error"
        }
        Failure::ConnectionTermination | Failure::ResetBeforeRequest => {
            "upstream connect error or disconnect/reset before headers. reset reason: \
             connection termination"
        }
        Failure::UpstreamProtocolError => {
            "upstream connect error or disconnect/reset before headers. reset reason: \
             protocol error"
        }
        Failure::DownstreamProtocolError => "Bad Request",
        Failure::Overload => "the proxy is overloaded",
        Failure::AuthorizationDenied => "RBAC: access denied",
        _ => "",
    }
}

/// Answers bytes that are no request, with the reason in the record, and closes.
pub(super) async fn refuse_invalid(
    session: &mut Session,
    started: Instant,
    invalid: Invalid,
) -> After {
    // A head that was half parsed must not be logged as if it had been understood.
    session.request.start(Version::Http11, "", "", "");
    session.record.open(started, 0);
    session.record.detail(invalid.code());
    let failure = match invalid {
        Invalid::HeadTooLarge | Invalid::TooManyFields => Failure::HeadersTooLarge,
        _ => Failure::DownstreamProtocolError,
    };
    close_with(session, failure, invalid.status()).await
}

/// Answers a request that never became one, and closes.
pub(super) async fn refuse(session: &mut Session, started: Instant, failure: Failure) -> After {
    session.request.start(Version::Http11, "", "", "");
    session.record.open(started, 0);
    close_with(session, failure, failure.reaction().status).await
}

/// Answers, and ends what cannot go on. The client may be gone; the record is written either way.
async fn close_with(session: &mut Session, failure: Failure, status: u16) -> After {
    let reached = match failure {
        Failure::HeadersTooLarge => Some(LimitReached::RequestHead),
        Failure::RequestHeaderTimeout => Some(LimitReached::SlowHead),
        _ => None,
    };
    if let Some(limit) = reached {
        session.worker.process.metrics.reached(limit);
    }
    session.record.failed(failure, session.facts.side());
    session.record.replied_status(status);
    let blame = session.record.blame().map_or("", |blame| blame.as_str());
    let head = &mut session.response;
    head.start(Version::Http11, status);
    let reason = String::from_utf8_lossy(head.reason()).into_owned();
    let _ = match &mut session.downstream.carrier {
        // The machine is not between a request and its response, so the answer is written by hand.
        Carrier::Http1(end) => {
            let text = format!(
                "HTTP/1.1 {status} {reason}\r\ncontent-length: {length}\r\n\
                 content-type: text/plain\r\n{BLAME}: {blame}\r\nconnection: close\r\n\r\n{reason}",
                length = reason.len(),
            );
            end.out.bytes.extend_from_slice(text.as_bytes());
            end.flush().await
        }
        Carrier::Http2(_) => {
            head.fields_mut().append(Known::ContentType, b"text/plain");
            if let Some(name) = Name::parse(BLAME) {
                head.fields_mut().append(name, blame.as_bytes());
            }
            head.set_body(BodyLength::Exactly(reason.len() as u64));
            session.downstream.answer(head, reason.as_bytes()).await
        }
    };
    session.finish_record();
    After::Close
}

/// A redirect, as the route says.
pub(super) async fn redirect(
    session: &mut Session,
    matched: &Matched<'_>,
    status: u16,
    location: &[u8],
) -> Result<After, Failed> {
    session.record.replied(status, details::DIRECT_RESPONSE);
    session.response.start(Version::Http11, status);
    session.response.fields_mut().append(Known::Location, location);
    matched.edit_response(None, &mut Edited::response(session));
    Ok(send(session, b"").await)
}

/// Sends the client to the path without escaped slashes (Envoy's `UNESCAPE_AND_REDIRECT`).
pub(super) async fn redirect_path(session: &mut Session, location: &[u8]) -> Result<After, Failed> {
    session.record.replied(307, details::PATH_REDIRECT);
    session.response.start(Version::Http11, 307);
    session.response.fields_mut().append(Known::Location, location);
    Ok(send(session, b"").await)
}

/// The route's own answer.
pub(super) async fn direct(
    session: &mut Session,
    matched: &Matched<'_>,
    direct: &DirectResponse,
) -> Result<After, Failed> {
    session.record.replied(direct.status, details::DIRECT_RESPONSE);
    session.response.start(Version::Http11, direct.status);
    matched.edit_response(None, &mut Edited::response(session));
    Ok(send(session, &direct.body).await)
}

/// Writes the response in [`Session::response`] with this body.
async fn send(session: &mut Session, body: &[u8]) -> After {
    headers::respond(session);
    let response = &mut session.response;
    if !body.is_empty() {
        if !response.fields().has(Known::ContentType) {
            response.fields_mut().append(Known::ContentType, b"text/plain");
        }
        response.set_body(BodyLength::Exactly(body.len() as u64));
    }
    session.record.moved(0, body.len() as u64);
    match session.downstream.answer(response, body).await {
        Ok(()) => session.downstream.finish(),
        Err(_) => After::Close,
    }
}
