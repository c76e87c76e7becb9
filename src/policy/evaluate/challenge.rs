//! From what a request lacks to its denial: the reason, and the challenge that would be enough (RFC 9470 section 3).

use crate::assurance::{Assurance, Challenge, Evidence, Fact, Rung};
use crate::policy::decision::{Denial, StepUp};
use crate::policy::evaluate::Case;
use crate::policy::evaluate::shortfall::{Shortfall, by_sign_in};
use crate::policy::requirement::Condition;
use crate::reason::Reason;

impl Case<'_> {
    pub(super) fn denial(&self, short: Shortfall<'_>) -> Denial {
        let reason = short.reason();
        Denial {
            reason,
            detail: short.first().map(|(reason, condition)| self.why(condition, reason)).unwrap_or_default(),
            step_up: self.step_up(reason, &short),
            scope: short.scope,
            levels: self.levels().to_vec(),
            issuer: Some(self.issuer.id),
            dialect: self.issuer.dialect,
        }
    }

    /// What a new sign-in would have to be, where a sign-in could mend it.
    fn step_up(&self, reason: Reason, short: &Shortfall<'_>) -> Option<StepUp> {
        (by_sign_in(reason) && !self.is_hopeless(short))
            .then(|| StepUp { acr_values: self.acr_values(short), max_age: short.max_age })
    }

    /// The values any one of which is enough: those of the level asked for that the route's own `acr` takes too, else those
    /// of the route's own `acr`. Where the route's own `amr` or factors alone fall short, none can be named.
    fn acr_values(&self, short: &Shortfall<'_>) -> Option<Challenge> {
        let strongest = |rungs: &[Rung]| {
            let ladder = rungs.iter().map(|rung| rung.ladder()).min()?;
            rungs.iter().filter(|rung| rung.ladder() == ladder).max_by_key(|rung| rung.rank()).copied()
        };
        // A sign-in that is only too old must not come back weaker than it was.
        let rung = strongest(&short.missed).or_else(|| strongest(&short.reached).filter(|_| !short.own_failed));
        let of_level = match rung.and_then(|rung| self.issuer.challenge(rung)) {
            // What an operator lists need not come back as `acr`, so only a refusal speaks against it.
            Some(listed @ Challenge::Listed(_)) => listed.only(|acr| self.after(acr) != After::Refused),
            Some(Challenge::Derived(values)) => self.best(&values).map(Challenge::Derived),
            None => None,
        };
        if of_level.is_some() {
            return of_level;
        }
        // Values that are met already would only send the client round in a circle.
        let only_age = short.missed.is_empty() && !short.own_failed;
        (short.acr_failed || only_age).then(|| self.own_acr_values()).flatten()
    }

    /// The values that the route and its floors name themselves: those that are enough, else those that none of them refuses.
    fn own_acr_values(&self) -> Option<Challenge> {
        let mut named: Vec<Box<str>> = Vec::new();
        for (demand, _) in self.demands() {
            demand.walk(&mut |condition| {
                if let Condition::Evidence(expression) = condition {
                    let ours = expression.acr_values();
                    named.extend(ours.iter().flat_map(|value| self.issuer.mapping.acr.theirs(value)));
                }
            });
        }
        self.best(&unique(&named)).map(Challenge::Listed)
    }

    /// Of some values those that are enough; if none is, those that the route's own `acr` does not refuse.
    fn best(&self, values: &[Box<str>]) -> Option<Box<[Box<str>]>> {
        let judged: Vec<(&Box<str>, After)> = values.iter().map(|acr| (acr, self.after(acr))).collect();
        let best = judged.iter().map(|(_, after)| *after).max().filter(|best| *best != After::Refused)?;
        Some(judged.into_iter().filter(|(_, after)| *after == best).map(|(acr, _)| acr.clone()).collect())
    }

    /// What would become of a sign-in like this one, made now, with this `acr` in the issuer's own words.
    fn after(&self, acr: &str) -> After {
        let evidence = Evidence {
            acr: Fact::Known([self.issuer.mapping.acr.renamed(acr).into()].into()),
            auth_time: Fact::Known(self.now),
            ..self.witness.evidence.clone()
        };
        let witness = Assurance { evidence, ..self.witness.clone() };
        let short = Case { witness: &witness, ..*self }.shortfall();
        if short.acr_failed {
            After::Refused
        } else if short.reasons.iter().any(|(reason, _)| by_sign_in(*reason)) {
            After::TooLittle
        } else {
            After::Enough
        }
    }
}

/// What would become of another sign-in, from the worst to the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    /// The route's own `acr` would not take it.
    Refused,
    /// Some level or evidence would still lack.
    TooLittle,
    /// No other sign-in would be asked for.
    Enough,
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
