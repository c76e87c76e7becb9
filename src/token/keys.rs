//! A key set (RFC 7517 section 5), read by us: jsonwebtoken's reader would take an `oct` key for an HMAC key, and lose a
//! whole set to one odd `kid`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::token::algorithm::Algorithm;
use crate::token::jwk::Key;

/// The usable public keys of one issuer. Never empty.
pub struct KeySet {
    keys: Box<[Key]>,
    /// Where in `keys` those with this `kid` are.
    by_kid: HashMap<Box<str>, Vec<usize>>,
    ids: HashSet<KeyId>,
    dropped: Box<[DroppedKey]>,
}

/// What a key is told by: `kid`, `alg` and the key itself, hashed. The same key in the next set has the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// A key of the set that is not used, and why: for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedKey {
    /// Its `kid`, quoted and cut short.
    pub kid: Option<String>,
    /// Why it is not used: a clause that begins with "it" or "its".
    pub why: Cow<'static, str>,
}

/// Why a document is not a key set that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is longer than [`KeyLimits::bytes`].
    #[error("the key set has {has} bytes, the limit is {limit} (`limits.jwks`)")]
    TooLarge {
        /// Its length in bytes.
        has: usize,
        /// What it may have.
        limit: usize,
    },
    /// It is not a JSON object with one array `keys`.
    #[error("not a key set: {0}")]
    NotAKeySet(String),
    /// It has more than [`KeyLimits::keys`] keys.
    #[error("the key set has {has} keys, the limit is {limit} (`limits.jwks_keys`)")]
    TooManyKeys {
        /// How many it has.
        has: usize,
        /// How many it may have.
        limit: usize,
    },
    /// None of its keys can check a signature.
    #[error("the key set has no usable key{}", listed(.0))]
    NoUsableKey(Box<[DroppedKey]>),
}

/// Why no key of the set may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The set has no such key: a newer set may.
    Unknown,
    /// The set has the key, and the key may not be used with this algorithm.
    Unfit,
}

/// How large a key set may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// The longest document, in bytes.
    pub bytes: usize,
    /// The most keys in it, usable or not.
    pub keys: usize,
}

impl KeyLimits {
    /// What holds where the settings do not say.
    pub const USUAL: Self = Self { bytes: 1 << 20, keys: 100 };
}

/// Most keys that are tried on one token.
pub const MAX_TRIED: usize = 16;

