//! A decision, retold step by step: for `stepgate test`, and for whoever wants to know why.
//!
//! Never a second decision: each step asks the checks that [`decide`] asks, and the last one is what [`decide`] says.

use crate::assurance::expression::Ignored;
use crate::assurance::{Assurance, Proof, Rungs, Truth};
use crate::policy::Policy;
use crate::policy::decision::{Denial, Permit};
use crate::policy::evaluate::{Case, Place, Tokens, decide};
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

/// Tells a decision. The arguments are those of [`decide`].
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
    steps.push(Step::Decided(decide(policy, route, target, tokens, now)));
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
