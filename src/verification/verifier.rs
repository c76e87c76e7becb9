//! [`Verifier`]: the cache, the keys and the pure checks in their order.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Reason;
use crate::assurance::{Assurance, Issuer, IssuerId};
use crate::jwks::{Asked, KeyStore};
use crate::policy::Policy;
use crate::telemetry::{CacheUse, Sharded};
use crate::token::claims::{LEEWAY_SECONDS, is_expired};
use crate::token::rejection::quoted;
use crate::token::{Credential, KeyId, KeySet, Rejection, Timestamp, Unverified, VerifiedToken, verify};
use crate::verification::cache::{Entry, TokenCache};
use crate::verification::digest::Digest;
use crate::verification::shared::Signed;

/// Believes tokens or does not.
#[derive(Debug)]
pub struct Verifier {
    keys: Arc<KeyStore>,
    cache: TokenCache,
    looks: Sharded<Looks>,
}

/// What one thread's looks into the cache came to.
#[derive(Debug, Default)]
struct Looks {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Why a token was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason, and a sentence for the log.
    pub rejection: Rejection,
    /// The issuer, where the token names one of the policy's. Not verified.
    pub issuer: Option<IssuerId>,
    /// With `keys_unavailable`: when it is worth trying again, in whole seconds, at least one.
    pub retry_after: Option<Duration>,
}

