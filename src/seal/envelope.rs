//! The envelope: a cookie's value, which reveals nothing and opens only whole, under its own name and at its own host.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Reason;
use crate::seal::key::SealKey;
use crate::token::Rejection;

/// The most keys: one that seals, and those that are on their way out.
pub const MOST_KEYS: usize = 8;
/// How many random bytes a sealing asks for.
pub const NONCE: usize = NONCE_LEN;
/// The first byte of every envelope: how the rest is to be read.
const VERSION: u8 = 1;
const TAG: usize = 16;

/// The keys: the first seals, all open.
///
/// The cipher is AES-256-GCM-SIV (RFC 8452), with a random nonce for each sealing. A plain GCM would do no better and break
/// worse: several replicas seal under one key and count nothing together, a machine that was cloned or restored may draw the
/// same nonce twice, and with GCM one such pair gives the authentication key away (RFC 8452 section 1). With SIV it would
/// tell no more than whether the two texts are equal, which they never are, since each holds a random id of its own.
pub struct Keyring(Box<[LessSafeKey]>);

/// What an envelope is bound to besides its key: opened under another name or at another host it is as if tampered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The cookie's name.
    pub cookie: &'a str,
    /// The canonical host.
    pub host: &'a str,
}

/// What opening came to.
pub type Opening = Result<Vec<u8>, Rejection>;

impl Keyring {
    /// The keys in their order; `None` without any, with more than [`MOST_KEYS`], or should the library refuse one.
    #[must_use]
    pub fn new(keys: &[SealKey]) -> Option<Self> {
        let key = |key: &SealKey| UnboundKey::new(&AES_256_GCM_SIV, key.expose()).ok().map(LessSafeKey::new);
        let keys: Box<[LessSafeKey]> = keys.iter().map(key).collect::<Option<_>>()?;
        (1..=MOST_KEYS).contains(&keys.len()).then_some(Self(keys))
    }

    /// Seals a text with the first key. `nonce`: random, for this sealing alone.
    ///
    /// `None` only for a text longer than the cipher takes, which is some gigabytes.
    #[must_use]
    pub fn seal(&self, plain: Vec<u8>, label: Label<'_>, nonce: [u8; NONCE]) -> Option<String> {
        let mut sealed = plain;
        let bound = label.bound();
        let key = self.0.first()?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bound), &mut sealed).ok()?;
        let mut envelope = Vec::with_capacity(sealed.len().saturating_add(NONCE).saturating_add(1));
        envelope.push(VERSION);
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(envelope))
    }

    /// Opens what was sealed with one of the keys.
    ///
    /// # Errors
    /// `token_malformed`: no canonical base64url, or nothing that was ever sealed in this form. `signature_invalid`: tampered
    /// with, cut short, of another host, another cookie or a key that is not here any more. Which of these, nobody can tell.
    pub fn open(&self, value: &str, label: Label<'_>) -> Opening {
        let malformed = |why: &'static str| Rejection::new(Reason::TokenMalformed, why);
        // Canonical: stray bits in the last character would be a second text for one envelope.
        let envelope =
            URL_SAFE_NO_PAD.decode(value).map_err(|_stray| malformed("the kept cookie is no canonical base64url"))?;
        let Some((VERSION, rest)) = envelope.split_first().map(|(version, rest)| (*version, rest)) else {
            return Err(malformed("the kept cookie is in no form that this version of stepgate knows"));
        };
        let unopened = || {
            let why = "the kept cookie opens with none of `seal.keys`: it was tampered with, is of another host or cookie, or \
                       its key is not among them any more";
            Rejection::new(Reason::SignatureInvalid, why)
        };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(unopened)?;
        if sealed.len() < TAG {
            return Err(unopened());
        }
        let bound = label.bound();
        let mut scratch = Vec::with_capacity(sealed.len());
        for key in &self.0 {
            // A failed opening leaves no text behind, only noise.
            scratch.clear();
            scratch.extend_from_slice(sealed);
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(&bound), &mut scratch).ok().map(|plain| plain.len());
            if let Some(length) = opened {
                scratch.truncate(length);
                return Ok(scratch);
            }
        }
        Err(unopened())
    }
}

