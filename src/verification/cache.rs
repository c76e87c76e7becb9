//! Tokens that were verified, by a code of their text.

use std::borrow::Cow;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use crate::assurance::{Assurance, Fact};
use crate::token::{Credential, Json};
use crate::verification::digest::{Digest, Digester, FirstBytes};
use crate::verification::nearby;
use crate::verification::recent::{self, Known};
use crate::verification::shared::{Held, Signed, share};

/// The cache. Bounded by the bytes that its entries hold.
pub(super) struct TokenCache {
    entries: Cache<Digest, Arc<Entry>, BuildHasherDefault<FirstBytes>>,
    digester: Digester,
    /// Tells it from every other cache of the process.
    number: u64,
}

/// What a verified token proved, and what must still hold for it to be believed.
pub(super) struct Entry {
    pub(super) assurance: Arc<Assurance>,
    pub(super) signed: Arc<Signed>,
    /// How many seconds it can be of use; only tidies up, each hit looks at `exp` itself.
    useful_seconds: u32,
    weight: u32,
    digest: Digest,
    /// Whether the cache was told to let it go, which threads that have it at hand look at. It says so of this entry: two threads that
    /// verified one token at the same time made two, and each is checked at each use.
    gone: AtomicBool,
}

impl Entry {
    /// `useful_for`: how long it can be of use.
    pub(super) fn new(digest: Digest, assurance: Assurance, signed: Signed, useful_for: Duration) -> Self {
        let (assurance, signed, held) = share(assurance, signed);
        let weight = weight(&assurance, held);
        let useful_seconds = u32::try_from(useful_for.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
        Self { assurance: Arc::new(assurance), signed, useful_seconds, weight, digest, gone: AtomicBool::new(false) }
    }

    /// Of the token whose entry it is.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

impl TokenCache {
    /// A cache of at most so many bytes.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new(bytes: u64) -> Result<Self, getrandom::Error> {
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Digest, entry: &Arc<Entry>| entry.weight)
            .expire_after(UsefulFor)
            .build_with_hasher(BuildHasherDefault::default());
        static CACHES: AtomicU64 = AtomicU64::new(0);
        let number = CACHES.fetch_add(1, Ordering::Relaxed);
        Ok(Self { entries, digester: Digester::new()?, number })
    }

    /// What is kept of a token: what this thread has at hand or nearby, else what all threads share.
    ///
    /// # Errors
    /// With the digest under which the token can be kept, when nothing is.
    pub(super) fn find(&self, credential: &Credential) -> Result<Arc<Entry>, Option<Digest>> {
        let (digest, nearby) = match recent::find(self.number, credential) {
            Known::Entry(entry) => return Ok(entry),
            Known::Digest(digest) => (digest, None),
            Known::Nothing => {
                let digest = self.digester.digest(credential).ok_or(None)?;
                (digest, nearby::find(digest))
            }
        };
        let entry = nearby.or_else(|| self.shared(digest)).ok_or(Some(digest))?;
        recent::remember(self.number, credential, &entry);
        Ok(entry)
    }

    /// What all threads share.
    fn shared(&self, digest: Digest) -> Option<Arc<Entry>> {
        let entry = self.entries.get(&digest)?;
        nearby::remember(&entry);
        Some(entry)
    }

    pub(super) fn insert(&self, entry: Arc<Entry>) {
        self.entries.insert(entry.digest, entry);
    }

    /// Lets an entry go: after this no thread finds it that begins to look.
    pub(super) fn remove(&self, entry: &Entry) {
        entry.gone.store(true, Ordering::Release);
        self.entries.invalidate(&entry.digest);
    }

    /// Entries and the bytes they hold, both as of the cache's last housekeeping.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }

    /// As if all had been evicted: nobody was told.
    #[cfg(test)]
    pub(super) fn empty_for_tests(&self) {
        self.entries.invalidate_all();
        self.settle();
    }

