//! The tokens that this thread found in the cache again and again, so that these are neither hashed nor looked up there: all
//! threads share what a lookup writes.
//!
//! A token is compared whole, so what is found is what the cache would give. Nothing is judged here: whoever finds an entry
//! checks it as any other. What was found before the cache let anything go is not found any more.

use std::cell::RefCell;
use std::sync::Arc;

use crate::at_hand::{AtHand, Mark};
use crate::token::Credential;
use crate::verification::cache::Entry;
use crate::verification::digest::Digest;

/// After so many finds the cache is asked again, which else would think the token out of use.
const FINDS: u8 = 64;

/// The state of one cache at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Tells the cache from every other of the process.
    pub(super) cache: u64,
    /// Another number whenever the cache was told to let something go.
    pub(super) epoch: u64,
}

struct Slot {
    moment: Moment,
    token: Credential,
    digest: Digest,
    entry: Arc<Entry>,
    finds: u8,
}

/// What this thread knows of a token.
pub(super) enum Known {
    /// This entry.
    Entry(Digest, Arc<Entry>),
    /// Under which digest the cache can be asked.
    Digest(Digest),
    Nothing,
}

thread_local! {
    static TOKENS_HERE: RefCell<AtHand<Slot>> = const { RefCell::new(AtHand::new(256)) };
}

/// What this thread knows of a token.
pub(super) fn find(now: Moment, token: &Credential) -> Known {
    let Some(mark) = Mark::of_token(token.expose().as_bytes()) else { return Known::Nothing };
    TOKENS_HERE.with_borrow_mut(|all| {
        let Some(slot) = all.find(mark) else { return Known::Nothing };
        if slot.moment.cache != now.cache || slot.token != *token {
            return Known::Nothing;
        }
        slot.finds = slot.finds.saturating_add(1);
        if slot.moment == now && slot.finds < FINDS {
            Known::Entry(slot.digest, Arc::clone(&slot.entry))
        } else {
            Known::Digest(slot.digest)
        }
    })
}

/// Takes note of what the cache gave at a moment, or later, for a token: remembered are those that come often.
pub(super) fn remember(moment: Moment, token: &Credential, digest: Digest, entry: &Arc<Entry>) {
    let Some(mark) = Mark::of_token(token.expose().as_bytes()) else { return };
    TOKENS_HERE.with_borrow_mut(|all| {
        all.offer(mark, || Slot { moment, token: token.clone(), digest, entry: Arc::clone(entry), finds: 0 });
    });
}
