//! Which route a request takes: the most specific that matches, whatever file or order it stands in.
//!
//! Host first (exact, then the longest suffix, then any), then path (the narrower), then method (named over any). Each
//! host pattern has a tree of path segments; a look-up costs the depth of the path, not the number of routes. Two routes
//! of which neither is the narrower are found when the tree is built, so a look-up never has to choose.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::policy::ends::Ends;
use crate::policy::host::HostPattern;
use crate::policy::pattern::{Methods, PathPattern, Segment, Target};
use crate::policy::route::Route;
pub use crate::policy::tie::Tie;
use crate::policy::tie::tie;

/// The routes of a policy, indexed.
#[derive(Clone, Debug, Default)]
pub struct Router {
    exact: HashMap<Box<str>, Tree>,
    /// By what follows `*`, which begins with a dot.
    suffixes: HashMap<Box<str>, Tree>,
    any: Tree,
}

impl Router {
    /// Indexes the routes.
    ///
    /// # Errors
    /// Every pair of routes that some request would match with neither being the more specific.
    pub fn new(routes: &[Route]) -> Result<Self, Vec<Tie>> {
        let mut router = Self::default();
        for (place, route) in routes.iter().enumerate() {
            for host in &route.matches.hosts {
                router.tree(host).insert(&route.matches.path, &route.matches.methods, place);
            }
        }
        let mut ties = Vec::new();
        for tree in router.exact.values().chain(router.suffixes.values()).chain([&router.any]) {
            tree.meet(tree, &mut |a, b| ties.extend(tie(routes, a, b)));
        }
        ties.sort_by_key(|tie| (tie.first, tie.second));
        ties.dedup();
        if ties.is_empty() { Ok(router) } else { Err(ties) }
    }

    fn tree(&mut self, host: &HostPattern) -> &mut Tree {
        match host {
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::Any => &mut self.any,
            HostPattern::Suffix(suffix) => self.suffixes.entry(suffix.clone()).or_default(),
        }
    }

    /// The place of the route that a request takes.
    #[must_use]
    pub fn find(&self, target: &Target<'_>) -> Option<usize> {
        let exact = self.exact.get(target.host).into_iter();
        // From the longest to the shortest, and as many as the host has dots: not as many as there are patterns.
        let dots = target.host.char_indices().skip(1).filter(|(_, c)| *c == '.' && !self.suffixes.is_empty());
        let suffixes = dots.filter_map(|(dot, _)| self.suffixes.get(target.host.get(dot..)?));
        // Deeper paths than this are rare, and cost one allocation.
        let path: SmallVec<[&str; 16]> = target.path.segments().collect();
        exact.chain(suffixes).chain([&self.any]).find_map(|tree| tree.find(&path, target.method))
    }
}

/// One node: the routes that end here, and what may follow.
#[derive(Clone, Debug, Default)]
struct Tree {
    literals: HashMap<Box<str>, Tree>,
    /// Literals in whatever case, here in lower. Most policies have none.
    folded: Option<Box<Folded>>,
    parameter: Option<Box<Tree>>,
    /// Routes whose path ends here.
    ends: Ends,
    /// Routes whose path has `**` here.
    rests: Ends,
}

/// What follows each literal in whatever case.
#[derive(Clone, Debug, Default)]
struct Folded {
    literals: HashMap<Box<str>, Tree>,
}

impl Folded {
    fn get(&self, text: &str) -> Option<&Tree> {
        self.literals.get(&*text.to_ascii_lowercase())
    }
}

impl Tree {
    fn insert(&mut self, path: &PathPattern, methods: &Methods, place: usize) {
        let end = path.segments().iter().fold(self, |node, segment| match segment {
            Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
            Segment::Folded(text) => node.folded.get_or_insert_default().literals.entry(text.clone()).or_default(),
            Segment::Parameter(_) => node.parameter.get_or_insert_default(),
        });
        if path.has_rest() { &mut end.rests } else { &mut end.ends }.insert(methods, place);
    }

