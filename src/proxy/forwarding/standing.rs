//! How the places of an upstream stand: which get requests, and which are left out for a while.
//!
//! Shared by the workers, so that what one finds out the others need not: a few atomics for each place, read for each request
//! to an upstream that has several, and written when something changes. Two say what they found: requests (a place that cannot
//! be connected to, or fails several times in a row, is left out, each time longer) and the health checks of `checks`.
//! Whether anything is left to choose from is not known here: `several` never leaves out the last.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::settings::Upstream;
use crate::telemetry::{AddressHealth, AddressState};

/// So many failures in a row leave a place out. One is enough when it cannot even be connected to.
const FAILURES: u32 = 5;
/// How long a place is left out at first; twice as long each time that it is tried again in vain.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long the others wait for the outcome of the one request by which a place is tried again.
const TRIAL: Duration = Duration::from_secs(5);
/// So many health checks in a row have to fail, or to succeed, before a place counts as ill, or as well.
const ILL: u32 = 3;
const WELL: u32 = 2;

/// How all places of all upstreams stand, in the order of the settings.
#[derive(Clone, Debug, Default)]
pub struct Standings(Arc<[Box<[Arc<Standing>]>]>);

/// How one place stands.
#[derive(Debug)]
pub struct Standing {
    upstream: Box<str>,
    address: Box<str>,
    /// What the times below are counted from.
    origin: Instant,
    /// Until when it is left out, in milliseconds; 0: it is not.
    out_until: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    /// How often it was left out in a row.
    times_out: AtomicU32,
    ill: AtomicBool,
    /// Health checks in a row that say otherwise.
    contrary: AtomicU32,
    failed: AtomicU64,
    ejected: AtomicU64,
    checks_passed: AtomicU64,
    checks_failed: AtomicU64,
    /// Why the last health check failed; `None`: it did not.
    check_error: Mutex<Option<Box<str>>>,
    /// Whether it is asked how it is.
    is_checked: bool,
}

/// On what terms a place was chosen for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Terms {
    /// It is one of those that get requests.
    Ordinary,
    /// It is left out, and this request tries it again.
    Trial,
    /// It is left out, and so are all others.
    LastResort,
}

/// What a look at a place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Look {
    /// It gets requests.
    In,
    /// It gets one, to try it again.
    Due,
    /// It gets none.
    Out,
}

impl Standings {
    /// All places in use.
    #[must_use]
    pub fn of(upstreams: &[Upstream]) -> Self {
        let places = |upstream: &Upstream| {
            upstream.endpoints().map(|endpoint| Arc::new(Standing::new(upstream, endpoint.to_string()))).collect()
        };
        Self(upstreams.iter().map(places).collect())
    }

    /// The places of the upstream of this number, in the order of its URLs.
    #[must_use]
    pub fn places(&self, upstream: usize) -> &[Arc<Standing>] {
        self.0.get(upstream).map_or(&[], |places| places)
    }

    /// What `/readyz` and `/metrics` show: the places of which there is something to tell, being one of several or checked.
    #[must_use]
    pub fn health(&self) -> Vec<AddressHealth> {
        let told = |places: &[Arc<Standing>]| places.len() > 1 || places.iter().any(|place| place.is_checked);
        self.0.iter().filter(|places| told(places)).flatten().map(|place| place.health(Instant::now())).collect()
    }
}

impl Standing {
    fn new(upstream: &Upstream, address: String) -> Self {
        Self {
            upstream: upstream.name.as_str().into(),
            address: address.into(),
            origin: Instant::now(),
            out_until: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            times_out: AtomicU32::new(0),
            ill: AtomicBool::new(false),
            contrary: AtomicU32::new(0),
            failed: AtomicU64::new(0),
            ejected: AtomicU64::new(0),
            checks_passed: AtomicU64::new(0),
            checks_failed: AtomicU64::new(0),
            check_error: Mutex::new(None),
            is_checked: upstream.health.is_some(),
        }
    }

    /// Whether it gets requests now.
    pub(in crate::proxy) fn look(&self, now: Instant) -> Look {
        if self.ill.load(Ordering::Relaxed) {
            return Look::Out;
        }
        match self.out_until.load(Ordering::Relaxed) {
            0 => Look::In,
            until if until <= self.millis(now) => Look::Due,
            _ => Look::Out,
        }
    }

