//! [`Digest`]: by what the cache knows a token.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::token::Credential;

/// What a message authentication code gives for a token's whole text under a key that this process made and nobody else knows:
/// a hit means "this very token was verified". Nobody can tell which other token would have the same, or try it out anywhere
/// but here, one request each: of 16 KiB, against 100,000 tokens that are remembered, one in 2^100 is taken for another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 16]);

/// Makes digests, those of one cache.
pub(super) struct Digester(LessSafeKey);

impl Digester {
    /// With a key of its own.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        // Not aws-lc's generator, whose first use measures the processor's jitter for tens of milliseconds.
        getrandom::fill(&mut secret)?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &secret).map_err(|_length| getrandom::Error::UNEXPECTED)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The tag of AES-GCM-SIV (RFC 8452) with the token as what is authenticated and nothing as what is encrypted. Of the
    /// ciphers it is the one that needs no nonce of its own for each text: there is no text of which one would tell anything, and
    /// no tag is ever shown. On x86-64 with AES-NI it takes a third of the time of a hash. `None` where the library refuses a
    /// text, which it does of none as short as a head: such a token is verified anew each time.
    pub(super) fn digest(&self, credential: &Credential) -> Option<Digest> {
        let token = Aad::from(credential.expose().as_bytes());
        let tag = self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), token, &mut []).ok()?;
        tag.as_ref().try_into().ok().map(Digest)
    }
}

impl Digest {
    /// Another half of it than its hash is made of.
    pub(super) fn tag(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Another one with the same tag.
    #[cfg(test)]
    pub(super) fn with_the_same_tag(mut self) -> Self {
        self.0[0] ^= 1;
        self
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// It is a hash already: hashing it again would only cost time.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Takes the eight bytes that [`Digest`] gives as they are.
#[derive(Clone, Copy, Default)]
pub(super) struct FirstBytes(u64);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_whole_text_and_of_this_cache_alone() {
        let (ours, theirs) = (Digester::new().unwrap(), Digester::new().unwrap());
        let token = |text: &str| Credential::new(text, 1 << 20).unwrap();
        let text = "abcdefghijklmnopqrstuvwxyz0123456789".repeat(20);
        let digest = ours.digest(&token(&text)).unwrap().0;
        assert_eq!(ours.digest(&token(&text)).unwrap().0, digest, "the same again");
        assert_ne!(theirs.digest(&token(&text)).unwrap().0, digest);
        for at in 0..text.len() {
            let mut other = text.clone();
            other.replace_range(at..=at, "_");
            assert_ne!(ours.digest(&token(&other)).unwrap().0, digest, "{at}");
            assert_ne!(ours.digest(&token(text.split_at(at).0)).unwrap().0, digest, "{at}");
        }
    }
}
