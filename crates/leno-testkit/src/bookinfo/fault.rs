//! Misbehaviour on request: a share of answers late, or failed.
//!
//! Shares are met exactly, by spreading them evenly over the requests in order
//! of arrival: half means every second one. Set by flags or by
//! `POST /_fault {"status":500,"share":0.5,"delay_ms":2000}`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a workload does wrong. The default does nothing wrong.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// The status of failed answers; absent fails none.
    pub status: Option<u16>,
    /// How many answers fail, 0 to 1.
    pub share: f64,
    /// How late an answer is.
    pub delay_ms: u64,
    /// How many answers are late, 0 to 1.
    pub delay_share: f64,
}

impl Default for Fault {
    fn default() -> Self {
        Self { status: None, share: 1.0, delay_ms: 0, delay_share: 1.0 }
    }
}

/// A fault that could not mean anything, and what would.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum InvalidFault {
    /// Outside 0 to 1.
    #[error("{field}: {value} is not a share; a share lies between 0 and 1")]
    Share {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: f64,
    },
    /// Not an HTTP status that ends a request.
    #[error("status: {0} is not a final HTTP status; use 200 to 599")]
    Status(u16),
}

impl Fault {
    /// Checks the ranges.
    pub fn validate(&self) -> Result<(), InvalidFault> {
        for (field, value) in [("share", self.share), ("delay_share", self.delay_share)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(InvalidFault::Share { field, value });
            }
        }
        match self.status {
            Some(status) if !(200..=599).contains(&status) => Err(InvalidFault::Status(status)),
            _ => Ok(()),
        }
    }

    /// What happens to request number `nth`, counted from 0.
    pub(super) fn decide(&self, nth: u64) -> Decision {
        let is_late = self.delay_ms > 0 && is_hit(nth, self.delay_share);
        Decision {
            delay: is_late.then(|| Duration::from_millis(self.delay_ms)),
            status: self.status.filter(|_| is_hit(nth, self.share)),
        }
    }
}

/// What one request meets: first the delay, then the status.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) delay: Option<Duration>,
    pub(super) status: Option<u16>,
}

/// Among requests 0 to n-1, `floor(n * share)` are hit, evenly spread.
fn is_hit(nth: u64, share: f64) -> bool {
    let hits = |count: u64| (count as f64 * share).floor() as u64;
    hits(nth + 1) > hits(nth)
}

#[cfg(test)]
mod tests {
    use super::{Decision, Fault, is_hit};
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::time::Duration;

    #[test]
    fn half_means_every_second() {
        let fault = Fault { status: Some(500), share: 0.5, ..Fault::default() };
        let statuses: Vec<_> = (0..6).map(|nth| fault.decide(nth).status).collect();
        assert_eq!(statuses, [None, Some(500), None, Some(500), None, Some(500)]);
    }

    #[test]
    fn the_default_does_nothing_and_a_delay_hits_all() {
        let none = Decision { delay: None, status: None };
        assert_eq!(Fault::default().decide(7), none);
        let slow = Fault { delay_ms: 20, ..Fault::default() };
        assert_eq!(slow.decide(7).delay, Some(Duration::from_millis(20)));
    }

    #[test]
    fn nonsense_is_refused_with_its_field() {
        let check = |json: &str| {
            let fault: Fault = serde_json::from_str(json).map_err(|error| error.to_string())?;
            fault.validate().map_err(|error| error.to_string())
        };
        assert_eq!(check(r#"{"status":503,"share":0.25}"#), Ok(()));
        assert!(check(r#"{"share":1.5}"#).unwrap_err().contains("share: 1.5"));
        assert!(check(r#"{"delay_share":-1}"#).unwrap_err().contains("delay_share: -1"));
        assert!(check(r#"{"status":99}"#).unwrap_err().contains("status: 99"));
        assert!(check(r#"{"stauts":500}"#).unwrap_err().contains("stauts"));
    }

    proptest! {
        #[test]
        fn every_prefix_holds_its_share(share in 0.0..=1.0_f64, count in 1..2000_u64) {
            let hit = (0..count).filter(|nth| is_hit(*nth, share)).count() as u64;
            prop_assert_eq!(hit, (count as f64 * share).floor() as u64);
        }
    }
}