    /// Names every two routes whose paths can meet, one from each tree, some of them twice. The trees are walked side by side,
    /// so the cost is that of what they share and not of their size: ten thousand routes are not compared pair by pair.
    fn meet(&self, other: &Self, pair: &mut impl FnMut(usize, usize)) {
        for a in self.here() {
            other.here().filter(|b| *b != a).for_each(|b| pair(a, b));
        }
        if std::ptr::eq(self, other) {
            // What lies below one's own `**` is covered by it.
            self.named().for_each(|child| child.meet(child, pair));
        } else {
            self.rests.places().for_each(|a| other.below(&mut |b| pair(a, b)));
            other.rests.places().for_each(|b| self.below(&mut |a| pair(a, b)));
            let (few, many) = if self.literals.len() <= other.literals.len() { (self, other) } else { (other, self) };
            let shared = few.literals.iter().filter_map(|(name, a)| many.literals.get(name).map(|b| (a, b)));
            shared.for_each(|(a, b)| a.meet(b, pair));
            let shared = self.folded().filter_map(|(name, a)| other.folded.as_ref()?.get(name).map(|b| (a, b)));
            shared.for_each(|(a, b)| a.meet(b, pair));
            other.meet_in_any_case(self, pair);
            if let Some(parameter) = &other.parameter {
                self.named().for_each(|child| child.meet(parameter, pair));
            }
        }
        self.meet_in_any_case(other, pair);
        if let Some(parameter) = &self.parameter {
            other.named().for_each(|child| parameter.meet(child, pair));
            if let Some(others) = &other.parameter {
                parameter.meet(others, pair);
            }
        }
    }

    /// The part of [`Self::meet`] between own literals in whatever case and the other's, each in one.
    fn meet_in_any_case(&self, other: &Self, pair: &mut impl FnMut(usize, usize)) {
        let Some(folded) = &self.folded else { return };
        for (name, child) in &other.literals {
            if let Some(folded) = folded.get(name) {
                folded.meet(child, pair);
            }
        }
    }

    fn folded(&self) -> impl Iterator<Item = (&Box<str>, &Self)> {
        self.folded.iter().flat_map(|folded| &folded.literals)
    }

    /// What follows where the next segment is a literal of either kind.
    fn named(&self) -> impl Iterator<Item = &Self> {
        self.literals.values().chain(self.folded().map(|(_, child)| child))
    }

    /// Routes whose path is that of this node, with `**` or without.
    fn here(&self) -> impl Iterator<Item = usize> {
        self.ends.places().chain(self.rests.places())
    }

    /// Routes whose path is longer.
    fn below(&self, found: &mut impl FnMut(usize)) {
        for child in self.named().chain(self.parameter.as_deref()) {
            child.here().for_each(&mut *found);
            child.below(found);
        }
    }

