//! Public keys and the one question they answer: is this signature theirs?
//!
//! The mathematics is aws-lc-rs's. On P-256, P-384 and Ed25519 jsonwebtoken asks it, and reads the key anew each time, which
//! is 2 % there. For an RSA key that is as much as half of the check again, so those are read once and kept; so is P-521,
//! which jsonwebtoken lacks. Which key and which algorithm may meet is decided here and in `jwk`, never by a library.

use std::sync::OnceLock;

use aws_lc_rs::digest::{Algorithm as DigestAlgorithm, Digest, SHA256, SHA384, SHA512, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm as LibraryAlgorithm, DecodingKey};

use crate::token::algorithm::Algorithm;

/// The type of a key, which decides the algorithms that it can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::token) enum KeyType {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl KeyType {
    /// The algorithms for which this type of key can be used (RFC 7518 section 3.1, RFC 8037).
    pub(in crate::token) const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Rsa => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            Self::P256 => &[Algorithm::Es256],
            Self::P384 => &[Algorithm::Es384],
            Self::P521 => &[Algorithm::Es512],
            Self::Ed25519 => &[Algorithm::Ed25519],
        }
    }

    /// Bytes of one coordinate of a point on the curve.
    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
            Self::Rsa => 0,
        }
    }
}

/// A public key that was checked to be one.
pub(in crate::token) struct PublicKey {
    key_type: KeyType,
    /// RSA: `n`; else the public point. What the key is told by.
    material: Box<[u8]>,
    /// RSA: `e`; else empty.
    exponent: Box<[u8]>,
    reader: Reader,
}

/// What a key is used through.
enum Reader {
    /// One for each algorithm of an RSA key.
    Rsa(Box<[Kept; 6]>),
    P521(Kept),
    Library(DecodingKey),
}

/// A key as the crypto library reads it. Read when the first token asks for it: of a set of a hundred keys one or two sign,
/// and a reading is kilobytes.
#[derive(Default)]
struct Kept(OnceLock<Option<Box<ParsedPublicKey>>>);

impl Kept {
    /// `signed` is hashed here: the library's own way from a text to an answer sets up and copies a state of its hash for it.
    /// It takes a hash of the key's own algorithm alone.
    fn verifies(&self, read: impl FnOnce() -> Option<ParsedPublicKey>, signed: &Digest, signature: &[u8]) -> bool {
        let key = self.0.get_or_init(|| read().map(Box::new));
        key.as_ref().is_some_and(|key| key.verify_digest_sig(signed, signature).is_ok())
    }
}

