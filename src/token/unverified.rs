//! A token taken apart but not yet believed.

use std::sync::Arc;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{Engine, decoded_len_estimate};

use crate::Reason;
use crate::token::algorithm::Algorithm;
use crate::token::credential::Credential;
use crate::token::expectation::Expectation;
use crate::token::header::{Header, Read};
use crate::token::json::{Json, Tree};
use crate::token::rejection::{Rejection, quoted};
use crate::token::signature::Signature;

/// A well-formed signed JWT of which nothing has been checked.
///
/// It shows only what is needed to find a *configured* issuer and one of its keys. Claims come out of
/// [`crate::token::verify()`] alone.
pub struct Unverified<'t> {
    /// Header and claims as they stand in the token.
    pub(in crate::token) signed: &'t str,
    pub(in crate::token) header: Arc<Header>,
    pub(in crate::token) claims: Tree<'t>,
    pub(in crate::token) signature: Signature<'t>,
}

impl<'t> Unverified<'t> {
    /// Takes a compact JWS apart (RFC 7515 section 7.1): three parts, each canonical base64url (no padding, white space or
    /// stray bits), header and claims JSON objects without duplicate members. Into `room` it is decoded.
    ///
    /// # Errors
    /// `token_malformed`, `token_encrypted`, `header_refused` or `algorithm_refused`, in this order.
    pub fn parse(credential: &'t Credential, room: &'t mut Vec<u8>) -> Result<Self, Rejection> {
        let text = credential.expose();
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("a signed JWT has three parts, this has fewer"));
        };
        match parts.count() {
            0 => {}
            2 => return Err(Rejection::new(Reason::TokenEncrypted, "five parts: this is a JWE")),
            _ => return Err(malformed("a signed JWT has three parts, this has more")),
        }
        let read = Read(header);
        let header = match read.before() {
            Some(header) => Ok(header),
            None => Err(json(header, "header")?),
        };
        // Both in one piece of memory.
        room.resize(decoded_len_estimate(claims.len()).saturating_add(decoded_len_estimate(signature.len())), 0);
        let (for_claims, for_signature) =
            room.split_at_mut_checked(decoded_len_estimate(claims.len())).unwrap_or_default();
        let claims = tree(decode(claims, for_claims).ok_or_else(|| not_base64url("claims"))?, "claims")?;
        if !matches!(claims, Tree::Object(_)) {
            return Err(malformed("the claims are not a JSON object"));
        }
        let bytes =
            decode(signature, for_signature).ok_or_else(|| malformed("the signature is not canonical base64url"))?;
        let signed = text.get(..text.len().saturating_sub(signature.len()).saturating_sub(1)).unwrap_or_default();
        let signature = Signature { base64url: signature, bytes };
        let header = match header {
            Ok(header) => header,
            Err(unread) => {
                let header = Arc::new(Header::read(&unread, &claims)?);
                read.keep(&unread, &header);
                header
            }
        };
        Ok(Self { signed, header, claims, signature })
    }

    /// Who the token says issued it: good for looking up a configured issuer, and for nothing else.
    ///
    /// # Errors
    /// `issuer_unknown` when `iss` is missing or not a string: no configured issuer can equal it.
    pub fn issuer(&self) -> Result<&str, Rejection> {
        let detail = match self.claims.member("iss") {
            Some(Tree::String(issuer)) => return Ok(issuer),
            Some(_) => "`iss` is not a string",
            None => "the token has no `iss`",
        };
        Err(Rejection::new(Reason::IssuerUnknown, detail))
    }

    /// All claims, for whoever verified this very text a moment ago and needs more of them than was kept.
    pub(crate) fn claims_once_believed(&self) -> &Tree<'t> {
        &self.claims
    }

    /// The key that the token says signed it.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The same, for whoever needs it when the token is taken.
    #[must_use]
    pub fn kid_shared(&self) -> Option<Arc<str>> {
        self.header.kid.clone()
    }

    /// The algorithm that the token says was used.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// Whether the policy lets this issuer use the token's algorithm: asked before keys are fetched for it.
    ///
    /// # Errors
    /// `algorithm_refused`.
    pub fn allowed_by(&self, expectation: &Expectation) -> Result<(), Rejection> {
        let algorithm = self.algorithm();
        match &expectation.algorithms {
            Some(allowed) if !allowed.contains(&algorithm) => Err(Rejection::new(
                Reason::AlgorithmRefused,
                format!("`alg` is {}, which the policy does not allow this issuer", quoted(algorithm.name())),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Shows the algorithm alone: the rest is the token.
impl std::fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unverified").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

pub(in crate::token) fn json(part: &str, what: &str) -> Result<Json, Rejection> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_stray| not_base64url(what))?;
    tree(&text, what).map(|tree| tree.to_json())
}

fn tree<'t>(text: &'t [u8], what: &str) -> Result<Tree<'t>, Rejection> {
    // Looked through once, and not string by string.
    let Ok(text) = str::from_utf8(text) else { return Err(malformed(format!("the {what} part is not JSON"))) };
    Tree::read(text).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "is nested too deeply or has duplicate members",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => "is not JSON",
        };
        malformed(format!("the {what} part {why}"))
    })
}

/// What a part of a token says, written into memory that is long enough for it.
fn decode<'r>(part: &str, room: &'r mut [u8]) -> Option<&'r [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(part, room).ok()?;
    room.get(..length)
}

