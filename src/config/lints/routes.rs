//! Lints of routes and floors that are there for nothing, or not there yet.

use crate::config::problem::{Problem, Report};
use crate::config::routes::Spans;
use crate::config::source::Span;
use crate::policy::{Match, Mode, Policy, Route};

/// A policy without routes is whole, and refuses every request.
pub(super) fn no_routes(policy: &Policy, key: Option<Span>, out: &mut Report) {
    if let Some(span) = key.filter(|_| policy.routes().is_empty()) {
        let help = "add a route: `routes: [ { name: all, match: { path: \"/**\" }, require: authenticated } ]`";
        let message = "the policy has no routes, so it lets nothing through";
        out.add(Problem::lint("no_routes", span, message).help(help));
    }
}

/// A floor under which no route lies holds nothing up: most often its path is misspelt.
pub(super) fn idle_floors(policy: &Policy, spans: &[Spans], out: &mut Report) {
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
        out.add(Problem::lint("floor_covers_nothing", span.path, message).help(help));
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

/// Empty segments allowed where no path has any: without `**` a path has as many segments as its pattern, and one fewer to
/// whoever takes `//` for `/`, so that it is refused all the same.
pub(super) fn idle_allowances(policy: &Policy, spans: &[Spans], out: &mut Report) {
    let idle = |route: &Route| route.matches.allows.empty_segments && !route.matches.path.has_rest();
    for (route, spans) in policy.routes().iter().zip(spans).filter(|(route, _)| idle(route)) {
        let message =
            format!("`empty_segments` does nothing for `{}`: they pass below `**` alone", route.matches.path_written);
        let help = "take it out, or end the path in `/**` if such paths are meant";
        out.add(Problem::lint("empty_segments_idle", spans.path, message).help(help));
    }
}

/// Routes that only observe.
pub(super) fn observing(policy: &Policy, spans: &[Spans], out: &mut Report) {
    for (route, spans) in policy.routes().iter().zip(spans).filter(|(route, _)| route.mode != Mode::Enforce) {
        let message = format!("the route `{}` only observes: it lets through what it would refuse", route.name);
        let help = "look at what is noted as `would_deny`, then take `mode` out";
        out.add(Problem::lint("mode_observe", spans.name, message).help(help));
    }
}
