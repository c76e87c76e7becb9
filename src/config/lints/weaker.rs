//! Lints of a request that takes a weaker route than the one its path suggests.

use std::collections::HashMap;

use crate::config::lints::asks::Asks;
use crate::config::lints::overlap::{Overlap, wider};
use crate::config::problem::{Problem, Report};
use crate::config::routes::Spans;
use crate::policy::{HostPattern, Methods, Policy, Route};

/// How often one host's paths are looked up for another's routes. Past that nothing more is said: a policy of very many
/// hosts, each with many routes, would else take its square in time.
const LOOK_UPS: usize = 100_000;
/// The methods that applications serve.
pub(super) const COMMON: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Those that only read (RFC 9110 section 9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// What routes are compared with.
#[derive(Debug)]
pub(super) struct Weaker<'p> {
    pub(super) policy: &'p Policy,
    pub(super) overlap: &'p Overlap<'p>,
    /// What each route asks: by itself, and at the most.
    pub(super) asks: &'p [(Asks, Asks)],
    pub(super) spans: &'p [Spans],
    /// What each floor asks.
    pub(super) floors: &'p [Asks],
    pub(super) floor_spans: &'p [Spans],
}

impl<'p> Weaker<'p> {
    /// Whether one route certainly asks less than another, whatever floors lie under it.
    pub(super) fn is_weaker(&self, one: usize, other: usize) -> bool {
        self.asks.get(one).zip(self.asks.get(other)).is_some_and(|((_, most), (own, _))| most.is_weaker_than(own))
    }

