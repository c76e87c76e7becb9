//! Lints: policies that are taken and hardly mean what they say.

use std::collections::HashMap;

use crate::assurance::Rung;
use crate::config::layers::Written;
use crate::config::on_deny;
use crate::config::problem::{Problem, Report};
use crate::config::routes::Spans;
use crate::config::source::Span;
use crate::policy::{Demand, Match, Methods, PathPattern, Policy, Requirement, Route, Segment};
use crate::token::TokenKind;

/// Where the parts of a policy stand.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// Where routes are listed, or would be.
    pub routes_key: Option<Span>,
    /// Its routes, in their order.
    pub routes: &'p [Spans],
    /// The paths of its floors, in their order.
    pub floors: &'p [Span],
    /// The rungs that the policy itself names.
    pub rungs: &'p [(Box<str>, Span)],
    /// Its issuers and local profiles, with all that is under them.
    pub written: &'p [Written],
}

/// Looks a whole policy over.
pub fn check(policy: &Policy, places: &Places<'_>, out: &mut Report) {
    no_routes(policy, places.routes_key, out);
    weaker_methods(policy, places.routes, out);
    idle_floors(policy, places.floors, out);
    idle_rungs(policy, places.rungs, out);
    tokens_not_taken(policy, places.written, out);
    on_deny::circles(policy, places.routes, out);
}

/// A policy without routes is whole, and refuses every request.
fn no_routes(policy: &Policy, key: Option<Span>, out: &mut Report) {
    if let Some(span) = key.filter(|_| policy.routes().is_empty()) {
        let help = "add a route: `routes: [ { name: all, match: { path: \"/**\" }, require: authenticated } ]`";
        let message = "the policy has no routes, so it lets nothing through";
        out.add(Problem::lint("no_routes", span, message).help(help));
    }
}

/// A floor under which no route lies holds nothing up: most often its path is misspelt.
fn idle_floors(policy: &Policy, spans: &[Span], out: &mut Report) {
    // A policy without routes is a finding of its own.
    if policy.routes().is_empty() {
        return;
    }
    for (floor, span) in policy.floors().iter().zip(spans) {
        if policy.routes().iter().any(|route| floor.matches.overlaps(&route.matches)) {
            continue;
        }
        let same_path = policy.routes().iter().find(|route| floor.matches.path.overlaps(&route.matches.path));
        let help = match same_path {
            Some(route) => format!("the route `{}` has such paths, but other hosts or methods", route.name),
            None => nearest(&floor.matches, policy.routes()),
        };
        let message = format!("no route lies on the floor `{}`, so it protects nothing", floor.name);
        out.add(Problem::lint("floor_covers_nothing", *span, message).help(help));
    }
}

/// The route path that a floor's path is most like, cut to the floor's length.
fn nearest(floor: &Match, routes: &[Route]) -> String {
    let written = &*floor.path_written;
    let length = floor.path.segments().len();
    let cut = |route: &Route| {
        let path = &*route.matches.path_written;
        let head: Vec<&str> =
            path.split('/').filter(|piece| !piece.is_empty() && *piece != "**").take(length).collect();
        let rest = if floor.path.has_rest() { "/**" } else { "" };
        format!("/{}{rest}", head.join("/"))
    };
    let near =
        routes.iter().map(|route| (strsim::damerau_levenshtein(written, &cut(route)), route)).min_by_key(|x| x.0);
    match near {
        Some((distance, route)) if distance <= 3 => {
            format!("did you mean `{}`? the route `{}` is `{}`", cut(route), route.name, route.matches.path_written)
        }
        Some((_, route)) => format!(
            "the route path nearest to it is `{}`, of the route `{}`; correct the floor or take it out",
            route.matches.path_written, route.name
        ),
        None => "add a route, or take it out".to_owned(),
    }
}

/// A route that names methods, beside a weaker one that takes the other methods of the same paths.
fn weaker_methods(policy: &Policy, spans: &[Spans], out: &mut Report) {
    let all = || policy.routes().iter().zip(spans);
    // By the literal segments that its path begins with: a path that covers another begins with no more of them.
    let mut takes_all: HashMap<&[Segment], Vec<(&Route, &Spans)>> = HashMap::new();
    for (route, at) in all().filter(|(route, _)| route.matches.methods == Methods::Any) {
        takes_all.entry(lead(&route.matches.path)).or_default().push((route, at));
    }
    for (route, at) in all().filter(|(route, _)| strength(route) > 0) {
        let Methods::Named(names) = &route.matches.methods else { continue };
        let lead = lead(&route.matches.path);
        let wider = (0..=lead.len()).filter_map(|length| takes_all.get(lead.get(..length)?)).flatten();
        for (other, other_at) in wider.filter(|(other, _)| other.matches.path.covers(&route.matches.path)) {
            let hosts = other.matches.hosts.iter().any(|one| route.matches.hosts.iter().any(|mine| mine.overlaps(one)));
            if hosts && strength(other) < strength(route) {
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

/// The literal segments that a path begins with.
fn lead(path: &PathPattern) -> &[Segment] {
    let segments = path.segments();
    let length = segments.iter().take_while(|segment| matches!(segment, Segment::Literal(_))).count();
    segments.get(..length).unwrap_or(segments)
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

/// An issuer of whose tokens no route takes any kind: most often its users bring `id_token`s, and no `take` says where.
fn tokens_not_taken(policy: &Policy, written: &[Written], out: &mut Report) {
    let looking: Vec<&Route> = policy.routes().iter().filter(|route| route.require != Requirement::Public).collect();
    // Where nothing is looked for, nothing is missed.
    if looking.is_empty() {
        return;
    }
    for issuer in policy.issuers() {
        let (access, id) = (&issuer.expectation.access, &issuer.expectation.id);
        let (kind, key) = match (access, id) {
            (Some(_), None) => (TokenKind::Access, "access"),
            (None, Some(_)) => (TokenKind::Id, "id"),
            (Some(_), Some(_)) | (None, None) => continue,
        };
        if looking.iter().any(|route| route.take.iter().any(|source| source.kinds.takes(kind))) {
            continue;
        }
        let entry = written.iter().find(|one| one.section == "issuers" && one.name == issuer.name);
        let Some(node) = entry.and_then(|one| one.node.member(key)) else { continue };
        let (what, help) = match kind {
            TokenKind::Id => (
                "id_tokens",
                "say where they come: `take: [ { header: x-id-token, kind: id } ]`, for the whole policy or in a route; without `take` only access tokens are looked for",
            ),
            TokenKind::Access => ("access tokens", "add `authorization` to `take`"),
        };
        let message = format!("`{}` has only {what}, and no route takes any: all its users are refused", issuer.name);
        out.add(Problem::lint("tokens_not_taken", node.span, message).help(help));
    }
}
