//! From what a request lacks to its denial: the reason, and the challenge that would be enough (RFC 9470 section 3).

use crate::assurance::expression::Ignored;
use crate::assurance::{Caller, Challenge, Evidence, Expression, Fact, Rung, View};
use crate::policy::decision::{Denial, StepUp};
use crate::policy::evaluate::Case;
use crate::policy::evaluate::shortfall::Shortfall;
use crate::reason::Reason;

impl Case<'_> {
    pub(super) fn denial(&self, short: Shortfall) -> Denial {
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
