//! What a refused request lacks: gathered condition by condition, once it is known that some do not hold.

use crate::assurance::expression::Ignored;
use crate::assurance::{Expression, Rung, Source};
use crate::policy::evaluate::{Case, Place};
use crate::policy::requirement::{Condition, Demand};
use crate::reason::Reason;

/// What a failed demand asks for and why it failed. Gathered only for a refusal.
#[derive(Default)]
pub(super) struct Shortfall {
    /// Every reason found, each with what it is about in words.
    pub(super) reasons: Vec<(Reason, String)>,
    /// The rungs asked for that were not reached, then those that were.
    pub(super) missed: Vec<Rung>,
    pub(super) reached: Vec<Rung>,
    /// What the route itself asks of `acr`, held or not: a new sign-in has to meet it too.
    pub(super) own_acr: Vec<Expression>,
    /// Some of the route's own evidence does not hold; and whether that was some about `acr`.
    pub(super) own_failed: bool,
    pub(super) acr_failed: bool,
    pub(super) max_age: Option<u32>,
    pub(super) scope: Vec<Box<str>>,
}

impl Shortfall {
    pub(super) fn reason(&self) -> Reason {
        self.first().map_or(Reason::ClaimMismatch, |(reason, _)| *reason)
    }

    /// The reason that comes first, of equals the one found first.
    pub(super) fn first(&self) -> Option<&(Reason, String)> {
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

impl Case<'_> {
    pub(super) fn shortfall(&self) -> Shortfall {
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

    /// How far an alternative came: by its reason, of equals one that this issuer can ever meet.
    pub(super) fn rank(&self, short: &Shortfall) -> (Reason, bool) {
        (short.reason(), !self.is_hopeless(short))
    }

    /// Whether a rung is missed that no token of this issuer can reach.
    pub(super) fn is_hopeless(&self, short: &Shortfall) -> bool {
        short.missed.iter().any(|rung| !self.issuer.can_prove(*rung))
    }
}
