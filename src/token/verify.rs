//! The one way to a [`VerifiedToken`].

use crate::Reason;
use crate::token::claims;
use crate::token::expectation::Expectation;
use crate::token::header::plain_type;
use crate::token::json::Tree;
use crate::token::keys::{KeyId, KeySet, NoKey};
use crate::token::rejection::Rejection;
use crate::token::time::Timestamp;
use crate::token::unverified::Unverified;
use crate::token::verified::VerifiedToken;

/// Checks a token: algorithm, signature by one of *this issuer's* keys, then every claim that makes it a token of this
/// issuer for us, now. Says which key signed it, so that whoever keeps the result can ask [`KeySet::has`] again.
///
/// `expectation` and `keys` must be those of the configured issuer that [`Unverified::issuer`] names; another issuer's
/// are refused.
///
/// # Errors
/// The first reason that holds, in the order of [`Reason`]. `key_unknown` says that a newer key set might help.
pub fn verify<'t>(
    token: Unverified<'t>,
    keys: &KeySet,
    expectation: &Expectation,
    now: Timestamp,
) -> Result<(VerifiedToken<'t>, KeyId), Rejection> {
    token.allowed_by(expectation)?;
    if token.issuer()? != &*expectation.issuer {
        return Err(Rejection::new(Reason::IssuerUnknown, "`iss` is not this issuer"));
    }
    let key = signing_key(&token, keys)?;
    let Unverified { header, claims, .. } = token;
    Ok((claims::believe(claims, header.typ.as_deref(), expectation, now)?, key))
}

/// **Verifies nothing**: takes claims as if a key of the issuer had signed them, and checks the claims alone.
///
/// For `stepgate test` and `stepgate explain`, where a person writes claims down to see what would be decided. Never call
/// it on the way of a request.
///
/// # Errors
/// The first reason that holds, in the order of [`Reason`].
pub fn danger_assume_signed<'t>(
    claims: Tree<'t>,
    typ: Option<&str>,
    expectation: &Expectation,
    now: Timestamp,
) -> Result<VerifiedToken<'t>, Rejection> {
    if !matches!(claims, Tree::Object(_)) {
        return Err(Rejection::new(Reason::TokenMalformed, "the claims are not a JSON object"));
    }
    claims::believe(claims, typ.map(plain_type).as_deref(), expectation, now)
}

pub(in crate::token) fn signing_key(token: &Unverified<'_>, keys: &KeySet) -> Result<KeyId, Rejection> {
    let algorithm = token.algorithm();
    let candidates = keys.select(token.kid(), algorithm).map_err(|none| match none {
        NoKey::Unknown if token.kid().is_some() => {
            Rejection::new(Reason::KeyUnknown, "the issuer's key set has no key with the token's `kid`")
        }
        NoKey::Unknown => {
            Rejection::new(Reason::KeyUnknown, format!("the issuer's key set has no key that `{algorithm}` can use"))
        }
        NoKey::Unfit => Rejection::new(
            Reason::AlgorithmRefused,
            format!("the key that `kid` names may not be used with `{algorithm}`"),
        ),
    })?;
    candidates
        .into_iter()
        .find(|key| key.public.verifies(algorithm, token.signed.as_bytes(), &token.signature))
        .map(|key| key.id)
        .ok_or_else(|| Rejection::new(Reason::SignatureInvalid, "the signature is not that of the issuer's key"))
}
