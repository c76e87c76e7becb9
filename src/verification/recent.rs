//! The tokens that this thread found in the cache last, so that one which comes again and again is neither hashed nor looked
//! up: all threads share what a lookup writes.
//!
//! A token is compared whole, so what is found is what the cache would give. Nothing is judged here: whoever finds an entry
//! checks it as any other. What was found before the cache let anything go is not found any more.

use std::cell::RefCell;
use std::sync::Arc;

use crate::token::Credential;
use crate::verification::cache::{Digest, Entry};

/// How many tokens are remembered by each thread.
const SLOTS: usize = 256;
/// The longest that is remembered, in bytes.
const LONGEST: usize = 4 << 10;
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
    static SLOTS_HERE: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// What this thread knows of a token.
pub(super) fn find(now: Moment, token: &Credential) -> Known {
    let Some(place) = place(token) else { return Known::Nothing };
    SLOTS_HERE.with_borrow_mut(|slots| {
        let Some(Some(slot)) = slots.get_mut(place) else { return Known::Nothing };
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

/// Remembers what the cache gave at a moment, or later, for a token.
pub(super) fn remember(moment: Moment, token: &Credential, digest: Digest, entry: &Arc<Entry>) {
    let Some(place) = place(token) else { return };
    SLOTS_HERE.with_borrow_mut(|slots| {
        if slots.is_empty() {
            slots.resize_with(SLOTS, || None);
        }
        if let Some(slot) = slots.get_mut(place) {
            *slot = Some(Slot { moment, token: token.clone(), digest, entry: Arc::clone(entry), finds: 0 });
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