    /// A literal is narrower than one in whatever case, that than a parameter, a parameter than `**`; a branch that ends in nothing is left again. No more
    /// nodes are visited than the policy's patterns of this depth have.
    fn find(&self, path: &[&str], method: &str) -> Option<usize> {
        let deeper = match path.split_first() {
            None => self.ends.find(method),
            Some((segment, after)) => {
                let literal = self.literals.get(*segment).and_then(|node| node.find(after, method));
                let literal = match &self.folded {
                    None => literal,
                    Some(folded) => literal.or_else(|| folded.get(segment).and_then(|node| node.find(after, method))),
                };
                literal.or_else(|| self.parameter.as_ref().and_then(|node| node.find(after, method)))
            }
        };
        deeper.or_else(|| self.rests.find(method))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::path::{Allowances, CanonicalPath};
    use crate::policy::pattern::Match;
    use crate::policy::requirement::Requirement;

    fn route(host: &str, path: &str, methods: &[&str]) -> Route {
        let host = match host.strip_prefix('*') {
            Some("") => HostPattern::Any,
            Some(suffix) => HostPattern::Suffix(suffix.into()),
            None => HostPattern::Exact(host.into()),
        };
        let named = || Methods::named(methods.iter().map(|method| (*method).into()));
        Route::new(
            &format!("{host} {path} {methods:?}"),
            Match {
                hosts: [host].into(),
                path: PathPattern::parse(path).unwrap(),
                path_written: path.into(),
                methods: if methods.is_empty() { Methods::Any } else { named() },
                ignore_case: false,
                allows: Allowances::default(),
            },
            Requirement::Authenticated,
        )
    }

    fn chosen<'r>(routes: &'r [Route], method: &str, host: &str, path: &str) -> Option<&'r str> {
        let path = CanonicalPath::parse(path).unwrap();
        let place = Router::new(routes).unwrap().find(&Target { method, host, path: &path })?;
        Some(&routes[place].name)
    }

    #[test]
    fn host_goes_before_path_and_path_before_method() {
        let routes = [
            route("*", "/a/b/c", &["GET"]),
            route("*.example", "/a/**", &[]),
            route("*.x.example", "/a/{p}/**", &[]),
            route("api.x.example", "/**", &[]),
            route("api.x.example", "/a/**", &["POST"]),
            route("api.x.example", "/a/b", &[]),
            route("api.x.example", "/a/b", &["GET"]),
        ];
        let chosen = |method, host, path| chosen(&routes, method, host, path);
        assert_eq!(chosen("GET", "api.x.example", "/a/b"), Some("api.x.example /a/b [\"GET\"]"));
        assert_eq!(chosen("HEAD", "api.x.example", "/a/b"), Some("api.x.example /a/b [\"GET\"]"), "GET implies HEAD");
        assert_eq!(chosen("PUT", "api.x.example", "/a/b/"), Some("api.x.example /a/b []"));
        assert_eq!(chosen("POST", "api.x.example", "/a/c"), Some("api.x.example /a/** [\"POST\"]"));
        assert_eq!(chosen("PUT", "api.x.example", "/a/c"), Some("api.x.example /** []"));
        assert_eq!(chosen("GET", "b.x.example", "/a/b/c"), Some("*.x.example /a/{p}/** []"));
        assert_eq!(chosen("GET", "b.x.example", "/a"), Some("*.example /a/** []"));
        assert_eq!(chosen("GET", "elsewhere", "/a/b/c"), Some("* /a/b/c [\"GET\"]"));
    }

    #[test]
    fn a_literal_is_narrower_than_the_same_in_any_case_and_that_than_a_parameter() {
        let routes = [
            route("*", "/Admin", &[]),
            ignoring_case(route("*", "/admin", &[])),
            route("*", "/{x}", &[]),
            ignoring_case(route("*", "/7/x", &[])),
            route("*", "/7/{y}", &[]),
        ];
        for (path, is) in [
            ("/Admin", "* /Admin []"),
            ("/aDMIN", "* /admin [] in any case"),
            ("/admins", "* /{x} []"),
            ("/7/X", "* /7/x [] in any case"),
            ("/7/y", "* /7/{y} []"),
        ] {
            assert_eq!(chosen(&routes, "GET", "h", path), Some(is), "{path}");
        }
        let tied = |a: Route, b: Route| Router::new(&[a, b]).err();
        let tie = Some(vec![Tie { first: 0, second: 1 }]);
        assert_eq!(tied(ignoring_case(route("*", "/a/b", &[])), route("*", "/A/{x}", &[])), tie);
        assert_eq!(tied(ignoring_case(route("*", "/a", &[])), ignoring_case(route("*", "/A", &[]))), tie);
        assert_eq!(tied(ignoring_case(route("*", "/1", &[])), route("*", "/1", &[])), tie, "no letters, no difference");
    }

    #[test]
    fn t10_a_request_that_no_route_matches_takes_none() {
        let routes = [route("*", "/a/{x}/b", &[]), route("*", "/a/c", &["GET"]), route("api.example", "/b", &[])];
        for (method, host, path) in
            [("GET", "h", "/a/c/d"), ("POST", "h", "/a/c"), ("GET", "h", "/b"), ("GET", "h", "/"), ("GET", "h", "/a")]
        {
            assert_eq!(chosen(&routes, method, host, path), None, "{method} {host} {path}");
        }
    }

    #[test]
    fn routes_of_which_neither_is_narrower_are_found() {
        let tied = |a: Route, b: Route| Router::new(&[a, b]).is_err();
        assert!(tied(route("*", "/a/{x}", &[]), route("*", "/{y}/b", &[])));
        assert!(tied(route("*", "/a", &[]), route("*", "/a/", &[])));
        assert!(tied(route("*", "/a", &["GET", "PUT"]), route("*", "/a", &["PUT", "POST"])));
        assert!(tied(route("*", "/a", &["GET"]), route("*", "/a", &["HEAD"])), "GET implies HEAD");
        assert!(tied(route("*", "/{x}", &[]), route("*", "/{y}", &[])));
        assert!(!tied(route("*", "/a/{x}", &["GET"]), route("*", "/{y}/b", &["POST"])));
        assert!(!tied(route("h", "/a/{x}", &[]), route("*", "/{y}/b", &[])));
        assert!(!tied(route("*", "/a", &["GET"]), route("*", "/a", &[])));
        assert!(!tied(route("*", "/a/**", &[]), route("*", "/a", &[])));
    }

    fn any_route() -> impl Strategy<Value = Route> {
        let host = prop::sample::select(vec!["*", "h", "a.h", "*.h"]);
        let segment = prop::sample::select(vec!["a", "b", "A", "{x}"]);
        let path = (prop::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(mut segments, rest)| {
            for (segment, name) in segments.iter_mut().zip(["{x}", "{y}", "{z}"]) {
                if segment.starts_with('{') {
                    *segment = name;
                }
            }
            segments.extend(rest.then_some("**"));
            format!("/{}", segments.join("/"))
        });
        let methods = prop::sample::select(vec![vec![], vec!["GET"], vec!["POST"], vec!["POST", "PUT"]]);
        (host, path, methods, any::<bool>()).prop_map(|(host, path, methods, ignore_case)| {
            let route = route(host, &path, &methods);
            if ignore_case { ignoring_case(route) } else { route }
        })
    }

    fn ignoring_case(mut route: Route) -> Route {
        route.name = format!("{} in any case", route.name).into();
        route.matches.path = route.matches.path.ignoring_case().unwrap();
        route
    }

    /// The definition, slowly: of all routes that match, the one that no other is narrower than.
    fn by_definition<'r>(routes: &'r [Route], target: &Target<'_>) -> Option<&'r Route> {
        let rank = |route: &Route| match &route.matches.hosts[0] {
            HostPattern::Exact(_) => usize::MAX,
            HostPattern::Suffix(suffix) => suffix.len(),
            HostPattern::Any => 0,
        };
        let narrower = |a: &Route, b: &Route| {
            let (mine, theirs) = (&a.matches, &b.matches);
            let (below, above) = (theirs.path.covers(&mine.path), mine.path.covers(&theirs.path));
            let by_path = below && (!above || theirs.methods == Methods::Any);
            rank(a) > rank(b) || rank(a) == rank(b) && by_path
        };
        let matching: Vec<&Route> = routes.iter().filter(|route| route.matches.matches(target)).collect();
        matching
            .iter()
            .copied()
            .find(|route| matching.iter().all(|other| route.name == other.name || narrower(route, other)))
    }

    proptest! {
        #[test]
        fn ties_are_those_that_comparing_every_two_routes_finds(
            routes in prop::collection::vec(any_route(), 1..12),
        ) {
            let mut slowly = Vec::new();
            for second in 0..routes.len() {
                for first in 0..second {
                    if routes[first].matches.hosts == routes[second].matches.hosts {
                        slowly.extend(tie(&routes, first, second));
                    }
                }
            }
            slowly.sort_by_key(|tie| (tie.first, tie.second));
            prop_assert_eq!(Router::new(&routes).err().unwrap_or_default(), slowly);
        }

        #[test]
        fn the_choice_is_the_definition_and_does_not_depend_on_order(
            routes in prop::collection::vec(any_route(), 1..8).prop_shuffle(),
            order in any::<prop::sample::Index>(),
            method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS"]),
            host in prop::sample::select(vec!["h", "a.h", "b.h", "c"]),
            path in prop::sample::select(vec!["/", "/a", "/A/", "/a/b", "/b/A", "/B/b/a", "/c"]),
        ) {
            let mut turned = routes.clone();
            turned.rotate_left(order.index(routes.len()));
            turned.reverse();
            let path = CanonicalPath::parse(path).unwrap();
            let target = Target { method, host, path: &path };
            match (Router::new(&routes), Router::new(&turned)) {
                (Ok(one), Ok(other)) => {
                    let found = one.find(&target).map(|place| &routes[place].name);
                    prop_assert_eq!(found, other.find(&target).map(|place| &turned[place].name));
                    prop_assert_eq!(found, by_definition(&routes, &target).map(|route| &route.name));
                }
                (one, other) => prop_assert_eq!(one.is_err(), other.is_err()),
            }
        }
    }
}
