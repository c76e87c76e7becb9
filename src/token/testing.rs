//! Keys and tokens for tests, made on the spot. Never compiled into the program.
#![expect(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects, reason = "test code, on constants")]

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::token::{
    Algorithm, ClaimPath, Credential, Expectation, KeyLimits, KeySet, KindRule, Rejection, Timestamp, Unverified,
};

/// The moment at which tests verify.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_767_268_800);
/// The issuer of test tokens.
pub(crate) const ISSUER: &str = "https://idp.example";
/// The audience of test access tokens.
pub(crate) const API: &str = "https://api.example";
/// The audience of test id tokens.
pub(crate) const CLIENT: &str = "client-1";

/// A key pair that signs tokens.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// A fresh key pair with a `kid`.
    pub(crate) fn new(algorithm: Algorithm, kid: &str) -> Self {
        use signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        let ec = |curve| Pair::Ec(EcdsaKeyPair::generate(curve).unwrap());
        let pair = match algorithm {
            Algorithm::Es256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::Ed25519 => Pair::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { algorithm, kid: Some(kid.to_owned()), pair }
    }

    /// A key pair that all tests of this process share (an RSA one takes a while to make); its `kid` is the algorithm.
    pub(crate) fn shared(algorithm: Algorithm) -> &'static Self {
        static ALL: [OnceLock<Signer>; Algorithm::ALL.len()] = [const { OnceLock::new() }; Algorithm::ALL.len()];
        ALL[algorithm as usize].get_or_init(|| Self::new(algorithm, algorithm.name()))
    }

    /// The public key as a JWK, without `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": b64(public.modulus().big_endian_without_leading_zero()),
                    "e": b64(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                let crv = match self.algorithm {
                    Algorithm::Es256 => "P-256",
                    Algorithm::Es384 => "P-384",
                    _ => "P-521",
                };
                json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y) })
            }
            Pair::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref()) }),
        };
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// The public half in DER, as a confused verifier might take it for an HMAC secret.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                der.as_ref().to_vec()
            }
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs bytes with this key, the way that `algorithm` (which must suit the key) does it.
    pub(crate) fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut out).unwrap();
                out
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of exactly these header and claims texts.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_with(self.algorithm, header, claims)
    }

    /// The same, signed the way that another algorithm of this key does it.
    pub(crate) fn sign_with(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(algorithm, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The usual header of this key's tokens.
    pub(crate) fn header(&self) -> Value {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        header
    }

    /// A token of these claims with the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }
}

/// A key set document of these keys.
pub(crate) fn jwks(signers: &[&Signer]) -> Vec<u8> {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string().into_bytes()
}

/// A key set of these keys.
pub(crate) fn key_set(signers: &[&Signer]) -> KeySet {
    KeySet::parse(&jwks(signers), KeyLimits::USUAL).unwrap()
}

/// The claims of a good access token at [`NOW`].
pub(crate) fn claims() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": ISSUER, "aud": API, "sub": "u1", "client_id": "app", "iat": now - 60, "exp": now + 300, "acr": "2",
        "amr": ["pwd", "otp"], "auth_time": now - 90,
    })
}

/// [`claims`] with one member set, or removed by `None`.
pub(crate) fn claims_with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    match value {
        Some(value) => claims[name] = value,
        None => {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

/// What the tests' issuer is expected to send.
pub(crate) fn expectation() -> Expectation {
    let rule = |audience: &str, types: &[Option<&str>]| KindRule {
        audiences: [audience.into()].into(),
        audience_from: ClaimPath::parse("aud").unwrap(),
        types: types.iter().map(|typ| typ.map(Into::into)).collect(),
        has: [].into(),
    };
    Expectation {
        issuer: ISSUER.into(),
        algorithms: None,
        access: Some(rule(API, &[Some("at+jwt"), Some("jwt"), None])),
        id: Some(rule(CLIENT, &[Some("jwt"), None])),
    }
}

/// An unverified token of this text.
pub(crate) fn credential(token: &str) -> Credential {
    Credential::new(token, usize::MAX).unwrap()
}

/// A token taken apart, which stays as long as the tests run.
pub(crate) fn parsed(token: &str) -> Result<Unverified<'static>, Rejection> {
    Unverified::parse(Box::leak(Box::new(credential(token))), Box::leak(Box::default()))
}
