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
    let of = |require: &Requirement, mode, floors: &[Option<Demand>]| policy(require.clone(), mode, floors.to_vec());
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
        let by_floor_alone = weak_on(Requirement::Authenticated, mode, vec![Some(asks("multi-factor"))]).unwrap_err();
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
        for reason in [Reason::TokenMissing, Reason::KeysUnavailable, Reason::SignatureInvalid, Reason::TokensDisagree]
        {
            let passed = overlook(&policy, route, &target, Denial::because(reason));
            assert_eq!(passed.is_ok(), lifts, "{mode:?} {reason}");
            assert!(
                !passed.is_ok_and(|permit| permit.by().is_some() || !permit.levels().is_empty()),
                "nobody is named"
            );
        }
        assert_eq!(judge(&policy, route, &target, None, NOW).is_ok(), lifts, "{mode:?}");
        for reason in NEVER.into_iter().chain([Reason::Overloaded, Reason::RequestMalformed, Reason::PathAmbiguous]) {
            assert!(overlook(&policy, route, &target, Denial::because(reason)).is_err(), "{reason}");
        }
    }
}
