//! The tokens of a request: believed or not, by the functions that believe them on a request's way.

use crate::assurance::Assurance;
use crate::cli::explain::mapping;
use crate::cli::explain::told::{Given, Keys, Signature, TokenTold, What};
use crate::policy::{Denial, Policy, Route};
use crate::reason::Reason;
use crate::token::{
    Credential, Json, Rejection, Timestamp, TokenKind, Unverified, checks, danger_assume_signed, danger_show, verify,
};
use crate::verification::why_unknown;

/// A token that is believed, with its text where it has one.
#[derive(Clone, Debug)]
pub(super) struct Believed<'g> {
    pub(super) assurance: Assurance,
    pub(super) text: &'g str,
}

/// Looks at every token. Of several reasons to refuse the first in precedence is the one.
pub(super) fn look<'g>(
    given: &'g [Given],
    route: &Route,
    policy: &Policy,
    keys: &[Keys],
    now: Timestamp,
) -> (Vec<TokenTold>, Result<Vec<Believed<'g>>, Denial>) {
    let (mut told, mut believed, mut refused) = (Vec::new(), Vec::<Believed<'g>>::new(), None::<Denial>);
    for one in given {
        let (mut token, outcome) = look_at(one, policy, keys, now);
        let outcome =
            outcome.and_then(|new| match believed.iter().find(|known| known.assurance.kind == new.assurance.kind) {
                _ if !route.take.iter().any(|source| source.kinds.takes(new.assurance.kind)) => {
                    let detail = format!("the route `{}` takes no {} token", route.name, new.assurance.kind.name());
                    Err(refusal(Reason::TokenKindWrong, detail, Some(&new.assurance)))
                }
                // The same token in two places is one.
                Some(known) if !new.text.is_empty() && known.text == new.text => Ok(None),
                Some(_) => Err(refusal(Reason::TokenDuplicate, "two tokens of one kind", Some(&new.assurance))),
                None => Ok(Some(new)),
            });
        match outcome {
            Ok(new) => believed.extend(new),
            Err(denial) => {
                let why = if denial.detail.is_empty() { denial.reason.meaning() } else { &denial.detail };
                token.refused = Some((denial.reason, why.to_owned()));
                if refused.as_ref().is_none_or(|first| denial.reason < first.reason) {
                    refused = Some(denial);
                }
            }
        }
        told.push(token);
    }
    (told, refused.map_or(Ok(believed), Err))
}

fn refusal(reason: Reason, detail: impl Into<String>, of: Option<&Assurance>) -> Denial {
    Denial { detail: detail.into(), issuer: of.map(|token| token.issuer), ..Denial::because(reason) }
}

fn look_at<'g>(
    given: &'g Given,
    policy: &Policy,
    keys: &[Keys],
    now: Timestamp,
) -> (TokenTold, Result<Believed<'g>, Denial>) {
    let mut told = TokenTold {
        name: given.name.clone(),
        signature: Signature::NotAsked,
        issuer: None,
        kind: None,
        header: None,
        claims: None,
        checks: Vec::new(),
        refused: None,
        mapping: Vec::new(),
    };
    let outcome = match &given.what {
        What::Token(Err(rejection)) => Err(rejected(rejection.clone())),
        What::Token(Ok(credential)) => of_text(credential, policy, keys, now, &mut told),
        What::Claims { claims, typ } => of_claims(claims, typ.as_deref(), policy, now, &mut told),
    };
    (told, outcome)
}

fn rejected(rejection: Rejection) -> Denial {
    refusal(rejection.reason, rejection.detail, None)
}

fn of_text<'g>(
    credential: &'g Credential,
    policy: &Policy,
    keys: &[Keys],
    now: Timestamp,
    told: &mut TokenTold,
) -> Result<Believed<'g>, Denial> {
    let shown = danger_show(credential);
    (told.header, told.claims) = (shown.header.clone(), shown.claims.clone());
    let iss = shown.claims.as_ref().and_then(|claims| claims.member("iss")).and_then(Json::as_str);
    let issuer = iss.and_then(|iss| policy.issuer_of(iss));
    let keys = issuer.and_then(|issuer| keys.get(usize::try_from(issuer.id.0).ok()?));
    let set = match keys {
        Some(Keys::Read { set, from }) => {
            told.signature = Signature::Checked(from.clone());
            Some(&**set)
        }
        Some(Keys::None(why)) => {
            told.signature = Signature::NotChecked(why.clone());
            None
        }
        Some(Keys::Lacking(_)) | None => None,
    };
    told.checks = checks::of_token(credential, set, issuer.map(|issuer| &issuer.expectation), now);

    let token = Unverified::parse(credential).map_err(rejected)?;
    let iss = token.issuer().map_err(rejected)?;
    let Some(issuer) = policy.issuer_of(iss) else {
        return Err(refusal(Reason::IssuerUnknown, why_unknown(iss, policy), None));
    };
    told.issuer = Some(issuer.name.clone());
    let of_issuer = |rejection: Rejection| Denial { issuer: Some(issuer.id), ..rejected(rejection) };
    token.allowed_by(&issuer.expectation).map_err(of_issuer)?;
    if let Some(Keys::Lacking(why)) = keys {
        return Err(of_issuer(Rejection::new(Reason::KeysUnavailable, why.clone())));
    }
    let verified = match set {
        Some(set) => verify(token, set, &issuer.expectation, now).map(|(verified, _)| verified),
        None => {
            let typ = shown.header.as_ref().and_then(|header| header.member("typ")).and_then(Json::as_str);
            let claims = shown.claims.clone().unwrap_or(Json::Null);
            danger_assume_signed(claims, typ, &issuer.expectation, now)
        }
    };
    let verified = verified.map_err(of_issuer)?;
    let assurance = issuer.assess(&verified, policy.claims());
    told.kind = Some(assurance.kind);
    told.mapping = mapping::told(issuer, verified.claims(), &assurance);
    Ok(Believed { assurance, text: credential.expose() })
}

fn of_claims(
    claims: &Json,
    typ: Option<&str>,
    policy: &Policy,
    now: Timestamp,
    told: &mut TokenTold,
) -> Result<Believed<'static>, Denial> {
    told.signature = Signature::Unsigned;
    told.claims = Some(claims.clone());
    let Some(iss) = claims.member("iss").and_then(Json::as_str) else {
        return Err(refusal(Reason::IssuerUnknown, "the claims have no `iss`", None));
    };
    let Some(issuer) = policy.issuer_of(iss) else {
        return Err(refusal(Reason::IssuerUnknown, why_unknown(iss, policy), None));
    };
    told.issuer = Some(issuer.name.clone());
    told.checks = checks::of_claims(claims, typ, &issuer.expectation, now);
    let verified = danger_assume_signed(claims.clone(), typ, &issuer.expectation, now)
        .map_err(|rejection| Denial { issuer: Some(issuer.id), ..rejected(rejection) })?;
    let assurance = issuer.assess(&verified, policy.claims());
    told.kind = Some(assurance.kind);
    told.mapping = mapping::told(issuer, claims, &assurance);
    Ok(Believed { assurance, text: "" })
}

/// The believed token of a kind.
pub(super) fn of_kind<'b, 'g>(believed: &'b [Believed<'g>], kind: TokenKind) -> Option<&'b Believed<'g>> {
    believed.iter().find(|token| token.assurance.kind == kind)
}
