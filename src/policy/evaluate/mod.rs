//! The decision: one pure function from policy, request, verified tokens and time to a permit or a denial.

mod challenge;
mod footing;
mod mend;
mod shortfall;
mod steps;
mod telling;
mod tree;
mod wording;

pub(in crate::policy) use footing::footing;
pub use mend::{Mend, mend};
pub use steps::{Asked, Step, What, ground, retell};
pub use tree::{Asking, Branch, Missed, Reckoned, outline, outlined, reckon};

use crate::assurance::expression::Ignored;
use crate::assurance::{Assurance, Caller, Expression, Fact, Issuer, Rung, Rungs, Source, View};
use crate::policy::Policy;
use crate::policy::decision::{Denial, Grounds, Permit};
use crate::policy::evaluate::shortfall::Shortfall;
use crate::policy::path::unescape;
use crate::policy::pattern::{Match, Target};
use crate::policy::requirement::{Condition, Demand, Requirement, WantedCaller};
use crate::policy::route::Route;
use crate::reason::Reason;
use crate::token::{Json, Timestamp};

/// How far ahead of our clock an `auth_time` may be before it is taken for malformed, in seconds.
const AHEAD: i64 = 30;

/// The verified tokens of one request: at most one of each kind, and at least one.
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'t> {
    /// One token.
    One(&'t Assurance),
    /// An access token and an `id_token` that were found to belong together.
    Pair {
        /// The access token.
        access: &'t Assurance,
        /// The `id_token`.
        id: &'t Assurance,
    },
}

/// Judges a request. `tokens` is `None` when the request carries none.
///
/// # Errors
/// The denial, with the reason that comes first of those that hold.
pub fn decide(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Option<Tokens<'_>>,
    now: Timestamp,
) -> Result<Permit, Denial> {
    if route.require == Requirement::Public && route.floors.is_empty() {
        return Ok(Permit { levels: Rungs::new(), by: None, ignored: Vec::new(), grounds: Grounds::Met });
    }
    let Some(tokens) = tokens else { return Err(Denial::because(Reason::TokenMissing)) };
    let (main, second) = match tokens {
        Tokens::One(token) => (token, None),
        Tokens::Pair { access, id } => (access, Some(id)),
    };
    let Some(issuer) = policy.issuer(main.issuer) else { return Err(Denial::because(Reason::IssuerUnknown)) };
    if second.is_some_and(|second| second.issuer != main.issuer) {
        return Err(Denial::because(Reason::TokensDisagree));
    }
    let case = |witness| Case { policy, route, target, issuer, main, witness, now };
    // Level, evidence and age must be met by one token alone, so each is tried for all of it.
    let cases = [Some(case(main)), second.map(case)];
    if let Some(case) = cases.iter().flatten().find(|case| case.holds()) {
        let ignored = case.ignored();
        let levels = case.levels_under(&ignored);
        return Ok(Permit { levels, by: Some(case.witness.kind), ignored, grounds: Grounds::Met });
    }
    let tried = cases.iter().flatten().map(|case| Tried { case, short: case.shortfall() });
    let rank = |tried: &Tried<'_>| tried.case.rank(&tried.short);
    let furthest = tried.reduce(|best, next| if rank(&next) > rank(&best) { next } else { best });
    Err(furthest.map_or_else(|| Denial::because(Reason::TokenMissing), |tried| tried.case.denial(tried.short)))
}

/// A case that failed, and what it lacks.
struct Tried<'c> {
    case: &'c Case<'c>,
    short: Shortfall<'c>,
}

/// One way to read a request: everything that conditions look at.
#[derive(Clone, Copy)]
struct Case<'c> {
    policy: &'c Policy,
    route: &'c Route,
    target: &'c Target<'c>,
    issuer: &'c Issuer,
    /// The token whose caller, scopes, audience and binding count.
    main: &'c Assurance,
    /// The token whose level, evidence and age count.
    witness: &'c Assurance,
    now: Timestamp,
}

