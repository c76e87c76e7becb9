//! A lint of requests that reach, by a rewritten path, what another route or a floor guards.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::config::lints::asks::Asks;
use crate::config::lints::budget::Budget;
use crate::config::lints::overlap::Overlap;
use crate::config::lints::sample;
use crate::config::lints::weaker::Weaker;
use crate::config::problem::{Problem, Report};
use crate::policy::{CanonicalPath, HostPattern, Match, Methods, PathPattern, Route, Segment, Target};
use crate::reason::Reason;

/// How often rewritten routes are held against floors, hosts and routes, and requests are tried for that. Past it nothing more is
/// said: a policy in which very many routes lead to the same paths of one upstream would else take its square in time.
const LOOK_UPS: usize = 1_000_000;

/// One upstream's routes, by the paths that it sees.
#[derive(Debug)]
struct Upstream<'o, 'p> {
    weaker: &'o Weaker<'p>,
    /// Of all routes, the paths that their upstreams see.
    paths: &'o [Cow<'p, PathPattern>],
    /// The places of its routes, in their order.
    group: &'o [usize],
    routes: Overlap<'o>,
    /// For a host of a rewritten route the hosts that it meets here.
    hosts: HashMap<&'o HostPattern, Rc<[&'o HostPattern]>>,
    left: &'o Budget,
    /// The floors that are written for its paths: that lie under a route which leads here by the path as it came, or under none.
    floors: BTreeSet<usize>,
    /// What was found before, and on which host; or that there is nothing to be found.
    known: HashMap<Seen<'o>, Option<(Beside, String)>>,
}

/// All that it depends on which routes are held against one: the paths that the upstream sees, methods, hosts, and a number for
/// what is asked.
type Seen<'o> = (&'o PathPattern, &'o Methods, &'o [HostPattern], usize);

/// What a rewritten route was found beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// A floor that asks for more.
    Floor(usize),
    /// A route that asks for more.
    Stricter(usize),
    /// A route that asks for less, and leads where this one's rewrite does.
    Weaker(usize),
}

