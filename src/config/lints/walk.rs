//! A requirement part by part, each with what those around it ask too.

use crate::assurance::{IssuerId, Rung};
use crate::policy::{Condition, Demand};

/// What is asked around and in a part.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// The issuers that are left; `None`: all.
    pub(super) issuers: Option<Vec<IssuerId>>,
    /// The rungs that are asked.
    pub(super) rungs: Vec<Rung>,
    /// Only some clients may call.
    pub(super) clients: bool,
    /// The `amr` values that count for nothing.
    pub(super) ignored: Vec<Box<str>>,
}

impl Around {
    /// Whether an issuer's tokens may be taken.
    pub(super) fn admits(&self, issuer: IssuerId) -> bool {
        self.issuers.as_ref().is_none_or(|left| left.contains(&issuer))
    }
}

/// Calls `visit` for a demand and for every part of it, each with what holds there.
pub(super) fn parts<'d>(demand: &'d Demand, around: &Around, visit: &mut dyn FnMut(&'d Demand, &Around)) {
    let mut here = around.clone();
    here.ignored.extend(demand.ignore_amr.iter().cloned());
    gather(demand, &mut here);
    visit(demand, &here);
    for condition in &demand.conditions {
        if let Condition::All(inner) | Condition::Any(inner) = condition {
            inner.iter().for_each(|part| parts(part, &here, visit));
        }
    }
}

/// What must hold wherever the demand does.
fn gather(demand: &Demand, here: &mut Around) {
    for condition in &demand.conditions {
        match condition {
            Condition::Level(rung) => here.rungs.push(*rung),
            Condition::Issuers(named) => {
                let left = named.iter().copied().filter(|id| here.admits(*id)).collect();
                here.issuers = Some(left);
            }
            Condition::Clients(_) => here.clients = true,
            Condition::All(inner) => inner.iter().for_each(|part| gather(part, here)),
            Condition::Audience(_)
            | Condition::Caller(_)
            | Condition::Evidence(_)
            | Condition::MaxAge(_)
            | Condition::Scopes { .. }
            | Condition::Bind { .. }
            | Condition::Any(_) => {}
        }
    }
}
