//! A private key that signs assertions, and its public half as others read it.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use crate::tls::pem;
use crate::token::der::rsa_numbers;

/// A key that signs. Its private half is shown nowhere.
pub struct SigningKey {
    pair: Pair,
    kid: Box<str>,
    jwk: Value,
    /// The header of what it signs, encoded.
    header: Box<str>,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// `typ` of an assertion: what takes one for a token of another kind does so against its own rules (RFC 8725 section 3.11).
const TYPE: &str = "stepgate-assertion+jwt";
/// The fewest bytes of an RSA key's modulus: 2048 bits.
const RSA_BYTES: usize = 256;

impl SigningKey {
    /// The key of a PEM file. Call it where blocking is allowed.
    ///
    /// # Errors
    /// A sentence that names the file, and shows nothing of it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let key = pem::private_key(path)?;
        Self::new(&key).map_err(|why| format!("the key in `{}` cannot sign: {why}", path.display()))
    }

    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, &'static str> {
        let (pair, algorithm, public) = read(key)?;
        // RFC 7638: the members that make the key, in the order of their names, without spaces.
        let thumbprint = digest::digest(&digest::SHA256, public.to_string().as_bytes());
        let kid: Box<str> = URL_SAFE_NO_PAD.encode(thumbprint).into();
        let mut jwk = public;
        if let Some(members) = jwk.as_object_mut() {
            for (name, value) in [("kid", &*kid), ("alg", algorithm), ("use", "sig")] {
                members.insert(name.to_owned(), value.into());
            }
        }
        let header = json!({ "alg": algorithm, "kid": kid, "typ": TYPE }).to_string();
        Ok(Self { pair, kid, jwk, header: URL_SAFE_NO_PAD.encode(header).into() })
    }

    /// The name of the key: its thumbprint (RFC 7638), the same wherever it is read.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half, as a JWK.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A JWT of these claims. `None` if the library can't sign, for want of randomness.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> Option<String> {
        let mut text = String::with_capacity(1024);
        text.push_str(&self.header);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
        let signature = self.signature(text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Some(text)
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec()),
            Pair::Ed(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok().map(|()| signature)
            }
        }
    }
}

/// The key, what it signs by, and the members that make its public half.
fn read(key: &PrivateKeyDer<'_>) -> Result<(Pair, &'static str, Value), &'static str> {
    let der = key.secret_der();
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        let public = json!({ "crv": "Ed25519", "kty": "OKP", "x": encode(pair.public_key().as_ref()) });
        // The name that most libraries know (RFC 8037).
        return Ok((Pair::Ed(pair), "EdDSA", public));
    }
    let curves: [(&'static EcdsaSigningAlgorithm, &str, &str); 2] =
        [(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256"), (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384")];
    for (curve, name, algorithm) in curves {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
            // A point on the curve: a byte that says uncompressed, then x and y.
            let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
            let (x, y) = point.split_at_checked(point.len() / 2).unwrap_or_default();
            let public = json!({ "crv": name, "kty": "EC", "x": encode(x), "y": encode(y) });
            return Ok((Pair::Ec(pair), algorithm, public));
        }
    }
    let is_pkcs1 = matches!(key, PrivateKeyDer::Pkcs1(_));
    let rsa = if is_pkcs1 { RsaKeyPair::from_der(der) } else { RsaKeyPair::from_pkcs8(der) };
    let pair = rsa.map_err(|_rejected| KINDS)?;
    if pair.public_modulus_len() < RSA_BYTES {
        return Err("an RSA key needs 2048 bits at the least");
    }
    let (modulus, exponent) = rsa_numbers(pair.public_key().as_ref()).ok_or(KINDS)?;
    let public = json!({ "e": encode(exponent), "kty": "RSA", "n": encode(modulus) });
    Ok((Pair::Rsa(Box::new(pair)), "RS256", public))
}

const KINDS: &str = "it is neither EC (P-256 or P-384), nor Ed25519, nor RSA of 2048 bits or more";

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::token::{KeyLimits, KeySet};

    /// The keys that openssl makes, one of each kind, none of which is used anywhere.
    fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> PrivateKeyDer<'static> {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        PrivatePkcs8KeyDer::from(pair.serialize_der()).into()
    }

    #[test]
    fn each_kind_of_key_signs_what_its_public_half_verifies() {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
        };
        let kinds: [(_, _, &'static dyn VerificationAlgorithm); 3] = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256", &ECDSA_P256_SHA256_FIXED),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384", &ECDSA_P384_SHA384_FIXED),
            (&rcgen::PKCS_ED25519, "EdDSA", &ED25519),
        ];
        for (kind, algorithm, verifies) in kinds {
            let key = SigningKey::new(&made(kind)).unwrap();
            let text = key.sign(&json!({ "sub": "u" })).unwrap();
            let (signed, signature) = text.rsplit_once('.').unwrap();
            let (header, claims) = signed.split_once('.').unwrap();
            let read =
                |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
            assert_eq!(read(header), json!({ "alg": algorithm, "kid": key.kid(), "typ": TYPE }));
            assert_eq!(read(claims), json!({ "sub": "u" }));
            let public = match &key.pair {
                Pair::Ec(pair) => pair.public_key().as_ref(),
                Pair::Ed(pair) => pair.public_key().as_ref(),
                Pair::Rsa(pair) => pair.public_key().as_ref(),
            };
            let public = UnparsedPublicKey::new(verifies, public);
            public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            // What we publish is a key that we would believe ourselves, and holds no private half.
            let set = json!({ "keys": [key.jwk()] }).to_string();
            let set = KeySet::parse(set.as_bytes(), KeyLimits { bytes: 1 << 16, keys: 1 }).unwrap();
            assert_eq!(set.len(), 1);
        }
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // Of RFC 8037 appendix A.3.
        let public = json!({ "crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        let thumbprint = digest::digest(&digest::SHA256, public.to_string().as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(thumbprint), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_cannot_sign_is_named_and_nothing_of_it_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        let p521 = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n-----END PRIVATE KEY-----\n";
        for (text, expected) in [
            ("junk", "there is no private key in PEM in `"),
            ("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "it holds a certificate"),
            (p521, "cannot sign: it is neither EC"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = SigningKey::read(&path).unwrap_err();
            assert!(said.contains(expected) && said.contains("a.pem") && !said.contains("MC4C"), "{said}");
        }
    }
}