impl Weaker<'_> {
    /// A route whose rewritten path is one that the same upstream serves by a stricter route or that a floor guards, or the other
    /// way round: whoever can't meet the stricter one takes the other.
    pub(super) fn rewrites(&self, out: &mut Report) {
        self.rewrites_within(&Budget::of(LOOK_UPS), out);
    }

    /// The same with so many steps.
    pub(super) fn rewrites_within(&self, left: &Budget, out: &mut Report) {
        let routes = self.policy.routes();
        if routes.iter().all(|route| route.rewrite.is_none()) {
            return;
        }
        let paths: Vec<Cow<'_, PathPattern>> = routes.iter().map(seen).collect();
        let distinct = distinct(self.asks);
        let under_some: BTreeSet<usize> = routes.iter().flat_map(|route| route.floors.iter().copied()).collect();
        let idle: BTreeSet<usize> = (0..self.floors.len()).filter(|floor| !under_some.contains(floor)).collect();
        for group in upstreams(routes) {
            let of_group = || group.iter().filter_map(|place| Some((*place, routes.get(*place)?)));
            if of_group().all(|(_, route)| route.rewrite.is_none()) {
                continue;
            }
            let as_it_came = of_group().filter(|(_, route)| route.rewrite.is_none());
            let floors = as_it_came.flat_map(|(_, route)| route.floors.iter().copied()).chain(idle.iter().copied());
            let floors: BTreeSet<usize> = floors.collect();
            if !left.take(floors.len()) {
                return;
            }
            let at = group.iter().filter_map(|place| Some((*place, &**paths.get(*place)?)));
            let mut upstream = Upstream {
                weaker: self,
                paths: &paths,
                group: &group,
                routes: Overlap::at(routes, at),
                hosts: HashMap::new(),
                left,
                floors,
                known: HashMap::new(),
            };
            for (place, route) in of_group().filter(|(_, route)| route.rewrite.is_some()) {
                if left.left() == 0 {
                    return;
                }
                let asks = distinct.get(place).copied().unwrap_or_default();
                if let Some(beside) = upstream.beside(place, route, asks) {
                    self.say_rewrite(place, &paths, &beside, out);
                }
            }
        }
    }

    fn say_rewrite(&self, place: usize, paths: &[Cow<'_, PathPattern>], beside: &Beside, out: &mut Report) {
        let (Some(route), Some(spans), Some(path)) =
            (self.overlap.route(place), self.spans.get(place), paths.get(place))
        else {
            return;
        };
        let route_at = |other: usize| self.overlap.route(other).zip(self.spans.get(other));
        let (what, help, at, words) = match beside {
            Beside::Floor(other) => {
                let found = self.policy.floors().get(*other).zip(self.floor_spans.get(*other));
                let Some((floor, at)) = found else { return };
                let what = format!("past the floor `{}`, which holds for paths as they come", floor.name);
                let help =
                    format!("let `{}` ask for what the floor asks, or write a floor for its own path", route.name);
                (what, help, at, "the floor".to_owned())
            }
            Beside::Stricter(other) => {
                let Some((strict, at)) = route_at(*other) else { return };
                let what = format!("where the same upstream has what the stricter `{}` guards", strict.name);
                let help = format!(
                    "let `{}` ask for what `{}` asks, or rewrite to a path of its own",
                    route.name, strict.name
                );
                (what, help, at, self.words(*other))
            }
            Beside::Weaker(other) => {
                let Some((weak, at)) = route_at(*other) else { return };
                let what = format!("and the weaker `{}` takes such paths to the same upstream as they come", weak.name);
                let path = written(path);
                let help = format!("write a floor or a route for `{path}` that asks for what `{}` asks", route.name);
                (what, help, at, self.words(*other))
            }
        };
        let message = format!("requests of `{}` go on as `{}`, {what}", route.name, written(path));
        let problem = Problem::lint("weaker_by_rewrite", spans.rewrite.unwrap_or(spans.path), message);
        out.add(problem.help(help).label(self.words(place)).related(at.name, words));
    }
}

