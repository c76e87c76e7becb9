//! How often, how long, how much: every number of this room.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How keys are fetched and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// How long the last good set is honoured past its lifetime while no new one can be had.
    pub max_stale: Duration,
    /// Whether issuers other than loopback ones may be asked over plain HTTP.
    pub allow_http: bool,
    /// Intervals and timeouts; tests shorten them.
    pub pace: Pace,
}

impl KeySettings {
    /// These settings with the usual intervals.
    #[must_use]
    pub const fn new(max_stale: Duration, allow_http: bool) -> Self {
        Self { max_stale, allow_http, pace: Pace::USUAL }
    }
}

/// Intervals and timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The lifetime of a set whose server does not say.
    pub lifetime: Duration,
    /// The shortest lifetime that a server can ask for.
    pub shortest_lifetime: Duration,
    /// The longest lifetime that a server can ask for.
    pub longest_lifetime: Duration,
    /// The pause after a first failed fetch; it doubles with each further one.
    pub first_retry: Duration,
    /// The longest pause between failed fetches.
    pub last_retry: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long a whole request may take.
    pub total: Duration,
    /// How often a key file is looked at.
    pub file_poll: Duration,
    /// For how long an unknown `kid` that was asked for in vain stays unknown, and how long one client address waits until
    /// it can cause another fetch.
    pub ask_interval: Duration,
    /// How many fetches clients can cause in that time, per issuer.
    pub asks_per_interval: usize,
    /// How long a request waits for a fetch that an unknown `kid` caused.
    pub ask_wait: Duration,
    /// How long a request waits for the very first set.
    pub first_wait: Duration,
}

impl Pace {
    /// What holds outside tests.
    pub const USUAL: Self = Self {
        lifetime: Duration::from_secs(600),
        shortest_lifetime: Duration::from_secs(60),
        longest_lifetime: Duration::from_secs(24 * 3600),
        first_retry: Duration::from_secs(1),
        last_retry: Duration::from_secs(30),
        connect: Duration::from_secs(2),
        total: Duration::from_secs(5),
        file_poll: Duration::from_secs(2),
        ask_interval: Duration::from_secs(30),
        asks_per_interval: 6,
        ask_wait: Duration::from_secs(3),
        first_wait: Duration::from_secs(1),
    };

    /// A lifetime within bounds.
    pub(super) fn bounded(&self, said: Option<Duration>) -> Duration {
        said.map_or(self.lifetime, |said| said.clamp(self.shortest_lifetime, self.longest_lifetime))
    }

    /// When to refresh a set of this lifetime: at 72 to 80 per cent of it, so that many gates do not ask at once.
    pub(super) fn refresh_after(lifetime: Duration) -> Duration {
        lifetime.mul_f64(0.8 - 0.08 * random())
    }

    /// The pause after so many failures in a row (at least one), up to a fifth longer at random.
    pub(super) fn retry_after(&self, failures: u32) -> Duration {
        let doubled =
            self.first_retry.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.last_retry).mul_f64(1.0 + 0.2 * random())
    }
}

/// From 0 up to 1; spreads load, guards nothing.
fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_asks_for_is_kept_within_bounds() {
        let seconds = Duration::from_secs;
        let pace = Pace::USUAL;
        assert_eq!(pace.bounded(None), seconds(600));
        assert_eq!(pace.bounded(Some(seconds(0))), seconds(60));
        assert_eq!(pace.bounded(Some(seconds(3600))), seconds(3600));
        assert_eq!(pace.bounded(Some(Duration::MAX)), seconds(24 * 3600));
        for _ in 0..100 {
            assert!((seconds(431)..=seconds(480)).contains(&Pace::refresh_after(seconds(600))));
            assert!((seconds(1)..seconds(2)).contains(&pace.retry_after(1)));
            assert!((seconds(4)..seconds(5)).contains(&pace.retry_after(3)));
            assert!((seconds(30)..=seconds(36)).contains(&pace.retry_after(40)));
        }
    }
}
