//! Makes the demo's tokens: one ES256 key in memory, claims as a query asks for them.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::demo::ports::DemoError;
use crate::token::{Timestamp, TokenKind};

/// Signs tokens with a key of its own.
pub struct Mint {
    issuer: String,
    key: EcdsaKeyPair,
    key_id: String,
}

/// What a token shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Access token or `id_token`.
    pub kind: TokenKind,
    /// `sub`.
    pub subject: String,
    /// `acr`; `None`: the claim is left out.
    pub acr: Option<String>,
    /// `amr`; empty: the claim is left out.
    pub amr: Vec<String>,
    /// How many seconds ago the user signed in; `None`: `auth_time` is left out.
    pub age: Option<i64>,
    /// `scope` of an access token; empty: the claim is left out.
    pub scope: String,
    /// `client_id` of an access token.
    pub client: String,
    /// `aud`; `None`: what the demo's policy expects of this kind.
    pub audience: Option<String>,
    /// For how many seconds it is valid.
    pub lifetime: i64,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            kind: TokenKind::Access,
            subject: "alice".into(),
            acr: None,
            amr: Vec::new(),
            age: Some(0),
            scope: "accounts payments".into(),
            client: "demo-app".into(),
            audience: None,
            lifetime: 300,
        }
    }
}

/// The audiences that `policies/examples/demo` expects.
const API: &str = "https://api.demo.example";
const APP: &str = "demo-app";

impl Mint {
    /// Makes a key. `issuer` becomes `iss`.
    ///
    /// # Errors
    /// When the crypto library has no randomness.
    pub fn new(issuer: String) -> Result<Self, DemoError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_unspecified| DemoError::Key)?;
        // Another key at each start gets another name, so that a gate that outlived it asks anew.
        let key_id = URL_SAFE_NO_PAD.encode(key.public_key().as_ref().get(1..9).unwrap_or_default());
        Ok(Self { issuer, key, key_id })
    }

    /// `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key as a JWK set (RFC 7517, RFC 7518 section 6.2).
    #[must_use]
    pub fn key_set(&self) -> Value {
        // An uncompressed point: 4, then the two coordinates of 32 bytes (SEC 1 section 2.3.3).
        let point = self.key.public_key().as_ref();
        let coordinate = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
        let (x, y) = (coordinate(1..33), coordinate(33..65));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id, "x": x, "y": y }] })
    }

    /// A signed token that says what is wished, as of `now`.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn token(&self, wish: &Wish, now: Timestamp) -> Result<String, DemoError> {
        let kind = if wish.kind == TokenKind::Access { "at+jwt" } else { "JWT" };
        let header = json!({ "alg": "ES256", "typ": kind, "kid": self.key_id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&self.claims(wish, now)));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_unspecified| DemoError::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn claims(&self, wish: &Wish, now: Timestamp) -> Value {
        let mut claims = Map::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", self.issuer.as_str().into());
        say("sub", wish.subject.as_str().into());
        say("iat", now.seconds().into());
        say("exp", now.plus_seconds(wish.lifetime).seconds().into());
        let audience = wish.audience.as_deref();
        if wish.kind == TokenKind::Access {
            say("aud", audience.unwrap_or(API).into());
            say("client_id", wish.client.as_str().into());
            if !wish.scope.is_empty() {
                say("scope", wish.scope.as_str().into());
            }
        } else {
            say("aud", audience.unwrap_or(APP).into());
        }
        if let Some(acr) = &wish.acr {
            say("acr", acr.as_str().into());
        }
        if !wish.amr.is_empty() {
            say("amr", wish.amr.as_slice().into());
        }
        if let Some(age) = wish.age {
            say("auth_time", now.plus_seconds(age.saturating_neg()).seconds().into());
        }
        Value::Object(claims)
    }
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mint").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
