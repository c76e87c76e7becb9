//! Tokens that were verified, by a hash of their text.

use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use crate::assurance::{Assurance, Fact};
use crate::jwks::IssuerKeys;
use crate::token::{Credential, Json, KeyId};
use crate::verification::recent;

/// The cache. Bounded by the bytes that its entries hold.
pub(super) struct TokenCache {
    entries: Cache<Digest, Arc<Entry>, BuildHasherDefault<FirstBytes>>,
    /// Random for each process: nobody outside can tell which tokens fall together.
    secret: [u8; 32],
    /// Tells it from every other cache of the process.
    number: u64,
}

/// A token's keyed BLAKE3 hash: 256 bits, since a hit means "this very token was verified".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

#[cfg(test)]
impl Digest {
    pub(super) const fn for_tests(byte: u8) -> Self {
        Self([byte; 32])
    }
}

#[cfg(test)]
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// What a verified token proved, and what must still hold for it to be believed.
pub(super) struct Entry {
    pub(super) assurance: Arc<Assurance>,
    /// The issuer's [`crate::assurance::Issuer::fingerprint`] when the token was mapped.
    pub(super) fingerprint: u64,
    /// Where the key that signed it lives.
    pub(super) keys: Arc<IssuerKeys>,
    pub(super) key: KeyId,
    /// How long it can be of use; only tidies up, each hit looks at `exp` itself.
    pub(super) useful_for: Duration,
}

impl TokenCache {
    /// A cache of at most so many bytes.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new(bytes: u64) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        // Not aws-lc's generator, whose first use measures the processor's jitter for tens of milliseconds.
        getrandom::fill(&mut secret)?;
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Digest, entry: &Arc<Entry>| weight(&entry.assurance))
            .expire_after(UsefulFor)
            .build_with_hasher(BuildHasherDefault::default());
        static CACHES: AtomicU64 = AtomicU64::new(0);
        Ok(Self { entries, secret, number: CACHES.fetch_add(1, Ordering::Relaxed) })
    }

    pub(super) fn digest(&self, credential: &Credential) -> Digest {
        Digest(*blake3::keyed_hash(&self.secret, credential.expose().as_bytes()).as_bytes())
    }

    /// The digest of a token that this thread found here lately.
    pub(super) fn recent_digest(&self, credential: &Credential) -> Option<Digest> {
        recent::digest(self.number, credential)
    }

    /// A token was found here under its digest: should it come again to this thread, it need not be hashed.
    pub(super) fn found(&self, credential: &Credential, digest: Digest) {
        recent::remember(self.number, credential, digest);
    }

    pub(super) fn get(&self, token: &Digest) -> Option<Arc<Entry>> {
        self.entries.get(token)
    }

    pub(super) fn insert(&self, token: Digest, entry: Entry) {
        self.entries.insert(token, Arc::new(entry));
    }

    pub(super) fn remove(&self, token: &Digest) {
        self.entries.invalidate(token);
    }

    /// Entries and the bytes they hold, both as of the cache's last housekeeping.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
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
        Some(entry.useful_for)
    }

    fn expire_after_update(&self, _: &Digest, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.useful_for)
    }
}

/// The hash is one already: hashing it again would only cost time.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Takes the eight bytes that [`Digest`] gives as they are.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not what a digest does, but right for whatever else might.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, first: u64) {
        self.0 = first;
    }
}

/// About how many bytes an entry holds: its structs, its strings with their allocations, and the cache's own share.
fn weight(assurance: &Assurance) -> u32 {
    let text = |text: &str| text.len().saturating_add(ALLOCATION);
    let texts = |all: &[Box<str>]| all.iter().map(|one| text(one)).fold(ALLOCATION, usize::saturating_add);
    let evidence = &assurance.evidence;
    let acr = if let Fact::Known(values) = &evidence.acr { texts(values) } else { 0 };
    let amr = match &evidence.amr {
        Fact::Known(methods) => {
            let each = methods.iter().map(|method| text(&method.value).saturating_add(size_of_val(method)));
            each.fold(ALLOCATION, usize::saturating_add)
        }
        Fact::Absent | Fact::Malformed => 0,
    };
    let names = [&assurance.subject, &assurance.client, &assurance.session, &assurance.at_hash];
    let names = names.into_iter().flatten().map(|name| text(name)).fold(0, usize::saturating_add);
    let claims = assurance.claims.iter().map(|(_, claim)| json_weight(claim)).fold(0, usize::saturating_add);
    let parts = [acr, amr, names, claims, texts(&assurance.scopes), texts(&assurance.audiences)];
    let bytes = parts.into_iter().fold(size_of::<Assurance>().saturating_add(ENTRY), usize::saturating_add);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn json_weight(json: &Json) -> usize {
    let own = size_of::<Json>();
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => own,
        Json::String(text) => own.saturating_add(text.len()).saturating_add(ALLOCATION),
        Json::Array(items) => items.iter().map(json_weight).fold(own.saturating_add(ALLOCATION), usize::saturating_add),
        Json::Object(members) => {
            let each = members.iter().map(|(name, value)| {
                json_weight(value)
                    .saturating_add(name.len())
                    .saturating_add(size_of::<Box<str>>())
                    .saturating_add(ALLOCATION)
            });
            each.fold(own.saturating_add(ALLOCATION), usize::saturating_add)
        }
    }
}

/// What an allocation costs beside its bytes, with the pointer to it.
const ALLOCATION: usize = 32;
/// What the cache itself spends on an entry: key, pointers, queues, timer.
const ENTRY: usize = 400;
