//! What was kept of a sign-in: sealed and opened by the functions that the gate keeps and opens it by.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::cli::explain::beside::KeptClaims;
use crate::cli::explain::mapping;
use crate::cli::explain::setting::Seal;
use crate::cli::explain::tokens::{self, Believed, of_kind};
use crate::cli::explain::told::{Keeps, KeptTold, Named, Signature, TokenTold};
use crate::cli::explain::walk::Question;
use crate::policy::{CanonicalPath, Denial, Permit, Policy, Route};
use crate::proxy::{Opened, Piece, Rehearsal, keep};
use crate::reason::Reason;
use crate::telemetry::timestamp::Rfc3339;
use crate::token::{Check, Credential, Held, Json, Rejection, Timestamp, danger_assume_signed};
use crate::verification::why_unknown;

/// The cookie that a gate would have set when it kept these claims, as `NAME=VALUE`; or what is wrong with them: then nothing was
/// kept, and no cookie comes.
pub(super) fn cookie(claims: &KeptClaims, question: &Question<'_>, host: &str) -> Result<String, Box<TokenTold>> {
    let KeptClaims { name, claims, typ, at, keep: by, route, hosts } = claims;
    let policy = question.policy;
    let mut told = TokenTold { signature: Signature::Unsigned, claims: Some(claims.clone()), ..TokenTold::named(name) };
    told.kept = Some(KeptTold { cookie: by.cookie.to_string(), at: Some(*at), until: None, may_have_ended: false });
    let nothing = |mut told: TokenTold, reason: Reason, why: &str| {
        let why = format!("at {} nothing was kept of it: {why}", Rfc3339(*at));
        told.refused = Some((reason, why));
        Box::new(told)
    };
    // A kept cookie is sealed for the host at which it is set, and no browser sends it to another.
    if !hosts.iter().any(|pattern| pattern.matches(host)) {
        return Err(nothing(told, Reason::TokenMissing, &format!("route `{route}` keeps nothing at this host")));
    }
    let iss = claims.member("iss").and_then(Json::as_str).unwrap_or_default();
    let Some(issuer) = policy.issuer_of(iss) else {
        return Err(nothing(told, Reason::IssuerUnknown, &why_unknown(iss, policy)));
    };
    told.issuer = Some(issuer.name.clone());
    told.checks = crate::token::checks::of_claims(claims, typ.as_deref(), &issuer.expectation, *at);
    let believed = danger_assume_signed(claims.clone(), typ.as_deref(), &issuer.expectation, *at)
        .and_then(|verified| Ok((verified, as_token(claims, question.setting.limits.token)?)));
    let (verified, credential) = match believed {
        Ok(believed) => believed,
        Err(Rejection { reason, detail }) => return Err(nothing(told, reason, &detail)),
    };
    let assurance = issuer.assess(&verified, policy.claims());
    match keep((question.setting.site(), host, *at), by, policy, (&credential, &assurance)) {
        Ok((cookie, _)) => Ok(cookie),
        Err(why) => Err(nothing(told, Reason::TokenMissing, &why)),
    }
}

/// A text as a token with these claims has it. Nobody signed it, and nobody is to believe it.
pub(super) fn as_token(claims: &Json, limit: usize) -> Result<Credential, Rejection> {
    let claims = serde_json::to_string(claims).unwrap_or_default();
    let text = [json!({ "alg": "ES256" }).to_string(), claims, String::new()].map(|part| URL_SAFE_NO_PAD.encode(part));
    Credential::new(&text.join("."), limit)
}

/// Looks at what came in a kept cookie.
pub(super) fn look(
    piece: &Piece<'_>,
    cookie: &str,
    rehearsal: &Rehearsal<'_>,
    question: &Question<'_>,
) -> (TokenTold, Result<Believed, Denial>) {
    let Question { policy, now, .. } = *question;
    let given = question.beside.kept.as_ref();
    let name = match (given, &question.beside.cookies) {
        (Some(claims), _) => claims.name.clone(),
        (None, Some((name, _))) => format!("what is kept in `{cookie}`, of {name}"),
        (None, None) => format!("what is kept in `{cookie}`"),
    };
    let mut told = TokenTold::named(&name);
    let Opened { kept, outcome } = rehearsal.open(&piece.credential, cookie, policy);
    told.signature = match (given, &question.setting.seal) {
        (Some(_), _) => Signature::Unsigned,
        (None, Seal::With(_, from) | Seal::Unknown(_, from)) => Signature::Checked(from.clone()),
        (None, Seal::None) => Signature::NotAsked,
    };
    let until = kept.as_ref().map(crate::seal::Kept::until);
    told.kept = Some(KeptTold {
        cookie: cookie.to_owned(),
        at: given.map(|claims| claims.at),
        until,
        may_have_ended: outcome.is_ok() && policy.routes().iter().any(|route| ends(route, cookie)),
    });
    told.checks = checks(kept.as_ref(), &outcome, policy, now);
    if let Some(kept) = &kept {
        let (issuer, _, kind, claims) = kept.shown();
        (told.issuer, told.kind, told.claims) = (Some(issuer.into()), Some(kind), Some(claims.clone()));
    }
    let outcome = outcome.map(|assurance| {
        if let (Some(kept), Some(issuer)) = (&kept, policy.issuer(assurance.issuer)) {
            told.mapping = mapping::told(issuer, kept.shown().3, &assurance);
        }
        Believed { assurance, credential: piece.credential.clone(), text: piece.credential.expose().into(), kept: true }
    });
    (told, outcome)
}

