//! A decision, retold step by step: for `stepgate test`, and for whoever wants to know why.
//!
//! Never a second decision: each step asks the checks that [`decide`](crate::policy::decide) asks, and the last one is what [`judge`] says.

use crate::assurance::expression::Ignored;
use crate::assurance::{Assurance, Proof, Rungs, Truth};
use crate::policy::Policy;
use crate::policy::decide;
use crate::policy::decision::{Denial, Permit};
use crate::policy::evaluate::{Case, Place, Tokens};
use crate::policy::exception::{Exception, Tried, each};
use crate::policy::observe::judge;
use crate::policy::pattern::Target;
use crate::policy::requirement::{Condition, Demand, Requirement};
use crate::policy::route::{Floor, Route};
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind};

/// One step of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// The route that the request takes.
    Route(&'a Route),
    /// A floor that it stands on.
    Floor(&'a Floor),
    /// A token that is believed.
    Token(&'a Assurance),
    /// What it says of the sign-in.
    Evidence {
        /// The token.
        token: &'a Assurance,
        /// The values that the route and its floors have count for nothing.
        ignored: Vec<Box<str>>,
        /// When it is judged.
        now: Timestamp,
    },
    /// The rungs that this token's evidence reaches here.
    Level {
        /// Whose evidence.
        witness: TokenKind,
        /// One of each ladder at the most.
        reached: Rungs,
    },
    /// One thing that is asked.
    Asked(Asked<'a>),
    /// An exception from a route that refuses, and what came of it.
    Exception(&'a Exception, Tried),
    /// What came of it. Always the last step.
    Decided(Result<Permit, Denial>),
}

/// One thing that is asked, and whether it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<'a> {
    /// The token whose evidence is looked at. Of two tokens each is tried for all that is asked.
    pub witness: TokenKind,
    /// The floor that asks; `None`: the route itself.
    pub by: Option<&'a Floor>,
    /// How deep it stands in the requirement.
    pub depth: usize,
    /// What is asked.
    pub what: What<'a>,
    /// Whether it holds. Only what certainly holds lets a request through.
    pub holds: Truth,
    /// Why it does not.
    pub because: Option<(Reason, String)>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What<'a> {
    /// Any valid token.
    ValidToken,
    /// One condition. Of `All` and `Any`, what they hold follows one step deeper.
    Condition(&'a Condition),
    /// A part of `All` or `Any`, from 1 on. What it asks follows one step deeper.
    Part(usize),
    /// A proof by which the level above could be reached.
    Proof(&'a Proof),
}

/// Tells a decision. The arguments are those of [`judge`].
#[must_use]
pub fn retell<'a>(
    policy: &'a Policy,
    route: &'a Route,
    target: &Target<'a>,
    tokens: Option<Tokens<'a>>,
    now: Timestamp,
) -> Vec<Step<'a>> {
    let mut steps = ground(policy, route, target);
    let (main, second) = match tokens {
        None => (None, None),
        Some(Tokens::One(token)) => (Some(token), None),
        Some(Tokens::Pair { access, id }) => (Some(access), Some(id)),
    };
    let (main, second) = if route.require == Requirement::Public { (None, None) } else { (main, second) };
    if let Some(main) = main
        && let Some(issuer) = policy.issuer(main.issuer)
        && second.is_none_or(|second| second.issuer == main.issuer)
    {
        for witness in [Some(main), second].into_iter().flatten() {
            let case = Case { policy, route, target, issuer, main, witness, now };
            steps.push(Step::Token(witness));
            steps.push(Step::Evidence { token: witness, ignored: case.ignored(), now });
            steps.push(Step::Level { witness: witness.kind, reached: case.levels() });
            case.tell(policy, route, target, &mut steps);
        }
    }
    if let Err(refusal) = decide(policy, route, target, tokens, now) {
        let tried = each(policy, route, target, tokens, now, &refusal);
        steps.extend(tried.map(|(exception, tried)| Step::Exception(exception, tried)));
    }
    steps.push(Step::Decided(judge(policy, route, target, tokens, now)));
    steps
}

/// The steps before any token is looked at: the route, and the floors that this request stands on.
#[must_use]
pub fn ground<'a>(policy: &'a Policy, route: &'a Route, target: &Target<'a>) -> Vec<Step<'a>> {
    let floors = policy.floors_under(route, target).map(Step::Floor);
    std::iter::once(Step::Route(route)).chain(floors).collect()
}

impl Case<'_> {
    /// All that is asked of this token.
    fn tell<'a>(&self, policy: &'a Policy, route: &'a Route, target: &Target<'a>, steps: &mut Vec<Step<'a>>) {
        let mut asked = Telling { case: self, issuer: policy.issuer(self.issuer.id), by: None, steps };
        match &route.require {
            Requirement::Public => {}
            Requirement::Authenticated => asked.add(0, What::ValidToken, Truth::True, None),
            Requirement::Demands(demand) => {
                asked.demand(demand, 0, Place { pattern: &route.matches, ignored: None });
            }
        }
        for floor in policy.floors_under(route, target) {
            asked.by = Some(floor);
            match &floor.demand {
                None => asked.add(0, What::ValidToken, Truth::True, None),
                Some(demand) => asked.demand(demand, 0, Place { pattern: &floor.matches, ignored: None }),
            }
        }
    }
}