impl KeySet {
    /// Reads a JWKS document. Every key is judged on its own: one that cannot be used is dropped and reported by
    /// [`Self::dropped`], and never spoils the set.
    ///
    /// # Errors
    /// When the document is no key set, is too large, has too many keys or none that can be used.
    pub fn parse(jwks: &[u8], limits: KeyLimits) -> Result<Self, KeySetError> {
        let mut keys: Vec<Key> = Vec::new();
        let mut ids = HashSet::new();
        let mut dropped = Vec::new();
        for raw in members(jwks, limits)? {
            match Key::read(raw.get()) {
                Ok(key) => {
                    if ids.insert(key.id) {
                        keys.push(key);
                    }
                }
                Err(why) => dropped.push(why),
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(dropped.into()));
        }
        let mut by_kid: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, key) in keys.iter().enumerate() {
            if let Some(kid) = &key.kid {
                by_kid.entry(kid.clone()).or_default().push(at);
            }
        }
        Ok(Self { keys: keys.into(), by_kid, ids, dropped: dropped.into() })
    }

    /// The text of those keys of a document that [`Self::parse`] uses: what may be kept of it. What an issuer publishes by
    /// mistake, a shared secret or a private half, is not among them.
    ///
    /// # Errors
    /// When the document is no key set, is too large or has too many keys.
    pub fn usable(jwks: &[u8], limits: KeyLimits) -> Result<Vec<&RawValue>, KeySetError> {
        let usable = |raw: &&RawValue| Key::read(raw.get()).is_ok();
        Ok(members(jwks, limits)?.into_iter().filter(usable).collect())
    }

    /// Whether this key is (still) in the set.
    #[must_use]
    pub fn has(&self, key: KeyId) -> bool {
        self.ids.contains(&key)
    }

    /// Whether the set has a usable key with this `kid`, byte for byte.
    #[must_use]
    pub fn names(&self, kid: &str) -> bool {
        self.by_kid.contains_key(kid)
    }

    /// Whether a key of the set can check a signature of this algorithm.
    #[must_use]
    pub fn has_for(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }

    /// How many usable keys the set has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: a set without a usable key is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn ids_for_tests(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.id).collect()
    }

    /// The keys that are not used, and why.
    #[must_use]
    pub fn dropped(&self) -> &[DroppedKey] {
        &self.dropped
    }

    /// The algorithms that more keys fit than are tried on one token ([`MAX_TRIED`]), with how many: for the operator's
    /// log. Tokens under the keys left out are `signature_invalid`, unless their `kid` narrows the choice.
    #[must_use]
    pub fn crowded(&self) -> Vec<(Algorithm, usize)> {
        let fitting = |algorithm| self.keys.iter().filter(|key| key.fits(algorithm)).count();
        let counted = Algorithm::ALL.into_iter().map(|algorithm| (algorithm, fitting(algorithm)));
        counted.filter(|(_, count)| *count > MAX_TRIED).collect()
    }

    /// The keys to try on a token: those with its `kid` (compared byte for byte), or all if it has none, of which its
    /// algorithm may use; [`MAX_TRIED`] at most.
    pub(in crate::token) fn select(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<SmallVec<[&Key; 2]>, NoKey> {
        let chosen: SmallVec<[&Key; 2]> = match kid {
            None => self.keys.iter().filter(|key| key.fits(algorithm)).take(MAX_TRIED).collect(),
            Some(kid) => {
                let named = self.by_kid.get(kid).ok_or(NoKey::Unknown)?;
                let named = named.iter().filter_map(|at| self.keys.get(*at));
                named.filter(|key| key.fits(algorithm)).take(MAX_TRIED).collect()
            }
        };
        match (chosen.is_empty(), kid) {
            (false, _) => Ok(chosen),
            (true, Some(_)) => Err(NoKey::Unfit),
            (true, None) => Err(NoKey::Unknown),
        }
    }
}

/// Equal when they hold the same keys, in whatever order.
impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.ids == other.ids
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("usable", &self.keys.len()).field("dropped", &self.dropped).finish()
    }
}

impl KeyId {
    pub(in crate::token) const fn from_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for DroppedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key {kid} is not used: {}", self.why),
            None => write!(f, "a key without a readable `kid` is not used: {}", self.why),
        }
    }
}

/// The members of the document's `keys`, unread.
fn members(jwks: &[u8], limits: KeyLimits) -> Result<Vec<&RawValue>, KeySetError> {
    #[derive(Deserialize)]
    struct Document<'d> {
        #[serde(borrow)]
        keys: Vec<&'d RawValue>,
    }
    if jwks.len() > limits.bytes {
        return Err(KeySetError::TooLarge { has: jwks.len(), limit: limits.bytes });
    }
    let document: Document<'_> =
        serde_json::from_slice(jwks).map_err(|error| KeySetError::NotAKeySet(error.to_string()))?;
    if document.keys.len() > limits.keys {
        return Err(KeySetError::TooManyKeys { has: document.keys.len(), limit: limits.keys });
    }
    Ok(document.keys)
}

/// The first few dropped keys, for an error's end.
fn listed(dropped: &[DroppedKey]) -> String {
    let mut out = String::new();
    for (at, key) in dropped.iter().take(3).enumerate() {
        out.push_str(if at == 0 { ": " } else { "; " });
        out.push_str(&key.to_string());
    }
    if dropped.len() > 3 {
        out.push_str("; and others");
    }
    out
}