    #[cfg(test)]
    pub(super) fn settle(&self) {
        self.entries.run_pending_tasks();
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("size", &self.size()).finish_non_exhaustive()
    }
}

struct UsefulFor;

impl Expiry<Digest, Arc<Entry>> for UsefulFor {
    fn expire_after_create(&self, _: &Digest, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(Duration::from_secs(entry.useful_seconds.into()))
    }

    fn expire_after_update(&self, _: &Digest, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(Duration::from_secs(entry.useful_seconds.into()))
    }
}

/// How many bytes an entry takes, with what the allocator and the cache itself spend on it. What other tokens are likely to
/// hold too costs nothing, as long as it is little: see [`own`].
fn weight(assurance: &Assurance, held: Held) -> u32 {
    let evidence = &assurance.evidence;
    let acr = if let Fact::Known(values) = &evidence.acr { texts(values, held.acr) } else { 0 };
    let amr = match &evidence.amr {
        Fact::Known(methods) => {
            let each = methods.iter().map(|method| allocated(method.value.len()));
            own(each.fold(allocated(size_of_val(&**methods).saturating_add(COUNTS)), usize::saturating_add), held.amr)
        }
        Fact::Absent | Fact::Malformed => 0,
    };
    let names = [&assurance.subject, &assurance.session, &assurance.at_hash];
    let names = names.into_iter().flatten().map(|name| allocated(name.len())).fold(0, usize::saturating_add);
    let client = assurance.client.as_ref();
    let client = client.map_or(0, |client| own(allocated(client.len().saturating_add(COUNTS)), held.client));
    let claims = assurance.claims.iter().map(|(_, claim)| json_weight(claim)).fold(0, usize::saturating_add);
    let itself = allocated(size_of::<Assurance>().saturating_add(COUNTS));
    let lists = [texts(&assurance.scopes, held.scopes), texts(&assurance.audiences, held.audiences)];
    let parts = [acr, amr, names, client, claims, itself, ENTRY].into_iter().chain(lists);
    u32::try_from(parts.fold(0, usize::saturating_add)).unwrap_or(u32::MAX)
}

fn texts(all: &[Box<str>], held: bool) -> usize {
    let each = all.iter().map(|one| allocated(one.len()));
    own(each.fold(allocated(size_of_val(all).saturating_add(COUNTS)), usize::saturating_add), held)
}

/// What a part costs its entry. That it was seen lately does not say that another entry holds it still: it may have been this
/// very token's, which had no room in the cache the first time. So only what is little may go uncounted, or the cache would
/// hold much more than it may.
fn own(bytes: usize, held: bool) -> usize {
    if held && bytes <= LITTLE { 0 } else { bytes }
}

fn json_weight(json: &Json) -> usize {
    let own = size_of::<Json>();
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => own,
        Json::String(text) => own.saturating_add(allocated(text.len())),
        Json::Array(items) => items.iter().map(json_weight).fold(own.saturating_add(COUNTS), usize::saturating_add),
        Json::Object(members) => {
            let each = members.iter().map(|(name, value)| {
                let name = if matches!(name, Cow::Owned(_)) { allocated(name.len()) } else { 0 };
                json_weight(value).saturating_add(size_of::<Cow<'_, str>>()).saturating_add(name)
            });
            each.fold(own.saturating_add(COUNTS), usize::saturating_add)
        }
    }
}

/// What the allocator takes for so many bytes: its own eight, in steps of sixteen, and no less than two of them.
fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.saturating_add(8).next_multiple_of(16).max(32) }
}

/// The most bytes of a part that may go uncounted: what usual tokens have in common is less.
const LITTLE: usize = 512;
/// The two counters of an `Arc`.
const COUNTS: usize = 16;
/// What the cache itself spends on an entry: key, pointers, queues, timer; and the places of it in the tables of two threads.
const ENTRY: usize = 464;
