//! When a refusal is said: at once the first time, later and later while the server answers it with the same again.
//!
//! With state of the world a NACK names the version before, and many servers take that as a request for the one just
//! refused: without a pause the two would talk for ever, as fast as they can.

use std::time::Duration;

use leno_xds::ByType;
use leno_xds::discovery::Request;
use tokio::time::{Instant, sleep_until};

/// First and longest pause before a refusal that was said already.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The refusals of one stream.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: ByType<Option<Refusal>>,
    waiting: Vec<(Instant, Request)>,
}

#[derive(Debug)]
struct Refusal {
    /// Of the response.
    version: String,
    problems: String,
    pause: Duration,
}

impl Pace {
    /// The request, if it is to be sent now; a refusal of the same `version` for the same reasons is kept for later.
    pub(super) fn pass(
        &mut self,
        request: Request,
        version: &str,
        now: Instant,
    ) -> Option<Request> {
        let Some(kind) = request.kind().filter(|_| !request.nonce.is_empty()) else {
            return Some(request);
        };
        // An older answer of the type is of no use any more.
        self.waiting.retain(|(_, waiting)| waiting.type_url != request.type_url);
        let last = &mut self.last[kind];
        let Some(problems) = &request.error else {
            *last = None;
            return Some(request);
        };
        if let Some(said) =
            last.as_mut().filter(|said| said.version == version && said.problems == *problems)
        {
            self.waiting.push((now + said.pause, request));
            said.pause = (said.pause * 2).min(PAUSE.1);
            return None;
        }
        let (version, problems) = (version.to_owned(), problems.clone());
        *last = Some(Refusal { version, problems, pause: PAUSE.0 });
        Some(request)
    }

    /// Resolves when a kept refusal has waited long enough.
    pub(super) async fn due(&self) {
        match self.waiting.iter().map(|(at, _)| *at).min() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What has waited long enough.
    pub(super) fn ready(&mut self, now: Instant) -> Vec<Request> {
        let is_ready = |(at, _): &mut (Instant, Request)| *at <= now;
        self.waiting.extract_if(.., is_ready).map(|(_, request)| request).collect()
    }
}

#[cfg(test)]
mod tests {
    use leno_xds::ResourceType;

    use super::*;

    fn answer(nonce: &str, error: Option<&str>) -> Request {
        Request {
            type_url: ResourceType::Cluster.type_url().to_owned(),
            nonce: nonce.to_owned(),
            error: error.map(str::to_owned),
            ..Request::default()
        }
    }

    #[tokio::test]
    async fn only_what_was_said_before_waits_and_longer_each_time() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut pass = |nonce, error, version, after: Duration| {
            let passed = pace.pass(answer(nonce, error), version, start + after).is_some();
            let waits = pace.waiting.first().map(|(at, _)| *at - start - after);
            (passed, waits)
        };
        let wait = |millis| Some(Duration::from_millis(millis));
        // (nonce, refusal, version; whether it is sent now, how long it waits)
        let table = [
            ("1", Some("no"), "7", true, None),
            ("2", Some("no"), "7", false, wait(200)),
            ("3", Some("no"), "7", false, wait(400)),
            ("4", Some("no, and no"), "7", true, None),
            ("5", Some("no, and no"), "7", false, wait(200)),
            ("6", Some("no, and no"), "8", true, None),
            ("7", None, "9", true, None),
            ("8", Some("no, and no"), "8", true, None),
            // A subscription is no answer.
            ("", None, "", true, None),
        ];
        for (nonce, error, version, passed, waits) in table {
            assert_eq!(pass(nonce, error, version, Duration::ZERO), (passed, waits), "{nonce}");
        }
        for _ in 0..20 {
            pass("9", Some("no, and no"), "8", Duration::ZERO);
        }
        assert_eq!(pass("9", Some("no, and no"), "8", Duration::ZERO).1, Some(PAUSE.1));
        assert!(pace.ready(start + PAUSE.1 - Duration::from_millis(1)).is_empty());
        assert_eq!(pace.ready(start + PAUSE.1).len(), 1);
        assert!(pace.ready(start + 2 * PAUSE.1).is_empty());
    }
}
