//! A timer that costs nothing while it does not fire.
//!
//! Setting it is a store. The timer wheel is touched only when it fires early (another deadline was meant when it
//! was armed) or when an earlier deadline is set, so a connection that serves requests with a 15 s timeout arms it
//! once in 15 s. Belongs to one task: the waker is registered once for each arming.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A lazily armed timer.
#[derive(Debug)]
pub(crate) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
    registered: bool,
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadline {
    /// A timer without a deadline.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self { sleep: None, at: None, registered: false }
    }

    /// Sets or clears the deadline.
    pub(crate) fn set(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// Ready once the deadline has passed; stays ready until another is set. Never ready without one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
            self.registered = false;
        }
        loop {
            if self.registered && !sleep.is_elapsed() {
                return Poll::Pending;
            }
            self.registered = true;
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
            self.registered = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Deadline;

    const STEP: Duration = Duration::from_millis(20);

    async fn fires_after(deadline: &mut Deadline) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn it_fires_at_the_deadline_set_last() {
        let mut deadline = Deadline::new();
        let far = Instant::now() + Duration::from_secs(3600);
        deadline.set(Some(far));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set(Some(Instant::now() + STEP));
        let earlier = fires_after(&mut deadline).await;
        assert!((STEP..STEP * 20).contains(&earlier), "{earlier:?}");

        deadline.set(Some(Instant::now() + STEP));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set(Some(Instant::now() + 3 * STEP));
        let later = fires_after(&mut deadline).await;
        assert!((2 * STEP..STEP * 60).contains(&later), "{later:?}");

        deadline.set(None);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
    }
}
