//! Claims of a sign-in that a route lets in: found by trying, not written by hand.

use crate::assurance::{Assurance, Caller, Expression, Issuer};
use crate::config::Loaded;
use crate::policy::{self, CanonicalPath, Demand, Target, Tokens};
use crate::reason::Reason;
use crate::token::{ClaimPath, Json, KindRule, Timestamp, TokenKind, danger_assume_signed};

/// The host of the first policy's requests.
pub(super) const HOST: &str = "api.example";

/// The claims, besides those that every test fills in, with which the request is let in by the policy's first issuer. `None`: no
/// sign-in that was tried is.
pub(super) fn claims(loaded: &Loaded, kind: TokenKind, method: &str, path: &str, now: Timestamp) -> Option<Json> {
    let (issuer, rule) = issuer(loaded, kind)?;
    let own = rule.has.iter().fold(Json::object([]), |claims, required| {
        let value = required.values.as_ref().and_then(|values| values.first().cloned());
        required.claim.put(claims, value.unwrap_or_else(|| Json::from("x")))
    });
    let path = CanonicalPath::parse(path).ok()?;
    let target = Target { method, host: HOST, path: &path };
    let route = loaded.policy.route(&target).ok()?;
    let rungs = route.require.demand().map(Demand::rungs).unwrap_or_default();
    // Some say it by claims of their own, most by `acr` and `amr`.
    let proofs = rungs.iter().flat_map(|rung| issuer.proofs_of(*rung));
    let said = proofs.map(|proof| said(&proof.evidence, loaded, own.clone()));
    std::iter::once(own.clone()).chain(said).find_map(|claims| {
        let claims = match judged(loaded, kind, &claims, method, path.as_str(), now)? {
            Ok(()) => claims,
            Err(_) => {
                let plain = assessed(issuer, rule, loaded, &claims, now)?;
                let mend = policy::mend(&loaded.policy, route, &target, Tokens::One(&plain), now)?;
                mend.claims.iter().fold(claims, |claims, (path, value)| path.put(claims, value.clone()))
            }
        };
        // What was found is tried as it will be written.
        judged(loaded, kind, &claims, method, path.as_str(), now)?.ok().map(|()| claims)
    })
}

/// These claims with those that a proof names besides `acr` and `amr`, each with the first value that it takes.
fn said(evidence: &Expression, loaded: &Loaded, claims: Json) -> Json {
    let mut claims = Some(claims);
    evidence.walk(&mut |part| {
        let (slot, value) = if let Expression::Claim(slot, values) = part {
            (slot, values.first().cloned())
        } else if let Expression::Present(slot) = part {
            (slot, Some(Json::from("read")))
        } else {
            return;
        };
        if let (Ok(path), Some(value)) = (ClaimPath::parse(loaded.policy.claims().name(*slot)), value) {
            claims = claims.take().map(|claims| path.put(claims, value));
        }
    });
    claims.unwrap_or(Json::Null)
}

/// What becomes of a request with a token of these claims; `None`: the token is not believed, or no user's.
pub(super) fn judged(
    loaded: &Loaded,
    kind: TokenKind,
    claims: &Json,
    method: &str,
    path: &str,
    now: Timestamp,
) -> Option<Result<(), Reason>> {
    let (issuer, rule) = issuer(loaded, kind)?;
    let assurance = assessed(issuer, rule, loaded, claims, now)?;
    let path = CanonicalPath::parse(path).ok()?;
    let target = Target { method, host: HOST, path: &path };
    let route = loaded.policy.route(&target).ok()?;
    let judged = policy::judge(&loaded.policy, route, &target, Some(Tokens::One(&assurance)), now);
    Some(judged.map(|_| ()).map_err(|denial| denial.reason))
}

fn issuer(loaded: &Loaded, kind: TokenKind) -> Option<(&Issuer, &KindRule)> {
    let issuer = loaded.policy.issuers().first()?;
    let rule = match kind {
        TokenKind::Access => issuer.expectation.access.as_ref(),
        TokenKind::Id => issuer.expectation.id.as_ref(),
    };
    Some((issuer, rule?))
}

/// A user's token with these claims and those that every test fills in.
fn assessed(issuer: &Issuer, rule: &KindRule, loaded: &Loaded, own: &Json, now: Timestamp) -> Option<Assurance> {
    let number = |seconds: i64| Json::Number(now.plus_seconds(seconds).seconds().into());
    let filled = [
        ("iss", Json::from(&*issuer.expectation.issuer)),
        ("sub", Json::from("user")),
        ("iat", number(0)),
        ("exp", number(300)),
    ];
    let mut claims = own.clone();
    for (name, value) in filled {
        claims = ClaimPath::parse(name).ok()?.put(claims, value);
    }
    if let Some(audience) = rule.audiences.first() {
        claims = rule.audience_from.put(claims, Json::from(&**audience));
    }
    let typ = rule.types.first().and_then(Option::as_deref);
    let believed = danger_assume_signed(claims, typ, &issuer.expectation, now).ok()?;
    Some(issuer.assess(&believed, loaded.policy.claims())).filter(|assurance| assurance.caller == Caller::User)
}