    pub(super) fn words(&self, place: usize) -> String {
        self.asks.get(place).map(|(own, _)| own.words(self.policy.ladders())).unwrap_or_default()
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (usize, &'p Route, &'p Spans)> {
        self.policy.routes().iter().zip(self.spans).enumerate().map(|(place, (route, spans))| (place, route, spans))
    }

    /// A route that names methods, beside a weaker one that takes the other methods of the same paths.
    pub(super) fn methods(&self, out: &mut Report) {
        for (place, route, spans) in self.routes() {
            let Methods::Named(names) = &route.matches.methods else { continue };
            // Of a callback it is said what comes of that.
            if route.reads_form && self.by_get(place, route).is_some() {
                continue;
            }
            for host in &route.matches.hosts {
                let Some((other, left)) = self.falls_to(place, route, host) else { continue };
                let unsafe_left = left.iter().any(|method| !SAFE.contains(method));
                // That reading asks for less than writing is what most policies mean.
                let any_level = self.asks.get(other).is_some_and(|(own, _)| !own.asks_of_the_sign_in());
                if !left.is_empty() && (any_level || unsafe_left) && self.is_weaker(other, place) {
                    let Some((weak, weak_spans)) = self.overlap.route(other).zip(self.spans.get(other)) else {
                        continue;
                    };
                    let message = format!(
                        "methods other than {} on `{}` fall to the weaker route `{}`",
                        names.join(", "),
                        route.matches.path_written,
                        weak.name
                    );
                    let help = "leave `methods` out, or add a route for the others";
                    let problem = Problem::lint("weaker_method", spans.name, message).help(help);
                    out.add(problem.related(weak_spans.name, format!("the weaker route {}", self.words(other))));
                    break;
                }
            }
        }
    }

    /// A route that checks the token of a posted form, beside a weaker one that takes the same path by GET: whoever has the
    /// provider answer in the query, or writes such a link, comes by the check.
    pub(super) fn callbacks(&self, out: &mut Report) {
        for (place, route, spans) in self.routes().filter(|(_, route, _)| route.reads_form) {
            let Some(other) = self.by_get(place, route) else { continue };
            let Some((weak, weak_spans)) = self.overlap.route(other).zip(self.spans.get(other)) else { continue };
            let message = format!(
                "`{}` checks what is posted to `{}`, and `{}` lets an answer in the query come there by GET unchecked",
                route.name, route.matches.path_written, weak.name
            );
            let help = format!(
                "let `{}` take GET too, by leaving `methods` out: without a posted token it refuses",
                route.name
            );
            let problem = Problem::lint("callback_by_get", spans.name, message).help(help);
            out.add(problem.related(weak_spans.name, format!("the weaker route {}", self.words(other))));
        }
    }

    /// The weaker route that takes GET on all of a route's paths, on one of its hosts.
    fn by_get(&self, place: usize, route: &Route) -> Option<usize> {
        let taken = |host: &HostPattern| {
            let mut covering = self.overlap.covering(host, &route.matches.path);
            covering.find(|other| self.overlap.route(*other).is_some_and(|other| other.matches.methods.matches("GET")))
        };
        route.matches.hosts.iter().filter_map(taken).find(|other| self.is_weaker(*other, place))
    }

    /// The route for any method that takes a route's paths on a host when the method is another, and the common methods
    /// that no more specific route takes.
    fn falls_to(&self, place: usize, route: &Route, host: &HostPattern) -> Option<(usize, Vec<&'static str>)> {
        let mut left: Vec<&str> = COMMON.into_iter().filter(|method| !route.matches.methods.matches(method)).collect();
        for other in self.overlap.covering(host, &route.matches.path).filter(|other| *other != place) {
            match &self.overlap.route(other)?.matches.methods {
                Methods::Any => return Some((other, left)),
                methods @ Methods::Named(_) => left.retain(|method| !methods.matches(method)),
            }
        }
        None
    }

    /// A route that writes and asks for less than the one that reads on the same path.
    pub(super) fn writes(&self, out: &mut Report) {
        for (place, route, spans) in self.routes() {
            let Methods::Named(names) = &route.matches.methods else { continue };
            if names.iter().all(|name| SAFE.contains(&&**name)) {
                continue;
            }
            let (segments, rest) = (route.matches.path.segments(), route.matches.path.has_rest());
            let nodes = route.matches.hosts.iter().filter_map(|host| self.overlap.tree(host)?.node(segments));
            let beside = nodes.flat_map(|node| if rest { node.rests() } else { node.ends() });
            let reads = |other: &&usize| {
                let methods = self.overlap.route(**other).map(|other| &other.matches.methods);
                matches!(methods, Some(Methods::Named(names)) if names.iter().all(|name| SAFE.contains(&&**name)))
            };
            let Some(other) = beside.filter(reads).find(|other| self.is_weaker(place, **other)) else { continue };
            let Some((strict, strict_spans)) = self.overlap.route(*other).zip(self.spans.get(*other)) else { continue };
            let message = format!(
                "writing to `{}` asks for less than reading it: `{}` is weaker than `{}`",
                route.matches.path_written, route.name, strict.name
            );
            let help = format!("let it ask for at least what `{}` asks", strict.name);
            let problem = Problem::lint("weaker_write", spans.name, message).help(help).label(self.words(place));
            out.add(problem.related(strict_spans.name, self.words(*other)));
        }
    }

    /// A weaker route that wins over another with narrower paths because its host is the more specific one.
    pub(super) fn hosts(&self, out: &mut Report) {
        let mut hosts: Vec<&HostPattern> = self.overlap.hosts().collect();
        if hosts.len() < 2 {
            return;
        }
        hosts.sort_unstable();
        let mut before: HashMap<HostPattern, Vec<&HostPattern>> = HashMap::new();
        for winner in &hosts {
            wider(winner).for_each(|host| before.entry(host).or_default().push(winner));
        }
        let mut budget = LOOK_UPS;
        let mut found: HashMap<usize, (usize, &HostPattern, usize)> = HashMap::new();
        for (place, route, _) in self.routes().filter(|(place, ..)| self.asks_for_a_token(*place)) {
            for host in &route.matches.hosts {
                let winners = before.get(host).into_iter().flatten();
                for winner in winners.filter(|winner| !route.matches.hosts.contains(winner)) {
                    budget = budget.saturating_sub(1);
                    if budget == 0 {
                        break;
                    }
                    if let Some(weak) = self.wins_weakly(place, route, winner) {
                        found
                            .entry(weak)
                            .and_modify(|(.., count)| *count = count.saturating_add(1))
                            .or_insert((place, winner, 1));
                    }
                }
            }
        }
        let mut found: Vec<(usize, (usize, &HostPattern, usize))> = found.into_iter().collect();
        found.sort_by_key(|(weak, _)| *weak);
        for (weak, (strict, host, count)) in found {
            self.say_host(weak, strict, host, count, out);
        }
    }

    fn asks_for_a_token(&self, place: usize) -> bool {
        self.asks.get(place).is_some_and(|(own, _)| own.token())
    }

    /// The weaker route of a more specific host, with wider paths, that takes some of a route's requests.
    fn wins_weakly(&self, place: usize, route: &Route, winner: &HostPattern) -> Option<usize> {
        for other in self.overlap.tree(winner)?.covering(&route.matches.path) {
            let matches = &self.overlap.route(other)?.matches;
            if !matches.methods.overlaps(&route.matches.methods) {
                continue;
            }
            // One with the very same paths was written for just this host.
            if !route.matches.path.covers(&matches.path) && self.is_weaker(other, place) {
                return Some(other);
            }
            if matches.methods == Methods::Any || matches.methods == route.matches.methods {
                return None;
            }
        }
        None
    }

    fn say_host(&self, weak: usize, strict: usize, host: &HostPattern, count: usize, out: &mut Report) {
        let route = |place: usize| self.overlap.route(place).zip(self.spans.get(place));
        let Some(((weaker, weaker_spans), (stricter, stricter_spans))) = route(weak).zip(route(strict)) else { return };
        let more = match count {
            0 | 1 => String::new(),
            2 => ", and so it is with one more route".to_owned(),
            _ => format!(", and so it is with {} more routes", count.saturating_sub(1)),
        };
        let message = format!(
            "on `{host}`, `{}` takes the requests of the stricter `{}`, since the host goes before the path{more}",
            weaker.name, stricter.name
        );
        let help = format!(
            "write `{}` for this host too, or make it a floor, which holds whatever route is taken",
            stricter.name
        );
        let problem = Problem::lint("weaker_by_host", weaker_spans.name, message).help(help).label(self.words(weak));
        out.add(problem.related(stricter_spans.name, self.words(strict)));
    }
}
