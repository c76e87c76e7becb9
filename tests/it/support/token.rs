//! Tokens with any header and any claims.

use std::time::SystemTime;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use super::keys::{Key, base64_url};

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the tokens of a test must hold now")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A token that is not signed yet.
#[derive(Clone)]
pub(crate) struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Token {
    /// An access token of the bank for ada, who signed in a minute ago with two factors, with all scopes.
    pub(crate) fn access() -> Self {
        Self::of(json!({
            "iss": "https://bank.example", "aud": "https://api.example", "sub": "ada", "client_id": "app",
            "iat": now(), "exp": now() + 300, "auth_time": now() - 60, "acr": "2", "amr": ["pwd", "otp"],
            "scope": "accounts payments",
        }))
    }

    /// An `id_token` of the bank for ada, who signed in a minute ago with two factors.
    pub(crate) fn id() -> Self {
        Self::access().claim("aud", "app").without("client_id").without("scope")
    }

    /// A token with these claims.
    pub(crate) fn of(claims: Value) -> Self {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Self { header: Map::new(), claims }
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.remove(name).expect("the token has no such claim");
        self
    }

    /// Only a password: one factor.
    pub(crate) fn weak(self) -> Self {
        self.claim("acr", "1").claim("amr", json!(["pwd"]))
    }

    /// Of another issuer.
    pub(crate) fn issuer(self, issuer: &str) -> Self {
        self.claim("iss", issuer)
    }

    /// A member of the header besides `alg` and `kid`, or in place of them.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn claims_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    pub(crate) fn header_text(&self, key: &Key) -> String {
        let mut header = self.header.clone();
        header.entry("alg").or_insert(key.alg.name().into());
        header.entry("kid").or_insert(key.kid.clone().into());
        Value::Object(header).to_string()
    }

    pub(crate) fn sign(&self, key: &Key) -> String {
        key.sign(&self.header_text(key), &self.claims_text())
    }

    /// The token with its claims written by hand: `edit` gets the JSON text.
    pub(crate) fn sign_edited(&self, key: &Key, edit: impl FnOnce(String) -> String) -> String {
        key.sign(&self.header_text(key), &edit(self.claims_text()))
    }
}

/// The `at_hash` of an access token beside an `id_token` signed with a SHA-256 algorithm (OpenID Connect Core 3.1.3.6).
pub(crate) fn at_hash(access_token: &str) -> String {
    base64_url(&digest::digest(&digest::SHA256, access_token.as_bytes()).as_ref()[..16])
}
