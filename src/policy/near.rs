//! Why a request takes its route and no other: the routes that match it too, and those that nearly do.
//!
//! For people. [`Policy::route_at`] alone picks the route.

use std::cmp::Ordering;

use crate::policy::Policy;
use crate::policy::host::HostPattern;
use crate::policy::pattern::{Match, Methods, Segment, Target};
use crate::policy::route::Route;

/// A route that a request does not take, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere<'p> {
    /// The route.
    pub route: &'p Route,
    /// Why not: a clause whose subject is the route.
    pub why: String,
}

impl Policy {
    /// The routes that match a request as the one at `taken` does, the most specific first, each with what makes it less
    /// specific than the one before.
    #[must_use]
    pub fn passed_over<'p>(&'p self, target: &Target<'_>, taken: usize) -> Vec<Elsewhere<'p>> {
        let Some(mut before) = self.routes().get(taken) else { return Vec::new() };
        let others = self.routes().iter().enumerate().filter(|(place, _)| *place != taken).map(|(_, route)| route);
        let mut matching: Vec<&Route> = others.filter(|route| route.matches.matches(target)).collect();
        matching.sort_by(|a, b| specific(&a.matches, &b.matches, target.host));
        let told = |route: &'p Route| {
            let why = wider(&route.matches, before, target.host);
            before = route;
            Elsewhere { route, why }
        };
        matching.into_iter().map(told).collect()
    }

    /// The routes that differ from a request in one thing: first those in the method, then in the path, then in the host.
    #[must_use]
    pub fn nearly<'p>(&'p self, target: &Target<'_>) -> Vec<Elsewhere<'p>> {
        let mut near: Vec<(u8, Elsewhere<'p>)> = self
            .routes()
            .iter()
            .filter_map(|route| missed(&route.matches, target).map(|(rank, why)| (rank, Elsewhere { route, why })))
            .collect();
        near.sort_by_key(|(rank, _)| *rank);
        near.into_iter().map(|(_, elsewhere)| elsewhere).collect()
    }
}

/// How specific the host pattern is that takes this host; `None`: none of them does.
fn host_rank(matches: &Match, host: &str) -> Option<(u8, usize)> {
    let rank = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(_) => (2, 0),
        HostPattern::Suffix(suffix) => (1, suffix.len()),
        HostPattern::Any => (0, 0),
    };
    matches.hosts.iter().filter(|pattern| pattern.matches(host)).map(rank).max()
}

/// The more specific first, of two that match one request.
fn specific(one: &Match, other: &Match, host: &str) -> Ordering {
    let by_host = host_rank(other, host).cmp(&host_rank(one, host));
    let by_path = match (one.path.covers(&other.path), other.path.covers(&one.path)) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (true, true) | (false, false) => Ordering::Equal,
    };
    let by_method = (one.methods == Methods::Any).cmp(&(other.methods == Methods::Any));
    by_host.then(by_path).then(by_method)
}

/// Why a route is less specific than the one before it.
fn wider(matches: &Match, before: &Route, host: &str) -> String {
    let name = &before.name;
    if host_rank(matches, host) < host_rank(&before.matches, host) {
        return format!("its host is wider than that of `{name}`");
    }
    if matches.path.covers(&before.matches.path) && !before.matches.path.covers(&matches.path) {
        return format!("its path is wider than that of `{name}`");
    }
    format!("it takes any method, and `{name}` names its own")
}

/// What a route lacks to match, if it is one thing; with the order in which such things are told.
fn missed(matches: &Match, target: &Target<'_>) -> Option<(u8, String)> {
    let method = matches.methods.matches(target.method);
    let host = host_rank(matches, target.host).is_some();
    match (method, host, matches.path.matches(target.path)) {
        (false, true, true) => {
            let Methods::Named(names) = &matches.methods else { return None };
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            Some((0, format!("it takes {}, not {}", names.join(" "), target.method)))
        }
        (true, true, false) => near_path(matches, target).map(|why| (1, why)),
        (true, false, true) => {
            let hosts: Vec<String> = matches.hosts.iter().map(ToString::to_string).collect();
            Some((2, format!("it is for {}, not {}", hosts.join(" "), target.host)))
        }
        (_, _, _) => None,
    }
}

