//! The tokens that this thread found in the cache again and again, so that these are neither hashed nor looked up there: all
//! threads share what a lookup writes.
//!
//! A token is compared whole, so what is found is what the cache would give. Nothing is judged here: whoever finds an entry
//! checks it as any other. What the cache was told to let go is not found any more.

use std::cell::RefCell;
use std::sync::Arc;

use crate::at_hand::{AtHand, Mark};
use crate::token::Credential;
use crate::verification::cache::Entry;
use crate::verification::digest::Digest;

/// After so many finds the cache is asked again, which else would think the token out of use.
const FINDS: u8 = 64;

struct Slot {
    /// The cache that it was found in.
    cache: u64,
    token: Credential,
    entry: Arc<Entry>,
    finds: u8,
}

/// What this thread knows of a token.
pub(super) enum Known {
    /// This entry.
    Entry(Arc<Entry>),
    /// Under which digest others can be asked.
    Digest(Digest),
    Nothing,
}

thread_local! {
    static TOKENS_HERE: RefCell<AtHand<Slot>> = const { RefCell::new(AtHand::new(256)) };
}

/// What this thread knows of a token, from that cache.
pub(super) fn find(cache: u64, token: &Credential) -> Known {
    let Some(mark) = Mark::of_token(token.expose().as_bytes()) else { return Known::Nothing };
    TOKENS_HERE.with_borrow_mut(|all| {
        let Some(slot) = all.find(mark) else { return Known::Nothing };
        if slot.cache != cache || slot.token != *token {
            return Known::Nothing;
        }
        slot.finds = slot.finds.saturating_add(1);
        if slot.finds < FINDS && !slot.entry.is_gone() {
            Known::Entry(Arc::clone(&slot.entry))
        } else {
            Known::Digest(slot.entry.digest())
        }
    })
}

/// Takes note of what was found for a token: remembered are those that come often.
pub(super) fn remember(cache: u64, token: &Credential, entry: &Arc<Entry>) {
    let Some(mark) = Mark::of_token(token.expose().as_bytes()) else { return };
    TOKENS_HERE.with_borrow_mut(|all| {
        all.offer(mark, || Slot { cache, token: token.clone(), entry: Arc::clone(entry), finds: 0 });
    });
}
