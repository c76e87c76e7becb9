//! The decision: one pure function from policy, request, verified tokens and time to a permit or a denial.

mod wording;

use crate::assurance::expression::Ignored;
use crate::assurance::{Assurance, Caller, Challenge, Evidence, Expression, Fact, Issuer, Rung, Source, View};
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
        return Ok(Permit { levels: Vec::new(), by: None, ignored: Vec::new() });
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
        return Ok(Permit { levels: case.levels(), by: Some(case.witness.kind), ignored: case.ignored() });
    }
    let tried = cases.iter().flatten().map(|case| Tried { case, short: case.shortfall() });
    let rank = |tried: &Tried<'_>| tried.case.rank(&tried.short);
    let furthest = tried.reduce(|best, next| if rank(&next) > rank(&best) { next } else { best });
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
    /// What the route itself asks of `acr`, held or not: a new sign-in has to meet it too.
    own_acr: Vec<Expression>,
    /// Some of the route's own evidence does not hold; and whether that was some about `acr`.
    own_failed: bool,
    acr_failed: bool,
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
        self.own_acr.extend(other.own_acr);
        self.own_failed |= other.own_failed;
        self.acr_failed |= other.acr_failed;
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
            Condition::Caller(WantedCaller::User) => fails(self.main.caller == Caller::User, self.wrong_caller()),
            Condition::Caller(WantedCaller::Client) => fails(self.main.caller == Caller::Client, self.wrong_caller()),
            Condition::Clients(wanted) => {
                fails(self.main.client.as_ref().is_some_and(|client| wanted.contains(client)), Reason::CallerWrong)
            }
            Condition::Level(needed) => self.check_level(*needed, place),
            Condition::Evidence(expression) => {
                if expression.evaluate(&self.view(place)).holds() {
                    // What a user must have, a client never has.
                    return fails(expression.consults().is_empty() || self.is_user(), self.wrong_caller());
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
                let tried = || parts.iter().map(|part| self.demand_shortfall(part, place));
                // An alternative that holds must hold of the next sign-in too. Of those that failed the one that came furthest
                // speaks, of equals one that a sign-in can mend, else the first.
                let held = parts.iter().find(|part| self.demand_holds(part, place));
                let chosen = held.map(|part| self.demand_shortfall(part, place));
                let furthest = |best: Shortfall, next| if self.rank(&next) > self.rank(&best) { next } else { best };
                short.add(chosen.or_else(|| tried().reduce(furthest)).unwrap_or_default());
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
            Condition::Evidence(expression) => {
                let about_acr = expression.consults().contains(&Source::Acr);
                short.own_failed |= failed.is_some();
                short.acr_failed |= failed.is_some() && about_acr;
                short.own_acr.extend(about_acr.then(|| expression.clone()));
            }
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

    /// All that the route and the floors under this request ignore.
    fn ignored(&self) -> Vec<Box<str>> {
        self.demands().flat_map(|(demand, _)| demand.ignore_amr.iter().cloned()).collect()
    }

    /// The rungs that the token reached, under all that is ignored here.
    fn levels(&self) -> Vec<Rung> {
        let values = self.ignored();
        let ignored = Ignored { values: &values, outer: None };
        let place = Place { pattern: &self.route.matches, ignored: Some(&ignored) };
        let caller = if self.is_user() { Caller::User } else { Caller::Client };
        self.issuer.levels(self.policy.ladders(), caller, &self.view(place))
    }

    /// How far an alternative came: by its reason, of equals one that this issuer can ever meet.
    fn rank(&self, short: &Shortfall) -> (Reason, bool) {
        (short.reason(), !self.is_hopeless(short))
    }

    /// Whether a rung is missed that no token of this issuer can reach.
    fn is_hopeless(&self, short: &Shortfall) -> bool {
        short.missed.iter().any(|rung| !self.issuer.can_prove(*rung))
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
        (by_sign_in && !self.is_hopeless(short))
            .then(|| StepUp { acr_values: self.acr_values(short), max_age: short.max_age })
    }

    /// The values any one of which is enough: those of the level asked for that the route's own `acr` takes too, else those
    /// of the route's own `acr`. Where the route's own `amr` or factors alone fall short, none can be named.
    fn acr_values(&self, short: &Shortfall) -> Option<Challenge> {
        let strongest = |rungs: &[Rung]| {
            let ladder = rungs.iter().map(|rung| rung.ladder()).min()?;
            rungs.iter().filter(|rung| rung.ladder() == ladder).max_by_key(|rung| rung.rank()).copied()
        };
        // A sign-in that is only too old must not come back weaker than it was.
        let rung = strongest(&short.missed).or_else(|| strongest(&short.reached).filter(|_| !short.own_failed));
        let fits = |value: &str| short.own_acr.iter().all(|own| self.would_hold(own, value));
        let of_level = rung.and_then(|rung| self.issuer.challenge(rung)).and_then(|challenge| challenge.only(fits));
        // Values that are met already would only send the client round in a circle.
        let only_age = short.missed.is_empty() && !short.own_failed;
        of_level.or_else(|| {
            if !short.acr_failed && !only_age {
                return None;
            }
            let named: Vec<Box<str>> =
                short.own_acr.iter().flat_map(Expression::acr_values).filter(|value| fits(value)).collect();
            // Those that reach the level as well, if there are any.
            let enough: Vec<Box<str>> = named.iter().filter(|value| self.would_reach(short, value)).cloned().collect();
            let named = if enough.is_empty() { named } else { enough };
            (!named.is_empty()).then(|| Challenge::Listed(unique(&named)))
        })
    }

    /// The evidence of a sign-in like this one with another `acr`.
    fn with_acr(&self, acr: &str) -> Evidence {
        Evidence { acr: Fact::Known([acr.into()].into()), ..self.witness.evidence.clone() }
    }

    /// Whether a sign-in like this one with another `acr` would reach every level asked for.
    fn would_reach(&self, short: &Shortfall, acr: &str) -> bool {
        let (evidence, values) = (self.with_acr(acr), self.ignored());
        let ignored = Ignored { values: &values, outer: None };
        let view = View { evidence: &evidence, claims: &self.witness.claims, ignored: Some(&ignored) };
        let reached =
            |rung: &Rung| self.issuer.level(rung.ladder(), Caller::User, &view).is_some_and(|is| is.reaches(*rung));
        short.missed.iter().chain(&short.reached).all(reached)
    }

    /// Whether an expression would hold of a sign-in like this one with another `acr`.
    fn would_hold(&self, expression: &Expression, acr: &str) -> bool {
        let evidence = self.with_acr(acr);
        expression.evaluate(&View { evidence: &evidence, claims: &self.witness.claims, ignored: None }).holds()
    }
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
