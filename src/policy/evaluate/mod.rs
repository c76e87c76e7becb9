//! The decision: one pure function from policy, request, verified tokens and time to a permit or a denial.

mod wording;

use crate::assurance::expression::Ignored;
use crate::assurance::{Assurance, Caller, Challenge, Expression, Fact, Issuer, Rung, Source, View};
use crate::policy::decision::{Denial, Permit, StepUp};
use crate::policy::path::unescape;
use crate::policy::pattern::{Match, Target};
use crate::policy::requirement::{Condition, Demand, Requirement, WantedCaller};
use crate::policy::route::Route;
use crate::policy::{Floor, Policy};
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
        return Ok(Permit { levels: Vec::new(), by: None });
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
        return Ok(Permit { levels: case.levels(), by: Some(case.witness.kind) });
    }
    let tried = cases.iter().flatten().map(|case| Tried { case, short: case.shortfall() });
    let furthest = tried.reduce(|best, next| if next.short.reason() > best.short.reason() { next } else { best });
    Err(furthest.map_or_else(|| Denial::because(Reason::TokenMissing), |tried| tried.case.denial(tried.short)))
}

/// A case that failed, and what it lacks.
struct Tried<'c> {
    case: &'c Case<'c>,
    short: Shortfall,
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

/// What a failed demand asks for and why it failed. Gathered only for a refusal.
#[derive(Default)]
struct Shortfall {
    /// Every reason found, each with what it is about in words.
    reasons: Vec<(Reason, String)>,
    /// The rungs asked for that were not reached, then those that were.
    missed: Vec<Rung>,
    reached: Vec<Rung>,
    /// A route's own `acr` values.
    acr: Vec<Box<str>>,
    max_age: Option<u32>,
    scope: Vec<Box<str>>,
}

impl Shortfall {
    fn reason(&self) -> Reason {
        self.first().map_or(Reason::ClaimMismatch, |(reason, _)| *reason)
    }

    /// The reason that comes first, of equals the one found first.
    fn first(&self) -> Option<&(Reason, String)> {
        self.reasons.iter().min_by_key(|(reason, _)| *reason)
    }

    fn add(&mut self, other: Self) {
        self.reasons.extend(other.reasons);
        self.missed.extend(other.missed);
        self.reached.extend(other.reached);
        self.acr.extend(other.acr);
        self.scope.extend(other.scope);
        self.max_age = self.max_age.into_iter().chain(other.max_age).min();
    }
}