    /// Takes it upon one request to try it again. False: another has.
    pub(in crate::proxy) fn try_again(&self, now: Instant) -> bool {
        let (until, now) = (self.out_until.load(Ordering::Relaxed), self.millis(now));
        let next = now.saturating_add(as_millis(TRIAL));
        let is_due = until != 0 && until <= now;
        is_due && self.out_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// It answered, whatever it said.
    pub(in crate::proxy) fn answered(&self, terms: Terms) {
        // Nearly always 0 already, and then nothing is written that others read.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if terms != Terms::Ordinary {
            self.back();
        }
    }

    /// It could not be connected to.
    pub(in crate::proxy) fn unreachable(&self, terms: Terms, now: Instant, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.leave_out(terms, now, why);
    }

    /// It broke off before an answer, or did not answer in time.
    pub(in crate::proxy) fn failed(&self, terms: Terms, now: Instant, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES || terms == Terms::Trial {
            self.leave_out(terms, now, why);
        }
    }

    /// A health check ended.
    pub(in crate::proxy) fn checked(&self, outcome: Result<(), String>) {
        let passed = outcome.is_ok();
        if passed { &self.checks_passed } else { &self.checks_failed }.fetch_add(1, Ordering::Relaxed);
        let why = outcome.err();
        *self.check_error.lock().unwrap_or_else(PoisonError::into_inner) = why.as_deref().map(Into::into);
        let ill = self.ill.load(Ordering::Relaxed);
        if passed != ill {
            self.contrary.store(0, Ordering::Relaxed);
            return;
        }
        let contrary = self.contrary.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if contrary < if ill { WELL } else { ILL } {
            return;
        }
        self.contrary.store(0, Ordering::Relaxed);
        self.ill.store(!ill, Ordering::Relaxed);
        let (upstream, address) = (&*self.upstream, &*self.address);
        if ill {
            tracing::info!(upstream, address, "the upstream's health checks succeed again");
            self.back();
        } else {
            let why = why.unwrap_or_default();
            tracing::warn!(
                upstream,
                address,
                why,
                "the upstream's health checks fail, so it gets no more requests there"
            );
        }
    }

