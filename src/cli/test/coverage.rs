//! Which parts of a policy the cases of its tests reach, and which none does.
//!
//! Of each condition there should be a case in which it holds and one in which it does not: with the first alone the tests
//! would pass without it, with the second alone nobody may ever get in.

use std::collections::BTreeMap;

use crate::assurance::{IssuerId, Rung, Source};
use crate::cli::test::case::Outcome;
use crate::cli::test::judge::Decision;
use crate::policy::{self, Branch, Condition, Demand, Policy, Requirement, Route};
use crate::reason::Reason;

/// What the cases of one policy reach of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// The policy's folder.
    pub(super) folder: String,
    routes: Count,
    floors: Count,
    parts: Count,
    rungs: Count,
    reasons: Count,
    /// What no case reaches, in the policy's order.
    pub(super) gaps: Vec<Gap>,
}

/// How many of something are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// So many are.
    pub(super) reached: usize,
    /// Of so many.
    pub(super) all: usize,
}

/// Something that no case reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Where: a route, a floor, an issuer, the policy.
    pub(super) at: String,
    /// What there is no case of.
    pub(super) lacks: String,
}

impl Coverage {
    /// What the cases reach of this policy.
    pub(super) fn of(folder: String, policy: &Policy, outcomes: &[Outcome]) -> Self {
        let mut coverage = Self { folder, ..Self::default() };
        for (place, route) in policy.routes().iter().enumerate() {
            coverage.route(policy, route, &outcomes.iter().filter(|one| one.judged.seen.route == Some(place)));
        }
        for floor in policy.floors() {
            let touching = outcomes.iter().filter(|one| one.judged.seen.floors.contains(&floor.name));
            let at = format!("floor `{}`", floor.name);
            let touched = touching.clone().next().is_some();
            coverage.floors.add(touched);
            match &floor.demand {
                Some(demand) => coverage.parts(policy, demand, Some(&floor.name), &at, &touching),
                None if touched => {}
                None => coverage.lack(&at, "no case reaches it"),
            }
        }
        coverage.rungs(policy, outcomes);
        coverage.reasons(policy, outcomes);
        coverage
    }

    /// Each count with its name.
    pub(super) fn counts(&self) -> [(&'static str, Count); 5] {
        [
            ("routes", self.routes),
            ("floors", self.floors),
            ("parts", self.parts),
            ("rungs", self.rungs),
            ("reasons", self.reasons),
        ]
    }

    fn lack(&mut self, at: &str, lacks: impl Into<String>) {
        self.gaps.push(Gap { at: at.to_owned(), lacks: lacks.into() });
    }

    fn route<'o>(&mut self, policy: &Policy, route: &Route, cases: &(impl Iterator<Item = &'o Outcome> + Clone)) {
        let at = format!("route `{}`", route.name);
        let decided = || cases.clone().map(|one| one.judged.decision);
        self.routes.add(decided().next().is_some());
        if let Requirement::Demands(demand) = &route.require {
            self.parts(policy, demand, None, &at, cases);
        } else if decided().next().is_none() {
            self.lack(&at, "no case reaches it");
        }
        if decided().next().is_none() || route.require == Requirement::Public {
            return;
        }
        if !decided().any(|decision| decision == Decision::Allow) {
            self.lack(&at, "no case is let in");
        }
        if decided().all(|decision| decision == Decision::Allow) {
            self.lack(&at, "no case is refused");
        }
    }

    /// The parts of what a route or floor asks.
    fn parts<'o>(
        &mut self,
        policy: &Policy,
        demand: &Demand,
        floor: Option<&str>,
        at: &str,
        cases: &(impl Iterator<Item = &'o Outcome> + Clone),
    ) {
        let mut parts: Vec<Part> = policy::outlined(policy, demand).iter().map(Part::of).collect();
        let reckoned = cases.clone().filter_map(|one| one.judged.seen.reckoned.as_ref()).flat_map(|(_, all)| all);
        let mut judged = false;
        for asking in reckoned.flat_map(|one| &one.asks).filter(|asking| asking.floor.as_deref() == floor) {
            judged = true;
            Part::mark_all(&mut parts, &asking.parts);
        }
        let mut gaps = Vec::new();
        for part in &parts {
            part.count(&mut self.parts, &mut gaps);
        }
        match (cases.clone().next(), judged) {
            (None, _) => self.lack(at, "no case reaches it"),
            (Some(_), false) => self.lack(at, "no case brings it a token that is believed"),
            (Some(_), true) => gaps.into_iter().for_each(|gap| self.lack(at, gap)),
        }
    }

    /// The rungs that somebody asks for, at each issuer that can prove them: there should be a token that stands on each, and not
    /// only on one above.
    fn rungs(&mut self, policy: &Policy, outcomes: &[Outcome]) {
        let asked = rungs_asked_for(policy);
        let stands = |issuer: IssuerId, rung: Rung| {
            let seen = outcomes.iter().filter_map(|one| one.judged.seen.reckoned.as_ref());
            let mut of_issuer = seen.filter(|(id, _)| *id == issuer).flat_map(|(_, reckoned)| reckoned);
            of_issuer.any(|reckoned| reckoned.reached.contains(&rung))
        };
        for issuer in policy.issuers() {
            for rung in asked.iter().filter(|rung| issuer.proofs_of(**rung).next().is_some()) {
                let reached = stands(issuer.id, *rung);
                self.rungs.add(reached);
                if !reached {
                    let name = policy.ladders().name(*rung);
                    self.lack(&format!("issuer `{}`", issuer.name), format!("no token stands on {name}"));
                }
            }
        }
    }

    fn reasons(&mut self, policy: &Policy, outcomes: &[Outcome]) {
        for (reason, asked_by) in reasons_of(policy) {
            let given = outcomes.iter().any(|one| one.judged.decision.reason() == Some(reason));
            self.reasons.add(given);
            if !given {
                self.lack(&asked_by, format!("no case is refused for {reason}"));
            }
        }
    }
}