impl<'c> Case<'c> {
    /// The route's own demand and those of the floors that this request stands on.
    fn demands(&self) -> impl Iterator<Item = (&'c Demand, Place<'c>)> {
        let own = self.route.require.demand().map(|demand| (demand, &self.route.matches));
        let target = *self.target;
        let floors = self.route.floors.iter().filter_map(|place| self.policy.floors().get(*place));
        let floors = floors.filter(move |floor: &&Floor| floor.matches.matches(&target));
        let below = floors.filter_map(|floor| floor.demand.as_ref().map(|demand| (demand, &floor.matches)));
        own.into_iter().chain(below).map(|(demand, pattern)| (demand, Place { pattern, ignored: None }))
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
            Condition::Caller(WantedCaller::User) => fails(self.main.caller == Caller::User, Reason::CallerWrong),
            Condition::Caller(WantedCaller::Client) => fails(self.main.caller == Caller::Client, Reason::CallerWrong),
            Condition::Clients(wanted) => {
                fails(self.main.client.as_ref().is_some_and(|client| wanted.contains(client)), Reason::CallerWrong)
            }
            Condition::Level(needed) => self.check_level(*needed, place),
            Condition::Evidence(expression) => {
                if expression.evaluate(&self.view(place)).holds() {
                    // What a user must have, a client never has.
                    return fails(expression.consults().is_empty() || self.is_user(), Reason::CallerWrong);
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

    fn check_level(&self, needed: Rung, place: Place<'_>) -> Option<Reason> {
        if !self.is_user() {
            return Some(Reason::CallerWrong);
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
            return Reason::CallerWrong;
        }
        self.unread(&consulted).unwrap_or(match first {
            Source::Acr => Reason::AcrInsufficient,
            Source::Amr => Reason::AmrInsufficient,
        })
    }

    fn check_age(&self, seconds: u32) -> Option<Reason> {
        if !self.is_user() {
            return Some(Reason::CallerWrong);
        }
        match &self.witness.evidence.auth_time {
            Fact::Absent => Some(Reason::AuthTimeMissing),
            Fact::Malformed => Some(Reason::ClaimsMalformed),
            Fact::Known(at) if *at > self.now.plus_seconds(AHEAD) => Some(Reason::ClaimsMalformed),
            Fact::Known(at) => (self.now > at.plus_seconds(i64::from(seconds))).then_some(Reason::AuthTooOld),
        }
    }

    fn shortfall(&self) -> Shortfall {
        let mut short = Shortfall::default();
        for (demand, place) in self.demands() {
            short.add(self.demand_shortfall(demand, place));
        }
        short
    }

    fn demand_shortfall(&self, demand: &Demand, place: Place<'_>) -> Shortfall {
        let ignored = Ignored { values: &demand.ignore_amr, outer: place.ignored };
        let place = Place { ignored: Some(&ignored), ..place };
        let mut short = Shortfall::default();
        for condition in &demand.conditions {
            if let Condition::All(parts) = condition {
                parts.iter().for_each(|part| short.add(self.demand_shortfall(part, place)));
            } else if let Condition::Any(parts) = condition {
                if !parts.iter().any(|part| self.demand_holds(part, place)) {
                    short
                        .add(furthest(parts.iter().map(|part| self.demand_shortfall(part, place))).unwrap_or_default());
                }
            } else {
                self.note(condition, place, &mut short);
            }
        }
        short
    }

    /// Notes what a single condition asks for, and why it fails if it does.
    fn note(&self, condition: &Condition, place: Place<'_>, short: &mut Shortfall) {
        let failed = self.check(condition, place);
        short.reasons.extend(failed.map(|reason| (reason, self.why(condition, reason))));
        match condition {
            Condition::Level(rung) if failed.is_some() => short.missed.push(*rung),
            Condition::Level(rung) => short.reached.push(*rung),
            Condition::MaxAge(seconds) => short.max_age = short.max_age.into_iter().chain([*seconds]).min(),
            Condition::Evidence(expression) => short.acr.extend(expression.acr_values()),
            Condition::Scopes { all, any } if failed.is_some() => {
                short.scope.extend(all.iter().chain(any).cloned());
            }
            Condition::Scopes { .. }
            | Condition::Issuers(_)
            | Condition::Audience(_)
            | Condition::Caller(_)
            | Condition::Clients(_)
            | Condition::Bind { .. }
            | Condition::All(_)
            | Condition::Any(_) => {}
        }
    }

    /// The rungs that the token reached, under what the route itself ignores.
    fn levels(&self) -> Vec<Rung> {
        let own = self.route.require.demand().map_or(&[][..], |demand| &demand.ignore_amr);
        let ignored = Ignored { values: own, outer: None };
        let place = Place { pattern: &self.route.matches, ignored: Some(&ignored) };
        let caller = if self.is_user() { Caller::User } else { Caller::Client };
        self.issuer.levels(self.policy.ladders(), caller, &self.view(place))
    }

    fn denial(&self, short: Shortfall) -> Denial {
        let reason = short.reason();
        Denial {
            reason,
            detail: short.first().map(|(_, detail)| detail.clone()).unwrap_or_default(),
            step_up: self.step_up(reason, &short),
            scope: short.scope,
            levels: self.levels(),
            issuer: Some(self.issuer.id),
        }
    }

    /// What a new sign-in would have to be, where a sign-in could mend it.
    fn step_up(&self, reason: Reason, short: &Shortfall) -> Option<StepUp> {
        let by_sign_in = (Reason::AcrMalformed..=Reason::AuthTooOld).contains(&reason);
        let hopeless = short.missed.iter().any(|rung| self.issuer.proofs_of(*rung).next().is_none());
        if !by_sign_in || hopeless {
            return None;
        }
        let rung = short.missed.first().or_else(|| short.reached.iter().max_by_key(|rung| rung.rank()));
        let acr_values = if short.acr.is_empty() {
            rung.and_then(|rung| self.issuer.challenge(*rung))
        } else {
            Some(Challenge::Listed(unique(&short.acr)))
        };
        Some(StepUp { acr_values, max_age: short.max_age })
    }
}

/// Of several alternatives that failed, the one that came furthest; of equals the first.
fn furthest(tried: impl Iterator<Item = Shortfall>) -> Option<Shortfall> {
    tried.reduce(|best, next| if next.reason() > best.reason() { next } else { best })
}

/// Each value once, in the order in which they first stand.
fn unique(values: &[Box<str>]) -> Box<[Box<str>]> {
    let mut once: Vec<Box<str>> = Vec::new();
    for value in values {
        if !once.contains(value) {
            once.push(value.clone());
        }
    }
    once.into()
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
mod tests;
