//! Lints: policies that are taken and hardly mean what they say.

use crate::assurance::Rung;
use crate::config::problem::{Problem, Report};
use crate::config::routes::Spans;
use crate::config::source::Span;
use crate::policy::{Demand, Methods, Policy, Requirement, Route};

/// Looks a whole policy over. `spans`: of its routes; `rungs`: where the policy itself names rungs.
pub fn check(policy: &Policy, spans: &[Spans], rungs: &[(Box<str>, Span)], out: &mut Report) {
    weaker_methods(policy, spans, out);
    idle_rungs(policy, rungs, out);
}

/// A route that names methods, beside a weaker one that takes the other methods of the same paths.
fn weaker_methods(policy: &Policy, spans: &[Spans], out: &mut Report) {
    let all = || policy.routes().iter().zip(spans);
    for (route, at) in all().filter(|(route, _)| strength(route) > 0) {
        let Methods::Named(names) = &route.matches.methods else { continue };
        for (other, other_at) in all() {
            let hosts = other.matches.hosts.iter().any(|one| route.matches.hosts.iter().any(|mine| mine.overlaps(one)));
            let wider = other.matches.methods == Methods::Any && other.matches.path.covers(&route.matches.path);
            if hosts && wider && strength(other) < strength(route) {
                let message = format!(
                    "methods other than {} on `{}` fall to the weaker route `{}`",
                    names.join(", "),
                    route.matches.path_written,
                    other.name
                );
                let help = "leave `methods` out, or add a route for the others";
                out.add(
                    Problem::lint("weaker_method", at.name, message)
                        .help(help)
                        .related(other_at.name, "the weaker route"),
                );
            }
        }
    }
}

fn strength(route: &Route) -> u8 {
    match &route.require {
        Requirement::Public => 0,
        Requirement::Authenticated => 1,
        Requirement::Demands(_) => 2,
    }
}

/// A rung of the operator's own that no issuer can prove and no route asks for is there for nothing.
fn idle_rungs(policy: &Policy, scale: &[(Box<str>, Span)], out: &mut Report) {
    let routes = policy.routes().iter().filter_map(|route| route.require.demand());
    let asked: Vec<Rung> = routes
        .chain(policy.floors().iter().filter_map(|floor| floor.demand.as_ref()))
        .flat_map(Demand::rungs)
        .collect();
    for rung in policy.ladders().rungs() {
        let name = policy.ladders().name(rung);
        let Some((_, span)) = scale.iter().find(|(known, _)| **known == *name) else { continue };
        // A rung below one that is asked for has its use: it says how far a sign-in came.
        let used = asked.iter().any(|asked| asked.reaches(rung));
        if !used && !policy.issuers().iter().any(|issuer| issuer.can_prove(rung)) {
            let message = format!("no issuer can prove `{name}`, and nothing asks for it");
            let help = "take it out, or say under an issuer's `proves` what proves it";
            out.add(Problem::lint("idle_level", *span, message).help(help));
        }
    }
}
