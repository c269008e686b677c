//! HTTP: one connection serving requests one after the other, each by [`exchange`].

mod attempt;
mod call;
mod downstream;
mod exchange;
mod forward;
mod headers;
mod mirror;
mod pump;
mod record;
mod replay;
mod reply;
mod session;
mod timers;
mod transfer;
mod tunnel;
mod upstream;
mod view;

use std::time::Instant;

use leno_core::reply::Failure;

use session::Next;
pub(crate) use session::Session;

/// What may follow an exchange.
#[derive(Debug)]
enum After {
    /// Another request.
    Next,
    /// Nothing: the connection ends.
    Close,
}

/// Serves a connection until it ends, one request after the other.
pub(crate) async fn serve(mut session: Session) {
    let mut served = 0;
    loop {
        let next = session.next_request(served).await;
        let started = Instant::now();
        let after = match next {
            Next::Request(head_bytes) => {
                exchange::exchange(&mut session, started, head_bytes).await
            }
            Next::Invalid(invalid) => reply::refuse_invalid(&mut session, started, invalid).await,
            Next::HeadTimeout => {
                reply::refuse(&mut session, started, Failure::RequestHeaderTimeout).await
            }
            Next::End => return,
        };
        served += 1;
        if matches!(after, After::Close) {
            break;
        }
    }
    session.end().await;
}
