//! One issuer's keys as the rest of the program sees them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::jwks::budget::Budget;
use crate::jwks::copy::Copy;
use crate::jwks::pace::{KeySettings, Pace};
use crate::jwks::refresher::Fetched;
use crate::jwks::store::IssuerKeysConfig;
use crate::telemetry::{IssuerHealth, KeyState};
use crate::token::key_source::KeyPlace;
use crate::token::keys::MAX_TRIED;
use crate::token::{KeyId, KeySet, Timestamp};

/// One issuer's keys: the current set for every token, and a way to ask for a newer one.
pub struct IssuerKeys {
    config: IssuerKeysConfig,
    settings: Arc<KeySettings>,
    current: ArcSwapOption<KeySet>,
    /// The current set as a document, for whoever looks on.
    jwks: Mutex<Option<Arc<str>>>,
    acr_values_supported: ArcSwapOption<Box<[Box<str>]>>,
    desk: Mutex<Desk>,
    flights: watch::Sender<Flights>,
    wanted: Notify,
    record: Mutex<Record>,
}

/// What became of asking for a newer set.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A newer set that may have the key.
    Refreshed(Arc<KeySet>),
    /// The issuer was asked, and has no such key: `key_unknown`.
    AskedInVain,
    /// The issuer cannot be asked now, so nothing can be said: `keys_unavailable`.
    CannotAsk {
        /// When it is worth trying again; at least a second.
        retry_after: Duration,
    },
}

/// Where asking is decided: behind one lock, so that a hundred askers cause one fetch.
struct Desk {
    budget: Budget,
    /// A fetch was asked for and has not begun.
    requested: bool,
}

/// Fetches are numbered from 1; at most one is under way.
#[derive(Clone, Copy, Default)]
struct Flights {
    begun: u64,
    ended: u64,
    last_was_good: bool,
    /// The keys of a copy on disk are in use: nobody need wait for the first fetch.
    has_copy: bool,
}

struct Record {
    fetched_at: Option<Timestamp>,
    fresh_until: Instant,
    honoured_until: Instant,
    next: Instant,
    last_error: Option<String>,
    failures: u32,
    fetched: u64,
    failed: u64,
    retired: bool,
}

impl IssuerKeys {
    pub(super) fn new(config: IssuerKeysConfig, settings: Arc<KeySettings>) -> Self {
        let now = Instant::now();
        let budget = Budget::new(&settings.pace);
        Self {
            config,
            settings,
            current: ArcSwapOption::empty(),
            jwks: Mutex::default(),
            acr_values_supported: ArcSwapOption::empty(),
            desk: Mutex::new(Desk { budget, requested: false }),
            flights: watch::Sender::new(Flights::default()),
            wanted: Notify::new(),
            record: Mutex::new(Record {
                fetched_at: None,
                fresh_until: now,
                honoured_until: now,
                next: now,
                last_error: None,
                failures: 0,
                fetched: 0,
                failed: 0,
                retired: false,
            }),
        }
    }

    /// What these keys were asked for with.
    #[must_use]
    pub fn config(&self) -> &IssuerKeysConfig {
        &self.config
    }

    /// The keys to verify with now. `None` before the first set arrived, when the last one became too old, and for ever
    /// once the issuer left the policy.
    #[must_use]
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// The usable public keys of the current set as a key set document. `None` where there is no current set.
    #[must_use]
    pub fn published(&self) -> Option<Arc<str>> {
        self.current()?;
        lock(&self.jwks).clone()
    }

    /// Whether a key is in the current set: what a kept token is asked at every hit.
    #[must_use]
    pub fn honours(&self, key: KeyId) -> bool {
        self.current.load().as_ref().is_some_and(|set| set.has(key))
    }

    /// The `acr_values_supported` of the discovery document, where there is one that says.
    #[must_use]
    pub fn acr_values_supported(&self) -> Option<Arc<Box<[Box<str>]>>> {
        self.acr_values_supported.load_full()
    }

    /// The current set; while the very first fetch is under way and there is no copy on disk, waits for it a moment (about a
    /// second).
    ///
    /// # Errors
    /// When to try again.
    pub async fn first(&self) -> Result<Arc<KeySet>, Duration> {
        if let Some(set) = self.current() {
            return Ok(set);
        }
        if self.flights.borrow().ended == 0 {
            let mut flights = self.flights.subscribe();
            let first = flights.wait_for(|flights| flights.ended > 0 || flights.has_copy);
            let _in_time = tokio::time::timeout(self.settings.pace.first_wait, first).await;
        }
        self.current().ok_or_else(|| self.retry_after())
    }

