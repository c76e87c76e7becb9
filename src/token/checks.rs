//! A token's checks one by one, each with what was found: for `stepgate explain`.
//!
//! Never a second verdict: [`verify`](crate::token::verify()) believes tokens. These checks ask what it asks, in its words; what it
//! refuses, one of them names, and where all of them hold it believes.

use crate::Reason;
use crate::token::claims::{Fits, LEEWAY_SECONDS, check_authorized_party, is_expired, typ_fits};
use crate::token::credential::Credential;
use crate::token::expectation::{Expectation, TokenKind};
use crate::token::header::plain_type;
use crate::token::json::Json;
use crate::token::keys::KeySet;
use crate::token::rejection::{Rejection, quoted};
use crate::token::time::Timestamp;
use crate::token::unverified::{Unverified, json};
use crate::token::verify::signing_key;

/// One check of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked: a claim, or a part of the token.
    pub what: &'static str,
    /// Whether it holds.
    pub held: Held,
    /// What was found, and what was expected of it.
    pub found: String,
}

/// Whether a check holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does.
    Yes,
    /// The token is refused for this.
    No(Reason),
    /// It could not be checked, or nothing hangs on it any more.
    NotChecked,
}

/// A token's readable parts, **none of them verified**.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its header, if it can be read.
    pub header: Option<Json>,
    /// Its claims, if they can be read and are an object.
    pub claims: Option<Json>,
}

/// **Verifies nothing**: reads a token's header and claims to show them to whoever holds it.
///
/// For `stepgate explain`. Never call it on the way of a request.
#[must_use]
pub fn danger_show(credential: &Credential) -> Shown {
    let mut parts = credential.expose().split('.').map(|part| json(part, "shown").ok());
    let header = parts.next().flatten();
    let claims = parts.next().flatten().filter(|claims| matches!(claims, Json::Object(_)));
    Shown { header, claims }
}

impl Check {
    fn yes(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, held: Held::Yes, found: found.into() }
    }

    fn no(what: &'static str, rejection: Rejection) -> Self {
        Self { what, held: Held::No(rejection.reason), found: rejection.detail.into_owned() }
    }

    fn unasked(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, held: Held::NotChecked, found: found.into() }
    }
}

/// The checks of a token that was sent. `keys`: none, where the signature can't be checked. `expectation`: none, where the policy
/// has no such issuer.
#[must_use]
pub fn of_token(
    credential: &Credential,
    keys: Option<&KeySet>,
    expectation: Option<&Expectation>,
    now: Timestamp,
) -> Vec<Check> {
    let shown = danger_show(credential);
    let (mut checks, mut room) = (Vec::new(), Vec::new());
    let well_formed = || Check::yes("form", "a signed JWT: three parts in base64url, JSON without duplicate members");
    let plain = || Check::yes("header", extensions(shown.header.as_ref()));
    let token = match Unverified::parse(credential, &mut room) {
        Ok(token) => token,
        Err(rejection) => {
            if rejection.reason == Reason::HeaderRefused {
                checks.extend([well_formed(), Check::no("header", rejection)]);
            } else if rejection.reason == Reason::AlgorithmRefused {
                checks.extend([well_formed(), plain(), Check::no("alg", rejection)]);
            } else {
                checks.push(Check::no("form", rejection));
            }
            return checks;
        }
    };
    checks.extend([well_formed(), plain()]);
    let Some(expectation) = expectation else {
        checks.push(Check::no("iss", unknown_issuer(&token)));
        return checks;
    };
    checks.push(match token.allowed_by(expectation) {
        Ok(()) => Check::yes("alg", format!("{}, {}", token.algorithm(), allowed(expectation))),
        Err(rejection) => Check::no("alg", rejection),
    });
    checks.extend(of_signature(&token, keys));
    let typ = shown.header.as_ref().and_then(|header| header.member("typ")).and_then(Json::as_str);
    checks.extend(of_claims(&token.claims.to_json(), typ, expectation, now));
    checks
}

fn unknown_issuer(token: &Unverified<'_>) -> Rejection {
    match token.issuer() {
        Ok(iss) => Rejection::new(Reason::IssuerUnknown, format!("no issuer of the policy is {}", quoted(iss))),
        Err(rejection) => rejection,
    }
}

