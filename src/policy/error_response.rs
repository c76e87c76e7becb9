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
        return Ok(Permit { levels: Rungs::new(), by: None, ignored: Vec::new(), grounds: Grounds::ErrorResponse });
    }
    Err(Denial::because(Reason::TokenMissing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::evaluate::tests::{demand, level};
    use crate::policy::evaluate::worlds::policy;
    use crate::policy::observe::Mode;
    use crate::policy::path::CanonicalPath;
    use crate::policy::requirement::Requirement;
    use crate::policy::route::{Kinds, TokenSource};

    #[test]
    fn an_error_response_passes_only_where_the_route_has_it_forwarded_and_no_floor_is() {
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let passes = |forwards_errors, floors, mode| {
            let policy = policy(Requirement::Demands(demand(vec![level("multi-factor")])), mode, floors);
            let place = Place::Form { name: "id_token".into(), forwards_errors };
            let take = [
                TokenSource { place: Place::Authorization, kinds: Kinds::Access },
                TokenSource { place, kinds: Kinds::Id },
            ];
            let route = Route { take: take.into(), ..policy.route(&target).unwrap().clone() };
            judge_error_response(&policy, &route, &target).map_err(|denial| denial.reason)
        };
        let permit = passes(true, Vec::new(), Mode::Enforce).unwrap();
        assert_eq!((permit.grounds(), permit.by(), permit.levels()), (&Grounds::ErrorResponse, None, &[][..]));
        assert_eq!(passes(false, Vec::new(), Mode::ObserveAll), Err(Reason::TokenMissing));
        assert_eq!(passes(true, vec![None], Mode::ObserveAll), Err(Reason::TokenMissing));
        assert_eq!(
            passes(true, vec![Some(demand(vec![level("single-factor")]))], Mode::Enforce),
            Err(Reason::TokenMissing)
        );
    }
}
