//! `exceptions`: a named person's or client's way around what a route asks of the sign-in, for a few days (break-glass).
//!
//! [`decide`] never looks at them. What it refuses is decided once more here, by the route as it is for whoever the exception
//! names: `instead` stands in the place of its level, evidence and age. All else it asks stays, every floor stays, and so does
//! all by which a token is believed: that is done before there is anything to decide. `judge` calls this, and nobody else.

use crate::assurance::{Assurance, Caller, Expression, IssuerId};
use crate::policy::Policy;
use crate::policy::decision::{Denial, Excepted, Grounds, Permit};
use crate::policy::evaluate::{Tokens, decide};
use crate::policy::pattern::Target;
use crate::policy::requirement::{Condition, Demand, Requirement};
use crate::policy::route::Route;
use crate::token::Timestamp;

/// An exception.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// The policy's name for it, unique.
    pub name: Box<str>,
    /// For whom it is.
    pub who: Who,
    /// On which routes: places in the policy's list.
    pub routes: Box<[usize]>,
    /// What is asked of the sign-in instead; `None`: nothing, any valid token is enough.
    pub instead: Option<Demand>,
    /// When it ends.
    pub until: Timestamp,
    /// The same, as it is written.
    pub until_written: Box<str>,
    /// Why there is one, in the operator's words.
    pub because: Box<str>,
}

/// For whom an exception is. It names a subject or a client at the least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Whose token it is: a name is somebody's only at the issuer that gave it.
    pub issuer: IssuerId,
    /// The persons; empty: clients that act for themselves.
    pub subjects: Box<[Box<str>]>,
    /// The clients; empty: any that a person comes by.
    pub clients: Box<[Box<str>]>,
}

/// How an exception stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It ends later than an exception may, so it has not begun.
    Ahead,
    /// It holds.
    InForce,
    /// It has ended.
    Over,
}

/// What came of an exception for a request that its route refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    /// It does not hold at this moment.
    Not(Standing),
    /// It is for others.
    ForOthers,
    /// What the route asks besides its level, what a floor asks, or what is asked instead is not met.
    Refused(Denial),
    /// It lets the request in.
    Lets(Permit),
}

/// A route as it is for whoever an exception names.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Way {
    /// The exception's place in the policy's list.
    exception: usize,
    /// The route's.
    place: usize,
    route: Route,
}

/// The longest that an exception lasts, in seconds: before that much is left until it ends, it has not begun.
pub const LONGEST: i64 = 7 * 86_400;

impl Exception {
    /// How it stands at this moment.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if now >= self.until {
            Standing::Over
        } else if now.plus_seconds(LONGEST) < self.until {
            Standing::Ahead
        } else {
            Standing::InForce
        }
    }

    /// What a route asks of whoever this names: all that it asks, with `instead` in the place of level, evidence and age.
    #[must_use]
    pub fn asks(&self, require: &Requirement) -> Requirement {
        let (mut ignored, mut conditions) = (Vec::new(), vec![Condition::Issuers([self.who.issuer].into())]);
        if let Some(own) = require.demand() {
            // What counts for nothing on this route counts for nothing here either.
            own.always_ignored(&mut ignored);
            conditions.extend(besides_the_sign_in(own).map(|rest| Condition::All([rest].into())));
        }
        conditions.extend(self.instead.clone().map(|instead| Condition::All([instead].into())));
        Requirement::Demands(Demand { conditions: conditions.into(), ignore_amr: ignored.into() })
    }

    /// Whether a route asks anything that this sets aside.
    #[must_use]
    pub fn sets_aside(&self, require: &Requirement) -> bool {
        require.demand().is_some_and(|own| besides_the_sign_in(own).as_ref() != Some(own))
    }

    fn tried(
        &self,
        policy: &Policy,
        way: &Route,
        target: &Target<'_>,
        tokens: Tokens<'_>,
        now: Timestamp,
        refusal: &Denial,
    ) -> Tried {
        let standing = self.standing(now);
        if standing != Standing::InForce {
            return Tried::Not(standing);
        }
        if !self.who.is_named(tokens) {
            return Tried::ForOthers;
        }
        match decide(policy, way, target, Some(tokens), now) {
            Ok(permit) => {
                let excepted = Excepted { name: self.name.clone(), until: self.until, refusal: refusal.clone() };
                Tried::Lets(Permit { grounds: Grounds::Excepted(Box::new(excepted)), ..permit })
            }
            Err(denial) => Tried::Refused(denial),
        }
    }
}

