//! The JOSE header (RFC 7515 section 4), read strictly: what we do not understand and must not ignore is refused.
//!
//! `jku`, `x5u`, `x5c`, `x5t` and `jwk` would have the sender name the key that proves the sender right. They are ignored
//! and never followed (RFC 8725 section 3.10).

use std::cell::RefCell;
use std::sync::Arc;

use crate::Reason;
use crate::token::algorithm::Algorithm;
use crate::token::json::Tree;
use crate::token::rejection::{Rejection, quoted};

/// What is read of a token's header. All of it is unverified until the signature is.
#[derive(Debug)]
pub(in crate::token) struct Header {
    pub(in crate::token) algorithm: Algorithm,
    pub(in crate::token) kid: Option<Arc<str>>,
    /// Lower-case and without `application/`, as [`crate::token::KindRule::types`] is.
    pub(in crate::token) typ: Option<Box<str>>,
}

impl Header {
    /// Reads a decoded header; `claims` are those of the same token.
    ///
    /// # Errors
    /// `token_malformed`, `token_encrypted`, `header_refused` or `algorithm_refused`, in this order.
    pub(in crate::token) fn read(header: &Tree<'_>, claims: &Tree<'_>) -> Result<Self, Rejection> {
        if !matches!(header, Tree::Object(_)) {
            return Err(malformed("the header is not a JSON object"));
        }
        let alg = string(header, "alg")?.ok_or_else(|| malformed("the header has no `alg`"))?;
        let kid = string(header, "kid")?;
        let typ = string(header, "typ")?;
        let cty = string(header, "cty")?;
        if header.member("enc").is_some() {
            return Err(Rejection::new(Reason::TokenEncrypted, "the header has `enc`: this is a JWE"));
        }
        refuse_extensions(header, cty)?;
        refuse_disagreement(header, claims)?;
        if kid.is_some_and(|kid| kid.len() > KID_BYTES) {
            return Err(refused(format!("`kid` is longer than {KID_BYTES} bytes")));
        }
        let Some(algorithm) = Algorithm::named(alg) else {
            let detail = format!("`alg` is {}, which no issuer may use", quoted(alg));
            return Err(Rejection::new(Reason::AlgorithmRefused, detail));
        };
        Ok(Self { algorithm, kid: kid.map(Into::into), typ: typ.map(plain_type) })
    }
}

/// The headers that this thread read last, by their text in the token: all tokens of one key have the same.
///
/// Only what was read without fault and does not depend on the claims beside it is kept, and it is compared whole.
#[derive(Clone, Copy)]
pub(in crate::token) struct Read<'t>(pub(in crate::token) &'t str);

/// How many headers are kept by each thread, and the longest of them.
const KEPT: usize = 16;
const LONGEST_KEPT: usize = 512;

/// A header's text in a token, and what it says.
type Text = (Box<str>, Arc<Header>);

thread_local! {
    static READ_HERE: RefCell<[Option<Text>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
}

impl Read<'_> {
    /// What was read of this very text before.
    pub(in crate::token) fn before(self) -> Option<Arc<Header>> {
        READ_HERE.with_borrow(|kept| {
            let (text, header) = kept.get(self.place())?.as_ref()?;
            (**text == *self.0).then(|| Arc::clone(header))
        })
    }

    /// Keeps what was read of this text.
    pub(in crate::token) fn keep(self, json: &Tree<'_>, header: &Arc<Header>) {
        if self.0.len() > LONGEST_KEPT || REPLICAS.into_iter().any(|name| json.member(name).is_some()) {
            return;
        }
        READ_HERE.with_borrow_mut(|kept| {
            if let Some(place) = kept.get_mut(self.place()) {
                *place = Some((self.0.into(), Arc::clone(header)));
            }
        });
    }

    /// By a few bytes of its end, where the `kid` often stands.
    fn place(self) -> usize {
        let sum = self
            .0
            .bytes()
            .rev()
            .take(24)
            .fold(self.0.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        sum.checked_rem(KEPT).unwrap_or_default()
    }
}

/// A `typ` as rules write it: lower-case, without `application/` (RFC 7515 section 4.1.9).
pub(in crate::token) fn plain_type(typ: &str) -> Box<str> {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).into()
}

/// Longest `kid` that is looked up, in a token or a key set.
pub(in crate::token) const KID_BYTES: usize = 256;

