//! The claims that decide whether a token is one of this issuer, for us, now (RFC 7519 section 4, RFC 9068 section 4,
//! OpenID Connect Core section 3.1.3.7). What they say of the sign-in is `assurance`'s to read.

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::Reason;
use crate::token::claim_path::ClaimPath;
use crate::token::expectation::{Expectation, KindRule, Required, TokenKind};
use crate::token::json::Tree;
use crate::token::lately::{self, Lately, Texts};
use crate::token::rejection::{Rejection, all_quoted, quoted};
use crate::token::time::Timestamp;
use crate::token::verified::VerifiedToken;

/// By how much clocks may differ.
pub const LEEWAY_SECONDS: i64 = 30;

/// `typ` values of other JWTs that issuers sign, none of which is an access token or an `id_token` (RFC 8725 section 3.12).
const OTHER_TYPES: [&str; 5] =
    ["logout+jwt", "secevent+jwt", "dpop+jwt", "token-introspection+jwt", "oauth-authz-req+jwt"];

/// Whether a token that expires at `expires` may no longer be used at `now`.
#[must_use]
pub fn is_expired(expires: Timestamp, now: Timestamp) -> bool {
    now >= expires.plus_seconds(LEEWAY_SECONDS)
}

/// Checks claims whose signature has been checked. They must be an object; `typ` is lower-case without `application/`.
pub(in crate::token) fn believe<'t>(
    claims: Tree<'t>,
    typ: Option<&str>,
    expectation: &Expectation,
    now: Timestamp,
) -> Result<VerifiedToken<'t>, Rejection> {
    if claims.member("iss").and_then(Tree::as_str) != Some(&expectation.issuer) {
        return Err(Rejection::new(Reason::IssuerUnknown, "`iss` is not this issuer"));
    }
    // What is malformed goes before everything else, so all that will be looked at is read first.
    let times = Times::read(&claims)?;
    text(&claims, "sub")?;
    let fits = Fits::read(&claims, typ, expectation)?;
    let authorized_party = match fits.kind() {
        Some((TokenKind::Id, ..)) => text(&claims, "azp")?,
        Some((TokenKind::Access, ..)) | None => None,
    };

    times.check(now)?;
    if !fits.audience_is_ours() {
        return Err(Rejection::new(Reason::AudienceWrong, fits.why_not_ours()));
    }
    let Some((kind, rule, audiences)) = fits.kind() else {
        return Err(Rejection::new(Reason::TokenKindWrong, fits.why_no_kind(&claims, typ)));
    };
    if kind == TokenKind::Id {
        check_authorized_party(authorized_party, rule, audiences.len())?;
    }
    if claims.member("cnf").is_some_and(|cnf| *cnf != Tree::Null) {
        return Err(Rejection::new(
            Reason::BindingMissing,
            "the token has `cnf`: it is bound to a key or certificate, and no proof of possession was checked",
        ));
    }
    let audiences = lately::texts(&AUDIENCES_HERE, audiences);
    drop(fits);
    Ok(VerifiedToken { kind, audiences, expires: times.expires, issued: times.issued, claims })
}

/// Checks claims that were believed when a token came, and kept since, by what is asked of such a token now: that its kind is
/// taken at all, for whom it is, and what it must have. Its own times and `typ` were checked when it came. Says for whom it
/// is.
pub(crate) fn believe_again(
    claims: &Tree<'_>,
    kind: TokenKind,
    expectation: &Expectation,
) -> Result<Arc<[Box<str>]>, Rejection> {
    let rule = match kind {
        TokenKind::Access => &expectation.access,
        TokenKind::Id => &expectation.id,
    };
    let Some(rule) = rule else {
        let why = format!("the policy has no `{}` for this issuer any more", kind.name());
        return Err(Rejection::new(Reason::AudienceWrong, why));
    };
    let audiences = audiences(claims, &rule.audience_from)?;
    if !audiences.iter().any(|audience| rule.audiences.iter().any(|ours| **ours == **audience)) {
        let why =
            format!("what was kept is of an {} token for none of the audiences that the policy has now", kind.name());
        return Err(Rejection::new(Reason::AudienceWrong, why));
    }
    if kind == TokenKind::Id {
        check_authorized_party(text(claims, "azp")?, rule, audiences.len())?;
    }
    if let Some(lacking) = rule.has.iter().find(|required| !required.is_in(claims)) {
        let why = format!("what was kept lacks the claim `{}`, by which the kind of a token is told", lacking.claim);
        return Err(Rejection::new(Reason::TokenKindWrong, why));
    }
    Ok(lately::texts(&AUDIENCES_HERE, &audiences))
}

