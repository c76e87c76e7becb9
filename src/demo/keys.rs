//! The demo's signing keys: one for each algorithm that the policy's issuers use, made at the start, kept in memory.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::demo::ports::DemoError;
use crate::token::Algorithm;
use crate::token::der::rsa_numbers;

/// Keys, one for each algorithm.
pub struct Keys(Vec<Key>);

struct Key {
    algorithm: Algorithm,
    id: String,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

impl Keys {
    /// Makes a key for each of these algorithms.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Result<Self, DemoError> {
        let mut keys: Vec<Key> = Vec::new();
        for algorithm in algorithms {
            if !keys.iter().any(|key| key.algorithm == algorithm) {
                keys.push(Key::new(algorithm)?);
            }
        }
        Ok(Self(keys))
    }

    /// The public halves, as a key set.
    #[must_use]
    pub fn set(&self) -> Value {
        json!({ "keys": self.0.iter().map(Key::jwk).collect::<Vec<_>>() })
    }

    /// A signed token of these claims.
    ///
    /// # Errors
    /// When there is no key for the algorithm, or the crypto library fails.
    pub fn sign(&self, algorithm: Algorithm, typ: Option<&str>, claims: &Value) -> Result<String, DemoError> {
        let key = self.0.iter().find(|key| key.algorithm == algorithm).ok_or(DemoError::Key)?;
        let mut header = Map::new();
        header.insert("alg".to_owned(), name(algorithm).into());
        header.insert("kid".to_owned(), key.id.as_str().into());
        if let Some(typ) = typ {
            header.insert("typ".to_owned(), typ.into());
        }
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&Value::Object(header)), encode(claims));
        let signature = key.sign(signed.as_bytes()).map_err(|_unspecified| DemoError::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Key {
    fn new(algorithm: Algorithm) -> Result<Self, DemoError> {
        let failed = |_unspecified| DemoError::Key;
        let ec = |curve: &'static EcdsaSigningAlgorithm, name| EcdsaKeyPair::generate(curve).map(|p| Pair::Ec(p, name));
        let rsa = |encoding| RsaKeyPair::generate(KeySize::Rsa2048).map(|pair| Pair::Rsa(Box::new(pair), encoding));
        let pair = match algorithm {
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
            Algorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed),
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
        }
        .map_err(failed)?;
        // Another key at each start gets another name, so that a gate that outlived it asks anew.
        let public = pair.public();
        let from = public.len().saturating_sub(16);
        let id = URL_SAFE_NO_PAD.encode(public.get(from..).unwrap_or_default());
        Ok(Self { algorithm, id, pair })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair, _) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map(|()| signature)
            }
        }
    }

    fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = self.pair.public();
        let mut jwk = match &self.pair {
            // A point on the curve: a byte that says uncompressed, then x and y.
            Pair::Ec(_, curve) => {
                let point = public.get(1..).unwrap_or_default();
                let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Pair::Ed(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(public) }),
            Pair::Rsa(..) => {
                let (modulus, exponent) = rsa_numbers(public).unwrap_or_default();
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode(exponent) })
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.id.as_str().into());
            members.insert("alg".to_owned(), name(self.algorithm).into());
            members.insert("use".to_owned(), "sig".into());
        }
        jwk
    }
}

impl Pair {
    fn public(&self) -> &[u8] {
        match self {
            Self::Ec(pair, _) => pair.public_key().as_ref(),
            Self::Ed(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair, _) => pair.public_key().as_ref(),
        }
    }
}

/// The name that most libraries know.
const fn name(algorithm: Algorithm) -> &'static str {
    if matches!(algorithm, Algorithm::Ed25519) { "EdDSA" } else { algorithm.name() }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| name(key.algorithm))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_for_each_algorithm_each_with_a_name_of_its_own() {
        let keys = Keys::new([Algorithm::Es256, Algorithm::Rs256, Algorithm::Es256]).unwrap();
        let set = keys.set();
        let set = set["keys"].as_array().unwrap();
        assert_eq!(set.len(), 2, "{set:?}");
        assert_ne!(set[0]["kid"], set[1]["kid"]);
        assert!(keys.sign(Algorithm::Ps256, None, &json!({})).is_err(), "there is no key for it");
    }
}