fn refuse_extensions(header: &Tree<'_>, cty: Option<&str>) -> Result<(), Rejection> {
    if header.member("crit").is_some() {
        // RFC 7515 section 4.1.11: we implement no extension, so whatever `crit` names (even nothing) is refused.
        return Err(refused("the header has `crit`, and no extension is supported"));
    }
    if header.member("b64").is_some_and(|b64| *b64 != Tree::Bool(true)) {
        return Err(refused("`b64` is not true (RFC 7797 section 7 forbids that for JWTs)"));
    }
    if header.member("zip").is_some() {
        return Err(refused("the header has `zip`: compression is not supported"));
    }
    if cty.is_some_and(|cty| &*plain_type(cty) == "jwt") {
        return Err(refused("`cty` says that a token is nested in the token"));
    }
    Ok(())
}

/// The claims that a header may repeat.
const REPLICAS: [&str; 3] = ["iss", "sub", "aud"];

/// Claims replicated in the header (RFC 7519 section 5.3) must be the claims, or two readers see two tokens.
fn refuse_disagreement(header: &Tree<'_>, claims: &Tree<'_>) -> Result<(), Rejection> {
    for name in REPLICAS {
        if let Some(replica) = header.member(name)
            && !claims.member(name).is_some_and(|claim| claim.same(replica))
        {
            return Err(refused(format!("`{name}` in the header is not the claim `{name}`")));
        }
    }
    Ok(())
}

fn string<'h>(header: &'h Tree<'_>, name: &str) -> Result<Option<&'h str>, Rejection> {
    match header.member(name) {
        None => Ok(None),
        Some(value) => {
            value.as_str().map(Some).ok_or_else(|| malformed(format!("`{name}` in the header is not a string")))
        }
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

fn refused(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::HeaderRefused, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<Header, Reason> {
        let claims = Tree::read(r#"{"iss":"https://idp.example","sub":"u","aud":["a"]}"#).unwrap();
        Header::read(&Tree::read(header).unwrap(), &claims).map_err(|rejection| rejection.reason)
    }

    #[test]
    fn a_plain_header_is_read() {
        let header = read(r#"{"alg":"ES256","kid":"k","typ":"application/AT+JWT","b64":true,"x":1}"#).unwrap();
        assert_eq!((header.algorithm, header.kid.as_deref()), (Algorithm::Es256, Some("k")));
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        assert!(read(r#"{"alg":"ES256"}"#).unwrap().kid.is_none());
    }

    #[test]
    fn what_may_not_be_ignored_is_refused() {
        for extra in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""crit":null"#,
            r#""b64":false"#,
            r#""b64":"true""#,
            r#""zip":"DEF""#,
            r#""cty":"JWT""#,
            r#""iss":"https://other.example""#,
            r#""sub":null"#,
            r#""aud":"a""#,
        ] {
            assert_eq!(read(&format!(r#"{{"alg":"RS256",{extra}}}"#)).unwrap_err(), Reason::HeaderRefused, "{extra}");
        }
        assert!(read(r#"{"alg":"RS256","iss":"https://idp.example","sub":"u","aud":["a"]}"#).is_ok());
    }

    #[test]
    fn an_encrypted_token_is_told_apart() {
        assert_eq!(read(r#"{"alg":"dir","enc":"A256GCM"}"#).unwrap_err(), Reason::TokenEncrypted);
    }

    #[test]
    fn t20_an_array_where_a_header_string_belongs_is_refused() {
        for header in [
            "[]",
            "\"x\"",
            "{}",
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256","typ":["JWT"]}"#,
            r#"{"alg":"ES256","cty":1}"#,
        ] {
            assert_eq!(read(header).unwrap_err(), Reason::TokenMalformed, "{header}");
        }
    }

    #[test]
    fn t21_none_and_hmac_and_their_spellings_have_no_algorithm() {
        for alg in
            ["none", "None", "NONE", "noNE", "", "HS256", "HS512", "rs256", "RS256 ", "ES256K", "RSA1_5", "ML-DSA-44"]
        {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(read(&header).unwrap_err(), Reason::AlgorithmRefused, "{alg}");
        }
    }

    #[test]
    fn t25_a_key_id_is_bounded() {
        let header = |length| format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(length));
        assert!(read(&header(KID_BYTES)).is_ok());
        assert_eq!(read(&header(KID_BYTES + 1)).unwrap_err(), Reason::HeaderRefused);
    }
}
