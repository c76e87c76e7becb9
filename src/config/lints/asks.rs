//! What a requirement asks of the sign-in, as far as it can be compared: which of two certainly asks less.

use std::fmt::Write as _;

use crate::assurance::{Ladders, Rung};
use crate::policy::{Condition, Demand, Floor, Policy, Requirement, Route, WantedCaller};

/// What is asked. The rungs and the age are asked of everybody; there may be more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asks {
    /// A token at all.
    token: bool,
    /// One rung of each ladder at the most.
    rungs: Vec<Rung>,
    /// A sign-in at most so many seconds ago.
    max_age: Option<u32>,
    /// Something else than a token is asked for, whatever it is.
    more: bool,
    /// Nothing more is asked of the sign-in than the above.
    whole: bool,
    /// Only some issuers or clients may call, so that it can't be said to be open to more.
    narrow: bool,
}

impl Asks {
    /// A valid token, and nothing else.
    const TOKEN: Self = Self { token: true, rungs: Vec::new(), max_age: None, more: false, whole: true, narrow: false };

    /// What a requirement asks.
    pub(super) fn of(requirement: &Requirement) -> Self {
        match requirement {
            Requirement::Public => Self { token: false, ..Self::TOKEN },
            Requirement::Authenticated => Self::TOKEN,
            Requirement::Demands(demand) => Self::of_demand(demand),
        }
    }

    fn of_demand(demand: &Demand) -> Self {
        let mut asks = Self { whole: demand.ignore_amr.is_empty(), ..Self::TOKEN };
        for condition in &demand.conditions {
            match condition {
                Condition::Level(rung) => asks.reach(*rung),
                Condition::MaxAge(seconds) => asks.be_younger(*seconds),
                Condition::Evidence(_) => (asks.whole, asks.more) = (false, true),
                // Where all issuers are named, nothing is asked.
                Condition::Issuers(_) => asks.narrow = true,
                Condition::Clients(_) | Condition::Caller(WantedCaller::Client) => {
                    (asks.narrow, asks.more) = (true, true);
                }
                Condition::Caller(WantedCaller::User)
                | Condition::Audience(_)
                | Condition::Scopes { .. }
                | Condition::Bind { .. } => asks.more = true,
                Condition::All(parts) => {
                    parts.iter().for_each(|part| asks.and(&Self::of_demand(part)));
                }
                Condition::Any(parts) => {
                    let least = parts.iter().map(Self::of_demand).reduce(|one, other| one.or(&other));
                    least.iter().for_each(|least| asks.and(least));
                }
            }
        }
        asks
    }

    fn reach(&mut self, rung: Rung) {
        self.more = true;
        match self.rungs.iter_mut().find(|known| known.ladder() == rung.ladder()) {
            Some(known) if rung.reaches(*known) => *known = rung,
            Some(_) => {}
            None => self.rungs.push(rung),
        }
    }

    fn be_younger(&mut self, seconds: u32) {
        self.more = true;
        self.max_age = Some(self.max_age.map_or(seconds, |known| known.min(seconds)));
    }

    /// This and another.
    pub(super) fn and(&mut self, other: &Self) {
        self.token |= other.token;
        other.rungs.iter().for_each(|rung| self.reach(*rung));
        other.max_age.iter().for_each(|seconds| self.be_younger(*seconds));
        self.more |= other.more;
        self.whole &= other.whole;
        self.narrow |= other.narrow;
    }

    /// What this and another both ask; whoever meets one of them meets it.
    fn or(&self, other: &Self) -> Self {
        let both = |mine: &Rung| {
            let theirs = other.rungs.iter().find(|theirs| theirs.ladder() == mine.ladder())?;
            Some(if mine.reaches(*theirs) { *theirs } else { *mine })
        };
        Self {
            token: self.token && other.token,
            rungs: self.rungs.iter().filter_map(both).collect(),
            max_age: self.max_age.zip(other.max_age).map(|(mine, theirs)| mine.max(theirs)),
            more: self.more && other.more,
            whole: false,
            narrow: self.narrow || other.narrow,
        }
    }

    /// Whether a token is asked for.
    pub(super) fn token(&self) -> bool {
        self.token
    }

    /// Whether a level or an age is asked for.
    pub(super) fn asks_of_the_sign_in(&self) -> bool {
        !self.rungs.is_empty() || self.max_age.is_some()
    }

    /// Whether this certainly asks less of the sign-in than the other, and more in nothing.
    pub(super) fn is_weaker_than(&self, other: &Self) -> bool {
        if !self.token {
            return other.token;
        }
        if !self.whole || self.narrow || !other.token {
            return false;
        }
        if !self.more {
            return other.more;
        }
        let met = |mine: &Rung| other.rungs.iter().any(|theirs| theirs.reaches(*mine));
        let as_young = self.max_age.is_none_or(|mine| other.max_age.is_some_and(|theirs| theirs <= mine));
        let more = other.rungs.iter().any(|theirs| !self.rungs.iter().any(|mine| mine.reaches(*theirs)));
        let younger = other.max_age.is_some_and(|theirs| self.max_age.is_none_or(|mine| theirs < mine));
        self.rungs.iter().all(met) && as_young && (more || younger)
    }

