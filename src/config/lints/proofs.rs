//! Lints of an operator's own proofs, tried on small models of sign-ins (`catalogue::models`): a rung that no sign-in has,
//! two that every sign-in has together, and one whose evidence is certainly less than a weaker one asks.

use crate::assurance::evidence::Fact;
use crate::assurance::{ClaimSlot, Evidence, Expression, Issuer, Rung, Truth, View};
use crate::config::catalogue::models::Models;
use crate::config::lints::look::{Places, pairs};
use crate::config::problem::{Problem, Report};
use crate::config::source::Span;
use crate::policy::Policy;

/// How many sign-ins are tried, of all issuers together. Of an issuer that would need more than are left nothing is said.
const MODELS: usize = 30_000;

/// Tries the proofs that the policy wrote itself.
pub(super) fn check(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    let mut left = MODELS;
    for issuer in policy.issuers() {
        let entry = places.issuer(&issuer.name);
        let proves = entry.and_then(|entry| entry.member("proves"));
        // What a shipped profile says alone, the catalogue has tried.
        let own: Vec<(&str, Span)> = pairs(proves).iter().map(|(key, _)| (&*key.text, key.span)).collect();
        let is_own = |span: &Span| places.own.contains(&span.file);
        if !own.iter().any(|(_, span)| is_own(span)) || issuer.proofs.iter().any(|proof| is_tangled(&proof.evidence)) {
            continue;
        }
        let models = Models::wide(issuer, policy.claims());
        let Some(after) = left.checked_sub(models.count()) else { continue };
        left = after;
        let span = |rung: Rung| {
            let name = policy.ladders().name(rung);
            own.iter().find(|(known, span)| *known == name && is_own(span)).map(|(_, span)| *span)
        };
        let tried = Tried::of(issuer, policy, &models);
        tried.report(policy, &span, out);
    }
}

/// Whether a proof looks at one claim in two ways: the models give a claim one value at a time.
fn is_tangled(evidence: &Expression) -> bool {
    let mut slots: Vec<ClaimSlot> = Vec::new();
    let mut tangled = false;
    evidence.walk(&mut |part| {
        if let Expression::Claim(slot, _) | Expression::Present(slot) = part {
            tangled |= slots.contains(slot);
            slots.push(*slot);
        }
    });
    tangled
}

/// What the models have shown.
struct Tried {
    /// The rungs that have a proof, ladder by ladder, weakest first.
    rungs: Vec<Rung>,
    /// Of each: some sign-in holds it.
    holds: Vec<bool>,
    /// Of each: it is the level of some sign-in.
    is_level: Vec<bool>,
    /// Pairs of places: some sign-in holds the first and not the second.
    apart: Vec<(usize, usize)>,
    /// Pairs of places, a stronger and a weaker rung: some sign-in proves the stronger by methods that are certainly too
    /// little for the weaker; with such methods.
    less: Vec<(usize, usize, String)>,
}

impl Tried {
    fn of(issuer: &Issuer, policy: &Policy, models: &Models<'_>) -> Self {
        let mut rungs: Vec<Rung> = issuer.proofs.iter().map(|proof| proof.rung).collect();
        rungs.dedup();
        let none = vec![false; rungs.len()];
        let mut tried = Self { rungs, holds: none.clone(), is_level: none, apart: Vec::new(), less: Vec::new() };
        for claims in models.each(None) {
            let mut evidence = issuer.evidence(&claims, true);
            let facts = policy.claims().pick(&claims);
            let view = View { evidence: &evidence, claims: &facts, ignored: None };
            let holding = tried.each(issuer, |proof| proof.evaluate(&view).holds());
            tried.note(&holding);
            evidence.acr = Fact::Absent;
            tried.note_less(issuer, &evidence, policy);
        }
        tried
    }

    /// Of each rung whether one of its proofs is so.
    fn each(&self, issuer: &Issuer, is: impl Fn(&Expression) -> bool) -> Vec<bool> {
        let of = |rung: &Rung| issuer.proofs.iter().any(|proof| proof.rung == *rung && is(&proof.evidence));
        self.rungs.iter().map(of).collect()
    }

    fn note(&mut self, holding: &[bool]) {
        let rungs: Vec<(usize, Rung, bool)> =
            self.rungs.iter().zip(holding).enumerate().map(|(place, (rung, holds))| (place, *rung, *holds)).collect();
        for (place, rung, _) in rungs.iter().filter(|(.., holds)| *holds) {
            let same_ladder = || rungs.iter().filter(|(_, other, _)| other.ladder() == rung.ladder());
            let stronger = same_ladder().any(|(_, other, holds)| *holds && other.rank() > rung.rank());
            if let Some(holds) = self.holds.get_mut(*place) {
                *holds = true;
            }
            if let Some(is_level) = self.is_level.get_mut(*place) {
                *is_level |= !stronger;
            }
            for (other, ..) in same_ladder().filter(|(.., holds)| !holds) {
                if !self.apart.contains(&(*place, *other)) {
                    self.apart.push((*place, *other));
                }
            }
        }
    }

