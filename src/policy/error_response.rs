//! `on_error: forward`: an identity provider's word that there is no sign-in goes to the application that waits for it.

use crate::assurance::Rungs;
use crate::policy::Policy;
use crate::policy::decision::{Denial, Grounds, Permit};
use crate::policy::pattern::Target;
use crate::policy::route::{Place, Route};
use crate::reason::Reason;

/// Judges a request that brings an error response in a form, and no token anywhere.
///
/// Whoever finds it so says it; whether the route has it forwarded is decided here. Never where a floor is: a floor asks for
/// a token at the least.
///
/// # Errors
/// `token_missing`: where it is not forwarded, what has no token is refused as such.
pub fn judge_error_response(policy: &Policy, route: &Route, target: &Target<'_>) -> Result<Permit, Denial> {
    let forwards = route.take.iter().any(|source| matches!(source.place, Place::Form { forwards_errors: true, .. }));
    let stands_on_none = policy.floors_under(route, target).next().is_none();
    if forwards && stands_on_none {
        return Ok(Permit {
            levels: Rungs::new(),
            by: None,
            ignored: Vec::new(),
            grounds: Grounds::ErrorResponse,
        });
    }
    Err(Denial::because(Reason::TokenMissing))
}