    /// Asks the issuer for a newer set because a token names a key that the current one lacks (`None`: names no key, and
    /// none of the set fits). Joins a fetch that is under way; else one is made if the budgets of this client address and
    /// of the issuer allow it.
    pub async fn ask(&self, kid: Option<&str>, peer: IpAddr) -> Asked {
        let before = self.current();
        match (&before, kid) {
            (None, _) => return Asked::CannotAsk { retry_after: self.retry_after() },
            (Some(set), Some(kid)) if set.names(kid) => return Asked::Refreshed(Arc::clone(set)),
            (Some(_), _) => {}
        }
        let flight = {
            let mut desk = lock(&self.desk);
            let now = Instant::now();
            if desk.budget.was_in_vain(kid, now) {
                return Asked::AskedInVain;
            }
            let flights = *self.flights.borrow();
            if flights.begun > flights.ended {
                flights.begun
            } else {
                if !desk.requested {
                    if let Err(wait) = desk.budget.take(peer, now) {
                        return Asked::CannotAsk { retry_after: whole_seconds(wait) };
                    }
                    desk.requested = true;
                    self.wanted.notify_one();
                }
                flights.begun.saturating_add(1)
            }
        };
        if !self.ended(flight, self.settings.pace.ask_wait).await {
            return Asked::CannotAsk { retry_after: self.retry_after() };
        }
        match self.current() {
            Some(set) if kid.map_or(before.is_none_or(|before| before != set), |kid| set.names(kid)) => {
                Asked::Refreshed(set)
            }
            Some(_) => {
                lock(&self.desk).budget.remember_in_vain(kid, Instant::now());
                Asked::AskedInVain
            }
            None => Asked::CannotAsk { retry_after: self.retry_after() },
        }
    }

    /// How the keys are doing.
    #[must_use]
    pub fn status(&self) -> IssuerHealth {
        let record = lock(&self.record);
        let now = Instant::now();
        let set = self.current();
        IssuerHealth {
            name: self.config.name.clone().into(),
            state: match &set {
                None => KeyState::Waiting,
                Some(_) if now < record.fresh_until => KeyState::Ready,
                Some(_) => KeyState::Stale,
            },
            keys: set.map_or(0, |set| set.len()),
            fetched_at: record.fetched_at,
            error: record.last_error.clone(),
            next_fetch_in: record.next.saturating_duration_since(now),
            fetched: record.fetched,
            failed: record.failed,
        }
    }

    /// The issuer left the policy: nothing is believed on its keys any more.
    pub(super) fn retire(&self) {
        lock(&self.record).retired = true;
        self.current.store(None);
    }

    /// A fetch begins.
    pub(super) fn begin(&self) {
        let mut desk = lock(&self.desk);
        desk.requested = false;
        self.flights.send_modify(|flights| flights.begun = flights.begun.saturating_add(1));
    }

    /// Waits until someone asks for a fetch that has not begun.
    pub(super) async fn asked(&self) {
        loop {
            self.wanted.notified().await;
            if lock(&self.desk).requested {
                return;
            }
        }
    }

    /// A fetch ended: publishes what it brought and says how long to wait until the next.
    pub(super) fn settle(&self, outcome: Result<Fetched, String>) -> Duration {
        let good = outcome.is_ok();
        let pause = match outcome {
            Ok(fetched) => self.take(fetched),
            Err(error) => self.note(error),
        };
        self.flights.send_modify(|flights| {
            flights.ended = flights.begun;
            flights.last_was_good = good;
        });
        pause
    }

    /// A copy on disk was found good: it is used until the issuer gives a set of its own.
    pub(super) fn take_copy(&self, copy: Copy) {
        let Copy { set, jwks, acr_values_supported, fetched_at, honoured_for } = copy;
        let mut record = lock(&self.record);
        if record.retired || record.fetched > 0 {
            return;
        }
        tracing::info!(
            issuer = %self.config.name,
            keys = set.len(),
            age_seconds = crate::clock::now().seconds().saturating_sub(fetched_at.seconds()),
            "the key set of the copy on disk is used until the issuer can be asked"
        );
        self.acr_values_supported.store(acr_values_supported.map(Arc::new));
        *lock(&self.jwks) = Some(jwks);
        self.current.store(Some(Arc::new(set)));
        record.fetched_at = Some(fetched_at);
        record.honoured_until = later(Instant::now(), honoured_for);
        drop(record);
        self.flights.send_modify(|flights| flights.has_copy = true);
    }