struct Telling<'a, 't> {
    case: &'t Case<'t>,
    issuer: Option<&'a crate::assurance::Issuer>,
    by: Option<&'a Floor>,
    steps: &'t mut Vec<Step<'a>>,
}

impl<'a> Telling<'a, '_> {
    fn add(&mut self, depth: usize, what: What<'a>, holds: Truth, because: Option<(Reason, String)>) {
        let witness = self.case.witness.kind;
        self.steps.push(Step::Asked(Asked { witness, by: self.by, depth, what, holds, because }));
    }

    fn demand(&mut self, demand: &'a Demand, depth: usize, place: Place<'_>) {
        let ignored = Ignored { values: &demand.ignore_amr, outer: place.ignored };
        let within = Place { ignored: Some(&ignored), ..place };
        let deeper = depth.saturating_add(1);
        for condition in &demand.conditions {
            let what = What::Condition(condition);
            match condition {
                Condition::All(parts) => {
                    let holds = parts.iter().all(|part| self.case.demand_holds(part, within));
                    self.add(depth, what, holds.into(), None);
                    self.parts(parts, deeper, within);
                }
                Condition::Any(parts) => {
                    let holds = parts.iter().any(|part| self.case.demand_holds(part, within));
                    self.add(depth, what, holds.into(), None);
                    self.parts(parts, deeper, within);
                }
                Condition::Issuers(_)
                | Condition::Audience(_)
                | Condition::Caller(_)
                | Condition::Clients(_)
                | Condition::Level(_)
                | Condition::Evidence(_)
                | Condition::MaxAge(_)
                | Condition::Scopes { .. }
                | Condition::Bind { .. } => {
                    let failed = self.case.check(condition, within);
                    let because = failed.map(|reason| (reason, self.case.why(condition, reason)));
                    self.add(depth, what, failed.is_none().into(), because);
                }
            }
            if let Condition::Level(rung) = condition {
                for proof in self.issuer.into_iter().flat_map(|issuer| issuer.proofs_of(*rung)) {
                    let holds = proof.evidence.evaluate(&self.case.view(within));
                    self.add(deeper, What::Proof(proof), holds, None);
                }
            }
        }
    }

    fn parts(&mut self, parts: &'a [Demand], depth: usize, place: Place<'_>) {
        for (part, number) in parts.iter().zip(1..) {
            let holds = self.case.demand_holds(part, place);
            self.add(depth, What::Part(number), holds.into(), None);
            self.demand(part, depth.saturating_add(1), place);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;
    use crate::policy::decide;
    use crate::policy::evaluate::tests::{NOW, demand, level, token};
    use crate::policy::evaluate::worlds::{World, as_tokens, policy, world};
    use crate::policy::observe::Mode;
    use crate::policy::path::CanonicalPath;

    /// Tells the decision on `POST /payments/7`, and says what is wrong with what was told; else whether it is allowed.
    fn hold(world: World) -> Result<bool, String> {
        let (require, floors, found) = world;
        let policy = policy(require, Mode::Enforce, floors);
        let tokens = as_tokens(&found);
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let route = policy.route(&target).unwrap();
        let outcome = decide(&policy, route, &target, tokens, NOW);
        let steps = retell(&policy, route, &target, tokens, NOW);
        let says = |right: bool, what: &str| if right { Ok(()) } else { Err(format!("{what}: {steps:#?}")) };

        says(steps.last() == Some(&Step::Decided(outcome.clone())), "the last step is not the decision")?;
        let decided = steps.iter().filter(|step| matches!(step, Step::Decided(_))).count();
        says(decided == 1, "it is decided more than once")?;
        let asked: Vec<&Asked<'_>> =
            steps.iter().filter_map(|step| if let Step::Asked(asked) = step { Some(asked) } else { None }).collect();
        // All that one token is asked for holds: then, and only then, it is allowed.
        let met = found.iter().any(|token| {
            let mut own = asked.iter().filter(|asked| asked.witness == token.kind && asked.depth == 0);
            own.all(|asked| asked.holds.holds())
        });
        says(met == outcome.is_ok(), "what is asked says otherwise than the decision")?;
        if let (Err(denial), false) = (&outcome, found.is_empty()) {
            let mut reasons = asked.iter().filter_map(|asked| asked.because.as_ref());
            says(reasons.any(|(reason, _)| *reason == denial.reason), "nothing that is asked has the reason")?;
        }
        if let (Ok(permit), false) = (&outcome, found.is_empty()) {
            let reached = steps.iter().any(|step| {
                matches!(step, Step::Level { witness, reached }
                    if Some(*witness) == permit.by() && **reached == *permit.levels())
            });
            says(reached, "the level told is not the permit's")?;
        }
        for step in &steps {
            let text = step.text(&policy);
            says(!text.trim().is_empty() && !text.contains('\n'), "a step has nothing to say")?;
        }
        Ok(outcome.is_ok())
    }

    #[test]
    fn what_is_told_is_what_is_decided() {
        let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
        let (mut allowed, mut refused) = (0_u32, 0_u32);
        let counts = std::cell::RefCell::new((&mut allowed, &mut refused));
        TestRunner::new(config)
            .run(&world(), |world| {
                let is_allowed = hold(world).map_err(TestCaseError::fail)?;
                let mut counts = counts.borrow_mut();
                *(if is_allowed { &mut *counts.0 } else { &mut *counts.1 }) += 1;
                Ok(())
            })
            .unwrap();
        assert!(allowed > 60 && refused > 200, "too one-sided to mean anything: {allowed} and {refused}");
    }

    #[test]
    fn a_refusal_is_told_from_the_route_to_the_condition_that_fails() {
        let token = token(None, Some(&["pwd"]));
        let require = Requirement::Demands(demand(vec![level("multi-factor"), Condition::MaxAge(300)]));
        let policy = policy(require, Mode::Enforce, Vec::new());
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let steps = retell(&policy, policy.route(&target).unwrap(), &target, Some(Tokens::One(&token)), NOW);
        let told: Vec<String> = steps.iter().map(|step| format!("{}: {}", step.name(), step.text(&policy))).collect();
        assert_eq!(
            told,
            [
                "route: pay, any method on any host, path /payments/{id}",
                "token: access token of bank, for a user",
                "evidence: acr absent; amr `pwd` (knowledge); signed in 60 s ago",
                "level: single-factor, by the access token",
                "asks: not met: level multi-factor (level_too_low: reached single-factor, needs multi-factor; acr is absent, amr is `pwd`)",
                "asks:   not certain: multi-factor is proved by (acr any of `2` or amr any of `mfa` or factors 2)",
                "asks:   not met: phishing-resistant is proved by phishing_resistant",
                "asks: met: max_age 300 s",
                "decided: deny: level_too_low (reached single-factor, needs multi-factor; acr is absent, amr is `pwd`)",
            ]
        );
    }

    #[test]
    fn nothing_is_told_of_a_token_that_a_public_route_does_not_look_at() {
        let token = token(None, Some(&["pwd"]));
        let policy = policy(Requirement::Public, Mode::Enforce, Vec::new());
        let path = CanonicalPath::parse("/payments/7").unwrap();
        let target = Target { method: "POST", host: "api.example", path: &path };
        let steps = retell(&policy, policy.route(&target).unwrap(), &target, Some(Tokens::One(&token)), NOW);
        assert_eq!(steps.iter().map(Step::name).collect::<Vec<_>>(), ["route", "decided"]);
    }
}
