//! Who was sent to sign in anew and came back no stronger, for routes that say `repeat: forbid`: another round would end the
//! same way, and with a provider that signs in by itself it would never end.
//!
//! Shared by the workers, and asked only when such a route refuses. It forgets: by time, and where too many are refused the
//! oldest first. Whoever is forgotten gets one round more, and never more than that: nobody is let in by it.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::assurance::Assurance;
use crate::policy::on_deny::Repeat;
use crate::policy::{Denial, Policy, Route};
use crate::proxy::evidence::Verified;
use crate::token::Timestamp;

/// How long a refusal is remembered.
const WINDOW: Duration = Duration::from_mins(10);
/// How many are remembered at the most: some megabytes.
const MOST: u64 = 16_384;

/// Who was refused, where, and on which token.
pub(super) struct Repeats {
    /// By a hash of who and where: when the token was issued on which a new sign-in was first asked for.
    refused: Cache<[u8; 32], Timestamp>,
    /// Random for each process, so that what lies here names nobody.
    secret: [u8; 32],
}

impl Repeats {
    /// Remembers nobody yet.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Self::within(WINDOW, MOST)
    }

    fn within(window: Duration, most: u64) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let refused =
            Cache::builder().max_capacity(most).eviction_policy(EvictionPolicy::lru()).time_to_live(window).build();
        Ok(Self { refused, secret })
    }

    /// The denial as it stands after a look at what came before: where the user was asked for a new sign-in lately and this
    /// is one, nothing more is asked for.
    pub(super) fn judge(&self, mut denial: Denial, policy: &Policy, route: &Route, tokens: &Verified<'_>) -> Denial {
        let forbids = route.on_deny.as_ref().is_some_and(|on_deny| on_deny.repeat == Repeat::Forbid);
        if !forbids || denial.step_up.is_none() {
            return denial;
        }
        // Without a name or a time nobody can tell one sign-in from the next.
        let who = tokens.speakers(None).map(|(caller, _)| &**caller);
        let Some((who, issued)) = who.and_then(|caller| Some((self.digest(policy, route, caller)?, tokens.issued()?)))
        else {
            return denial;
        };
        if self.is_repeat(who, issued) {
            denial.step_up = None;
            denial
                .detail
                .push_str("; a new sign-in was asked for within the last ten minutes, and this one is still short");
        }
        denial
    }

    /// Whether a refusal on a token issued then follows one on an earlier token. The time stays that of the first: the later
    /// token, sent once more, is no less a repeat. Another refusal on the first one counts from anew.
    fn is_repeat(&self, who: [u8; 32], issued: Timestamp) -> bool {
        match self.refused.get(&who) {
            Some(first) if issued > first => return true,
            // Of an older sign-in, as on another device.
            Some(first) if issued < first => {}
            Some(_) | None => self.refused.insert(who, issued),
        }
        false
    }

    /// Another policy asks for other things: under it everybody begins anew.
    fn digest(&self, policy: &Policy, route: &Route, caller: &Assurance) -> Option<[u8; 32]> {
        let issuer = policy.issuer(caller.issuer)?;
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for part in [policy.hash(), &issuer.expectation.issuer, caller.subject.as_deref()?, &route.name] {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Some(*hasher.finalize().as_bytes())
    }
}

impl std::fmt::Debug for Repeats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repeats").field("refused", &self.refused.entry_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_later_token_is_a_repeat_and_the_same_or_an_older_one_is_none() {
        let repeats = Repeats::new().unwrap();
        let (ada, bob) = ([1; 32], [2; 32]);
        for (who, issued, is) in [
            (ada, 100, false),
            (ada, 100, false),
            (ada, 101, true),
            (ada, 101, true),
            (ada, 90, false),
            (ada, 100, false),
            (bob, 200, false),
            (ada, 300, true),
        ] {
            assert_eq!(repeats.is_repeat(who, at(issued)), is, "{issued}");
        }
    }

    #[test]
    fn after_the_window_there_is_another_round() {
        let repeats = Repeats::within(Duration::from_millis(50), 8).unwrap();
        assert!(!repeats.is_repeat([1; 32], at(1)));
        assert!(repeats.is_repeat([1; 32], at(2)));
        std::thread::sleep(Duration::from_millis(80));
        assert!(!repeats.is_repeat([1; 32], at(2)));
        assert_eq!((WINDOW.as_secs(), Repeats::new().unwrap().refused.policy().time_to_live()), (600, Some(WINDOW)));
    }

    #[test]
    fn however_many_are_refused_no_more_than_so_many_are_remembered_and_the_newest_are() {
        let repeats = Repeats::within(WINDOW, 8).unwrap();
        for number in 0..=100_u8 {
            assert!(!repeats.is_repeat([number; 32], at(1)));
            repeats.refused.run_pending_tasks();
        }
        assert!(repeats.refused.entry_count() <= 8, "{repeats:?}");
        assert!(repeats.is_repeat([100; 32], at(2)) && !repeats.is_repeat([0; 32], at(2)));
        assert_eq!(Repeats::new().unwrap().refused.policy().max_capacity(), Some(MOST));
    }
}
