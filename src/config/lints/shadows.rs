//! Lints of routes that never get a request, and of public ones that get what is spelt otherwise.

use crate::config::lints::overlap::{Node, Overlap};
use crate::config::problem::{Problem, Report};
use crate::config::routes::Spans;
use crate::policy::{HostPattern, Methods, PathPattern, Requirement, Route, Segment};

/// A route all of whose requests take more specific routes.
pub(super) fn shadowed(overlap: &Overlap<'_>, spans: &[Spans], out: &mut Report) {
    let routes = overlap.routes();
    for (route, spans) in routes.iter().zip(spans).filter(|(route, _)| route.matches.path.has_rest()) {
        let taken = |node: &Node<'_>| match &route.matches.methods {
            Methods::Any => node.is_taken(routes, None),
            Methods::Named(names) => names.iter().all(|name| node.is_taken(routes, Some(name))),
        };
        let segments = route.matches.path.segments();
        let on = |host: &HostPattern| overlap.tree(host).and_then(|tree| tree.node(segments)).is_some_and(taken);
        if route.matches.hosts.iter().all(on) {
            let message = format!("`{}` never gets a request: more specific routes take them all", route.name);
            let help = "take it out, or one of those that match the paths below it";
            out.add(Problem::lint("route_shadowed", spans.name, message).help(help));
        }
    }
}

/// A public route with a pattern, beside a stricter one whose path is one of those that it would match: whatever is not
/// spelt just so is public.
pub(super) fn siblings(overlap: &Overlap<'_>, spans: &[Spans], out: &mut Report) {
    for (place, at) in spans.iter().enumerate() {
        let Some(route) = overlap.route(place).filter(|route| route.require == Requirement::Public) else { continue };
        let Some(before) = before_pattern(&route.matches.path) else { continue };
        let nodes = route.matches.hosts.iter().filter_map(|host| overlap.tree(host)?.node(before));
        let beside = nodes.flat_map(Node::literals).flat_map(|node| node.ends().iter().chain(node.rests()));
        let strict: Vec<usize> = beside.copied().filter(|other| is_strict(overlap, route, *other)).collect();
        let Some((other, other_at)) = strict.first().and_then(|other| overlap.route(*other).zip(spans.get(*other)))
        else {
            continue;
        };
        let message = format!(
            "`{}` is public, and so is whatever the application takes for `{}` that is spelt otherwise",
            route.matches.path_written, other.matches.path_written
        );
        let help = "ask for something here, and list the public paths one by one";
        let problem = Problem::lint("public_sibling", at.name, message).help(help);
        out.add(problem.related(other_at.name, "the stricter route"));
    }
}

fn is_strict(overlap: &Overlap<'_>, public: &Route, place: usize) -> bool {
    overlap.route(place).is_some_and(|other| {
        other.require != Requirement::Public && other.matches.methods.overlaps(&public.matches.methods)
    })
}

/// The segments before the pattern that a path ends in: `**` or a parameter.
fn before_pattern(path: &PathPattern) -> Option<&[Segment]> {
    if path.has_rest() {
        return Some(path.segments());
    }
    match path.segments().split_last() {
        Some((Segment::Parameter(_), before)) => Some(before),
        Some((Segment::Literal(_) | Segment::Folded(_), _)) | None => None,
    }
}