    /// Whether whoever meets this certainly meets all that the other asks of the sign-in.
    pub(super) fn is_as_strong_as(&self, other: &Self) -> bool {
        let met = |theirs: &Rung| self.rungs.iter().any(|mine| mine.reaches(*theirs));
        let as_young = other.max_age.is_none_or(|theirs| self.max_age.is_some_and(|mine| mine <= theirs));
        other.whole && other.rungs.iter().all(met) && as_young
    }

    /// What is asked, in words.
    pub(super) fn words(&self, ladders: &Ladders) -> String {
        if !self.token {
            return "asks for nothing".to_owned();
        }
        let mut words = String::from("asks for ");
        let names: Vec<String> = self.rungs.iter().map(|rung| format!("`{}`", ladders.name(*rung))).collect();
        words.push_str(&names.join(" and "));
        if let Some(seconds) = self.max_age {
            let joint = if names.is_empty() { "a sign-in" } else { "," };
            // Writing to a string never fails.
            let _ = write!(words, "{joint} at most {seconds} s old");
        } else if names.is_empty() {
            words.push_str("a valid token");
        }
        words
    }
}

/// What each floor asks, in their order.
pub(super) fn of_floors(policy: &Policy) -> Vec<Asks> {
    let asks = |floor: &Floor| floor.demand.as_ref().map_or(Asks::TOKEN, Asks::of_demand);
    policy.floors().iter().map(asks).collect()
}

/// What each route asks, in their order: by itself, and at the most, with every floor that some of its requests stand on.
pub(super) fn of_routes(policy: &Policy, floors: &[Asks]) -> Vec<(Asks, Asks)> {
    let both = |route: &Route| {
        let own = Asks::of(&route.require);
        let mut most = own.clone();
        route.floors.iter().filter_map(|place| floors.get(*place)).for_each(|floor| most.and(floor));
        (own, most)
    };
    policy.routes().iter().map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assurance::Expression;

    fn demand(conditions: Vec<Condition>) -> Demand {
        Demand { conditions: conditions.into(), ignore_amr: Box::default() }
    }

    fn asks(conditions: Vec<Condition>) -> Asks {
        Asks::of(&Requirement::Demands(demand(conditions)))
    }

    #[test]
    fn only_what_certainly_asks_less_is_weaker() {
        let ladders = Ladders::default();
        let level = |name: &str| Condition::Level(ladders.rung(name).unwrap());
        let (single, multi) = (|| level("single-factor"), || level("multi-factor"));
        let age = Condition::MaxAge;
        let scopes = || Condition::Scopes { all: ["a".into()].into(), any: Box::default() };
        let (public, any_token) = (Asks::of(&Requirement::Public), Asks::of(&Requirement::Authenticated));
        let weaker = [
            (public.clone(), any_token.clone()),
            (public.clone(), asks(vec![scopes()])),
            (any_token.clone(), asks(vec![single()])),
            (any_token.clone(), asks(vec![scopes()])),
            (any_token.clone(), asks(vec![age(60)])),
            (asks(vec![scopes()]), asks(vec![single()])),
            (asks(vec![single()]), asks(vec![multi()])),
            (asks(vec![single(), age(60)]), asks(vec![multi(), age(60)])),
            (asks(vec![multi(), age(61)]), asks(vec![multi(), age(60)])),
            (asks(vec![single()]), asks(vec![Condition::All([demand(vec![multi()])].into())])),
            (
                asks(vec![single()]),
                asks(vec![Condition::Any([demand(vec![multi()]), demand(vec![multi(), age(9)])].into())]),
            ),
            (asks(vec![single()]), asks(vec![multi(), Condition::Evidence(Expression::Hardware)])),
        ];
        for (less, more) in weaker {
            assert!(less.is_weaker_than(&more), "{less:?} {more:?}");
            assert!(!more.is_weaker_than(&less), "{less:?} {more:?}");
        }
        let open = [
            (any_token, asks(vec![Condition::Issuers([crate::assurance::IssuerId(0)].into())])),
            (asks(vec![single(), age(60)]), asks(vec![multi()])),
            (asks(vec![Condition::Evidence(Expression::Hardware)]), asks(vec![multi()])),
            (asks(vec![single(), Condition::Clients(["c".into()].into())]), asks(vec![multi()])),
            (asks(vec![single()]), asks(vec![Condition::Any([demand(vec![multi()]), demand(vec![scopes()])].into())])),
            (asks(vec![multi()]), asks(vec![multi()])),
            (public.clone(), public),
        ];
        for (one, other) in open {
            assert!(!one.is_weaker_than(&other), "{one:?} {other:?}");
        }
        let ignoring = Demand { ignore_amr: ["sms".into()].into(), ..demand(vec![single()]) };
        assert!(!Asks::of(&Requirement::Demands(ignoring)).is_weaker_than(&asks(vec![multi()])));
    }

    #[test]
    fn what_is_asked_can_be_said() {
        let ladders = Ladders::default();
        let level = || Condition::Level(ladders.rung("multi-factor").unwrap());
        for (asks, words) in [
            (Asks::of(&Requirement::Public), "asks for nothing"),
            (Asks::of(&Requirement::Authenticated), "asks for a valid token"),
            (asks(vec![level()]), "asks for `multi-factor`"),
            (asks(vec![level(), Condition::MaxAge(60)]), "asks for `multi-factor`, at most 60 s old"),
            (asks(vec![Condition::MaxAge(60)]), "asks for a sign-in at most 60 s old"),
        ] {
            assert_eq!(asks.words(&ladders), words);
        }
    }
}
