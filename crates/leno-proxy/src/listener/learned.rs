//! What destinations were seen to speak, so that the next connection to one waits for nothing.
//!
//! Only a hint of when to open the upstream connection: what a connection speaks is told from its own bytes each time.
//! One table for all workers. Readers take no lock; a writer copies the table, which happens when something new is
//! learned and never once a destination is known.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::limits;

/// What a destination speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// The server speaks first.
    ServerFirst,
    /// The client speaks first, and it is neither TLS nor HTTP.
    Bytes,
    /// HTTP in plaintext.
    Http,
    /// TLS.
    Tls,
}

impl Spoken {
    /// The word in `/protocols`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServerFirst => "server-first",
            Self::Bytes => "bytes",
            Self::Http => "http",
            Self::Tls => "tls",
        }
    }

    /// Whether its bytes are passed on as they are, whatever they may look like at first.
    pub(crate) fn is_opaque(self) -> bool {
        matches!(self, Self::ServerFirst | Self::Bytes)
    }
}

/// The destinations known.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    known: ArcSwap<HashMap<SocketAddr, Entry>>,
    writing: Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    spoken: Spoken,
    since: Instant,
}

impl Entry {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Learned {
    /// What `destination` spoke, if that is not too long ago.
    pub(crate) fn spoken(&self, destination: SocketAddr, now: Instant) -> Option<Spoken> {
        let known = self.known.load();
        let entry = known.get(&destination)?;
        (entry.age(now) < limits::LEARNED_FOR).then_some(entry.spoken)
    }

    /// Notes what `destination` spoke now.
    pub(crate) fn note(&self, destination: SocketAddr, spoken: Spoken, now: Instant) {
        let is_known = |known: &HashMap<SocketAddr, Entry>| {
            let entry = known.get(&destination);
            entry.is_some_and(|e| e.spoken == spoken && e.age(now) < limits::LEARNED_FOR / 2)
        };
        if is_known(&self.known.load()) {
            return;
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::clone(&self.known.load());
        next.retain(|_, entry| entry.age(now) < limits::LEARNED_FOR);
        if next.len() >= limits::LEARNED_DESTINATIONS && !next.contains_key(&destination) {
            let oldest = next.iter().min_by_key(|(_, entry)| entry.since).map(|(at, _)| *at);
            oldest.and_then(|oldest| next.remove(&oldest));
        }
        next.insert(destination, Entry { spoken, since: now });
        self.known.store(Arc::new(next));
    }

    /// Every destination, what it speaks, and how long ago that was last noted.
    pub(crate) fn all(&self, now: Instant) -> Vec<(SocketAddr, Spoken, Duration)> {
        let known = self.known.load();
        let entries = known.iter().map(|(at, entry)| (*at, entry.spoken, entry.age(now)));
        let mut all: Vec<_> = entries.filter(|(.., age)| *age < limits::LEARNED_FOR).collect();
        all.sort_unstable_by_key(|(at, ..)| *at);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use super::{Learned, Spoken};
    use crate::limits::{LEARNED_DESTINATIONS, LEARNED_FOR};

    fn destination(number: usize) -> SocketAddr {
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        SocketAddr::from(([10, 0, high, low], 3306))
    }

    #[test]
    fn what_was_learned_is_known_until_it_is_old_or_otherwise() {
        let (learned, start) = (Learned::default(), Instant::now());
        let one = destination(1);
        assert_eq!(learned.spoken(one, start), None);
        learned.note(one, Spoken::ServerFirst, start);
        assert_eq!(learned.spoken(one, start), Some(Spoken::ServerFirst));
        assert_eq!(learned.spoken(destination(2), start), None);
        learned.note(one, Spoken::Http, start);
        assert_eq!(learned.spoken(one, start), Some(Spoken::Http));
        // Seen again and again it stays; a little after it was last seen it goes.
        let later = start + LEARNED_FOR * 3 / 4;
        learned.note(one, Spoken::Http, later);
        assert_eq!(learned.spoken(one, start + LEARNED_FOR), Some(Spoken::Http));
        assert_eq!(learned.spoken(one, later + LEARNED_FOR), None);
        assert!(learned.all(later + LEARNED_FOR).is_empty());
    }

    #[test]
    fn at_the_limit_the_oldest_goes() {
        let (learned, start) = (Learned::default(), Instant::now());
        let at = |number: usize| start + Duration::from_millis(number as u64);
        for number in 0..=LEARNED_DESTINATIONS {
            learned.note(destination(number), Spoken::Bytes, at(number));
        }
        let end = at(LEARNED_DESTINATIONS);
        assert_eq!(learned.all(end).len(), LEARNED_DESTINATIONS);
        assert_eq!(learned.spoken(destination(0), end), None);
        assert_eq!(learned.spoken(destination(LEARNED_DESTINATIONS), end), Some(Spoken::Bytes));
    }

    #[test]
    fn what_is_known_is_not_written_again() {
        let (learned, now) = (Learned::default(), Instant::now());
        learned.note(destination(1), Spoken::Tls, now);
        let before = learned.known.load_full();
        learned.note(destination(1), Spoken::Tls, now + LEARNED_FOR / 4);
        assert!(std::sync::Arc::ptr_eq(&before, &learned.known.load_full()));
    }
}
