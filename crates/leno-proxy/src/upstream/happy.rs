//! Happy Eyeballs (RFC 8305): the addresses of a dual-stack endpoint are tried one a little after the other, and the first
//! connection that stands is used.
//!
//! Called by the dialer. Time is tokio's, so that a test may stop it; how a connection is made is an argument.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

/// How long an address is waited for before the next is tried too (RFC 8305 §8, and Envoy).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The order of attempts: families in turn, beginning with the first address's; within a family as given (RFC 8305 §4).
#[must_use]
pub fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let of = |is_first: bool| {
        let same = move |one: &&SocketAddr| (one.is_ipv4() == first.is_ipv4()) == is_first;
        addresses.iter().filter(same).copied()
    };
    let (mut preferred, mut other) = (of(true), of(false));
    let mut ordered = Vec::with_capacity(addresses.len());
    loop {
        let turn = [preferred.next(), other.next()];
        if turn == [None, None] {
            return ordered;
        }
        ordered.extend(turn.into_iter().flatten());
    }
}

/// Connects to the first of `addresses` that answers: each next one is tried when the one before has failed, or has not
/// answered for [`ATTEMPT_DELAY`]. Attempts that lose are given up.
///
/// # Errors
/// What the last failed attempt said; `AddrNotAvailable` without addresses.
pub async fn race<T, A>(
    addresses: &[SocketAddr],
    mut attempt: impl FnMut(SocketAddr) -> A,
) -> io::Result<T>
where
    A: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter();
    let mut running: Vec<std::pin::Pin<Box<A>>> = Vec::with_capacity(addresses.len());
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match waiting.next() {
            Some(address) => running.push(Box::pin(attempt(*address))),
            None if running.is_empty() => return Err(failure),
            None => {}
        }
        let is_last = waiting.as_slice().is_empty();
        tokio::select! {
            biased;
            (at, answer) = any(&mut running) => match answer {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    drop(running.swap_remove(at));
                    failure = error;
                }
            },
            () = sleep(ATTEMPT_DELAY), if !is_last => {}
        }
    }
}

/// The first of several attempts that is ready.
async fn any<T, A: Future<Output = io::Result<T>>>(
    running: &mut [std::pin::Pin<Box<A>>],
) -> (usize, io::Result<T>) {
    std::future::poll_fn(|cx| {
        for (at, attempt) in running.iter_mut().enumerate() {
            if let std::task::Poll::Ready(answer) = attempt.as_mut().poll(cx) {
                return std::task::Poll::Ready((at, answer));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{interleave, race};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| format!("{text}:1").parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        // (given, tried)
        let table: [(&[&str], &[&str]); 5] = [
            (&[], &[]),
            (&["[::1]"], &["[::1]"]),
            (
                &["[::1]", "[::2]", "[::3]", "1.1.1.1", "2.2.2.2"],
                &["[::1]", "1.1.1.1", "[::2]", "2.2.2.2", "[::3]"],
            ),
            (&["1.1.1.1", "[::1]", "2.2.2.2"], &["1.1.1.1", "[::1]", "2.2.2.2"]),
            (&["1.1.1.1", "2.2.2.2"], &["1.1.1.1", "2.2.2.2"]),
        ];
        for (given, tried) in table {
            assert_eq!(interleave(&addresses(given)), addresses(tried), "{given:?}");
        }
    }

    /// What an address does: answers after so long, or refuses after so long.
    #[derive(Clone, Copy)]
    enum Does {
        Answer(u64),
        Refuse(u64),
        Nothing,
    }

    /// Which address won, after how long, and when each was tried; milliseconds.
    async fn run(does: &[Does]) -> (Option<usize>, u128, Vec<u128>) {
        let all: Vec<_> =
            (0..does.len()).map(|at| SocketAddr::from(([10, 0, 0, 0], at as u16))).collect();
        let start = Instant::now();
        let tried = RefCell::new(Vec::new());
        let won = race(&all, |address| {
            tried.borrow_mut().push(start.elapsed().as_millis());
            async move {
                let at = usize::from(address.port());
                match does[at] {
                    Does::Answer(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(at)
                    }
                    Does::Refuse(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                    Does::Nothing => std::future::pending().await,
                }
            }
        })
        .await;
        (won.ok(), start.elapsed().as_millis(), tried.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_when_one_fails_or_is_slow() {
        use Does::{Answer, Nothing, Refuse};
        // (what addresses do, who wins, when, when they were tried)
        type Row = (&'static [Does], Option<usize>, u128, &'static [u128]);
        let table: [Row; 7] = [
            (&[Answer(10), Answer(1)], Some(0), 10, &[0]),
            (&[Nothing, Answer(10)], Some(1), 260, &[0, 250]),
            (&[Refuse(5), Answer(10)], Some(1), 15, &[0, 5]),
            // The slow one may still win.
            (&[Answer(300), Answer(100)], Some(0), 300, &[0, 250]),
            (&[Nothing, Nothing, Answer(1)], Some(2), 501, &[0, 250, 500]),
            (&[Refuse(1), Refuse(1)], None, 2, &[0, 1]),
            (&[], None, 0, &[]),
        ];
        for (case, (does, winner, when, tried)) in table.into_iter().enumerate() {
            assert_eq!(run(does).await, (winner, when, tried.to_vec()), "case {case}");
        }
    }
}