impl Who {
    /// Whether a request's tokens are of somebody who is named here, and of nobody else.
    fn is_named(&self, tokens: Tokens<'_>) -> bool {
        let (main, second) = match tokens {
            Tokens::One(token) => (token, None),
            Tokens::Pair { access, id } => (access, Some(id)),
        };
        let names =
            |list: &[Box<str>], name: Option<&str>| name.is_some_and(|name| list.iter().any(|one| **one == *name));
        let of_client = names(&self.clients, main.client.as_deref());
        if self.subjects.is_empty() {
            // An id_token beside it would be a person's.
            return main.issuer == self.issuer && main.caller == Caller::Client && second.is_none() && of_client;
        }
        let of_person = |token: &Assurance| {
            token.issuer == self.issuer
                && token.caller == Caller::User
                && token.subject == main.subject
                && names(&self.subjects, token.subject.as_deref())
        };
        of_person(main) && second.is_none_or(of_person) && (self.clients.is_empty() || of_client)
    }
}

/// Every route as it is for whoever an exception names, in the order of the exceptions.
pub(in crate::policy) fn ways(exceptions: &[Exception], routes: &[Route]) -> Box<[Way]> {
    let of = |(place, exception): (usize, &Exception)| {
        let ways = exception.routes.iter().filter_map(|on| Some((*on, routes.get(*on)?)));
        let way = |(on, route): (usize, &Route)| {
            let route = Route { require: exception.asks(&route.require), ..route.clone() };
            Way { exception: place, place: on, route }
        };
        ways.map(way).collect::<Vec<_>>()
    };
    exceptions.iter().enumerate().flat_map(of).collect()
}

/// The permit of the first exception that lets in what its route refuses; else the refusal.
pub(in crate::policy) fn except(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Option<Tokens<'_>>,
    now: Timestamp,
    refusal: Denial,
) -> Result<Permit, Denial> {
    if policy.ways.is_empty() {
        return Err(refusal);
    }
    let permit = each(policy, route, target, tokens, now, &refusal).find_map(|(_, tried)| match tried {
        Tried::Lets(permit) => Some(permit),
        Tried::Not(_) | Tried::ForOthers | Tried::Refused(_) => None,
    });
    permit.ok_or(refusal)
}

/// The exceptions from a route.
pub(in crate::policy) fn on<'p>(policy: &'p Policy, route: &Route) -> impl Iterator<Item = &'p Exception> {
    let place = policy.routes.element_offset(route);
    policy.exceptions.iter().filter(move |one| place.is_some_and(|place| one.routes.contains(&place)))
}

/// What comes of each exception from a route, for a request that the route refuses.
pub(in crate::policy) fn each<'p>(
    policy: &'p Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Option<Tokens<'_>>,
    now: Timestamp,
    refusal: &Denial,
) -> impl Iterator<Item = (&'p Exception, Tried)> {
    // Whatever is no route of this policy is no exception's.
    let place = policy.routes.element_offset(route);
    let on = policy.ways.iter().filter(move |way| Some(way.place) == place);
    let tried = move |way: &'p Way| {
        let exception = policy.exceptions.get(way.exception)?;
        Some((exception, exception.tried(policy, &way.route, target, tokens?, now, refusal)))
    };
    on.filter_map(tried)
}

/// What a demand asks that says nothing of how or when a user signed in; `None`: nothing. Of alternatives, one that asks for
/// nothing else is open to whoever meets `instead`, and the others need not be looked at.
fn besides_the_sign_in(demand: &Demand) -> Option<Demand> {
    let mut left = Vec::new();
    for condition in &demand.conditions {
        match condition {
            Condition::Level(_) | Condition::MaxAge(_) => {}
            Condition::Evidence(evidence) if reads_claims(evidence) => left.push(condition.clone()),
            Condition::Evidence(_) => {}
            Condition::All(parts) => {
                let parts: Box<[Demand]> = parts.iter().filter_map(besides_the_sign_in).collect();
                left.extend((!parts.is_empty()).then_some(Condition::All(parts)));
            }
            Condition::Any(parts) => {
                let parts: Option<Box<[Demand]>> = parts.iter().map(besides_the_sign_in).collect();
                left.extend(parts.map(Condition::Any));
            }
            Condition::Issuers(_)
            | Condition::Audience(_)
            | Condition::Caller(_)
            | Condition::Clients(_)
            | Condition::Scopes { .. }
            | Condition::Bind { .. } => left.push(condition.clone()),
        }
    }
    (!left.is_empty()).then(|| Demand { conditions: left.into(), ignore_amr: demand.ignore_amr.clone() })
}

/// Whether any part of it is about other claims than those of the sign-in: then none of it is set aside.
fn reads_claims(evidence: &Expression) -> bool {
    let mut reads = false;
    evidence.walk(&mut |part| reads |= matches!(part, Expression::Claim(..) | Expression::Present(_)));
    reads
}

#[cfg(test)]
mod tests;