fn allowed(expectation: &Expectation) -> String {
    match &expectation.algorithms {
        Some(names) => {
            let names: Vec<&str> = names.iter().map(|algorithm| algorithm.name()).collect();
            format!("one of {}, which the policy allows", names.join(", "))
        }
        None => "asymmetric, and the policy allows what the key says".to_owned(),
    }
}

/// What of the header is never followed, or would be refused.
fn extensions(header: Option<&Json>) -> String {
    let ignored: Vec<&str> = ["jku", "x5u", "x5c", "x5t", "x5t#S256", "jwk"]
        .into_iter()
        .filter(|name| header.is_some_and(|header| header.member(name).is_some()))
        .collect();
    if ignored.is_empty() {
        return "no `crit`, `zip` or nested token".to_owned();
    }
    format!("no `crit`, `zip` or nested token; never followed: {}", ignored.join(", "))
}

fn of_signature(token: &Unverified<'_>, keys: Option<&KeySet>) -> Vec<Check> {
    let kid = token.kid().map_or_else(|| "no `kid`".to_owned(), |kid| format!("`kid` {}", quoted(kid)));
    let Some(keys) = keys else {
        let unasked = |what, why: &str| Check::unasked(what, why);
        return vec![unasked("key", &kid), unasked("signature", "NOT checked: there are no keys to check it with")];
    };
    let known = |how: &str| Check::yes("key", format!("{kid}, {how} the key set of {} keys", keys.len()));
    match signing_key(token, keys) {
        Ok(_) => vec![known("in"), Check::yes("signature", "that of the issuer's key")],
        Err(rejection) if rejection.reason == Reason::SignatureInvalid => {
            vec![known("in"), Check::no("signature", rejection)]
        }
        Err(rejection) => {
            vec![Check::no("key", rejection), Check::unasked("signature", "NOT checked: there is no such key")]
        }
    }
}

/// The checks of claims, whoever signed them.
#[must_use]
pub fn of_claims(claims: &Json, typ: Option<&str>, expectation: &Expectation, now: Timestamp) -> Vec<Check> {
    let typ = typ.map(plain_type);
    let typ = typ.as_deref();
    let mut checks = vec![iss(claims, expectation)];
    checks.extend([exp(claims, now), begins("nbf", claims, now), begins("iat", claims, now), sub(claims)]);
    match Fits::read(claims, typ, expectation) {
        Err(rejection) => checks.push(Check::no("aud", rejection)),
        Ok(fits) if !fits.audience_is_ours() => {
            checks.push(Check::no("aud", Rejection::new(Reason::AudienceWrong, fits.why_not_ours())));
        }
        Ok(fits) => checks.extend(of_kind(&fits, claims, typ)),
    }
    let bound = claims.member("cnf").is_some_and(|cnf| *cnf != Json::Null);
    checks.push(if bound {
        let detail = "the token is bound to a key or certificate, and no proof of possession is checked";
        Check::no("cnf", Rejection::new(Reason::BindingMissing, detail))
    } else {
        Check::yes("cnf", "absent: the token is bound to no key")
    });
    checks
}

fn iss(claims: &Json, expectation: &Expectation) -> Check {
    match claims.member("iss").and_then(Json::as_str) {
        Some(iss) if iss == &*expectation.issuer => Check::yes("iss", quoted(iss)),
        found => {
            let found = found.map_or_else(|| "no text".to_owned(), quoted);
            let detail = format!("{found}, not {}", quoted(&expectation.issuer));
            Check::no("iss", Rejection::new(Reason::IssuerUnknown, detail))
        }
    }
}

fn malformed(what: &'static str, detail: impl Into<String>) -> Check {
    Check::no(what, Rejection::new(Reason::ClaimsMalformed, detail.into()))
}

/// A date, and how far it is from now.
fn told(time: Timestamp, now: Timestamp) -> String {
    let ahead = time.seconds().saturating_sub(now.seconds());
    let seconds = time.seconds();
    if ahead < 0 { format!("{seconds}, {} s ago", ahead.unsigned_abs()) } else { format!("{seconds}, in {ahead} s") }
}

