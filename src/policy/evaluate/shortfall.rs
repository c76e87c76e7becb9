//! What a refused request lacks: gathered condition by condition, once it is known that some do not hold.

use smallvec::SmallVec;

use crate::assurance::expression::Ignored;
use crate::assurance::{Rungs, Source};
use crate::policy::evaluate::{Case, Place};
use crate::policy::requirement::{Condition, Demand};
use crate::reason::Reason;

/// What a failed demand asks for and why it failed. Gathered only for a refusal.
#[derive(Default)]
pub(super) struct Shortfall<'c> {
    /// Every reason found, each with the condition that it speaks of.
    pub(super) reasons: SmallVec<[(Reason, &'c Condition); 2]>,
    /// The rungs asked for that were not reached, then those that were.
    pub(super) missed: Rungs,
    pub(super) reached: Rungs,
    /// Some of the route's own evidence does not hold; and whether that was some about `acr`.
    pub(super) own_failed: bool,
    pub(super) acr_failed: bool,
    pub(super) max_age: Option<u32>,
    pub(super) scope: Vec<Box<str>>,
}

impl<'c> Shortfall<'c> {
    pub(super) fn reason(&self) -> Reason {
        self.first().map_or(Reason::ClaimMismatch, |(reason, _)| reason)
    }

    /// The reason that comes first, of equals the one found first.
    pub(super) fn first(&self) -> Option<(Reason, &'c Condition)> {
        self.reasons.iter().min_by_key(|(reason, _)| *reason).copied()
    }

    fn add(&mut self, other: Self) {
        self.reasons.extend(other.reasons);
        self.missed.extend(other.missed);
        self.reached.extend(other.reached);
        self.own_failed |= other.own_failed;
        self.acr_failed |= other.acr_failed;
        self.scope.extend(other.scope);
        self.max_age = self.max_age.into_iter().chain(other.max_age).min();
    }
}

/// Whether another sign-in can mend what was refused for this reason.
pub(super) fn by_sign_in(reason: Reason) -> bool {
    (Reason::AcrMalformed..=Reason::AuthTooOld).contains(&reason)
}

impl<'c> Case<'c> {
    pub(super) fn shortfall(&self) -> Shortfall<'c> {
        let mut short = Shortfall::default();
        for (demand, place) in self.demands() {
            self.gather(demand, place, &mut short);
        }
        short
    }

    fn demand_shortfall(&self, demand: &'c Demand, place: Place<'_>) -> Shortfall<'c> {
        let mut short = Shortfall::default();
        self.gather(demand, place, &mut short);
        short
    }

    fn gather(&self, demand: &'c Demand, place: Place<'_>, short: &mut Shortfall<'c>) {
        let ignored = Ignored { values: &demand.ignore_amr, outer: place.ignored };
        let place = Place { ignored: Some(&ignored), ..place };
        for condition in &demand.conditions {
            if let Condition::All(parts) = condition {
                parts.iter().for_each(|part| self.gather(part, place, short));
            } else if let Condition::Any(parts) = condition {
                short.add(self.alternatives(parts, place));
            } else {
                self.note(condition, place, short);
            }
        }
    }

    /// What speaks for alternatives: one that holds, else the one that came furthest (of equals one that this issuer can
    /// meet, else the first). If that one can never be met, the way to mend it is that of the furthest that can.
    fn alternatives(&self, parts: &'c [Demand], place: Place<'_>) -> Shortfall<'c> {
        if let Some(held) = parts.iter().find(|part| self.demand_holds(part, place)) {
            return self.demand_shortfall(held, place);
        }
        let tried = || parts.iter().map(|part| self.demand_shortfall(part, place));
        let furthest = |best: Shortfall<'c>, next| if self.rank(&next) > self.rank(&best) { next } else { best };
        let speaks = tried().reduce(furthest).unwrap_or_default();
        if !self.is_hopeless(&speaks) {
            return speaks;
        }
        match tried().filter(|short| !self.is_hopeless(short) && by_sign_in(short.reason())).reduce(furthest) {
            Some(mendable) => Shortfall { reasons: speaks.reasons, ..mendable },
            None => speaks,
        }
    }

    /// Notes what a single condition asks for, and why it fails if it does.
    fn note(&self, condition: &'c Condition, place: Place<'_>, short: &mut Shortfall<'c>) {
        let failed = self.check(condition, place);
        short.reasons.extend(failed.map(|reason| (reason, condition)));
        match condition {
            Condition::Level(rung) if failed.is_some() => short.missed.push(*rung),
            Condition::Level(rung) => short.reached.push(*rung),
            Condition::MaxAge(seconds) => short.max_age = short.max_age.into_iter().chain([*seconds]).min(),
            Condition::Evidence(expression) => {
                let about_acr = expression.consults().contains(&Source::Acr);
                short.own_failed |= failed.is_some();
                short.acr_failed |= failed.is_some() && about_acr;
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
    pub(super) fn rank(&self, short: &Shortfall<'_>) -> (Reason, bool) {
        (short.reason(), !self.is_hopeless(short))
    }

    /// Whether a rung is missed that no token of this issuer can reach.
    pub(super) fn is_hopeless(&self, short: &Shortfall<'_>) -> bool {
        short.missed.iter().any(|rung| !self.issuer.can_prove(*rung))
    }
}
