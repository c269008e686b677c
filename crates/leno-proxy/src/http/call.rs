//! One request on its way through its attempts: pick, connect, send, and whether to try again.
//!
//! What an ended attempt means, and whether another may follow, is asked of `leno_core` (`retry`, `budget`, `circuit`,
//! `reply`); nothing of that is decided here.

mod unanswered;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::balance::Pick;
use leno_core::budget::RetryToken;
use leno_core::circuit::{CircuitGuard, Limited};
use leno_core::endpoint::Endpoint;
use leno_core::outlier::EndpointOutcome;
use leno_core::reply::Failure;
use leno_core::retry::{AttemptOutcome, Idempotence, NoRetry, RetryPolicy};
use leno_http::{BodyLength, Known};
use leno_telemetry::{ClusterStat, ResponseFlag};

use self::unanswered::{Unanswered, refused};
use super::attempt::{Attempt, Broken, Kept, asks_for_tunnel};
use super::exchange::Failed;
use super::forward::{Answered, Guards, Plan};
use super::grpc;
use super::replay::Replay;
use super::session::Session;
use super::timers::{Pace, Timers};
use super::websocket;
use crate::buffers::Size;
use crate::limits;
use crate::upstream::cluster::ClusterState;
use crate::upstream::connect::{self, Carries, ConnectError, Link, Purpose};
use crate::upstream::shared::Spoken;

/// One request on its way through its attempts.
pub(super) struct Call<'a> {
    pub(super) plan: Plan<'a>,
    policy: Option<Arc<RetryPolicy>>,
    idempotence: Idempotence,
    timers: Timers,
    pub(super) replay: Replay,
    tried: Vec<Arc<Endpoint>>,
    retries: u32,
    stale: u32,
    token: Option<RetryToken>,
    retry_guard: Option<CircuitGuard>,
}

/// Why there is no further attempt.
enum Refusal {
    NoPolicy,
    Policy(NoRetry),
    Budget,
    NotReplayable,
}

impl<'a> Call<'a> {
    /// Attempts until one is answered, or until there is no further one.
    pub(super) async fn run(&mut self, session: &mut Session) -> Result<Answered, Failed> {
        loop {
            let (unanswered, answered) = match self.attempt(session).await {
                Ok(answered) => match self.judge_response(session) {
                    None => {
                        self.settle(session);
                        return Ok(answered);
                    }
                    Some(outcome) => (outcome, Some(answered)),
                },
                Err(unanswered)
                    if unanswered.is_stale && self.stale < limits::STALE_CONNECTIONS =>
                {
                    self.stale += 1;
                    continue;
                }
                Err(unanswered) => (unanswered, None),
            };
            if let Err(refusal) = self.may_retry(session, &unanswered) {
                self.note(session, &refusal);
                return answered.ok_or_else(|| unanswered.failure.into());
            }
            // The attempt that is not used must not hold its connection during the back-off.
            drop(answered);
            self.back_off(session).await?;
        }
    }

    /// A request that is about to be sent for the first time.
    pub(super) fn new(session: &Session, plan: Plan<'a>) -> Self {
        let now = session.record.now();
        let policy = plan.forward.retry.clone();
        let per_try = policy.as_ref().and_then(|policy| policy.per_try_timeout);
        let set = &session.manager.settings.limits;
        let idle = limits::http::stream_idle(plan.forward.idle_timeout, set);
        plan.cluster.budget.borrow_mut().on_request(now);
        let has_body =
            session.request.body() != BodyLength::Empty && !asks_for_tunnel(&session.request);
        let timeout = grpc::timeout(session, plan.forward);
        let mut timers = Timers::new(now.into(), timeout, per_try, idle);
        timers.limit(plan.forward.max_stream_duration.map(|limit| (now + limit).into()));
        if !has_body {
            timers.begin(now.into());
        } else {
            let kind = session.request.fields().get(Known::ContentType).unwrap_or_default();
            let shares = !session.downstream.ends_with_exchange();
            let pace = Pace::of(kind, session.request.body(), shares);
            timers.expect_body(now.into(), set.request_timeout, pace);
        }
        Self {
            timers,
            replay: Replay::new(has_body),
            idempotence: Idempotence::of_method(session.request.method_bytes()),
            tried: Vec::new(),
            retries: 0,
            stale: 0,
            token: None,
            retry_guard: None,
            policy,
            plan,
        }
    }