fn exp(claims: &Json, now: Timestamp) -> Check {
    let Some(claim) = claims.member("exp") else { return malformed("exp", "absent, and every token must have it") };
    match Timestamp::from_claim(claim) {
        None => malformed("exp", "not a date (a number of seconds)"),
        Some(expires) if is_expired(expires, now) => Check::no(
            "exp",
            Rejection::new(Reason::Expired, format!("{} (leeway {LEEWAY_SECONDS} s)", told(expires, now))),
        ),
        Some(expires) => Check::yes("exp", told(expires, now)),
    }
}

fn begins(name: &'static str, claims: &Json, now: Timestamp) -> Check {
    let Some(claim) = claims.member(name) else { return Check::yes(name, "absent, and need not be there") };
    match Timestamp::from_claim(claim) {
        None => malformed(name, "not a date (a number of seconds)"),
        Some(time) if time > now.plus_seconds(LEEWAY_SECONDS) => {
            let detail = format!("{} (leeway {LEEWAY_SECONDS} s)", told(time, now));
            Check::no(name, Rejection::new(Reason::NotYetValid, detail))
        }
        Some(time) => Check::yes(name, told(time, now)),
    }
}

fn sub(claims: &Json) -> Check {
    match claims.member("sub") {
        None => Check::yes("sub", "absent: a client calls for itself, unless the mapping finds a subject elsewhere"),
        Some(Json::String(_)) => Check::yes("sub", "a string"),
        Some(_) => malformed("sub", "not a string"),
    }
}

