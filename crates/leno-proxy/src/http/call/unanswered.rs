//! What an attempt means that gave no answer: what failed, whether it may be tried again, what the endpoint is blamed for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_core::endpoint::Endpoint;
use leno_core::outlier::EndpointOutcome;
use leno_core::reply::Failure;
use leno_core::retry::{AttemptOutcome, Idempotence};
use leno_telemetry::LimitReached;

use super::Call;
use crate::http::attempt::{Attempt, Broken};
use crate::http::session::Session;
use crate::http::timers::Expired;
use crate::tls;
use crate::upstream::cluster::ClusterState;

/// Why one attempt gave no answer to pass on.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) outcome: AttemptOutcome,
    /// A kept connection had been closed meanwhile: tried again without counting as a retry.
    pub(super) is_stale: bool,
}

/// Nothing was sent, or nobody waits: the failure alone decides.
pub(super) fn refused(failure: Failure, outcome: AttemptOutcome) -> Unanswered {
    Unanswered { failure, outcome, is_stale: false }
}

impl Call<'_> {
    /// Whether nobody at the endpoint can have read any of the request. Asked only where that makes a difference.
    pub(super) async fn is_untouched(
        &self,
        session: &mut Session,
        attempt: &Attempt,
        broken: &Broken,
    ) -> bool {
        if attempt.is_unsent() {
            return true;
        }
        if self.idempotence == Idempotence::Idempotent || !self.replay.is_replayable() {
            return false;
        }
        let refused = attempt.was_refused(broken);
        matches!(session.downstream.watch(refused, &self.timers).await, Ok(true))
    }

    /// What a broken attempt means.
    pub(super) fn broken(
        &self,
        session: &mut Session,
        (cluster, endpoint): (&Rc<ClusterState>, &Arc<Endpoint>),
        attempt: &Attempt,
        (broken, is_untouched): (Broken, bool),
    ) -> Unanswered {
        session.record.received(attempt.sent());
        let now = Instant::now();
        let mut is_stale = false;
        let (failure, outcome) = match broken {
            Broken::Downstream => (Failure::DownstreamDisconnect, AttemptOutcome::Overflow),
            Broken::Shed => (Failure::Overload, AttemptOutcome::Overflow),
            Broken::Request(invalid) => {
                session.record.detail(invalid.code());
                (Failure::DownstreamProtocolError, AttemptOutcome::Overflow)
            }
            // In TLS 1.3 an endpoint refuses our certificate only after the handshake; it has looked at nothing.
            Broken::Upstream(error) if attempt.is_first() && tls::is_refusal(&error) => {
                session.record.transport_failed(&error);
                (Failure::TlsFailure, AttemptOutcome::ConnectFailure)
            }
            Broken::Upstream(_) | Broken::UpstreamEnded => {
                if attempt.is_stale_candidate() {
                    let idle = attempt.upstream.idle();
                    endpoint.live.keep_alive.update(|known| known.on_closed(idle));
                }
                is_stale = attempt.is_stale_candidate()
                    && self.replay.is_replayable()
                    && (is_untouched || self.idempotence == Idempotence::Idempotent);
                if is_untouched {
                    (Failure::ResetBeforeRequest, AttemptOutcome::ResetBeforeRequest)
                } else {
                    (Failure::ConnectionTermination, AttemptOutcome::Reset)
                }
            }
            Broken::Reset => (Failure::RemoteReset, AttemptOutcome::Reset),
            Broken::Refused => {
                // The endpoint looked at nothing of it; whoever sent it need not know.
                is_stale = self.replay.is_replayable();
                (Failure::RefusedStream, AttemptOutcome::RefusedStream)
            }
            Broken::Response(invalid) => {
                session.record.detail(invalid.code());
                (Failure::UpstreamProtocolError, AttemptOutcome::Reset)
            }
            Broken::Expired(expired) => {
                if expired == Expired::SlowBody {
                    session.worker.process.metrics.reached(LimitReached::SlowBody);
                    session.record.detail("request_body_too_slow");
                }
                let outcome = match expired {
                    Expired::Attempt => AttemptOutcome::PerTryTimeout,
                    _ => AttemptOutcome::Overflow,
                };
                (expired.failure(), outcome)
            }
        };
        cluster.note_timeout(failure);
        let counted = match failure {
            Failure::ResponseTimeout | Failure::PerTryTimeout => Some(EndpointOutcome::Timeout),
            Failure::ConnectionTermination | Failure::UpstreamProtocolError => {
                Some(EndpointOutcome::Reset)
            }
            _ => None,
        };
        if let Some(counted) = counted.filter(|_| !is_stale) {
            cluster.on_result(endpoint, counted, now);
        }
        Unanswered { failure, outcome, is_stale }
    }
}
