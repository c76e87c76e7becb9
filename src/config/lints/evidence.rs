//! Lints of evidence that goes past what an operator held back: a cap that raw evidence does not see, and ignored values
//! that `acr` vouches for all the same.

use crate::assurance::{Expression, Issuer, Proof, Rung, Source};
use crate::config::lints::issuers::is_capped;
use crate::config::lints::look::Places;
use crate::config::lints::walk::{self, Around};
use crate::config::problem::{Problem, Report};
use crate::config::reader;
use crate::config::source::Span;
use crate::policy::{Condition, Demand, Policy};

/// A route that asks for evidence itself, and takes it from an issuer whose levels are capped: the cap is not looked at.
pub(super) fn uncapped(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    let capped: Vec<(&Issuer, Span)> = policy
        .issuers()
        .iter()
        .filter_map(|issuer| {
            let (_, trust) = places.own_key(places.issuer(&issuer.name)?, "trust")?;
            let (cap, _) = places.own_key(trust, "max_level").filter(|_| is_capped(policy, trust))?;
            Some((issuer, cap))
        })
        .collect();
    if capped.is_empty() {
        return;
    }
    let mut look = |demand: &Demand, span: Span| {
        let mut taken: Option<(&Issuer, Span)> = None;
        walk::parts(demand, &Around::default(), &mut |part, around| {
            let raw =
                |condition: &Condition| matches!(condition, Condition::Evidence(own) if !own.consults().is_empty());
            // Where a level is asked for too, the cap holds.
            if around.rungs.is_empty() && part.conditions.iter().any(raw) {
                taken = taken.or_else(|| capped.iter().find(|(issuer, _)| around.admits(issuer.id)).copied());
            }
        });
        if let Some((issuer, cap)) = taken {
            let message = format!(
                "this asks for evidence itself, and `{}` may bring it whatever its `max_level` is",
                issuer.name
            );
            let help =
                "name the issuers that are meant: `issuers: [..]`, or ask for a `level`, which the cap holds down";
            out.add(
                Problem::lint("raw_evidence_uncapped", span, message)
                    .help(help)
                    .related(cap, "its levels are capped here"),
            );
        }
    };
    for (route, spans) in policy.routes().iter().zip(places.routes) {
        route.require.demand().into_iter().for_each(|demand| look(demand, spans.require));
    }
    for (floor, spans) in policy.floors().iter().zip(places.floors) {
        floor.demand.iter().for_each(|demand| look(demand, spans.require));
    }
}

/// Ignored `amr` values beside a proof by `acr` alone: a sign-in by an ignored method may bring that `acr`.
pub(super) fn beside_ignored(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    // A proof of a rung that nobody asks for makes no difference.
    let mut asked: Vec<Rung> = Vec::new();
    let floors = policy.floors().iter().filter_map(|floor| floor.demand.as_ref());
    for demand in policy.routes().iter().filter_map(|route| route.require.demand()).chain(floors) {
        for rung in demand.rungs() {
            if !asked.contains(&rung) {
                asked.push(rung);
            }
        }
    }
    for issuer in policy.issuers() {
        let Some((key, _)) = places.issuer(&issuer.name).and_then(|entry| places.own_key(entry, "ignore_amr")) else {
            continue;
        };
        let mut names: Vec<&str> = Vec::new();
        let counts = |proof: &&Proof| asked.iter().any(|asked| proof.rung.reaches(*asked));
        for proof in issuer.proofs.iter().filter(counts).filter(|proof| by_acr_alone(&proof.evidence, issuer)) {
            let name = policy.ladders().name(proof.rung);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            let levels = reader::one_of(names.into_iter()).replace(" or ", " and ");
            let message =
                format!("`{}` proves {levels} by `acr` alone, which `ignore_amr` does not touch", issuer.name);
            out.add(Problem::lint("acr_beside_ignored", key, message).help(HELP));
        }
    }
    for (route, spans) in policy.routes().iter().zip(places.routes) {
        route.require.demand().into_iter().for_each(|demand| of_demand(policy, demand, spans.require, out));
    }
    for (floor, spans) in policy.floors().iter().zip(places.floors) {
        floor.demand.iter().for_each(|demand| of_demand(policy, demand, spans.require, out));
    }
}

const HELP: &str =
    "a sign-in by an ignored method may bring such an `acr`: let the proofs ask for `amr` or `factors` too";

fn of_demand(policy: &Policy, demand: &Demand, span: Span, out: &mut Report) {
    let mut found: Option<(&Issuer, &str)> = None;
    walk::parts(demand, &Around::default(), &mut |_, around| {
        if around.ignored.is_empty() || found.is_some() {
            return;
        }
        for rung in &around.rungs {
            let mut issuers = policy.issuers().iter().filter(|issuer| around.admits(issuer.id));
            let by_acr =
                issuers.find(|issuer| issuer.proofs_of(*rung).any(|proof| by_acr_alone(&proof.evidence, issuer)));
            found = found.or(by_acr.map(|issuer| (issuer, policy.ladders().name(*rung))));
        }
    });
    if let Some((issuer, level)) = found {
        let message = format!("`{}` proves `{level}` by `acr` alone, which `ignore_amr` does not touch", issuer.name);
        out.add(Problem::lint("acr_beside_ignored", span, message).help(HELP));
    }
}

/// Whether evidence can hold by an `acr` that the issuer sends, whatever `amr` is.
fn by_acr_alone(evidence: &Expression, issuer: &Issuer) -> bool {
    let speaks = issuer.mapping.acr.trusted && !issuer.mapping.acr.from.is_empty();
    speaks && evidence.consults().contains(&Source::Acr) && without_amr(evidence) && {
        // One way without `amr` must be one by `acr`, and not by another claim.
        let mut by_acr = false;
        ways(evidence, &mut |way| by_acr |= *way.consults() == [Source::Acr]);
        by_acr
    }
}

/// Whether evidence can hold without `amr`.
fn without_amr(evidence: &Expression) -> bool {
    if let Expression::Any(parts) = evidence {
        return parts.iter().any(without_amr);
    }
    if let Expression::All(parts) = evidence {
        return parts.iter().all(without_amr);
    }
    !evidence.consults().contains(&Source::Amr)
}

/// Calls `visit` for every alternative that can hold without `amr`.
fn ways<'e>(evidence: &'e Expression, visit: &mut impl FnMut(&'e Expression)) {
    if let Expression::Any(parts) = evidence {
        parts.iter().filter(|part| without_amr(part)).for_each(|part| ways(part, visit));
    } else if without_amr(evidence) {
        visit(evidence);
    }
}