impl Count {
    fn add(&mut self, reached: bool) {
        self.all = self.all.saturating_add(1);
        self.reached = self.reached.saturating_add(usize::from(reached));
    }
}

/// A part of what is asked: a condition, or several of which all or any must hold.
#[derive(Clone, Debug)]
struct Part {
    what: String,
    /// In some case it holds.
    held: bool,
    /// In some case it does not.
    missed: bool,
    parts: Vec<Part>,
}

impl Part {
    fn of(branch: &Branch) -> Self {
        let parts: Vec<Self> = branch.parts.iter().map(Self::of).collect();
        let what = if parts.is_empty() {
            branch.what.clone()
        } else {
            let whole: Vec<&str> = parts.iter().map(|part| &*part.what).collect();
            format!("{} ({})", branch.what, whole.join("; "))
        };
        Self { what, held: false, missed: false, parts }
    }

    fn mark_all(parts: &mut [Self], branches: &[Branch]) {
        for (part, branch) in parts.iter_mut().zip(branches) {
            let holds = branch.holds.holds();
            part.held |= holds;
            part.missed |= !holds;
            Self::mark_all(&mut part.parts, &branch.parts);
        }
    }

    /// Counts it and its parts. What no case meets as a whole is said once, and not of each part again.
    fn count(&self, count: &mut Count, gaps: &mut Vec<String>) {
        count.add(self.held && self.missed);
        if !self.held {
            gaps.push(format!("no case meets {}", self.what));
        } else if !self.missed {
            gaps.push(format!("no case misses {}", self.what));
        }
        let mut below = Vec::new();
        self.parts.iter().for_each(|part| part.count(count, &mut below));
        if self.held && self.missed {
            gaps.append(&mut below);
        }
    }
}

fn demands(policy: &Policy) -> impl Iterator<Item = (String, &Demand)> {
    let routes = policy.routes().iter();
    let own = routes.filter_map(|route| Some((format!("route `{}`", route.name), route.require.demand()?)));
    let floors = policy.floors().iter();
    own.chain(floors.filter_map(|floor| Some((format!("floor `{}`", floor.name), floor.demand.as_ref()?))))
}

fn rungs_asked_for(policy: &Policy) -> Vec<Rung> {
    let named: Vec<Rung> = demands(policy).flat_map(|(_, demand)| demand.rungs()).collect();
    policy.ladders().rungs().filter(|rung| named.contains(rung)).collect()
}

/// The reasons that what is asked can lead to, each with the first that asks it.
fn reasons_of(policy: &Policy) -> BTreeMap<Reason, String> {
    let mut found = BTreeMap::from([(Reason::RouteNone, "the policy".to_owned())]);
    let guarded = policy.routes().iter().find(|route| route.require != Requirement::Public);
    if let Some(route) = guarded {
        found.insert(Reason::TokenMissing, format!("route `{}`", route.name));
    }
    for (at, demand) in demands(policy) {
        demand.walk(&mut |condition| {
            for reason in reasons_for(policy, condition) {
                found.entry(reason).or_insert_with(|| at.clone());
            }
        });
    }
    found
}

fn reasons_for(policy: &Policy, condition: &Condition) -> Vec<Reason> {
    let of_source = |source, acr, amr| match source {
        Source::Acr => acr,
        Source::Amr => amr,
    };
    match condition {
        Condition::Issuers(wanted) if wanted.len() < policy.issuers().len() => vec![Reason::IssuerRefused],
        Condition::Issuers(_) | Condition::All(_) | Condition::Any(_) => Vec::new(),
        Condition::Audience(_) => vec![Reason::AudienceWrong],
        Condition::Caller(_) | Condition::Clients(_) => vec![Reason::CallerWrong],
        Condition::Level(rung) => {
            // What is missing is named by the first claim that the proofs of the rung, or of one above, consult.
            let proofs = policy
                .issuers()
                .iter()
                .flat_map(|issuer| issuer.proofs.iter())
                .filter(|proof| proof.rung.reaches(*rung));
            let first = proofs.filter_map(|proof| proof.evidence.consults().first().copied());
            let missing = first.map(|source| of_source(source, Reason::AcrMissing, Reason::AmrMissing));
            missing.chain([Reason::LevelTooLow]).collect()
        }
        Condition::Evidence(expression) => {
            let consulted = expression.consults();
            let claims = consulted.is_empty().then_some(Reason::ClaimMismatch);
            let short = |source| of_source(source, Reason::AcrInsufficient, Reason::AmrInsufficient);
            consulted.into_iter().map(short).chain(claims).collect()
        }
        Condition::MaxAge(_) => vec![Reason::AuthTimeMissing, Reason::AuthTooOld],
        Condition::Scopes { .. } => vec![Reason::ScopeMissing],
        Condition::Bind { .. } => vec![Reason::ClaimMismatch],
    }
}