fn not_base64url(what: &str) -> Rejection {
    malformed(format!("the {what} part is not canonical base64url"))
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::testing::parsed;

    fn parse(token: &str) -> Result<Unverified<'static>, Reason> {
        parsed(token).map_err(|rejection| rejection.reason)
    }

    fn b64(text: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    const HEADER: &str = r#"{"alg":"ES256"}"#;

    #[test]
    fn only_three_canonical_parts_are_a_signed_token() {
        let (header, claims) = (b64(HEADER), b64(r#"{"iss":"i"}"#));
        assert_eq!(parse(&format!("{header}.{claims}.AAAA")).unwrap().issuer(), Ok("i"));
        for bad in [
            String::new(),
            "x".into(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.AAAA.AAAA"),
            format!("{header}.{claims}.A"),
            format!("{header}.{claims}.AB"),
            format!("{header}.{claims}.AAA="),
            format!("{header}.{claims}.AA+A"),
            format!("{header}.{claims}. AAAA"),
            format!(" {header}.{claims}.AAAA"),
            format!("{header}.{claims}\n.AAAA"),
            format!("{header}=.{claims}.AAAA"),
            format!(".{claims}.AAAA"),
            format!("{header}..AAAA"),
            ".....".into(),
        ] {
            assert_eq!(parse(&bad).unwrap_err(), Reason::TokenMalformed, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_refused_wherever_it_stands() {
        for bad in [&b"\xff"[..], b"\"\xff\"", b"{\"\xff\":1}", b"{\"a\":[\"\xc3\"]}", b"{} \xff", b"\xff{}"] {
            for (header, claims) in [(bad, &b"{}"[..]), (HEADER.as_bytes(), bad)] {
                let token = format!("{}.{}.AAAA", b64(header), b64(claims));
                assert_eq!(parse(&token).unwrap_err(), Reason::TokenMalformed, "{bad:?}");
            }
        }
    }

    #[test]
    fn t19_duplicate_members_are_refused_in_header_and_claims() {
        let twice = format!("{}.{}.AAAA", b64(HEADER), b64(r#"{"acr":"1","acr":"2"}"#));
        assert_eq!(parse(&twice).unwrap_err(), Reason::TokenMalformed);
        let twice = format!("{}.{}.AAAA", b64(r#"{"alg":"ES256","x":1,"x":1}"#), b64("{}"));
        assert_eq!(parse(&twice).unwrap_err(), Reason::TokenMalformed);
    }

    #[test]
    fn a_header_that_was_read_before_is_believed_no_more_than_a_new_one() {
        let claims = |iss: &str| b64(format!(r#"{{"iss":"{iss}"}}"#));
        let token = |header: &str, iss: &str| parse(&format!("{}.{}.AAAA", b64(header), claims(iss)));
        for _ in 0..3 {
            assert_eq!(token(r#"{"alg":"ES256","kid":"a"}"#, "i").unwrap().kid(), Some("a"));
            assert_eq!(token(r#"{"alg":"RS256","kid":"a"}"#, "i").unwrap().algorithm(), Algorithm::Rs256);
            assert_eq!(token(r#"{"alg":"ES256","kid":"b"}"#, "i").unwrap().kid(), Some("b"));
            // What the claims must agree with is compared with those of each token.
            let repeats = r#"{"alg":"ES256","iss":"i"}"#;
            assert!(token(repeats, "i").is_ok());
            assert_eq!(token(repeats, "j").unwrap_err(), Reason::HeaderRefused);
            assert_eq!(token(r#"{"alg":"ES256","crit":["x"]}"#, "i").unwrap_err(), Reason::HeaderRefused);
            let long = format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(2000));
            assert_eq!(token(&long, "i").unwrap().kid(), None);
        }
    }

    #[test]
    fn t22_an_encrypted_token_is_refused_as_such() {
        assert_eq!(parse("a.b.c.d.e").unwrap_err(), Reason::TokenEncrypted);
        let wrapped = format!("{}.{}.AAAA", b64(r#"{"alg":"ES256","enc":"A256GCM"}"#), b64("{}"));
        assert_eq!(parse(&wrapped).unwrap_err(), Reason::TokenEncrypted);
    }

    #[test]
    fn t38_claims_that_are_no_object_are_refused() {
        for claims in ["[]", r#"[{"iss":"i"}]"#, "\"iss\"", "null", "7", "true"] {
            let token = format!("{}.{}.AAAA", b64(HEADER), b64(claims));
            assert_eq!(parse(&token).unwrap_err(), Reason::TokenMalformed, "{claims}");
        }
    }

    #[test]
    fn t20_an_issuer_that_is_no_string_names_no_issuer() {
        for claims in [r#"{"iss":["i"]}"#, r#"{"iss":5}"#, r#"{"iss":null}"#, "{}"] {
            let token = parse(&format!("{}.{}.AAAA", b64(HEADER), b64(claims))).unwrap();
            assert_eq!(token.issuer().unwrap_err().reason, Reason::IssuerUnknown, "{claims}");
        }
    }

    #[test]
    fn what_is_wrong_first_is_said_first() {
        let broken_claims = format!("{}.{}.AAAA", b64(r#"{"alg":"none","crit":["x"]}"#), b64("{"));
        assert_eq!(parse(&broken_claims).unwrap_err(), Reason::TokenMalformed);
        let both = format!("{}.{}.", b64(r#"{"alg":"none","crit":["x"]}"#), b64("{}"));
        assert_eq!(parse(&both).unwrap_err(), Reason::HeaderRefused);
        let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64("{}"));
        assert_eq!(parse(&unsigned).unwrap_err(), Reason::AlgorithmRefused);
    }

    #[test]
    fn a_debug_print_shows_no_part_of_the_token() {
        let token = parse(&format!("{}.{}.AAAA", b64(HEADER), b64(r#"{"iss":"secret"}"#))).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }
}