/// A demand in its place: the pattern that its path parameters are read by, and what is ignored around it.
#[derive(Clone, Copy)]
struct Place<'c> {
    pattern: &'c Match,
    ignored: Option<&'c Ignored<'c>>,
}
impl<'c> Case<'c> {
    /// The route's own demand and those of the floors that this request stands on.
    fn demands(&self) -> impl Iterator<Item = (&'c Demand, Place<'c>)> {
        let own = self.route.require.demand().map(|demand| (demand, &self.route.matches));
        let own = own.map(|(demand, pattern)| (demand, Place { pattern, ignored: None }));
        own.into_iter().chain(self.floors())
    }

    /// Those of the floors alone.
    fn floors(&self) -> impl Iterator<Item = (&'c Demand, Place<'c>)> {
        let floors = self.policy.floors_under(self.route, self.target);
        floors.filter_map(|floor| {
            floor.demand.as_ref().map(|demand| (demand, Place { pattern: &floor.matches, ignored: None }))
        })
    }

    fn holds(&self) -> bool {
        self.demands().all(|(demand, place)| self.demand_holds(demand, place))
    }

    fn demand_holds(&self, demand: &Demand, place: Place<'_>) -> bool {
        let ignored = Ignored { values: &demand.ignore_amr, outer: place.ignored };
        let place = Place { ignored: Some(&ignored), ..place };
        demand.conditions.iter().all(|condition| {
            if let Condition::All(parts) = condition {
                parts.iter().all(|part| self.demand_holds(part, place))
            } else if let Condition::Any(parts) = condition {
                parts.iter().any(|part| self.demand_holds(part, place))
            } else {
                self.check(condition, place).is_none()
            }
        })
    }

    fn view<'v>(&'v self, place: Place<'v>) -> View<'v> {
        View { evidence: &self.witness.evidence, claims: &self.witness.claims, ignored: place.ignored }
    }

    /// Why a single condition fails; `None` when it holds. `All` and `Any` are taken apart by the callers.
    fn check(&self, condition: &Condition, place: Place<'_>) -> Option<Reason> {
        let fails = |holds: bool, reason| (!holds).then_some(reason);
        match condition {
            Condition::Issuers(issuers) => fails(issuers.contains(&self.main.issuer), Reason::IssuerRefused),
            Condition::Audience(wanted) => {
                fails(self.main.audiences.iter().any(|one| wanted.contains(one)), Reason::AudienceWrong)
            }
            Condition::Caller(WantedCaller::User) => fails(self.main.caller == Caller::User, self.wrong_caller()),
            Condition::Caller(WantedCaller::Client) => fails(self.main.caller == Caller::Client, self.wrong_caller()),
            Condition::Clients(wanted) => fails(
                self.main.client.as_ref().is_some_and(|client| wanted.iter().any(|one| **one == **client)),
                Reason::CallerWrong,
            ),
            Condition::Level(needed) => self.check_level(*needed, place),
            Condition::Evidence(expression) => {
                if expression.evaluate(&self.view(place)).holds() {
                    // What a user must have, a client never has.
                    return fails(self.is_user() || expression.consults().is_empty(), self.wrong_caller());
                }
                Some(self.evidence_reason(expression))
            }
            Condition::MaxAge(seconds) => self.check_age(*seconds),
            Condition::Scopes { all, any } => {
                let has = |scope| self.main.scopes.contains(scope);
                fails(all.iter().all(has) && (any.is_empty() || any.iter().any(has)), Reason::ScopeMissing)
            }
            Condition::Bind { parameter, claim } => {
                let named = place.pattern.path.parameter(parameter, self.target.path).map(unescape);
                let claim = self.main.claims.get(*claim);
                let same = named.zip(claim).is_some_and(|(named, claim)| names(claim, &named));
                fails(same, Reason::ClaimMismatch)
            }
            Condition::All(_) | Condition::Any(_) => None,
        }
    }

    fn is_user(&self) -> bool {
        self.main.caller == Caller::User && self.witness.caller == Caller::User
    }

    /// Why a token is not of the caller that is asked for: it is another's, or can't be read.
    fn wrong_caller(&self) -> Reason {
        match self.main.caller {
            Caller::Unclear => Reason::ClaimsMalformed,
            Caller::User | Caller::Client => Reason::CallerWrong,
        }
    }