fn of_kind(fits: &Fits<'_>, claims: &Json, typ: Option<&str>) -> Vec<Check> {
    let named: Vec<&str> = fits.kinds.iter().filter(|fit| fit.audience).map(|fit| fit.kind.name()).collect();
    let mut checks = vec![Check::yes("aud", format!("that of an {} token of this policy", named.join(" and an ")))];
    let wrong = |what| Check::no(what, Rejection::new(Reason::TokenKindWrong, fits.why_no_kind(claims, typ)));
    let shown = typ.map_or_else(|| "absent".to_owned(), quoted);
    let taken = fits.kinds.iter().any(|fit| fit.audience && typ_fits(fit.kind, typ, fit.rule));
    checks.push(if taken { Check::yes("typ", shown) } else { wrong("typ") });
    match fits.kind() {
        None if taken => checks.push(wrong("kind")),
        None => {}
        Some((kind, rule, audiences)) => {
            let has: Vec<&str> = rule.has.iter().map(|required| required.claim.as_written()).collect();
            let by = if has.is_empty() { String::new() } else { format!(", by its audience and {}", has.join(", ")) };
            checks.push(Check::yes("kind", format!("{}{by}", kind.name())));
            if kind == TokenKind::Id {
                let azp = claims.member("azp");
                let text = azp.and_then(Json::as_str);
                checks.push(match check_authorized_party(text, rule, audiences.len()) {
                    _ if azp.is_some() && text.is_none() => malformed("azp", "not a string"),
                    Ok(()) => Check::yes("azp", text.map_or_else(|| "absent, beside one audience".to_owned(), quoted)),
                    Err(rejection) => Check::no("azp", rejection),
                });
            }
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::token::testing::{CLIENT, NOW, Signer, claims_with, credential, expectation, key_set, parsed};
    use crate::token::{Algorithm, verify};

    /// The reasons that checks name, or what is wrong with them beside the verdict.
    fn agree(token: &str, keys: &KeySet, expectation: &Expectation) -> Vec<Reason> {
        let text = credential(token);
        let checks = of_token(&text, Some(keys), Some(expectation), NOW);
        let verdict = parsed(token).and_then(|token| verify(token, keys, expectation, NOW));
        let refused: Vec<Reason> = checks
            .iter()
            .filter_map(|check| if let Held::No(reason) = check.held { Some(reason) } else { None })
            .collect();
        match verdict {
            Ok(_) => assert!(checks.iter().all(|check| check.held == Held::Yes), "{checks:?}"),
            Err(rejection) => assert!(refused.contains(&rejection.reason), "{rejection}: {checks:?}"),
        }
        let signature = token.rsplit('.').next().filter(|part| part.len() > 20).unwrap_or("no signature");
        assert!(checks.iter().all(|check| !check.found.contains(signature)));
        refused
    }

    #[test]
    fn checks_name_what_the_verdict_refuses_and_all_hold_where_it_believes() {
        let signer = Signer::shared(Algorithm::Es256);
        let (keys, expectation) = (key_set(&[signer]), expectation());
        let claims = |name: &str, value: Value| signer.token(&claims_with(name, Some(value)));
        let agree = |token: &str| agree(token, &keys, &expectation);
        assert_eq!(agree(&claims("x", json!(1))), []);
        assert_eq!(agree(&signer.token(&claims_with("exp", None))), [Reason::ClaimsMalformed]);
        let now = NOW.seconds();
        for (name, value, reason) in [
            ("exp", json!(now - 31), Reason::Expired),
            ("exp", json!("soon"), Reason::ClaimsMalformed),
            ("nbf", json!(now + 60), Reason::NotYetValid),
            ("iat", json!(now + 60), Reason::NotYetValid),
            ("nbf", json!([]), Reason::ClaimsMalformed),
            ("sub", json!(7), Reason::ClaimsMalformed),
            ("aud", json!("other"), Reason::AudienceWrong),
            ("aud", json!(7), Reason::ClaimsMalformed),
            ("iss", json!("https://other.example"), Reason::IssuerUnknown),
            ("cnf", json!({ "jkt": "x" }), Reason::BindingMissing),
            ("events", json!({}), Reason::TokenKindWrong),
        ] {
            assert_eq!(agree(&claims(name, value.clone())), [reason], "{name}: {value}");
        }
        let id = |name: &str, value: Value| {
            let mut claims = claims_with("aud", Some(json!(CLIENT)));
            claims[name] = value;
            signer.token(&claims)
        };
        assert_eq!(agree(&id("azp", json!(CLIENT))), []);
        assert_eq!(agree(&id("azp", json!("other"))), [Reason::AzpWrong]);
        assert_eq!(agree(&id("azp", json!(7))), [Reason::ClaimsMalformed]);
        assert_eq!(agree(&id("aud", json!([CLIENT, "b"]))), [Reason::AzpWrong]);
    }

    #[test]
    fn checks_of_a_header_and_a_signature_agree_with_the_verdict_too() {
        let (signer, other) = (Signer::shared(Algorithm::Es256), Signer::new(Algorithm::Es256, "ES256"));
        let (keys, expectation) = (key_set(&[signer]), expectation());
        let agree = |token: &str| agree(token, &keys, &expectation);
        let claims = claims_with("x", None);
        let with = |name: &str, value: Value| {
            let mut header = signer.header();
            header[name] = value;
            signer.sign(&header.to_string(), &claims.to_string())
        };
        assert_eq!(agree(&with("jku", json!("https://evil.example"))), []);
        assert_eq!(agree(&with("crit", json!(["x"]))), [Reason::HeaderRefused]);
        assert_eq!(agree(&with("alg", json!("none"))), [Reason::AlgorithmRefused]);
        assert_eq!(agree(&with("kid", json!("new"))), [Reason::KeyUnknown]);
        assert_eq!(agree(&with("typ", json!("logout+jwt"))), [Reason::TokenKindWrong]);
        assert_eq!(agree(&other.token(&claims)), [Reason::SignatureInvalid]);
        assert_eq!(agree("a.b"), [Reason::TokenMalformed]);
        assert_eq!(agree("a.b.c.d.e"), [Reason::TokenEncrypted]);
        let narrow = Expectation { algorithms: Some([Algorithm::Ps256].into()), ..expectation.clone() };
        let checks = of_token(&credential(&signer.token(&claims)), Some(&keys), Some(&narrow), NOW);
        assert!(checks.iter().any(|check| check.held == Held::No(Reason::AlgorithmRefused)));
    }

    #[test]
    fn without_keys_the_signature_is_said_to_be_unchecked_and_all_else_is_looked_at() {
        let token = Signer::shared(Algorithm::Es256).token(&claims_with("x", None));
        let checks = of_token(&credential(&token), None, Some(&expectation()), NOW);
        let of = |what: &str| checks.iter().find(|check| check.what == what).unwrap();
        assert_eq!(of("signature").held, Held::NotChecked);
        assert!(of("signature").found.starts_with("NOT checked"));
        assert_eq!(of("exp").held, Held::Yes);
    }
}