/// In what a path differs, where it is one segment: one too many, one too few, or one that is another word.
fn near_path(matches: &Match, target: &Target<'_>) -> Option<String> {
    let pattern = matches.path.segments();
    let given: Vec<&str> = target.path.segments().collect();
    let mut other = pattern.iter().zip(&given).filter(|(segment, piece)| !segment.matches(piece));
    let first = other.next();
    let literals = |segment: &&Segment| segment.text().is_some();
    match (first, other.next(), given.len().checked_sub(pattern.len())) {
        // What `**` would take is there, or there is nothing to differ in.
        (None, _, _) if pattern.iter().filter(literals).count() == 0 => None,
        (None, _, Some(1)) => Some("its path has one segment less".into()),
        (None, _, None) if pattern.len().checked_sub(given.len()) == Some(1) => {
            Some("its path has one segment more".into())
        }
        (Some((Segment::Literal(word) | Segment::Folded(word), piece)), None, Some(more))
            if more == 0 || matches.path.has_rest() =>
        {
            let shares = pattern.iter().filter(literals).count() > 1;
            let alike = strsim::damerau_levenshtein(&word.to_lowercase(), &piece.to_lowercase());
            let is_near = shares || alike.saturating_mul(3) <= word.chars().count();
            is_near.then(|| format!("its path has `{word}` where `{}` stands", piece.escape_debug()))
        }
        (_, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assurance::{ClaimTable, Ladders};
    use crate::policy::evaluate::tests::{matching, route};
    use crate::policy::path::CanonicalPath;
    use crate::policy::{PolicyParts, Requirement};

    fn named(name: &str, host: &str, path: &str, methods: &[&str]) -> Route {
        let host = match host.strip_prefix('*') {
            Some("") => HostPattern::Any,
            Some(suffix) => HostPattern::Suffix(suffix.into()),
            None => HostPattern::Exact(host.into()),
        };
        let methods = match methods {
            [] => Methods::Any,
            names => Methods::named(names.iter().map(|name| Box::from(*name))),
        };
        let matches = Match { hosts: [host].into(), methods, ..matching(path) };
        Route { name: name.into(), matches, ..route(Requirement::Authenticated) }
    }

    fn policy(routes: Vec<Route>) -> Policy {
        let (claims, hash) = (ClaimTable::default(), "".into());
        let parts = PolicyParts { ladders: Ladders::default(), issuers: vec![], claims, floors: vec![], routes, hash };
        Policy::new(parts).unwrap()
    }

    type Told = Vec<(String, String)>;

    fn told(policy: &Policy, method: &str, host: &str, path: &str) -> (Told, Told) {
        let path = CanonicalPath::parse(path).unwrap();
        let target = Target { method, host, path: &path };
        let pairs = |all: Vec<Elsewhere<'_>>| all.into_iter().map(|e| (e.route.name.to_string(), e.why)).collect();
        let over = policy.route_at(&target).ok().map(|(place, _)| policy.passed_over(&target, place));
        (pairs(over.unwrap_or_default()), pairs(policy.nearly(&target)))
    }

    fn pair(name: &str, why: &str) -> (String, String) {
        (name.to_owned(), why.to_owned())
    }

    #[test]
    fn what_matches_too_is_told_from_the_most_specific_on() {
        let policy = policy(vec![
            named("all", "*", "/**", &[]),
            named("host", "api.example", "/**", &[]),
            named("any-method", "api.example", "/pay/{id}", &[]),
            named("pay", "api.example", "/pay/{id}", &["POST"]),
            named("suffix", "*.example", "/pay/{id}", &["POST"]),
        ]);
        let (over, near) = told(&policy, "POST", "api.example", "/pay/7");
        assert_eq!(
            over,
            [
                pair("any-method", "it takes any method, and `pay` names its own"),
                pair("host", "its path is wider than that of `any-method`"),
                pair("suffix", "its host is wider than that of `host`"),
                pair("all", "its host is wider than that of `suffix`"),
            ]
        );
        assert_eq!(near, []);
    }

    #[test]
    fn what_misses_by_one_thing_is_told_with_it() {
        let policy = policy(vec![
            named("elsewhere", "other.example", "/payments/{id}", &[]),
            named("list", "*", "/payments", &[]),
            named("refund", "*", "/payments/{id}/refund", &[]),
            named("read", "*", "/payments/{id}", &["GET"]),
            named("typo", "*", "/payment/{id}", &[]),
            named("far", "*", "/accounts/{id}", &[]),
            named("both", "other.example", "/payments/{id}", &["PUT"]),
        ]);
        let (over, near) = told(&policy, "POST", "api.example", "/payments/7");
        assert_eq!(over, []);
        assert_eq!(
            near,
            [
                pair("read", "it takes GET HEAD, not POST"),
                pair("list", "its path has one segment less"),
                pair("refund", "its path has one segment more"),
                pair("typo", "its path has `payment` where `payments` stands"),
                pair("elsewhere", "it is for other.example, not api.example"),
            ]
        );
    }
}