    /// One attempt, up to the head of its response.
    async fn attempt(&mut self, session: &mut Session) -> Result<Answered, Unanswered> {
        let cluster = Rc::clone(self.plan.cluster);
        let request = cluster
            .acquire(Limited::Requests)
            .map_err(|_| refused(Failure::Overflow, AttemptOutcome::Overflow))?;
        let is_first = self.retries == 0 && self.stale == 0;
        let now = if is_first { session.record.now() } else { Instant::now() };
        self.timers.next_attempt(now.into());
        let pick = Pick { now, tried: &self.tried };
        let towards = self.plan.towards(session.facts.destination);
        let picked = cluster.pick(pick, towards, &mut *session.worker.random.borrow_mut());
        let endpoint =
            picked.ok_or_else(|| refused(Failure::NoHealthyUpstream, AttemptOutcome::Overflow))?;
        session.record.attempted(&endpoint);
        if self.policy.as_ref().is_some_and(|policy| policy.avoid_previous_hosts) {
            self.tried.push(Arc::clone(&endpoint));
        }
        let guards = Guards {
            _active: endpoint.live.begin(),
            _request: request,
            stats: cluster.stats.clone(),
        };
        cluster.stats.increment(ClusterStat::RqActive);
        let link = self.connection(session, &cluster, &endpoint, now).await?;
        cluster.stats.increment(ClusterStat::RqTotal);
        let party = cluster.party(&endpoint, link.proof(), &session.worker);
        session.record.connected(&link, party, now);
        super::headers::leave(session, link.proof(), endpoint.transport.tls.is_some());
        if self.plan.virtual_host.include_attempt_count {
            super::headers::set_attempt_count(&mut session.request, self.retries + 1);
        }
        if let Link::Exclusive(_) = &link {
            websocket::ask(&mut session.request, &mut *session.worker.random.borrow_mut());
        }
        if let (Some(_), Link::Shared(connection)) = (session.request.upgrade(), &link) {
            let settled = session.downstream.watch(connection.settled(), &self.timers).await;
            settled
                .map_err(|_| refused(Failure::DownstreamDisconnect, AttemptOutcome::Overflow))?;
        }
        let room = (&session.worker.buffers, Size::within(cluster.buffer_max()));
        let begun = Attempt::begin(link, room, &session.request, &self.replay);
        // Nothing was awaited since it was seen to be ready.
        let mut attempt =
            begun.map_err(|_| refused(Failure::RefusedStream, AttemptOutcome::RefusedStream))?;
        if session.record.is_grpc() {
            attempt.count_messages();
        }
        let mut kept = Kept { replay: &mut self.replay, timers: &mut self.timers };
        let (downstream, response) = (&mut session.downstream, &mut session.response);
        let head = poll_fn(|cx| attempt.poll_head(cx, downstream, response, &mut kept)).await;
        if let Err(broken) = head {
            // Boxed: rare, and the state of every exchange would carry it.
            let is_untouched = Box::pin(self.is_untouched(session, &attempt, &broken)).await;
            let ends = (&cluster, &endpoint);
            return Err(self.broken(session, ends, &attempt, (broken, is_untouched)));
        }
        self.timers.answered();
        let now = attempt.upstream.answered_at().unwrap_or_else(Instant::now);
        let status = session.response.status();
        if let Some(judged) = grpc::judge_head(session) {
            cluster.on_result(&endpoint, EndpointOutcome::Status(judged), now);
        }
        session.record.answered(status, now);
        Ok(Answered { attempt, timers: self.timers, cluster, endpoint, guards })
    }

    /// A kept connection to the endpoint, or else a new one.
    async fn connection(
        &mut self,
        session: &mut Session,
        cluster: &Rc<ClusterState>,
        endpoint: &Arc<Endpoint>,
        now: Instant,
    ) -> Result<Link, Unanswered> {
        let spoken = cluster.spoken(endpoint, session.request.version());
        // One kept connection was closed under us: the others of its age may be, too.
        let kept = if self.stale == 0 {
            cluster.ready(endpoint, spoken, (self.idempotence, now))
        } else {
            None
        };
        match kept {
            Some(kept) => Ok(kept),
            None => self.dial(session, cluster, endpoint, spoken).await,
        }
    }