impl PublicKey {
    /// An RSA key of 2048 to 8192 bits (RFC 7518 section 3.3; the upper bound keeps a check cheap).
    pub(in crate::token) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        // Some issuers write a leading zero, as signed integers have it.
        let (n, e) = (without_leading_zeros(modulus), without_leading_zeros(exponent));
        let bits =
            n.len().saturating_mul(8).saturating_sub(n.first().map_or(0, |first| first.leading_zeros() as usize));
        if bits < 2048 {
            return Err("its modulus is shorter than 2048 bits");
        }
        if bits > 8192 {
            return Err("its modulus is longer than 8192 bits");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if !odd(n) || !odd(e) || e == [1] {
            return Err("its modulus or exponent cannot be that of an RSA key");
        }
        RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_refused| "the crypto library refuses its modulus or exponent")?;
        let reader = Reader::Rsa(Box::default());
        Ok(Self { key_type: KeyType::Rsa, material: n.into(), exponent: e.into(), reader })
    }

    /// A key on one of the NIST curves; the point is checked to be on it (RFC 8725 section 3.4).
    pub(in crate::token) fn ec(key_type: KeyType, x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        let algorithm: &'static dyn VerificationAlgorithm = match key_type {
            KeyType::P256 => &ECDSA_P256_SHA256_FIXED,
            KeyType::P384 => &ECDSA_P384_SHA384_FIXED,
            KeyType::P521 => &ECDSA_P521_SHA512_FIXED,
            KeyType::Rsa | KeyType::Ed25519 => return Err("its curve is not one of P-256, P-384 and P-521"),
        };
        let size = key_type.coordinate_bytes();
        if x.len() != size || y.len() != size {
            return Err("its coordinates have the wrong length for the curve");
        }
        let point = [&[UNCOMPRESSED], x, y].concat();
        ParsedPublicKey::new(algorithm, &point).map_err(|_refused| "its point is not on the curve")?;
        let reader = match key_type {
            KeyType::P521 => Reader::P521(Kept::default()),
            KeyType::P256 | KeyType::P384 | KeyType::Rsa | KeyType::Ed25519 => {
                Reader::Library(DecodingKey::from_ec_der(&point))
            }
        };
        Ok(Self { key_type, material: point.into(), exponent: Box::default(), reader })
    }

    /// An Ed25519 key.
    pub(in crate::token) fn ed25519(x: &[u8]) -> Result<Self, &'static str> {
        if x.len() != KeyType::Ed25519.coordinate_bytes() {
            return Err("an Ed25519 key has 32 bytes");
        }
        ParsedPublicKey::new(&ED25519, x).map_err(|_refused| "the crypto library refuses its point")?;
        let reader = Reader::Library(DecodingKey::from_ed_der(x));
        Ok(Self { key_type: KeyType::Ed25519, material: x.into(), exponent: Box::default(), reader })
    }

    pub(in crate::token) const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The bytes that make the key what it is.
    pub(in crate::token) fn material(&self) -> [&[u8]; 2] {
        [&self.material, &self.exponent]
    }

    /// Whether `signature` over `signed` was made with this key and `algorithm`.
    ///
    /// ECDSA signatures are `R || S` of fixed length (RFC 7518 section 3.4); DER is none.
    pub(in crate::token) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &Signature<'_>) -> bool {
        let by_library = match algorithm {
            Algorithm::Rs256 => return self.rsa_verifies(0, &RSA_PKCS1_2048_8192_SHA256, &SHA256, signed, signature),
            Algorithm::Rs384 => return self.rsa_verifies(1, &RSA_PKCS1_2048_8192_SHA384, &SHA384, signed, signature),
            Algorithm::Rs512 => return self.rsa_verifies(2, &RSA_PKCS1_2048_8192_SHA512, &SHA512, signed, signature),
            Algorithm::Ps256 => return self.rsa_verifies(3, &RSA_PSS_2048_8192_SHA256, &SHA256, signed, signature),
            Algorithm::Ps384 => return self.rsa_verifies(4, &RSA_PSS_2048_8192_SHA384, &SHA384, signed, signature),
            Algorithm::Ps512 => return self.rsa_verifies(5, &RSA_PSS_2048_8192_SHA512, &SHA512, signed, signature),
            Algorithm::Es512 => {
                let Reader::P521(kept) = &self.reader else { return false };
                let read = || ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, &self.material).ok();
                return kept.verifies(read, &digest(&SHA512, signed), signature.bytes);
            }
            Algorithm::Es256 => LibraryAlgorithm::ES256,
            Algorithm::Es384 => LibraryAlgorithm::ES384,
            Algorithm::Ed25519 => LibraryAlgorithm::EdDSA,
        };
        if !self.key_type.algorithms().contains(&algorithm) {
            return false;
        }
        let Reader::Library(key) = &self.reader else { return false };
        // Only a plain `true` counts: an error is not a yes.
        matches!(jsonwebtoken::crypto::verify(signature.base64url, signed, key, by_library), Ok(true))
    }

    fn rsa_verifies(
        &self,
        place: usize,
        parameters: &'static RsaParameters,
        hash: &'static DigestAlgorithm,
        signed: &[u8],
        signature: &Signature<'_>,
    ) -> bool {
        let Reader::Rsa(kept) = &self.reader else { return false };
        let components = RsaPublicKeyComponents { n: &self.material, e: &self.exponent };
        let read = || components.to_parsed_public_key(parameters).ok();
        kept.get(place).is_some_and(|kept| kept.verifies(read, &digest(hash, signed), signature.bytes))
    }
}

/// A signature, as it stands in the token and decoded.
pub(in crate::token) struct Signature<'s> {
    pub(in crate::token) base64url: &'s str,
    pub(in crate::token) bytes: &'s [u8],
}

/// SEC 1 section 2.3.3: the point is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