impl<'o> Upstream<'o, '_> {
    /// The first that lets a request through for less, or is held up by more, than a route for whose rewritten path it is.
    /// `asks`: a number for what the route asks.
    fn beside(&mut self, place: usize, route: &'o Route, asks: usize) -> Option<Beside> {
        if let Some(floor) = self.floors.iter().find(|floor| self.is_past(place, route, **floor)) {
            return Some(Beside::Floor(*floor));
        }
        let path: &PathPattern = self.paths.get(place)?;
        let seen = (path, &route.matches.methods, &*route.matches.hosts, asks);
        match self.known.get(&seen) {
            Some(None) => return None,
            Some(Some((beside, host))) if self.is_beside(place, *beside, host) => return Some(*beside),
            Some(Some(_)) | None => {}
        }
        let mut nothing = true;
        for host in &route.matches.hosts {
            for other_host in &*self.hosts_at(host) {
                if !self.left.take(1) {
                    return None;
                }
                let mut name = None;
                let found = self.routes.tree(other_host)?.meeting(path, &mut |other| {
                    if !self.left.take(1) {
                        return ControlFlow::Break(None);
                    }
                    let Some(beside) = self.may_be_beside(place, other) else { return ControlFlow::Continue(()) };
                    nothing = false;
                    match self.is_beside(place, beside, name.get_or_insert_with(|| sample::host(host, other_host))) {
                        true => ControlFlow::Break(Some(beside)),
                        false => ControlFlow::Continue(()),
                    }
                });
                if let ControlFlow::Break(found) = found {
                    self.known.insert(seen, Some((found?, name?)));
                    return found;
                }
            }
        }
        if nothing {
            self.known.insert(seen, None);
        }
        None
    }

    /// The hosts of its routes that a host pattern has some host in common with.
    fn hosts_at(&mut self, host: &'o HostPattern) -> Rc<[&'o HostPattern]> {
        if let Some(known) = self.hosts.get(host) {
            return Rc::clone(known);
        }
        // One that means many is held against all; a name has its few looked up.
        let tried = if matches!(host, HostPattern::Exact(_)) { 1 } else { self.routes.hosts().len() };
        let found: Rc<[&HostPattern]> =
            if self.left.take(tried) { self.routes.hosts_at(host).into() } else { Rc::default() };
        self.hosts.insert(host, Rc::clone(&found));
        found
    }

    /// The route that a request takes, and what is asked of it there; nothing any more when too much was tried.
    fn asked(&self, target: &Target<'_>) -> Option<(usize, Asks)> {
        if self.left.take(1) { self.weaker.asked(target) } else { None }
    }

    /// What another route may be to a rewritten one, by their methods and what they ask at the least and at the most.
    fn may_be_beside(&self, place: usize, other: usize) -> Option<Beside> {
        let may_be_weaker = |one: usize, than: usize| {
            let asks = self.weaker.asks.get(one).zip(self.weaker.asks.get(than));
            one != than && asks.is_some_and(|((own, _), (_, most))| own.is_weaker_than(most))
        };
        let (route, beside) = self.weaker.overlap.route(place).zip(self.weaker.overlap.route(other))?;
        if !route.matches.methods.overlaps(&beside.matches.methods) {
            return None;
        }
        if may_be_weaker(place, other) {
            return Some(Beside::Stricter(other));
        }
        // Of two that are rewritten it is said where the other is looked at.
        (beside.rewrite.is_none() && may_be_weaker(other, place)).then_some(Beside::Weaker(other))
    }

    fn is_beside(&self, place: usize, beside: Beside, host: &str) -> bool {
        match beside {
            Beside::Stricter(other) => self.is_weaker(place, other, host),
            Beside::Weaker(other) => self.is_weaker(other, place, host),
            Beside::Floor(floor) => {
                self.weaker.overlap.route(place).is_some_and(|route| self.is_past(place, route, floor))
            }
        }
    }

    /// Whether some request that one route lets through is, for the upstream, one of which another asks more.
    fn is_weaker(&self, weak: usize, strict: usize, host: &str) -> bool {
        let both = self.weaker.overlap.route(weak).zip(self.weaker.overlap.route(strict));
        let (Some((route, other)), Some((path, wide))) = (both, self.paths.get(weak).zip(self.paths.get(strict)))
        else {
            return false;
        };
        // A more specific one is meant to go before, where it names the one path, or the other names none.
        let names_no_place = !wide.segments().iter().any(|segment| segment.text().is_some());
        // One that isn't rewritten is a more specific one for whoever comes by the wider one's own paths, too.
        let meant = route.rewrite.is_none() || route.matches.path.is_literal() || names_no_place;
        if meant && wide.covers(path) && !path.covers(wide) {
            return false;
        }
        // What is below both, and also their very end: each may have a route of its own.
        let more: &[usize] = if path.has_rest() && wide.has_rest() { &[1, 2, 0] } else { &[0] };
        more.iter().any(|more| {
            let segments = sample::segments(path, wide, *more);
            let both = self.came_as(weak, &segments).zip(self.came_as(strict, &segments));
            let Some((taken, guarded)) = both else { return false };
            sample::methods(&route.matches.methods, &other.matches.methods).any(|method| {
                let asked = |path| self.asked(&Target { method, host, path });
                match asked(&taken).zip(asked(&guarded)) {
                    Some(((one, asks), (two, more))) => one == weak && two == strict && asks.is_weaker_than(&more),
                    None => false,
                }
            })
        })
    }

    /// Whether some request of a rewritten route goes on as one for which a floor asks more.
    fn is_past(&self, place: usize, route: &Route, floor: usize) -> bool {
        let found = self.weaker.policy.floors().get(floor).zip(self.weaker.floors.get(floor));
        let own = self.weaker.asks.get(place).map(|(own, _)| own);
        let (Some((guard, wanted)), Some(own), Some(path)) = (found, own, self.paths.get(place)) else { return false };
        let guard: &Match = &guard.matches;
        if !self.left.take(1) || !own.is_weaker_than(wanted) || !guard.path.overlaps(path) {
            return false;
        }
        let mine = route.matches.hosts.iter();
        let mut hosts = mine
            .flat_map(|host| guard.hosts.iter().map(move |other| (host, other)))
            .filter(|(host, other)| self.left.take(1) && host.overlaps(other));
        hosts.any(|(one, other)| {
            let host = sample::host(one, other);
            [1, 0].into_iter().filter(|more| *more == 0 || path.has_rest() && guard.path.has_rest()).any(|more| {
                let segments = sample::segments(path, &guard.path, more);
                let both = self.came_as(place, &segments).zip(sample::path(segments.iter().copied()));
                let Some((taken, guarded)) = both else { return false };
                sample::methods(&route.matches.methods, &guard.methods).any(|method| {
                    let asked = self.asked(&Target { method, host: &host, path: &taken });
                    asked.is_some_and(|(at, asks)| at == place && asks.is_weaker_than(wanted))
                        && self.is_of_here(&Target { method, host: &host, path: &guarded })
                })
            })
        })
    }

    /// Whether a floor for this request guards the upstream: it goes there as it comes, or is for no route.
    fn is_of_here(&self, target: &Target<'_>) -> bool {
        match self.weaker.policy.route_at(target) {
            _ if !self.left.take(1) => false,
            Ok((place, route)) => route.rewrite.is_none() && self.group.binary_search(&place).is_ok(),
            Err(denial) => denial.reason == Reason::RouteNone,
        }
    }

    /// The path that comes to a route where its upstream sees these segments.
    fn came_as(&self, place: usize, seen: &[&str]) -> Option<CanonicalPath> {
        let route = self.weaker.overlap.route(place)?;
        if route.rewrite.is_none() {
            return sample::path(seen.iter().copied());
        }
        let own = route.matches.path.segments();
        let beginning: Vec<&str> = own.iter().map_while(Segment::text).collect();
        // As many follow on the beginning as do on what replaces it.
        let after = own.len().checked_sub(beginning.len())?;
        let replaced = self.paths.get(place)?.segments().len().checked_sub(after)?;
        sample::path(beginning.into_iter().chain(seen.iter().skip(replaced).copied()))
    }
}