/// Whether a logout, on some path of this route, ends what is kept in this cookie.
fn ends(route: &Route, cookie: &str) -> bool {
    route.keep.as_ref().is_some_and(|keep| *keep.cookie == *cookie && !keep.ends_on.is_empty())
}

/// The checks of a kept cookie, in their order. What it is refused for, one of them names.
fn checks(
    kept: Option<&crate::seal::Kept>,
    outcome: &Result<crate::assurance::Assurance, Denial>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Check> {
    let refused = outcome.as_ref().err();
    let no = |denial: &Denial| (Held::No(denial.reason), denial.detail.clone());
    let Some(kept) = kept else {
        let (held, found) = refused.map_or((Held::NotChecked, String::new()), no);
        return vec![Check { what: "seal", held, found }];
    };
    let (issuer, iss, kind, _) = kept.shown();
    let is_known = policy.issuer_of(iss).is_some_and(|known| *known.name == *issuer);
    let is_over = now >= kept.until();
    let left = kept.until().seconds().saturating_sub(now.seconds());
    let until = format!("{}, in {left} s", Rfc3339(kept.until()));
    let unasked = || (Held::NotChecked, "not asked any more".to_owned());
    let claims = match refused {
        None => {
            (Held::Yes, format!("the policy takes what they say as it takes such a token, of kind {}", kind.name()))
        }
        Some(denial) if is_known && !is_over => no(denial),
        Some(_) => unasked(),
    };
    let parts = [
        ("seal", (Held::Yes, "opens under this cookie's name, at this host".to_owned())),
        (
            "issuer",
            match refused {
                Some(denial) if !is_known => no(denial),
                Some(_) | None => (Held::Yes, format!("`{issuer}`, whose `iss` is the same")),
            },
        ),
        (
            "until",
            match refused {
                _ if !is_known => unasked(),
                Some(denial) if is_over => no(denial),
                Some(_) | None => (Held::Yes, until),
            },
        ),
        ("claims", claims),
    ];
    parts.into_iter().map(|(what, (held, found))| Check { what, held, found }).collect()
}

/// What is kept of a request's sign-in when its application has taken it; `None`: its route keeps nothing of such a one.
pub(super) fn keeps(
    question: &Question<'_>,
    host: &str,
    (route, path): (&Route, &CanonicalPath),
    permit: &Permit,
    believed: &[Believed],
) -> Option<Keeps> {
    let by = route.keeps_on(path).filter(|_| permit.would_deny().is_none())?;
    let one = of_kind(believed, permit.by()?).filter(|one| !one.kept)?;
    let site = question.setting.site();
    let came = keep((site, host, question.now), by, question.policy, (&one.credential, &one.assurance));
    Some(Keeps { cookie: by.cookie.to_string(), until: came.map(|(_, until)| until) })
}

/// What was given beside the tokens and is not among those that the route looks at.
pub(super) fn unread(
    question: &Question<'_>,
    route: &Route,
    pieces: &[Piece<'_>],
    rehearsal: &Rehearsal<'_>,
) -> Vec<Named> {
    let beside = question.beside;
    let mut unread = Vec::new();
    let in_cookie = |piece: &Piece<'_>| tokens::cookie_of(piece.source).is_some();
    if !pieces.iter().any(in_cookie) {
        if let Some((name, _)) = &beside.cookies {
            unread.push(Named { name: name.clone(), text: "none that the route looks at is among them".to_owned() });
        }
        if let Some(KeptClaims { name, keep, .. }) = &beside.kept {
            let text = format!("the route does not look at `{}`, in which they are kept", keep.cookie);
            unread.push(Named { name: name.clone(), text });
        }
    }
    if let Some((name, _)) = beside.form.as_ref().filter(|_| !rehearsal.is_read(route)) {
        let text = match route.reads_form {
            true => "only one that comes by POST, and has something in it, is read",
            false => "the route takes no token from a form",
        };
        unread.push(Named { name: name.clone(), text: text.to_owned() });
    }
    unread
}

/// What a posted form has in it: names, and the provider's error. Never what stands under a name that may be a token's.
pub(super) fn form(question: &Question<'_>, route: &Route, rehearsal: &Rehearsal<'_>) -> Option<Named> {
    const LONGEST: usize = 40;
    let (name, _) = question.beside.form.as_ref()?;
    let (names, error) = rehearsal.form(route)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let taken = |name: &str| route.take.iter().any(|source| tokens::parameter_of(source) == Some(name));
    // What was posted as no form is may be all name, and a token.
    let shows = |(name, is_certain): &(&str, bool)| {
        taken(name) || *is_certain && name.len() <= LONGEST && name.bytes().all(plain)
    };
    let shown: Vec<String> = names.iter().filter(|name| shows(name)).map(|(name, _)| format!("`{name}`")).collect();
    let names = match (shown.as_slice(), names.len().saturating_sub(shown.len())) {
        ([], 0) => "no parameter".to_owned(),
        ([], 1) => "1 parameter, whose name is not shown".to_owned(),
        ([], hidden) => format!("{hidden} parameters, whose names are not shown"),
        (shown, 0) => shown.join(" "),
        (shown, hidden) => format!("{} and {hidden} more", shown.join(" ")),
    };
    let error = error.map(|error| format!("; an error response: `{error}`")).unwrap_or_default();
    Some(Named { name: name.clone(), text: format!("{names}{error}") })
}