impl Verifier {
    /// A verifier with these keys and an empty cache of at most so many bytes.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(keys: Arc<KeyStore>, cache_bytes: u64) -> Result<Self, getrandom::Error> {
        Ok(Self { keys, cache: TokenCache::new(cache_bytes)?, looks: Sharded::default() })
    }

    /// What a token proves. Waits at most a few seconds, and only when the issuer's keys are not there yet or the token
    /// names a key that they lack. `peer` is the client's address, on whose budget an issuer is asked.
    ///
    /// # Errors
    /// The first reason that holds, in the order of [`Reason`]. Rejections are not remembered.
    pub async fn verify(
        &self,
        credential: &Credential,
        policy: &Policy,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<Assurance>, Rejected> {
        let digest = match self.hit(credential, policy, now) {
            Ok(assurance) => {
                self.count(|looks| &looks.hits);
                return Ok(assurance);
            }
            Err(digest) => digest,
        };
        self.count(|looks| &looks.misses);
        let mut room = Vec::new();
        let token = Unverified::parse(credential, &mut room).map_err(nobody)?;
        let iss = token.issuer().map_err(nobody)?;
        let Some(issuer) = policy.issuer_of(iss) else {
            return Err(nobody(Rejection::new(Reason::IssuerUnknown, why_unknown(iss, policy))));
        };
        let rejected = |rejection| Rejected { rejection, issuer: Some(issuer.id), retry_after: None };
        token.allowed_by(&issuer.expectation).map_err(rejected)?;
        let unavailable = |why: &'static str, retry_after| Rejected {
            retry_after: Some(retry_after),
            ..rejected(Rejection::new(Reason::KeysUnavailable, why))
        };
        // By the policy's own hash: what another policy calls by this name may be another issuer, whose keys are not to
        // be believed for this one.
        let Some(keys) = self.keys.of(policy.hash(), &issuer.name) else {
            return Err(unavailable("the issuer's keys are not being fetched", Duration::from_secs(1)));
        };
        let set = keys.first().await.map_err(|wait| unavailable("the issuer's keys could not be had yet", wait))?;

        // The kid is all that is needed of the token should its key be asked for; nothing else is held meanwhile.
        let kid = token.kid_shared();
        let assess = |(verified, key): (VerifiedToken<'_>, KeyId)| (issuer.assess(&verified, policy.claims()), key);
        let verified = match verify(token, &set, &issuer.expectation, now).map(assess) {
            Err(rejection) if a_newer_set_might_help(&rejection, kid.as_deref()) => {
                room = Vec::new();
                match keys.ask(kid.as_deref(), peer).await {
                    Asked::Refreshed(newer) => again(credential, &mut room, &newer, issuer, now).map(assess),
                    Asked::AskedInVain => Err(rejection),
                    Asked::CannotAsk { retry_after } if rejection.reason == Reason::KeyUnknown => {
                        return Err(unavailable(
                            "the key set has no such key, and the issuer cannot be asked for a newer one now",
                            retry_after,
                        ));
                    }
                    Asked::CannotAsk { .. } => Err(rejection),
                }
            }
            either => either,
        };
        let (assurance, key) = verified.map_err(rejected)?;
        // A key that left the set while we were verifying is found out at the first hit.
        let signed = Signed { fingerprint: issuer.fingerprint, keys, key };
        Ok(self.keep(digest, assurance, signed, now))
    }

    /// What the cache did and holds.
    #[must_use]
    pub fn cache_use(&self) -> CacheUse {
        let total = |which: fn(&Looks) -> &AtomicU64| {
            self.looks.all().fold(0_u64, |sum, looks| sum.saturating_add(which(looks).load(Ordering::Relaxed)))
        };
        let (entries, bytes) = self.cache.size();
        CacheUse { hits: total(|looks| &looks.hits), misses: total(|looks| &looks.misses), bytes, entries }
    }

    fn count(&self, which: fn(&Looks) -> &AtomicU64) {
        if let Some(looks) = self.looks.here() {
            which(looks).fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn cached(&self, credential: &Credential, policy: &Policy, now: Timestamp) -> Option<Arc<Assurance>> {
        self.hit(credential, policy, now).ok()
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &TokenCache {
        &self.cache
    }

    /// What is remembered of a token, if it still holds; else the digest under which it can be kept.
    fn hit(&self, credential: &Credential, policy: &Policy, now: Timestamp) -> Result<Arc<Assurance>, Option<Digest>> {
        let entry = self.cache.find(credential)?;
        let signed = &*entry.signed;
        let same = |issuer: &&Issuer| {
            issuer.fingerprint == signed.fingerprint && issuer.expectation.issuer == signed.keys.config().issuer
        };
        let here = policy.issuer(entry.assurance.issuer).filter(same);
        // An issuer that a reload put in another place is still the same.
        let issuer = here.or_else(|| policy.issuers().iter().find(same));
        match issuer.filter(|_| !is_expired(entry.assurance.expires, now) && signed.keys.honours(signed.key)) {
            Some(issuer) if issuer.id == entry.assurance.issuer => Ok(Arc::clone(&entry.assurance)),
            Some(issuer) => {
                let assurance = Assurance { issuer: issuer.id, ..Assurance::clone(&entry.assurance) };
                let Signed { fingerprint, ref keys, key } = *signed;
                let signed = Signed { fingerprint, keys: Arc::clone(keys), key };
                // What threads have at hand of it is of the other place.
                self.cache.remove(&entry);
                Ok(self.keep(Some(entry.digest()), assurance, signed, now))
            }
            None => {
                self.cache.remove(&entry);
                Err(Some(entry.digest()))
            }
        }
    }

    fn keep(&self, digest: Option<Digest>, assurance: Assurance, signed: Signed, now: Timestamp) -> Arc<Assurance> {
        let Some(digest) = digest else { return Arc::new(assurance) };
        let useful_for = useful_for(assurance.expires, now);
        let entry = Arc::new(Entry::new(digest, assurance, signed, useful_for));
        let assurance = Arc::clone(&entry.assurance);
        self.cache.insert(entry);
        assurance
    }
}

fn useful_for(expires: Timestamp, now: Timestamp) -> Duration {
    let until = expires.plus_seconds(LEEWAY_SECONDS).micros();
    Duration::from_micros(u64::try_from(until.saturating_sub(now.micros())).unwrap_or_default())
}

/// A token whose key the set lacks may have been signed after a rotation; one without `kid` can't say so, and fails on the
/// old keys' signatures instead.
fn a_newer_set_might_help(rejection: &Rejection, kid: Option<&str>) -> bool {
    rejection.reason == Reason::KeyUnknown || rejection.reason == Reason::SignatureInvalid && kid.is_none()
}

fn again<'t>(
    credential: &'t Credential,
    room: &'t mut Vec<u8>,
    keys: &KeySet,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<(VerifiedToken<'t>, KeyId), Rejection> {
    verify(Unverified::parse(credential, room)?, keys, &issuer.expectation, now)
}

/// What is told of an `iss` that no issuer of the policy has.
pub(crate) fn why_unknown(iss: &str, policy: &Policy) -> String {
    let slash_apart = |one: &str, other: &str| one.strip_suffix('/') == Some(other);
    let near = policy.issuers().iter().find(|issuer| {
        let ours = &*issuer.expectation.issuer;
        slash_apart(iss, ours) || slash_apart(ours, iss)
    });
    let iss = quoted(iss);
    match near {
        None => format!("no issuer of the policy has the token's `iss`, {iss}"),
        Some(Issuer { name, expectation, .. }) => {
            let ours = quoted(&expectation.issuer);
            format!("the token's `iss` is {iss}, that of `{name}` is {ours}: they differ by the final slash alone")
        }
    }
}

fn nobody(rejection: Rejection) -> Rejected {
    Rejected { rejection, issuer: None, retry_after: None }
}
