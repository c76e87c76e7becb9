//! What is asked of a request, as a tree with a mark at each branch: it holds, fails, or is unknown.
//!
//! Never a second decision: each leaf asks the checks that [`decide`](crate::policy::decide) asks, and what holds here as a
//! whole is what it lets through.

use crate::assurance::expression::Ignored;
use crate::assurance::{Expression, Fact, Proof, Rung, Rungs, Source, Truth};
use crate::policy::Policy;
use crate::policy::evaluate::telling::{asked, expression};
use crate::policy::evaluate::{Case, Place, Tokens};
use crate::policy::pattern::Target;
use crate::policy::requirement::{Condition, Demand, Requirement};
use crate::policy::route::Route;
use crate::reason::Reason;
use crate::token::{Timestamp, TokenKind};

/// All that one token's evidence comes to on a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Reckoned {
    /// The token whose evidence it is. Of two, each is tried for all that is asked.
    pub witness: TokenKind,
    /// The `amr` values that the route and its floors have count for nothing.
    pub ignored: Vec<Box<str>>,
    /// The rungs reached, one of each ladder at the most.
    pub reached: Rungs,
    /// The next rung of each ladder.
    pub missed: Vec<Missed>,
    /// What is asked: by the route first, then by each floor.
    pub asks: Vec<Asking>,
}

/// What a route or floor asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// The floor's name; `None`: the route itself asks.
    pub floor: Option<Box<str>>,
    /// All of these must hold.
    pub parts: Vec<Branch>,
}

/// A branch of what is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// What is asked, in words.
    pub what: String,
    /// Whether it holds. Only what certainly holds lets a request through.
    pub holds: Truth,
    /// Why a condition does not hold.
    pub because: Option<(Reason, String)>,
    /// What it is made of, where it is made of anything.
    pub parts: Vec<Branch>,
}

/// A rung that was not reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// The rung.
    pub rung: Rung,
    /// What would prove it, weakest first. Empty: nothing that this issuer says does.
    pub proofs: Vec<Branch>,
    /// What the proof lacks that came nearest.
    pub lacks: Vec<String>,
}

impl Asking {
    /// Whether it holds as a whole.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.parts.iter().all(|part| part.holds.holds())
    }
}

/// Reckons up what each token of a request comes to. The arguments are those of [`decide`](crate::policy::decide).
#[must_use]
pub fn reckon(
    policy: &Policy,
    route: &Route,
    target: &Target<'_>,
    tokens: Tokens<'_>,
    now: Timestamp,
) -> Vec<Reckoned> {
    let (main, second) = match tokens {
        Tokens::One(token) => (token, None),
        Tokens::Pair { access, id } => (access, Some(id)),
    };
    let Some(issuer) = policy.issuer(main.issuer) else { return Vec::new() };
    if second.is_some_and(|second| second.issuer != main.issuer) {
        return Vec::new();
    }
    let witnesses = [Some(main), second].into_iter().flatten();
    witnesses.map(|witness| Case { policy, route, target, issuer, main, witness, now }.reckoned()).collect()
}

/// What is asked of a request that brings no token to judge: every part of it is unknown.
#[must_use]
pub fn outline(policy: &Policy, route: &Route, target: &Target<'_>) -> Vec<Asking> {
    let valid = || vec![Branch::leaf("any valid token".into(), Truth::Unknown)];
    let own = match &route.require {
        Requirement::Public => return Vec::new(),
        Requirement::Authenticated => valid(),
        Requirement::Demands(demand) => outlined(policy, demand),
    };
    let floors = policy.floors_under(route, target).map(|floor| Asking {
        floor: Some(floor.name.clone()),
        parts: floor.demand.as_ref().map_or_else(valid, |demand| outlined(policy, demand)),
    });
    std::iter::once(Asking { floor: None, parts: own }).chain(floors).collect()
}

