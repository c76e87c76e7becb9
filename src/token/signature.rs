//! Public keys and the one question they answer: is this signature theirs?
//!
//! The mathematics is jsonwebtoken's over aws-lc-rs; ES512, which jsonwebtoken lacks, goes to aws-lc-rs directly. Which
//! key and which algorithm may meet is decided here and in `jwk`, never by the library.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
#[derive(Clone)]
pub(in crate::token) struct PublicKey {
    key_type: KeyType,
    /// RSA: `n`; else the public point. What the key is told by.
    material: Box<[u8]>,
    /// RSA: `e`; else empty.
    exponent: Box<[u8]>,
    library: DecodingKey,
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
        Ok(Self {
            key_type: KeyType::Rsa,
            material: n.into(),
            exponent: e.into(),
            library: DecodingKey::from_rsa_raw_components(n, e),
        })
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
        Ok(Self {
            key_type,
            library: DecodingKey::from_ec_der(&point),
            material: point.into(),
            exponent: Box::default(),
        })
    }

    /// An Ed25519 key.
    pub(in crate::token) fn ed25519(x: &[u8]) -> Result<Self, &'static str> {
        if x.len() != KeyType::Ed25519.coordinate_bytes() {
            return Err("an Ed25519 key has 32 bytes");
        }
        ParsedPublicKey::new(&ED25519, x).map_err(|_refused| "the crypto library refuses its point")?;
        Ok(Self {
            key_type: KeyType::Ed25519,
            material: x.into(),
            exponent: Box::default(),
            library: DecodingKey::from_ed_der(x),
        })
    }

    pub(in crate::token) const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The bytes that make the key what it is.
    pub(in crate::token) fn material(&self) -> [&[u8]; 2] {
        [&self.material, &self.exponent]
    }

    /// Whether `signature` (base64url) over `signed` was made with this key and `algorithm`.
    ///
    /// ECDSA signatures are `R || S` of fixed length (RFC 7518 section 3.4); DER is none.
    pub(in crate::token) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        if !self.key_type.algorithms().contains(&algorithm) {
            return false;
        }
        let by_library = match algorithm {
            Algorithm::Rs256 => LibraryAlgorithm::RS256,
            Algorithm::Rs384 => LibraryAlgorithm::RS384,
            Algorithm::Rs512 => LibraryAlgorithm::RS512,
            Algorithm::Ps256 => LibraryAlgorithm::PS256,
            Algorithm::Ps384 => LibraryAlgorithm::PS384,
            Algorithm::Ps512 => LibraryAlgorithm::PS512,
            Algorithm::Es256 => LibraryAlgorithm::ES256,
            Algorithm::Es384 => LibraryAlgorithm::ES384,
            Algorithm::Ed25519 => LibraryAlgorithm::EdDSA,
            Algorithm::Es512 => {
                return URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| {
                    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, &self.material).verify(signed, &signature).is_ok()
                });
            }
        };
        // Only a plain `true` counts: an error is not a yes.
        matches!(jsonwebtoken::crypto::verify(signature, signed, &self.library, by_library), Ok(true))
    }
}

/// SEC 1 section 2.3.3: the point is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
