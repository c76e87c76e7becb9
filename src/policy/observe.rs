//! `mode: observe`: what a route lets through although it would refuse it, to see what enforcing would do.
//!
//! [`decide`] never looks at the mode. What it refuses is lifted here or not at all: for reasons that the mode names, and
//! never below a floor. The proxy and `stepgate test` call [`judge`] for what has tokens, [`overlook`] for what was refused
//! before there were any to judge.

use crate::assurance::Rungs;
use crate::policy::Policy;
use crate::policy::decision::{Denial, Grounds, Permit};
use crate::policy::evaluate::{Tokens, decide, footing};
use crate::policy::pattern::Target;
use crate::policy::route::Route;
use crate::reason::Reason;
use crate::token::Timestamp;

/// What a route does with what it would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Refuses it.
    #[default]
    Enforce,
    /// Lets through what lacks in level, evidence, age, scope, claims or caller, and notes it.
    Observe,
    /// Lets through what brings no token that could be believed, too.
    ObserveAll,
}

impl Mode {
    /// Its name in policies and in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::ObserveAll => "observe-all",
        }
    }

    /// Whether what is refused for this reason is let through. Never what another site or a malformed request did: that says
    /// nothing of how users sign in.
    #[must_use]
    pub const fn lifts(self, reason: Reason) -> bool {
        match reason {
            Reason::Overloaded
            | Reason::RequestMalformed
            | Reason::PathAmbiguous
            | Reason::RouteNone
            | Reason::BodyTooLarge
            | Reason::BodyUnsupported
            | Reason::OriginRefused
            | Reason::UpstreamUnreachable
            | Reason::UpstreamTimeout => false,
            Reason::TokenMissing
            | Reason::TokenDuplicate
            | Reason::TokenTooLarge
            | Reason::TokenMalformed
            | Reason::TokenEncrypted
            | Reason::HeaderRefused
            | Reason::AlgorithmRefused
            | Reason::IssuerUnknown
            | Reason::KeysUnavailable
            | Reason::KeyUnknown
            | Reason::SignatureInvalid
            | Reason::ClaimsMalformed
            | Reason::Expired
            | Reason::NotYetValid
            | Reason::AudienceWrong
            | Reason::AzpWrong
            | Reason::TokenKindWrong
            | Reason::IntrospectionUnavailable
            | Reason::IntrospectionInactive
            | Reason::Revoked
            | Reason::IssuerRefused
            | Reason::BindingMissing
            | Reason::BindingInvalid
            | Reason::DpopReplayed
            | Reason::TokensDisagree => matches!(self, Self::ObserveAll),
            Reason::CallerWrong
            | Reason::AcrMalformed
            | Reason::AmrMalformed
            | Reason::AcrMissing
            | Reason::AmrMissing
            | Reason::AcrUnknown
            | Reason::AcrInsufficient
            | Reason::AmrInsufficient
            | Reason::LevelTooLow
            | Reason::AuthTimeMissing
            | Reason::AuthTooOld
            | Reason::ScopeMissing
            | Reason::ClaimMismatch => !matches!(self, Self::Enforce),
        }
    }
}

/// Judges a request by [`decide`], whose arguments these are, and lets through what the route's mode says.
///
/// # Errors
/// The denial, where it is not lifted.
pub fn judge(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Option<Tokens<'_>>,
    now: Timestamp,
) -> Result<Permit, Denial> {
    let denial = match decide(policy, route, target, tokens, now) {
        Err(denial) if route.mode.lifts(denial.reason) => denial,
        decided => return decided,
    };
    match tokens.and_then(|tokens| footing(policy, route, target, tokens, now)) {
        Some(footing) => Ok(Permit {
            levels: footing.levels,
            by: Some(footing.by),
            ignored: footing.ignored,
            grounds: Grounds::Observed(Box::new(denial)),
        }),
        None => overlook(policy, route, target, denial),
    }
}

/// Lets a request through that was refused before there was a token to judge, where the route's mode says so and no floor is
/// under it: any floor asks for a token at the least. Nobody is named to the upstream then.
///
/// # Errors
/// The denial, where it is not lifted.
pub fn overlook(policy: &Policy, route: &Route, target: &Target<'_>, denial: Denial) -> Result<Permit, Denial> {
    let stands_on_none = policy.floors_under(route, target).next().is_none();
    if route.mode.lifts(denial.reason) && stands_on_none {
        let grounds = Grounds::Observed(Box::new(denial));
        return Ok(Permit { levels: Rungs::new(), by: None, ignored: Vec::new(), grounds });
    }
    Err(denial)
}

#[cfg(test)]
mod tests;