    fn leave_out(&self, terms: Terms, now: Instant, why: &str) {
        let now = self.millis(now);
        let until = self.out_until.load(Ordering::Relaxed);
        // Those that were under way when it was left out find out nothing new.
        if until > now && terms != Terms::Trial {
            return;
        }
        let before = self.times_out.load(Ordering::Relaxed);
        let span = LONGEST.min(SHORTEST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)));
        let next = now.saturating_add(jittered(as_millis(span)));
        if self.out_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        self.times_out.store(before.saturating_add(1).min(16), Ordering::Relaxed);
        self.ejected.fetch_add(1, Ordering::Relaxed);
        // Once, and not again for each time that it is tried in vain.
        if before == 0 {
            let (upstream, address) = (&*self.upstream, &*self.address);
            tracing::warn!(
                upstream,
                address,
                why,
                "the upstream fails there, so it is left out and tried now and then"
            );
        }
    }

    fn back(&self) {
        if self.out_until.swap(0, Ordering::Relaxed) != 0 {
            self.times_out.store(0, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
            let (upstream, address) = (&*self.upstream, &*self.address);
            tracing::info!(upstream, address, "the upstream answers there again");
        }
    }

    fn health(&self, now: Instant) -> AddressHealth {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = match (self.ill.load(Ordering::Relaxed), count(&self.out_until)) {
            (true, _) => AddressState::Unhealthy,
            (false, 0) => AddressState::Up,
            (false, _) => AddressState::Ejected,
        };
        let until = count(&self.out_until).saturating_sub(self.millis(now));
        AddressHealth {
            upstream: self.upstream.clone(),
            address: self.address.clone(),
            state,
            out_for: Duration::from_millis(until),
            failures: count(&self.failed),
            ejections: count(&self.ejected),
            checks: self.is_checked.then(|| (count(&self.checks_passed), count(&self.checks_failed))),
            error: self.check_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Never 0, which is no time.
    fn millis(&self, now: Instant) -> u64 {
        as_millis(now.saturating_duration_since(self.origin)).saturating_add(1)
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A quarter less to a quarter more, so that gates do not all try again in one moment. Without randomness: as it is.
pub(super) fn jittered(millis: u64) -> u64 {
    let mut random = [0];
    if getrandom::fill(&mut random).is_err() {
        return millis;
    }
    let [random] = random;
    let least = millis.saturating_sub(millis / 4);
    least.saturating_add((millis / 2).saturating_mul(u64::from(random)) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> (Standing, Instant) {
        let upstream = Upstream::plain("app".into(), "a".into(), 1);
        (Standing::new(&upstream, "a:1".into()), Instant::now())
    }

    /// When it is due again, in seconds from `now`.
    fn out_for(standing: &Standing, now: Instant) -> f64 {
        standing.health(now).out_for.as_secs_f64()
    }

    #[test]
    fn five_failures_in_a_row_leave_a_place_out_and_fewer_do_not() {
        let (standing, now) = standing();
        for _ in 0..3 {
            (0..4).for_each(|_| standing.failed(Terms::Ordinary, now, ""));
            assert_eq!(standing.look(now), Look::In);
            standing.answered(Terms::Ordinary);
        }
        (0..5).for_each(|_| standing.failed(Terms::Ordinary, now, ""));
        assert_eq!(standing.look(now), Look::Out);
        assert!((0.7..=1.3).contains(&out_for(&standing, now)));
        assert_eq!(standing.look(now + Duration::from_secs(2)), Look::Due);
    }

    #[test]
    fn what_cannot_be_connected_to_is_left_out_at_once_and_longer_each_time() {
        let (standing, mut now) = standing();
        let mut spans = Vec::new();
        standing.unreachable(Terms::Ordinary, now, "");
        for _ in 0..8 {
            assert_eq!(standing.look(now), Look::Out);
            spans.push(out_for(&standing, now));
            // Those that were under way with it.
            standing.unreachable(Terms::Ordinary, now, "");
            standing.unreachable(Terms::LastResort, now, "");
            assert_eq!(spans.last(), Some(&out_for(&standing, now)));
            now += Duration::from_secs(40);
            assert!(standing.try_again(now) && !standing.try_again(now), "by one request");
            assert_eq!(standing.look(now), Look::Out);
            standing.unreachable(Terms::Trial, now, "");
        }
        for (span, whole) in spans.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
            assert!((whole * 0.74..=whole * 1.26).contains(span), "{spans:?}");
        }
    }

    #[test]
    fn a_place_is_back_when_the_request_that_tries_it_is_answered() {
        for terms in [Terms::Trial, Terms::LastResort] {
            let (standing, now) = standing();
            standing.unreachable(Terms::Ordinary, now, "");
            standing.answered(Terms::Ordinary);
            assert_eq!(standing.look(now), Look::Out, "one that was under way before says nothing of connecting");
            standing.answered(terms);
            assert_eq!(standing.look(now), Look::In);
            standing.unreachable(Terms::Ordinary, now, "");
            assert!(out_for(&standing, now) < 1.3, "it begins anew");
        }
    }

    #[test]
    fn a_trial_of_which_nobody_hears_again_is_followed_by_another() {
        let (standing, now) = standing();
        standing.unreachable(Terms::Ordinary, now, "");
        assert!(!standing.try_again(now), "it is not due");
        let due = now + Duration::from_secs(2);
        assert!(standing.try_again(due));
        assert!(!standing.try_again(due + TRIAL / 2) && standing.try_again(due + TRIAL));
    }

    #[test]
    fn three_failed_checks_make_a_place_ill_and_two_that_succeed_well_again() {
        let (standing, now) = standing();
        let check = |passes: bool| standing.checked(if passes { Ok(()) } else { Err("it says 503".into()) });
        for (passes, look) in [
            (false, Look::In),
            (false, Look::In),
            (true, Look::In),
            (false, Look::In),
            (false, Look::In),
            (false, Look::Out),
            (true, Look::Out),
            (false, Look::Out),
            (true, Look::Out),
            (true, Look::In),
        ] {
            check(passes);
            assert_eq!(standing.look(now), look);
        }
        assert_eq!(standing.health(now).error, None);
        standing.unreachable(Terms::Ordinary, now, "");
        (0..3).for_each(|_| check(false));
        assert_eq!(standing.health(now).state, AddressState::Unhealthy);
        assert!(!standing.try_again(now) && standing.look(now + LONGEST * 2) == Look::Out);
        (0..2).for_each(|_| check(true));
        assert_eq!(standing.look(now), Look::In, "whoever is well is left out no longer");
    }
}
