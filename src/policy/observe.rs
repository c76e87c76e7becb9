//! `mode: observe`: what a route lets through although it would refuse it, to see what enforcing would do.
//!
//! [`decide`] never looks at the mode. What it refuses is lifted here or not at all: for reasons that the mode names, and
//! never below a floor. The proxy and `stepgate test` call [`judge`] for what has tokens, [`overlook`] for what was refused
//! before there were any to judge.

use crate::assurance::Rungs;
use crate::policy::Policy;
use crate::policy::decision::{Denial, Grounds, Permit};
use crate::policy::evaluate::{Tokens, decide, footing};
use crate::policy::exception::except;
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

/// Judges a request by [`decide`], whose arguments these are. Of what that refuses it lets in what an exception names, and then
/// lets through what the route's mode says.
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
    let refused = match decide(policy, route, target, tokens, now) {
        Ok(permit) => return Ok(permit),
        Err(denial) => except(policy, route, target, tokens, now, denial),
    };
    let denial = match refused {
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
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;
    use crate::policy::evaluate::tests::{NOW, demand, level, token};
    use crate::policy::evaluate::worlds::{World, as_tokens, policy, world};
    use crate::policy::path::CanonicalPath;
    use crate::policy::requirement::{Condition, Demand, Requirement, WantedCaller};

    /// By PRODUCT's order of reasons: where each part of it begins.
    const OBSERVED: std::ops::RangeInclusive<Reason> = Reason::CallerWrong..=Reason::ClaimMismatch;
    const OF_TOKENS: std::ops::RangeInclusive<Reason> = Reason::TokenMissing..=Reason::TokensDisagree;
    const NEVER: [Reason; 3] = [Reason::BodyTooLarge, Reason::BodyUnsupported, Reason::OriginRefused];

    #[test]
    fn each_mode_lifts_its_reasons_and_no_others() {
        for reason in Reason::ALL {
            let of_sign_in = OBSERVED.contains(reason);
            let of_token = OF_TOKENS.contains(reason) && !NEVER.contains(reason);
            assert!(!Mode::Enforce.lifts(*reason), "{reason}");
            assert_eq!(Mode::Observe.lifts(*reason), of_sign_in, "{reason}");
            assert_eq!(Mode::ObserveAll.lifts(*reason), of_sign_in || of_token, "{reason}");
        }
    }

    /// Judges `POST /payments/7` in a mode, and says what is wrong with the outcome; else whether it was lifted.
    fn hold((require, floors, found): World, mode: Mode) -> Result<bool, String> {
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let tokens = as_tokens(&found);
        let of =
            |require: &Requirement, mode, floors: &[Option<Demand>]| policy(require.clone(), mode, floors.to_vec());
        let decided_by = |policy: &Policy| decide(policy, policy.route(&target).unwrap(), &target, tokens, NOW);
        let all = of(&require, mode, &floors);
        let route = all.route(&target).unwrap();
        let judged = judge(&all, route, &target, tokens, NOW);
        let enforced = decided_by(&all);
        let says = |right: bool, what: &str| if right { Ok(()) } else { Err(format!("{what}: {judged:#?}")) };
        if let (Ok(permit), Err(denial)) = (&judged, &enforced) {
            says(*permit.grounds() == Grounds::Observed(Box::new(denial.clone())), "it is not said what was lifted")?;
            says(mode.lifts(denial.reason), "the mode does not lift this")?;
            // The floors as the route's whole demand, so as if they were enforced alone.
            let floors_alone = decided_by(&of(&Requirement::Authenticated, Mode::Enforce, &floors));
            says(floors.is_empty() || floors_alone.is_ok(), "a floor fails")?;
            let (Some(by), Some(tokens)) = (permit.by(), tokens) else {
                says(tokens.is_none() && permit.levels().is_empty(), "a level, and nobody who reached it")?;
                return Ok(true);
            };
            // The level is what the token really reached: that of a permit where nothing but its own evidence is asked.
            let witness = match tokens {
                Tokens::One(one) => one,
                Tokens::Pair { access, .. } if by == access.kind => access,
                Tokens::Pair { id, .. } => id,
            };
            says(witness.kind == by, "a level of nobody who is here")?;
            for rung in permit.levels() {
                let asks = Requirement::Demands(Demand {
                    ignore_amr: permit.ignored.clone().into(),
                    ..demand(vec![Condition::Level(*rung)])
                });
                let alone = of(&asks, Mode::Enforce, &[]);
                let one = Some(Tokens::One(witness));
                let reached = decide(&alone, alone.route(&target).unwrap(), &target, one, NOW);
                says(reached.is_ok(), "a level that the token did not reach")?;
            }
            return Ok(true);
        }
        says(judged == enforced, "what is not lifted is decided otherwise")?;
        Ok(false)
    }

    #[test]
    fn what_is_lifted_is_a_denial_for_a_reason_of_the_mode_and_no_floor_fails_and_the_rest_is_as_enforced() {
        for (mode, least) in [(Mode::Enforce, 0), (Mode::Observe, 80), (Mode::ObserveAll, 120)] {
            let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
            let lifted = std::cell::Cell::new(0_u32);
            TestRunner::new(config)
                .run(&world(), |world| {
                    let is_lifted = hold(world, mode).map_err(TestCaseError::fail)?;
                    lifted.set(lifted.get() + u32::from(is_lifted));
                    Ok(())
                })
                .unwrap();
            let lifted = lifted.get();
            assert!(lifted >= least && (mode != Mode::Enforce || lifted == 0), "{mode:?} lifted {lifted}");
        }
    }

    fn weak_on(require: Requirement, mode: Mode, floors: Vec<Option<Demand>>) -> Result<Permit, Denial> {
        let policy = policy(require, mode, floors);
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let weak = token(None, Some(&["pwd"]));
        judge(&policy, policy.route(&target).unwrap(), &target, Some(Tokens::One(&weak)), NOW)
    }

    fn asks(rung: &str) -> Demand {
        demand(vec![level(rung)])
    }

    #[test]
    fn a_floor_is_never_observed_and_one_that_holds_is_in_nobodys_way() {
        let strong = || Requirement::Demands(asks("multi-factor"));
        for mode in [Mode::Observe, Mode::ObserveAll] {
            let lifted = weak_on(strong(), mode, vec![Some(asks("single-factor"))]).unwrap();
            assert_eq!(lifted.would_deny().unwrap().reason, Reason::LevelTooLow);
            assert_eq!(lifted.levels().len(), 1, "the level that was reached is told");
            let below = weak_on(strong(), mode, vec![Some(asks("multi-factor"))]).unwrap_err();
            assert_eq!(below.reason, Reason::LevelTooLow);
            let by_floor_alone =
                weak_on(Requirement::Authenticated, mode, vec![Some(asks("multi-factor"))]).unwrap_err();
            assert_eq!(by_floor_alone.reason, Reason::LevelTooLow);
            // The route's own reason is lifted; the floor's other one must not go with it.
            let client_only = demand(vec![Condition::Caller(WantedCaller::Client)]);
            weak_on(strong(), mode, vec![Some(client_only)]).unwrap_err();
        }
        assert!(weak_on(strong(), Mode::Enforce, Vec::new()).is_err());
    }

    #[test]
    fn without_a_token_only_observe_all_lets_through_and_only_where_no_floor_is() {
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        for (mode, floors, lifts) in [
            (Mode::Enforce, vec![], false),
            (Mode::Observe, vec![], false),
            (Mode::ObserveAll, vec![], true),
            (Mode::ObserveAll, vec![None], false),
            (Mode::ObserveAll, vec![Some(asks("single-factor"))], false),
        ] {
            let policy = policy(Requirement::Authenticated, mode, floors);
            let route = policy.route(&target).unwrap();
            for reason in
                [Reason::TokenMissing, Reason::KeysUnavailable, Reason::SignatureInvalid, Reason::TokensDisagree]
            {
                let passed = overlook(&policy, route, &target, Denial::because(reason));
                assert_eq!(passed.is_ok(), lifts, "{mode:?} {reason}");
                assert!(
                    !passed.is_ok_and(|permit| permit.by().is_some() || !permit.levels().is_empty()),
                    "nobody is named"
                );
            }
            assert_eq!(judge(&policy, route, &target, None, NOW).is_ok(), lifts, "{mode:?}");
            for reason in NEVER.into_iter().chain([Reason::Overloaded, Reason::RequestMalformed, Reason::PathAmbiguous])
            {
                assert!(overlook(&policy, route, &target, Denial::because(reason)).is_err(), "{reason}");
            }
        }
    }
}
