//! Who may cause a fetch, and which keys were asked for in vain. Bounded: what does not fit counts as throttled.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::jwks::pace::Pace;

/// The budget of one issuer.
///
/// Every fetch brings the whole set, so whoever asks asks for all: a caller with made-up key ids who spends the issuer's
/// budget has thereby fetched the real rotation too.
pub(super) struct Budget {
    interval: Duration,
    most: usize,
    /// The fetches that clients caused within the interval, oldest first; never more than `most`.
    asks: VecDeque<(IpAddr, Instant)>,
    /// Hashes of the key ids that a fetch did not bring, and until when that is remembered.
    vain: HashMap<u64, Instant>,
    hasher: RandomState,
}

impl Budget {
    pub(super) fn new(pace: &Pace) -> Self {
        Self {
            interval: pace.ask_interval,
            most: pace.asks_per_interval,
            asks: VecDeque::new(),
            vain: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Whether this key id was asked for in vain a short while ago.
    pub(super) fn was_in_vain(&self, kid: Option<&str>, now: Instant) -> bool {
        self.vain.get(&self.hasher.hash_one(kid)).is_some_and(|until| now < *until)
    }

    /// Remembers that a fetch did not bring this key id.
    pub(super) fn remember_in_vain(&mut self, kid: Option<&str>, now: Instant) {
        if self.vain.len() >= MAX_VAIN {
            self.vain.retain(|_, until| now < *until);
        }
        // Full of fresh ones: not remembered, so the next such token is judged by the budget of fetches alone.
        if self.vain.len() < MAX_VAIN {
            self.vain.insert(self.hasher.hash_one(kid), later(now, self.interval));
        }
    }

    /// Takes a fetch out of the budget of this client and of the issuer.
    ///
    /// # Errors
    /// How long until the client may ask again.
    pub(super) fn take(&mut self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let peer = network_of(peer);
        while self.asks.front().is_some_and(|(_, at)| now >= later(*at, self.interval)) {
            self.asks.pop_front();
        }
        let own = self.asks.iter().find(|(asker, _)| *asker == peer);
        let oldest = if self.asks.len() >= self.most { self.asks.front() } else { None };
        if let Some((_, at)) = own.or(oldest) {
            return Err(later(*at, self.interval).saturating_duration_since(now));
        }
        if self.asks.len() >= self.most {
            return Err(self.interval);
        }
        self.asks.push_back((peer, now));
        Ok(())
    }
}

/// Most key ids remembered as asked for in vain, per issuer.
const MAX_VAIN: usize = 1024;

/// A client holds a whole /64 of IPv6 addresses, so that is what counts as one.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn one_client_causes_one_fetch_an_interval_and_does_not_hold_back_another() {
        let (mut budget, start) = (Budget::new(&Pace::USUAL), Instant::now());
        assert_eq!(budget.take(address(1), start), Ok(()));
        assert_eq!(budget.take(address(1), start + second(10)), Err(second(20)));
        assert_eq!(budget.take(address(2), start + second(10)), Ok(()));
        assert_eq!(budget.take(address(1), start + second(30)), Ok(()));
    }

    #[test]
    fn all_clients_together_cause_a_few_fetches_an_interval() {
        let (mut budget, start) = (Budget::new(&Pace::USUAL), Instant::now());
        for n in 0..6 {
            assert_eq!(budget.take(address(n), start + second(n.into())), Ok(()));
        }
        assert_eq!(budget.take(address(9), start + second(10)), Err(second(20)));
        assert_eq!(budget.take(address(9), start + second(30)), Ok(()));
        assert_eq!(budget.take(address(8), start + second(30)), Err(second(1)));
    }

    #[test]
    fn t31_without_room_in_the_budget_nobody_may_ask() {
        let mut budget = Budget::new(&Pace { asks_per_interval: 0, ..Pace::USUAL });
        assert_eq!(budget.take(address(1), Instant::now()), Err(second(30)));
    }

    #[test]
    fn a_client_is_a_network_where_addresses_cost_nothing() {
        let (mut budget, now) = (Budget::new(&Pace::USUAL), Instant::now());
        let parse = |text: &str| -> IpAddr { text.parse().unwrap() };
        assert!(budget.take(parse("2001:db8::1"), now).is_ok());
        assert!(budget.take(parse("2001:db8::ffff:2"), now).is_err());
        assert!(budget.take(parse("2001:db8:0:1::1"), now).is_ok());
        assert!(budget.take(parse("192.0.2.1"), now).is_ok());
        assert!(budget.take(parse("::ffff:192.0.2.1"), now).is_err());
    }

    #[test]
    fn what_was_asked_for_in_vain_is_remembered_for_an_interval_and_in_bounds() {
        let (mut budget, start) = (Budget::new(&Pace::USUAL), Instant::now());
        budget.remember_in_vain(Some("a"), start);
        assert!(budget.was_in_vain(Some("a"), start + second(29)));
        assert!(!budget.was_in_vain(Some("a"), start + second(30)));
        assert!(!budget.was_in_vain(Some("b"), start));
        assert!(!budget.was_in_vain(None, start));
        for n in 0..10_000 {
            budget.remember_in_vain(Some(&n.to_string()), start);
        }
        assert_eq!(budget.vain.len(), MAX_VAIN);
        budget.remember_in_vain(Some("late"), start + second(31));
        assert!(budget.was_in_vain(Some("late"), start + second(31)));
        assert_eq!(budget.vain.len(), 1);
    }
}
