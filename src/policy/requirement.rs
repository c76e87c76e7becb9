//! What a route or floor demands, compiled: nothing in it can be empty, unknown or contradict itself.

use crate::assurance::{ClaimSlot, Expression, IssuerId, Rung};

/// What a route asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    /// No token is needed, and none is looked at.
    Public,
    /// Any valid token of a trusted issuer.
    Authenticated,
    /// A valid token that meets these demands.
    Demands(Demand),
}

/// Conditions that must all hold. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The conditions, in no order of importance: of several that fail, the reason's own precedence decides.
    pub conditions: Box<[Condition]>,
    /// `amr` values that count for nothing here and in everything below; the level is reckoned anew.
    pub ignore_amr: Box<[Box<str>]>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The token is one of these issuers'.
    Issuers(Box<[IssuerId]>),
    /// The token names one of these audiences (besides being meant for us at all).
    Audience(Box<[Box<str>]>),
    /// Who must call.
    Caller(WantedCaller),
    /// The client is one of these.
    Clients(Box<[Box<str>]>),
    /// The sign-in reached this rung.
    Level(Rung),
    /// The route's own evidence.
    Evidence(Expression),
    /// The user signed in at most so many seconds ago.
    MaxAge(u32),
    /// Scopes granted: every one of `all`, and one of `any` unless that is empty.
    Scopes {
        /// All of these.
        all: Box<[Box<str>]>,
        /// At least one of these.
        any: Box<[Box<str>]>,
    },
    /// A path parameter equals a claim.
    Bind {
        /// The parameter's name in the path pattern.
        parameter: Box<str>,
        /// The claim that must name the same.
        claim: ClaimSlot,
    },
    /// All of these.
    All(Box<[Demand]>),
    /// At least one of these.
    Any(Box<[Demand]>),
}

/// Who must call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedCaller {
    /// A user.
    User,
    /// A client that acts for itself.
    Client,
}

impl Requirement {
    /// The demands, where there are any.
    #[must_use]
    pub fn demand(&self) -> Option<&Demand> {
        match self {
            Self::Demands(demand) => Some(demand),
            Self::Public | Self::Authenticated => None,
        }
    }
}

impl Demand {
    /// Calls `visit` for every condition in it, at any depth.
    pub fn walk<'d>(&'d self, visit: &mut dyn FnMut(&'d Condition)) {
        for condition in &self.conditions {
            visit(condition);
            if let Condition::All(parts) | Condition::Any(parts) = condition {
                parts.iter().for_each(|part| part.walk(visit));
            }
        }
    }

    /// Adds what it ignores whatever else holds: its own `ignore_amr`, and that of all that must hold with it.
    pub fn always_ignored(&self, values: &mut Vec<Box<str>>) {
        values.extend(self.ignore_amr.iter().cloned());
        for condition in &self.conditions {
            if let Condition::All(parts) = condition {
                parts.iter().for_each(|part| part.always_ignored(values));
            }
        }
    }

    /// Every rung that it names, each once.
    #[must_use]
    pub fn rungs(&self) -> Vec<Rung> {
        let mut rungs = Vec::new();
        self.walk(&mut |condition| {
            if let Condition::Level(rung) = condition
                && !rungs.contains(rung)
            {
                rungs.push(*rung);
            }
        });
        rungs
    }
}