    /// Of a sign-in of which only `amr` is known: rungs that it proves, beside weaker ones for which its methods, whatever
    /// else is true of it, are too little. What is a matter of names (`acr`, claims, an `amr` value that is asked for) is
    /// the issuer's to order, and counts as unknown.
    fn note_less(&mut self, issuer: &Issuer, evidence: &Evidence, policy: &Policy) {
        let Fact::Known(methods) = &evidence.amr else { return };
        // `mfa` and its like say more than their class.
        if methods.is_empty() || methods.iter().any(|method| method.class.is.count() == 0) {
            return;
        }
        let facts = policy.claims().pick(&crate::token::Json::Null);
        let view = View { evidence, claims: &facts, ignored: None };
        let proved = self.each(issuer, |proof| judged(proof, &view, false).holds());
        if !proved.contains(&true) {
            return;
        }
        let of = |rung: Rung| issuer.proofs.iter().filter(move |proof| proof.rung == rung);
        for (above, stronger) in self.rungs.iter().enumerate().filter(|(place, _)| proved.get(*place) == Some(&true)) {
            for (below, weaker) in self.rungs.iter().enumerate() {
                let is_below = weaker.ladder() == stronger.ladder() && weaker.rank() < stronger.rank();
                let is_known = self.less.iter().any(|(a, b, _)| (*a, *b) == (above, below));
                if is_below
                    && !is_known
                    && of(*weaker).all(|proof| judged(&proof.evidence, &view, true) == Truth::False)
                {
                    let names: Vec<&str> = methods.iter().map(|method| &*method.value).collect();
                    self.less.push((above, below, names.join(", ")));
                }
            }
        }
    }

    fn report(&self, policy: &Policy, span: &dyn Fn(Rung) -> Option<Span>, out: &mut Report) {
        let name = |rung: Rung| policy.ladders().name(rung);
        let places = || self.rungs.iter().copied().enumerate();
        for (place, rung) in places() {
            let Some(at) = span(rung) else { continue };
            let stronger =
                || places().filter(move |(_, other)| other.ladder() == rung.ladder() && other.rank() > rung.rank());
            if self.holds.get(place) != Some(&true) {
                let message = format!("no sign-in reaches `{}`: its proof never holds", name(rung));
                let help = "correct the proof, or take it out";
                out.add(Problem::lint("rung_unreachable", at, message).help(help));
                continue;
            }
            let never_apart = |other: usize| !self.apart.contains(&(place, other));
            let together = stronger().find(|(other, _)| never_apart(*other) && !self.apart.contains(&(*other, place)));
            if let Some((_, other)) = together {
                let message = format!("`{}` and `{}` are proved by the same evidence", name(rung), name(other));
                let help =
                    format!("no sign-in has just `{}`: ask for more where `{}` is proved", name(rung), name(other));
                let problem = Problem::lint("rungs_alike", at, message).help(help);
                out.add(
                    span(other).into_iter().fold(problem, |problem, there| problem.related(there, "the stronger rung")),
                );
            } else if self.is_level.get(place) != Some(&true) {
                let message =
                    format!("no sign-in has just `{}`: whatever proves it proves a stronger rung too", name(rung));
                let help = match stronger().find(|(other, _)| never_apart(*other)) {
                    Some((_, other)) => format!("`{}` asks for no more than this; ask for more there", name(other)),
                    None => "ask for more where the stronger rungs are proved".to_owned(),
                };
                out.add(Problem::lint("rung_unreachable", at, message).help(help));
            }
        }
        for (above, below, methods) in &self.less {
            let Some((stronger, weaker)) = self.rungs.get(*above).zip(self.rungs.get(*below)) else { continue };
            let Some(at) = span(*stronger).or_else(|| span(*weaker)) else { continue };
            let message = format!(
                "`amr` [{methods}] proves `{}`, and is too little for the weaker `{}`",
                name(*stronger),
                name(*weaker)
            );
            let help = "a proof must by itself be enough for every rung below: ask for as much here";
            let problem = Problem::lint("proof_skips_rung", at, message).help(help);
            out.add(match span(*weaker).filter(|there| *there != at) {
                Some(there) => problem.related(there, "the weaker rung"),
                None => problem,
            });
        }
    }
}

/// Whether evidence holds by `amr` alone. `doubtful`: values that are asked for by name count as unknown too.
fn judged(evidence: &Expression, view: &View<'_>, doubtful: bool) -> Truth {
    match evidence {
        Expression::All(parts) => Truth::all(parts.iter().map(|part| judged(part, view, doubtful))),
        Expression::Any(parts) => Truth::any(parts.iter().map(|part| judged(part, view, doubtful))),
        // A value that is refused by name is known to be.
        Expression::Not(part) => !judged(part, view, false),
        Expression::Acr(_) | Expression::AcrAtLeast(_) | Expression::Claim(..) | Expression::Present(_) => {
            Truth::Unknown
        }
        Expression::AmrAny(_) | Expression::AmrAll(_) if doubtful => Truth::Unknown,
        Expression::AmrAny(_)
        | Expression::AmrAll(_)
        | Expression::AmrNone(_)
        | Expression::AmrOnly(_)
        | Expression::AmrCount(_)
        | Expression::Factors(_)
        | Expression::PhishingResistant
        | Expression::Hardware => evidence.evaluate(view),
    }
}