    async fn dial(
        &mut self,
        session: &mut Session,
        cluster: &Rc<ClusterState>,
        endpoint: &Arc<Endpoint>,
        spoken: Spoken,
    ) -> Result<Link, Unanswered> {
        let worker = Rc::clone(&session.worker);
        let ends = Some(session.facts.ends());
        let purpose = Purpose { carries: Carries::Requests, ends };
        let connecting = Box::pin(connect::link(&worker, cluster, endpoint, (purpose, spoken)));
        let connected = session.downstream.watch(connecting, &self.timers).await;
        let error = match connected {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => error,
            Err(Broken::Expired(expired)) => {
                return Err(refused(expired.failure(), AttemptOutcome::Overflow));
            }
            Err(_) => return Err(refused(Failure::DownstreamDisconnect, AttemptOutcome::Overflow)),
        };
        session.record.transport_failed(&error);
        cluster.note_connect_failure(&error);
        if !matches!(error, ConnectError::Overflow) {
            cluster.on_result(endpoint, EndpointOutcome::ConnectFailure, Instant::now());
        }
        Err(refused(error.failure(), error.outcome()))
    }

    /// Whether the policy would rather try again than pass this response on.
    fn judge_response(&self, session: &Session) -> Option<Unanswered> {
        let policy = self.policy.as_ref()?;
        let status = session.response.status();
        if !policy.wants_response_held(status) {
            return None;
        }
        let fields = session.response.fields();
        let grpc = fields.get_str(Known::GrpcStatus).and_then(|status| status.parse().ok());
        let outcome = AttemptOutcome::Response {
            status,
            grpc_status: grpc,
            is_rate_limited: fields.has(Known::XEnvoyRatelimited),
        };
        match policy.may_retry(outcome, self.idempotence, self.retries) {
            Err(NoRetry::NotRetriable | NoRetry::MayHaveBeenProcessed) => None,
            Ok(()) | Err(NoRetry::LimitReached) => {
                Some(Unanswered { failure: Failure::RemoteReset, outcome, is_stale: false })
            }
        }
    }

    /// Asks the policy, the budget and the circuit, in this order.
    fn may_retry(&mut self, session: &Session, ended: &Unanswered) -> Result<(), Refusal> {
        let policy = self.policy.as_ref().ok_or(Refusal::NoPolicy)?;
        policy.may_retry(ended.outcome, self.idempotence, self.retries).map_err(Refusal::Policy)?;
        let is_sent_again = session.request.upgrade().is_none() && self.replay.is_replayable();
        if !is_sent_again {
            return Err(Refusal::NotReplayable);
        }
        let cluster = self.plan.cluster;
        let guard = cluster.acquire(Limited::Retries).map_err(|_| Refusal::Budget)?;
        let token = cluster.budget.borrow_mut().try_retry(Instant::now());
        self.token = Some(token.map_err(|_| Refusal::Budget)?);
        self.retry_guard = Some(guard);
        self.retries += 1;
        Ok(())
    }

    /// Says in the record why there is no further attempt.
    fn note(&self, session: &mut Session, refusal: &Refusal) {
        match refusal {
            Refusal::Policy(NoRetry::LimitReached) if self.retries > 0 => {
                self.plan.cluster.stats.increment(ClusterStat::RqRetryLimitExceeded);
                session.record.flag(ResponseFlag::UpstreamRetryLimitExceeded);
            }
            Refusal::Budget => {
                self.plan.cluster.stats.increment(ClusterStat::RqRetryOverflow);
                session.record.flag(ResponseFlag::UpstreamOverflow);
            }
            Refusal::NoPolicy | Refusal::Policy(_) | Refusal::NotReplayable => {}
        }
    }

    async fn back_off(&mut self, session: &mut Session) -> Result<(), Failed> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let pause = policy.back_off(self.retries, &mut *session.worker.random.borrow_mut());
        let pause = pause.min(remaining(&self.timers));
        // The attempt's deadline went with the attempt.
        self.timers.end_attempt(tokio::time::Instant::now());
        self.plan.cluster.stats.increment(ClusterStat::RqRetry);
        let waited = session.downstream.watch(tokio::time::sleep(pause), &self.timers).await;
        waited.map_err(|broken| match broken {
            Broken::Expired(expired) => expired.failure().into(),
            _ => Failure::DownstreamDisconnect.into(),
        })
    }

    /// Tells the budget how the exchange ended.
    fn settle(&mut self, session: &Session) {
        let mut budget = self.plan.cluster.budget.borrow_mut();
        if session.response.status() < 500 {
            match self.token.take() {
                Some(token) => {
                    budget.on_retry_success(token, Instant::now());
                    self.plan.cluster.stats.increment(ClusterStat::RqRetrySuccess);
                }
                None => budget.on_success(),
            }
        }
    }
}

fn remaining(timers: &Timers) -> Duration {
    timers
        .ends_at()
        .map_or(Duration::MAX, |at| at.saturating_duration_since(tokio::time::Instant::now()))
}