    /// Lets go of keys that became too old, to the moment: a fetch that hangs does not put it off.
    pub(super) async fn let_go_in_time(&self) {
        let mut flights = self.flights.subscribe();
        loop {
            // Before the record is read, so that no change in between is missed.
            flights.mark_unchanged();
            let until = lock(&self.record).honoured_until;
            let changed = if self.let_go() {
                flights.changed().await
            } else {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => Ok(()),
                    changed = flights.changed() => changed,
                }
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Lets go of keys that are too old; says whether none are held.
    fn let_go(&self) -> bool {
        let record = lock(&self.record);
        if Instant::now() >= record.honoured_until && self.current.swap(None).is_some() {
            tracing::error!(
                issuer = %self.config.name,
                error = record.last_error,
                "the last good key set is too old to be honoured: its tokens are refused until keys can be had"
            );
        }
        self.current.load().is_none()
    }

    fn take(&self, fetched: Fetched) -> Duration {
        let Fetched { set, jwks, lifetime, acr_values_supported, original: _ } = fetched;
        let mut record = lock(&self.record);
        if record.retired {
            return self.settings.pace.last_retry;
        }
        if let Some(values) = acr_values_supported {
            self.acr_values_supported.store(Some(Arc::new(values)));
        }
        let changed = self.current.load().as_ref().is_none_or(|current| **current != set);
        if changed {
            for key in set.dropped() {
                tracing::warn!(issuer = %self.config.name, "{key}");
            }
            for (algorithm, count) in set.crowded() {
                tracing::warn!(
                    issuer = %self.config.name,
                    algorithm = algorithm.name(),
                    keys = count,
                    "more keys fit this algorithm than the {MAX_TRIED} that are tried on one token; a token that names no \
                     `kid` and is signed with one of the others is refused"
                );
            }
            tracing::info!(issuer = %self.config.name, keys = set.len(), "new key set");
            *lock(&self.jwks) = Some(jwks);
            self.current.store(Some(Arc::new(set)));
        } else if record.failures > 0 {
            tracing::info!(issuer = %self.config.name, "keys can be had again");
        }
        let now = Instant::now();
        let pause = match self.config.source.place {
            KeyPlace::JwksFile(_) => self.settings.pace.file_poll,
            KeyPlace::Discovery | KeyPlace::JwksUrl(_) => Pace::refresh_after(lifetime),
        };
        record.fetched_at = Some(crate::clock::now());
        record.fresh_until = later(now, lifetime);
        record.honoured_until = later(record.fresh_until, self.settings.max_stale);
        record.next = later(now, pause);
        record.last_error = None;
        record.failures = 0;
        record.fetched = record.fetched.saturating_add(1);
        pause
    }

    fn note(&self, error: String) -> Duration {
        let mut record = lock(&self.record);
        let now = Instant::now();
        record.failures = record.failures.saturating_add(1);
        record.failed = record.failed.saturating_add(1);
        let pause = match self.config.source.place {
            KeyPlace::JwksFile(_) => self.settings.pace.file_poll,
            KeyPlace::Discovery | KeyPlace::JwksUrl(_) => self.settings.pace.retry_after(record.failures),
        };
        record.next = later(now, pause);
        if record.last_error.as_ref() == Some(&error) {
            tracing::debug!(issuer = %self.config.name, %error, "keys still cannot be had");
        } else {
            let kept =
                if self.current.load().is_some() { "the last good set stays in use" } else { "there is none yet" };
            tracing::warn!(issuer = %self.config.name, %error, "keys cannot be had; {kept}");
        }
        record.last_error = Some(error);
        pause
    }

    /// Waits until this fetch has ended; says whether it ended well and in time.
    async fn ended(&self, flight: u64, wait: Duration) -> bool {
        let mut flights = self.flights.subscribe();
        let ended = tokio::time::timeout(wait, flights.wait_for(|flights| flights.ended >= flight)).await;
        matches!(ended, Ok(Ok(flights)) if flights.last_was_good)
    }

    fn retry_after(&self) -> Duration {
        whole_seconds(lock(&self.record).next.saturating_duration_since(Instant::now()))
    }
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuerKeys").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Rounded up: what `Retry-After` can say, and never "at once".
fn whole_seconds(wait: Duration) -> Duration {
    let round_up = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(round_up).max(1))
}

/// So much later, or where the clock does not reach so far, as good as never.
fn later(at: Instant, by: Duration) -> Instant {
    const AS_GOOD_AS_NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    at.checked_add(by).or_else(|| at.checked_add(AS_GOOD_AS_NEVER)).unwrap_or(at)
}

/// No lock here is held across an await or a panic, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