    fn check_level(&self, needed: Rung, place: Place<'_>) -> Option<Reason> {
        if !self.is_user() {
            return Some(self.wrong_caller());
        }
        let reached = self.issuer.level(needed.ladder(), Caller::User, &self.view(place));
        if reached.is_some_and(|reached| reached.reaches(needed)) {
            return None;
        }
        let consulted = self.issuer.consults(needed);
        Some(self.unread(&consulted).unwrap_or_else(|| {
            let unknown = matches!(consulted.as_slice(), [Source::Acr])
                && self.witness.evidence.acr.known().is_some_and(|acr| !acr.iter().any(|v| self.issuer.names_acr(v)));
            if unknown { Reason::AcrUnknown } else { Reason::LevelTooLow }
        }))
    }

    /// What is wrong with the claims themselves: one is malformed, or all are absent (the first consulted names it).
    fn unread(&self, consulted: &[Source]) -> Option<Reason> {
        let evidence = &self.witness.evidence;
        let state = |source: &Source| match source {
            Source::Acr => (evidence.acr.is_malformed(), evidence.acr.is_absent()),
            Source::Amr => (evidence.amr.is_malformed(), evidence.amr.is_absent()),
        };
        let malformed = consulted.iter().find(|source| state(source).0).map(|source| match source {
            Source::Acr => Reason::AcrMalformed,
            Source::Amr => Reason::AmrMalformed,
        });
        malformed.or_else(|| {
            let first = consulted.first().filter(|_| consulted.iter().all(|source| state(source).1))?;
            Some(match first {
                Source::Acr => Reason::AcrMissing,
                Source::Amr => Reason::AmrMissing,
            })
        })
    }

    /// Why a route's own evidence does not hold.
    fn evidence_reason(&self, expression: &Expression) -> Reason {
        let consulted = expression.consults();
        let Some(first) = consulted.first() else { return Reason::ClaimMismatch };
        if !self.is_user() {
            return self.wrong_caller();
        }
        self.unread(&consulted).unwrap_or(match first {
            Source::Acr => Reason::AcrInsufficient,
            Source::Amr => Reason::AmrInsufficient,
        })
    }

    fn check_age(&self, seconds: u32) -> Option<Reason> {
        if !self.is_user() {
            return Some(self.wrong_caller());
        }
        match &self.witness.evidence.auth_time {
            Fact::Absent => Some(Reason::AuthTimeMissing),
            Fact::Malformed => Some(Reason::ClaimsMalformed),
            Fact::Known(at) if *at > self.now.plus_seconds(AHEAD) => Some(Reason::ClaimsMalformed),
            Fact::Known(at) => (self.now > at.plus_seconds(i64::from(seconds))).then_some(Reason::AuthTooOld),
        }
    }

    /// All that the route and the floors under this request ignore.
    fn ignored(&self) -> Vec<Box<str>> {
        let mut values = Vec::new();
        self.demands().for_each(|(demand, _)| demand.always_ignored(&mut values));
        values
    }

    /// The rungs that the token reached, under all that is ignored here.
    fn levels(&self) -> Rungs {
        self.levels_under(&self.ignored())
    }

    fn levels_under(&self, ignored: &[Box<str>]) -> Rungs {
        let ignored = Ignored { values: ignored, outer: None };
        let place = Place { pattern: &self.route.matches, ignored: Some(&ignored) };
        let caller = if self.is_user() { Caller::User } else { Caller::Client };
        self.issuer.levels(self.policy.ladders(), caller, &self.view(place))
    }
}

/// Whether a claim names what a path segment names: the same text, the same whole number, or a list that holds it.
fn names(claim: &Json, named: &str) -> bool {
    match claim {
        Json::String(text) => **text == *named,
        Json::Number(number) => !number.is_f64() && number.to_string() == named,
        Json::Array(items) => items.iter().any(|item| !matches!(item, Json::Array(_)) && names(item, named)),
        Json::Null | Json::Bool(_) | Json::Object(_) => false,
    }
}

#[cfg(test)]
pub(in crate::policy) mod tests;
#[cfg(test)]
pub(in crate::policy) mod worlds;