/// The paths of a route that its upstream sees.
fn seen(route: &Route) -> Cow<'_, PathPattern> {
    let Some(rewrite) = &route.rewrite else { return Cow::Borrowed(&route.matches.path) };
    let path = rewrite.pattern(&route.matches.path);
    // The upstream takes the new beginning in any case, too.
    let in_any_case = if route.matches.ignore_case { path.ignoring_case().ok() } else { None };
    Cow::Owned(in_any_case.unwrap_or(path))
}

/// The routes of each upstream.
fn upstreams(routes: &[Route]) -> Vec<Vec<usize>> {
    // A route may leave its upstream out only where there is one alone.
    if routes.iter().any(|route| route.upstream.is_none()) {
        return vec![(0..routes.len()).collect()];
    }
    let mut named: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, route) in routes.iter().enumerate() {
        named.entry(route.upstream.as_deref().unwrap_or_default()).or_default().push(place);
    }
    named.into_values().collect()
}

/// For each route a number for what it asks, the same for those that ask the same.
fn distinct(asks: &[(Asks, Asks)]) -> Vec<usize> {
    let mut known: HashMap<&(Asks, Asks), usize> = HashMap::new();
    let number = |asks| {
        let next = known.len();
        *known.entry(asks).or_insert(next)
    };
    asks.iter().map(number).collect()
}

/// A pattern as policies write it.
fn written(path: &PathPattern) -> String {
    let mut text = path.segments().iter().fold(String::new(), |text, segment| match segment {
        Segment::Literal(literal) | Segment::Folded(literal) => text + "/" + literal,
        Segment::Parameter(name) => text + "/{" + name + "}",
    });
    if path.has_rest() {
        text.push_str("/**");
    }
    if text.is_empty() { "/".to_owned() } else { text }
}