thread_local! {
    static AUDIENCES_HERE: RefCell<Lately<Texts>> = const { RefCell::new(Lately::new()) };
}

struct Times {
    expires: Timestamp,
    not_before: Option<Timestamp>,
    issued: Option<Timestamp>,
}

impl Times {
    fn read(claims: &Tree<'_>) -> Result<Self, Rejection> {
        // A date of the wrong type is malformed, `null` too, never absent (CVE-2026-25537 was that).
        let date = |name: &str| match claims.member(name) {
            None => Ok(None),
            Some(claim) => Timestamp::from_claim(claim)
                .map(Some)
                .ok_or_else(|| malformed(format!("`{name}` is not a date (a number of seconds)"))),
        };
        let expires = date("exp")?.ok_or_else(|| malformed("the token has no `exp`"))?;
        Ok(Self { expires, not_before: date("nbf")?, issued: date("iat")? })
    }

    fn check(&self, now: Timestamp) -> Result<(), Rejection> {
        if is_expired(self.expires, now) {
            let ago = now.seconds().saturating_sub(self.expires.seconds());
            return Err(Rejection::new(Reason::Expired, format!("the token expired {ago} s ago")));
        }
        for (name, time) in [("nbf", self.not_before), ("iat", self.issued)] {
            if let Some(time) = time
                && time > now.plus_seconds(LEEWAY_SECONDS)
            {
                let ahead = time.seconds().saturating_sub(now.seconds());
                return Err(Rejection::new(Reason::NotYetValid, format!("`{name}` is {ahead} s ahead of our clock")));
            }
        }
        Ok(())
    }
}

/// How a token compares with the rules of the two kinds.
pub(super) struct Fits<'t> {
    pub(super) kinds: SmallVec<[Fit<'t>; 2]>,
}

pub(super) struct Fit<'t> {
    pub(super) kind: TokenKind,
    pub(super) rule: &'t KindRule,
    audiences: SmallVec<[&'t str; 4]>,
    /// One of the audiences is the rule's.
    pub(super) audience: bool,
    /// Everything else that the rule asks for holds too.
    rest: bool,
}

impl<'t> Fits<'t> {
    pub(super) fn read(
        claims: &'t Tree<'_>,
        typ: Option<&str>,
        expectation: &'t Expectation,
    ) -> Result<Self, Rejection> {
        let rules = [(TokenKind::Access, &expectation.access), (TokenKind::Id, &expectation.id)];
        let mut kinds = SmallVec::new();
        for (kind, rule) in rules {
            let Some(rule) = rule else { continue };
            let audiences = audiences(claims, &rule.audience_from)?;
            kinds.push(Fit {
                kind,
                rule,
                audience: audiences.iter().any(|audience| rule.audiences.iter().any(|ours| **ours == **audience)),
                rest: claims.member("events").is_none()
                    && typ_fits(kind, typ, rule)
                    && rule.has.iter().all(|required| required.is_in(claims)),
                audiences,
            });
        }
        Ok(Self { kinds })
    }

    pub(super) fn audience_is_ours(&self) -> bool {
        self.kinds.iter().any(|fit| fit.audience)
    }