/// What a demand asks, part by part, before anybody is judged by it: every mark is unknown. What a token comes to
/// ([`reckon`]) has the same branches in the same places, and more below those that evidence decides.
#[must_use]
pub fn outlined(policy: &Policy, demand: &Demand) -> Vec<Branch> {
    let group = |(demand, number): (&Demand, usize)| match <[Branch; 1]>::try_from(outlined(policy, demand)) {
        Ok([only]) => only,
        Err(parts) => Branch { parts, ..Branch::leaf(format!("part {number}"), Truth::Unknown) },
    };
    let branch = |condition: &Condition| {
        let leaf = Branch::leaf(asked(policy, condition), Truth::Unknown);
        if let Condition::All(parts) | Condition::Any(parts) = condition {
            return Branch { parts: parts.iter().zip(1..).map(group).collect(), ..leaf };
        }
        leaf
    };
    demand.conditions.iter().map(branch).collect()
}

impl Case<'_> {
    fn reckoned(&self) -> Reckoned {
        let valid = || vec![Branch::leaf("any valid token".into(), Truth::True)];
        let own = match &self.route.require {
            Requirement::Public => Vec::new(),
            Requirement::Authenticated => valid(),
            Requirement::Demands(demand) => self.demand_branches(demand, self.place(&self.route.matches)),
        };
        let floors = self.policy.floors_under(self.route, self.target).map(|floor| Asking {
            floor: Some(floor.name.clone()),
            parts: floor
                .demand
                .as_ref()
                .map_or_else(valid, |demand| self.demand_branches(demand, self.place(&floor.matches))),
        });
        let asks = std::iter::once(Asking { floor: None, parts: own }).chain(floors).collect();
        let (ignored, reached) = (self.ignored(), self.levels());
        let missed = self.missed(&ignored, &reached);
        Reckoned { witness: self.witness.kind, ignored, reached, missed, asks }
    }

    fn place<'p>(&self, pattern: &'p crate::policy::pattern::Match) -> Place<'p> {
        Place { pattern, ignored: None }
    }

    fn demand_branches(&self, demand: &Demand, place: Place<'_>) -> Vec<Branch> {
        let ignored = Ignored { values: &demand.ignore_amr, outer: place.ignored };
        let within = Place { ignored: Some(&ignored), ..place };
        demand.conditions.iter().map(|condition| self.branch(condition, within)).collect()
    }

    fn branch(&self, condition: &Condition, place: Place<'_>) -> Branch {
        let what = asked(self.policy, condition);
        let groups = |parts: &[Demand]| -> Vec<Branch> {
            let branch = |(demand, number): (&Demand, usize)| {
                let parts = self.demand_branches(demand, place);
                let holds = Truth::all(parts.iter().map(|part| part.holds));
                match <[Branch; 1]>::try_from(parts) {
                    Ok([only]) => only,
                    Err(parts) => Branch { what: format!("part {number}"), holds, because: None, parts },
                }
            };
            parts.iter().zip(1..).map(branch).collect()
        };
        if let Condition::All(parts) = condition {
            let parts = groups(parts);
            let holds = Truth::all(parts.iter().map(|part| part.holds));
            return Branch { what, holds, because: None, parts };
        }
        if let Condition::Any(parts) = condition {
            let parts = groups(parts);
            let holds = Truth::any(parts.iter().map(|part| part.holds));
            return Branch { what, holds, because: None, parts };
        }
        let because = self.check(condition, place).map(|reason| (reason, self.why(condition, reason)));
        let parts = if let Condition::Level(rung) = condition {
            self.issuer.proofs_of(*rung).map(|proof| self.proof(proof, place)).collect()
        } else if let Condition::Evidence(expression) = condition {
            self.parts_of(expression, place)
        } else {
            Vec::new()
        };
        let holds = if because.is_none() { Truth::True } else { self.not_held(condition, place, &parts) };
        Branch { what, holds, because, parts }
    }

    /// Whether what does not hold fails for certain.
    fn not_held(&self, condition: &Condition, place: Place<'_>, proofs: &[Branch]) -> Truth {
        let open = match condition {
            Condition::Level(_) => self.is_user() && proofs.iter().any(|proof| proof.holds == Truth::Unknown),
            Condition::Evidence(expression) => expression.evaluate(&self.view(place)) == Truth::Unknown,
            Condition::MaxAge(_) => self.is_user() && self.witness.evidence.auth_time.known().is_none(),
            Condition::Bind { claim, .. } => self.main.claims.get(*claim).is_none(),
            Condition::Issuers(_)
            | Condition::Audience(_)
            | Condition::Caller(_)
            | Condition::Clients(_)
            | Condition::Scopes { .. }
            | Condition::All(_)
            | Condition::Any(_) => false,
        };
        if open { Truth::Unknown } else { Truth::False }
    }

    fn proof(&self, proof: &Proof, place: Place<'_>) -> Branch {
        let name = self.policy.ladders().name(proof.rung);
        let branch = self.expression_branch(&proof.evidence, place);
        Branch { what: format!("{name} is proved by {}", branch.what), ..branch }
    }

    fn expression_branch(&self, evidence: &Expression, place: Place<'_>) -> Branch {
        let parts = self.parts_of(evidence, place);
        let what = if matches!(evidence, Expression::All(_)) {
            "all of these".to_owned()
        } else if matches!(evidence, Expression::Any(_)) {
            "any of these".to_owned()
        } else {
            expression(self.policy, evidence)
        };
        Branch { what, holds: evidence.evaluate(&self.view(place)), because: None, parts }
    }

    fn parts_of(&self, evidence: &Expression, place: Place<'_>) -> Vec<Branch> {
        if let Expression::All(parts) | Expression::Any(parts) = evidence {
            return parts.iter().map(|part| self.expression_branch(part, place)).collect();
        }
        Vec::new()
    }

    /// The rung of each ladder that comes after the one reached, and what lacks for it.
    fn missed(&self, ignored: &[Box<str>], reached: &Rungs) -> Vec<Missed> {
        let ignored = Ignored { values: ignored, outer: None };
        let place = Place { ignored: Some(&ignored), ..self.place(&self.route.matches) };
        let ladders = self.policy.ladders();
        let next = |ladder: usize| {
            let above =
                reached.iter().find(|rung| rung.ladder() == ladder).map_or(0, |rung| rung.rank().saturating_add(1));
            ladders.rungs().find(|rung| rung.ladder() == ladder && rung.rank() == above)
        };
        let missed = |rung: Rung| {
            let proofs: Vec<&Proof> = self.issuer.proofs_of(rung).collect();
            let lacks = proofs.iter().map(|proof| self.lacks(&proof.evidence, place));
            let lacks = if self.is_user() {
                lacks.min_by_key(Vec::len).unwrap_or_default()
            } else {
                vec!["a user, for a client that acts for itself has no level".to_owned()]
            };
            Missed { rung, proofs: proofs.iter().map(|proof| self.proof(proof, place)).collect(), lacks }
        };
        (0..ladders.all().len()).filter_map(next).map(missed).collect()
    }

    /// The least that keeps an expression from holding.
    fn lacks(&self, evidence: &Expression, place: Place<'_>) -> Vec<String> {
        if evidence.evaluate(&self.view(place)).holds() {
            return Vec::new();
        }
        if let Expression::All(parts) = evidence {
            return parts.iter().flat_map(|part| self.lacks(part, place)).collect();
        }
        if let Expression::Any(parts) = evidence {
            return parts.iter().map(|part| self.lacks(part, place)).min_by_key(Vec::len).unwrap_or_default();
        }
        let read = evidence.source().and_then(|source| match source {
            Source::Acr => state(&self.witness.evidence.acr),
            Source::Amr => state(&self.witness.evidence.amr),
        });
        let read = read.map(|state| format!(" ({state})")).unwrap_or_default();
        vec![format!("{}{read}", expression(self.policy, evidence))]
    }
}

impl Branch {
    fn leaf(what: String, holds: Truth) -> Self {
        Self { what, holds, because: None, parts: Vec::new() }
    }
}

fn state<T>(fact: &Fact<T>) -> Option<&'static str> {
    match fact {
        Fact::Known(_) => None,
        Fact::Absent => Some("absent"),
        Fact::Malformed => Some("malformed"),
    }
}
