//! The digests of tokens that this thread saw last, so that a token which comes again and again is hashed once.
//!
//! A token is compared whole, so what is found is what hashing would give; everything else is asked of the cache as ever.

use std::cell::RefCell;

use crate::token::Credential;
use crate::verification::cache::Digest;

/// How many tokens are remembered by each thread.
const SLOTS: usize = 256;
/// The longest that is remembered, in bytes.
const LONGEST: usize = 4 << 10;

struct Slot {
    /// Of which cache the digest is: each has a secret of its own.
    cache: u64,
    token: Credential,
    digest: Digest,
}

thread_local! {
    static SLOTS_HERE: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// The digest of a token, if this thread remembers it.
pub(super) fn digest(cache: u64, token: &Credential) -> Option<Digest> {
    let place = place(token)?;
    SLOTS_HERE.with_borrow(|slots| {
        let slot = slots.get(place)?.as_ref()?;
        (slot.cache == cache && slot.token == *token).then_some(slot.digest)
    })
}

/// Remembers the digest of a token that was worth it.
pub(super) fn remember(cache: u64, token: &Credential, digest: Digest) {
    let Some(place) = place(token) else { return };
    SLOTS_HERE.with_borrow_mut(|slots| {
        if slots.is_empty() {
            slots.resize_with(SLOTS, || None);
        }
        if let Some(slot) = slots.get_mut(place) {
            *slot = Some(Slot { cache, token: token.clone(), digest });
        }
    });
}

/// Where a token is kept: by its last bytes, which are the most random ones of a signature. The very last character of one
/// holds few bits.
fn place(token: &Credential) -> Option<usize> {
    let text = token.expose().as_bytes();
    let [a, b, c, d, e, f, g, h, _last] = *text.last_chunk()?;
    let mixed = u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = usize::try_from(mixed >> 32).ok()?.checked_rem(SLOTS)?;
    (text.len() <= LONGEST).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Credential {
        Credential::new(text, 1 << 20).unwrap()
    }

    #[test]
    fn only_the_very_same_token_of_the_very_same_cache_is_found() {
        let (one, other) = (Digest::for_tests(1), Digest::for_tests(2));
        remember(7, &token("aaaa.bbbb.cccccccccccc"), one);
        assert_eq!(digest(7, &token("aaaa.bbbb.cccccccccccc")), Some(one));
        assert_eq!(digest(8, &token("aaaa.bbbb.cccccccccccc")), None, "another cache");
        assert_eq!(digest(7, &token("aaab.bbbb.cccccccccccc")), None, "the same end, and so the same place");
        remember(7, &token("aaab.bbbb.cccccccccccc"), other);
        assert_eq!(digest(7, &token("aaab.bbbb.cccccccccccc")), Some(other));
        assert_eq!(digest(7, &token("aaaa.bbbb.cccccccccccc")), None, "its place was taken");
        assert_eq!(digest(7, &token("short")), None);
    }

    #[test]
    fn what_is_very_long_is_not_remembered() {
        let long = token(&"a".repeat(LONGEST + 1));
        remember(7, &long, Digest::for_tests(1));
        assert_eq!(digest(7, &long), None);
    }
}
