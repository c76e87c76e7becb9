//! How often, how long, how much: every number of this room.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::jwks::cache_dir::CacheDir;
use crate::token::KeyLimits;

/// How keys are fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// How long the last good set is honoured past its lifetime while no new one can be had.
    pub max_stale: Duration,
    /// Whether issuers other than loopback ones may be asked over plain HTTP.
    pub allow_http: bool,
    /// The HTTP proxy through which issuers on other machines are asked; `None`: directly.
    pub proxy: Option<Box<str>>,
    /// Where the last good sets are kept for a start without the issuer; `None`: nowhere.
    pub cache_dir: Option<CacheDir>,
    /// How large a key set may be; a discovery document may have as many bytes.
    pub limits: KeyLimits,
    /// Intervals and timeouts; tests shorten them.
    pub pace: Pace,
}

impl KeySettings {
    /// These settings with the usual limits and intervals, without a proxy or a copy on disk.
    #[must_use]
    pub const fn new(max_stale: Duration, allow_http: bool) -> Self {
        let limits = KeyLimits::USUAL;
        Self { max_stale, allow_http, proxy: None, cache_dir: None, limits, pace: Pace::USUAL }
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
    /// The longest pause after a first failed fetch; it doubles with each further one.
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

    /// When to refresh a set of this lifetime: at 60 to 80 per cent of it, so that a thousand gates that were started
    /// together do not ask in the same second.
    pub(super) fn refresh_after(lifetime: Duration) -> Duration {
        lifetime.mul_f64(0.8 - 0.2 * random())
    }

    /// The pause after so many failures in a row (at least one), up to half of it shorter at random: an issuer that comes
    /// back is not met by all at once.
    pub(super) fn retry_after(&self, failures: u32) -> Duration {
        let doubled =
            self.first_retry.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.last_retry).mul_f64(1.0 - 0.5 * random())
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
    }

    #[test]
    fn gates_that_were_started_together_ask_at_different_times() {
        let millis = Duration::from_millis;
        // The least and the most of a thousand: the bounds hold, and what lies between them is used.
        let spread = |pause: &dyn Fn() -> Duration, from: u64, to: u64| {
            let pauses: Vec<Duration> = (0..1000).map(|_| pause()).collect();
            let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
            assert!(least >= millis(from) && most <= millis(to), "{least:?} {most:?}");
            assert!(most - least > millis((to - from) * 9 / 10), "{least:?} {most:?}");
        };
        spread(&|| Pace::refresh_after(millis(600_000)), 360_000, 480_000);
        spread(&|| Pace::USUAL.retry_after(1), 500, 1000);
        spread(&|| Pace::USUAL.retry_after(3), 2000, 4000);
        spread(&|| Pace::USUAL.retry_after(40), 15_000, 30_000);
    }
}