    /// The one kind that the token is of: none if no rule fits, and none if both do.
    pub(super) fn kind(&self) -> Option<(TokenKind, &'t KindRule, &[&'t str])> {
        let mut fitting = self.kinds.iter().filter(|fit| fit.audience && fit.rest);
        match (fitting.next(), fitting.next()) {
            (Some(fit), None) => Some((fit.kind, fit.rule, &fit.audiences)),
            (None | Some(_), _) => None,
        }
    }

    pub(super) fn why_not_ours(&self) -> String {
        let mut named: Vec<&str> = Vec::new();
        for audience in self.kinds.iter().flat_map(|fit| &fit.audiences) {
            if !named.contains(audience) {
                named.push(audience);
            }
        }
        let expected: Vec<String> = self
            .kinds
            .iter()
            .map(|fit| {
                let ours = all_quoted(fit.rule.audiences.iter().map(|audience| &**audience));
                format!("{ours} in an {} token", fit.kind.name())
            })
            .collect();
        let named = match named.as_slice() {
            [] if expected.is_empty() => {
                return "the policy has neither `access` nor `id` for this issuer, so none of its tokens are taken"
                    .into();
            }
            [] => "the token names no audience".to_owned(),
            named => format!("the token is for {}", all_quoted(named.iter().copied())),
        };
        format!("{named}; the policy expects {}", expected.join(", "))
    }

    pub(super) fn why_no_kind(&self, claims: &Tree<'_>, typ: Option<&str>) -> String {
        if claims.member("events").is_some() {
            return "the token has `events`: it is a logout or security event token".into();
        }
        if self.kinds.iter().all(|fit| fit.audience && fit.rest) {
            return "the token fits both the `access` and the `id` rule of its issuer".into();
        }
        let named = self.kinds.iter().filter(|fit| fit.audience);
        if let Some(fit) = named.clone().find(|fit| !typ_fits(fit.kind, typ, fit.rule)) {
            let typ = typ.map_or_else(|| "no `typ`".to_owned(), |typ| format!("`typ` {}", quoted(typ)));
            return format!(
                "by its audience this is an {} token, and such a token may not have {typ}",
                fit.kind.name()
            );
        }
        let missing = named.flat_map(|fit| fit.rule.has.iter()).find(|required| !required.is_in(claims));
        match missing {
            Some(Required { claim, values: None }) => {
                format!("the token lacks the claim `{claim}`, by which its kind is told")
            }
            Some(Required { claim, values: Some(_) }) => {
                format!("the claim `{claim}`, by which the token's kind is told, has none of the values that are taken")
            }
            None => "the token is neither an access token nor an id_token of its issuer".into(),
        }
    }
}

pub(super) fn typ_fits(kind: TokenKind, typ: Option<&str>, rule: &KindRule) -> bool {
    if typ.is_some_and(|typ| OTHER_TYPES.contains(&typ) || kind == TokenKind::Id && typ == "at+jwt") {
        return false;
    }
    rule.types.iter().any(|taken| taken.as_deref() == typ)
}

/// A string, or an array of strings that is not empty (RFC 7519 section 4.1.3). None at all is no audience.
fn audiences<'c>(claims: &'c Tree<'_>, from: &ClaimPath) -> Result<SmallVec<[&'c str; 4]>, Rejection> {
    let malformed = || malformed(format!("`{from}` is neither a string nor a list of strings"));
    match from.find(claims) {
        None => Ok(SmallVec::new()),
        Some(Tree::String(one)) => Ok(smallvec![&**one]),
        Some(Tree::Array(several)) if !several.is_empty() => {
            several.iter().map(|audience| audience.as_str().ok_or_else(malformed)).collect()
        }
        Some(_) => Err(malformed()),
    }
}

/// OpenID Connect Core section 3.1.3.7, steps 4 and 5.
pub(super) fn check_authorized_party(azp: Option<&str>, rule: &KindRule, audiences: usize) -> Result<(), Rejection> {
    match azp {
        Some(azp) if !rule.audiences.iter().any(|ours| **ours == *azp) => {
            Err(Rejection::new(Reason::AzpWrong, "`azp` is not one of the `id` audiences of this policy"))
        }
        None if audiences > 1 => Err(Rejection::new(
            Reason::AzpWrong,
            "the id_token has several audiences and no `azp` that says for whom it is",
        )),
        Some(_) | None => Ok(()),
    }
}

fn text<'c>(claims: &'c Tree<'_>, name: &str) -> Result<Option<&'c str>, Rejection> {
    match claims.member(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| malformed(format!("`{name}` is not a string"))),
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::ClaimsMalformed, detail)
}