impl Label<'_> {
    /// What is authenticated beside the text. Neither a cookie's name nor a host has a NUL, so no two labels are one.
    fn bound(&self) -> Vec<u8> {
        let parts = [b"stepgate kept", [VERSION].as_slice(), self.cookie.as_bytes(), self.host.as_bytes()];
        parts.join(&0)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label<'static> = Label { cookie: "__Host-stepgate", host: "app.example" };
    const TEXT: &[u8] = b"what was proved";

    fn key(seed: u8) -> SealKey {
        let bytes: Vec<u8> = (0..32u8).map(|n| n ^ seed).collect();
        SealKey::parse(&URL_SAFE_NO_PAD.encode(bytes)).unwrap()
    }

    fn ring(seeds: &[u8]) -> Keyring {
        Keyring::new(&seeds.iter().map(|seed| key(*seed)).collect::<Vec<_>>()).unwrap()
    }

    fn sealed() -> String {
        ring(&[1]).seal(TEXT.to_vec(), LABEL, [7; NONCE]).unwrap()
    }

    fn reason(ring: &Keyring, value: &str, label: Label<'_>) -> Option<Reason> {
        ring.open(value, label).err().map(|rejection| rejection.reason)
    }

    #[test]
    fn what_was_sealed_opens_whole() {
        assert_eq!(ring(&[1]).open(&sealed(), LABEL).unwrap(), TEXT);
        assert!(!sealed().contains("proved"));
    }

    #[test]
    fn a_change_of_any_bit_is_refused() {
        let (ring, sealed) = (ring(&[1]), sealed());
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[place] ^= 1 << bit;
                let expected = if place == 0 { Reason::TokenMalformed } else { Reason::SignatureInvalid };
                let value = URL_SAFE_NO_PAD.encode(&other);
                assert_eq!(reason(&ring, &value, LABEL), Some(expected), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_change_of_any_character_is_refused() {
        let (ring, sealed) = (ring(&[1]), sealed());
        for place in 0..sealed.len() {
            for other in ["A", "B", "_", "=", "+", "é", " "] {
                let (before, rest) = sealed.split_at(place);
                let value = format!("{before}{other}{}", rest.split_at(1).1);
                assert!(value == sealed || reason(&ring, &value, LABEL).is_some(), "{place}: {value}");
            }
        }
    }

    #[test]
    fn cut_short_or_made_longer_it_is_refused_at_every_length() {
        let (ring, sealed) = (ring(&[1]), sealed());
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for length in 0..sealed.len() {
            assert!(reason(&ring, sealed.split_at(length).0, LABEL).is_some(), "{length} characters");
        }
        for length in 0..bytes.len() {
            let value = URL_SAFE_NO_PAD.encode(&bytes[..length]);
            let expected = if length == 0 { Reason::TokenMalformed } else { Reason::SignatureInvalid };
            assert_eq!(reason(&ring, &value, LABEL), Some(expected), "{length} bytes");
        }
        let longer = URL_SAFE_NO_PAD.encode([&*bytes, b"x"].concat());
        assert_eq!(reason(&ring, &longer, LABEL), Some(Reason::SignatureInvalid));
        for more in ["=", "==", "A", "\n", " "] {
            assert!(reason(&ring, &format!("{sealed}{more}"), LABEL).is_some(), "{more:?}");
        }
    }

    #[test]
    fn it_opens_at_its_own_host_and_under_its_own_name_alone() {
        let (ring, sealed) = (ring(&[1]), sealed());
        for label in [
            Label { host: "other.example", ..LABEL },
            Label { host: "app.exampl", ..LABEL },
            Label { host: "", ..LABEL },
            Label { cookie: "__Host-other", ..LABEL },
            // What stands in one part must not count for the other.
            Label { cookie: "__Host-stepgateapp", host: ".example" },
            Label { cookie: "__Host-stepgat", host: "eapp.example" },
        ] {
            assert_eq!(reason(&ring, &sealed, label), Some(Reason::SignatureInvalid), "{label:?}");
        }
    }

    #[test]
    fn the_first_key_seals_all_open_and_one_that_is_gone_does_not() {
        let old = sealed();
        assert_eq!(ring(&[2, 1]).open(&old, LABEL).unwrap(), TEXT, "rotated, and still known");
        assert_eq!(ring(&[1, 2]).open(&old, LABEL).unwrap(), TEXT);
        assert_eq!(reason(&ring(&[2, 3]), &old, LABEL), Some(Reason::SignatureInvalid), "retired");
        let new = ring(&[2, 1]).seal(TEXT.to_vec(), LABEL, [7; NONCE]).unwrap();
        assert_eq!(ring(&[2]).open(&new, LABEL).unwrap(), TEXT);
        assert_eq!(reason(&ring(&[1]), &new, LABEL), Some(Reason::SignatureInvalid), "the first sealed it");
    }

    #[test]
    fn no_key_and_too_many_keys_make_no_ring() {
        assert!(Keyring::new(&[]).is_none());
        assert!(Keyring::new(&vec![key(1); MOST_KEYS]).is_some());
        assert!(Keyring::new(&vec![key(1); MOST_KEYS + 1]).is_none());
    }

    #[test]
    fn with_a_nonce_that_came_twice_two_texts_share_nothing() {
        let seal =
            |text: &[u8]| URL_SAFE_NO_PAD.decode(ring(&[1]).seal(text.to_vec(), LABEL, [7; NONCE]).unwrap()).unwrap();
        let (one, other) = (seal(b"id 1: what was proved"), seal(b"id 2: what was proved"));
        let same = one.iter().zip(&other).skip(1 + NONCE).filter(|(a, b)| a == b).count();
        assert!(same < 6, "with plain GCM all but one byte of the text would be the same: {same}");
    }
}
