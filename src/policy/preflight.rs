//! `cors: preflight`: a browser's question whether a page of another origin may make a request.
//!
//! It is asked before the request, with OPTIONS, and by the Fetch standard carries nobody's credentials: a gate that asks for
//! a token refuses every one, and so every request that follows. A route lets them pass by name, for its own requests alone;
//! whatever else comes with OPTIONS is judged as ever.

use crate::assurance::Rungs;
use crate::policy::Policy;
use crate::policy::decision::{Grounds, Permit};
use crate::policy::pattern::{Match, Methods, Target};
use crate::policy::readings;
use crate::policy::route::{Floor, Route};

/// The method that preflights are asked with.
pub const PREFLIGHT: &str = "OPTIONS";

/// Judges a request that is a preflight by its form: which it is, whoever reads its head says. `asked` is the method that the
/// page would use. `None`: it passes nowhere by itself, and is judged as any other request.
///
/// It belongs to the route that the request to come would take. No floor is passed by it but one that lets preflights by,
/// too: a floor asks for a token at the least.
#[must_use]
pub fn judge_preflight<'p>(policy: &'p Policy, target: &Target<'_>, asked: &str) -> Option<(usize, &'p Route, Permit)> {
    if target.method != PREFLIGHT || matches!(asked, "CONNECT" | "TRACE" | "TRACK") {
        return None;
    }
    let (place, route) = policy.route_at(&Target { method: asked, ..*target }).ok()?;
    // Of the request to come `route_at` knows that it stands on the same floors in every reading; a floor may be for OPTIONS.
    let others = readings::of(target.path, policy.folds).ok()?;
    let holds = |floor: &&Floor| {
        let under = |path| floor.matches.holds_on(&route.matches, &Target { path, ..*target });
        !floor.cors && (under(target.path) || others.iter().any(|reading| under(&reading.path)))
    };
    if !route.cors || policy.floors().iter().any(|floor| holds(&floor)) {
        return None;
    }
    let permit = Permit { levels: Rungs::new(), by: None, ignored: Vec::new(), grounds: Grounds::Preflight };
    Some((place, route, permit))
}

/// Whether a floor holds up preflights of what a route matches.
#[must_use]
pub fn holds_up_preflights(floor: &Floor, route: &Route) -> bool {
    let preflights = Match { methods: Methods::named([PREFLIGHT.into()]), ..route.matches.clone() };
    !floor.cors && floor.matches.overlaps(&preflights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::evaluate::tests::{demand, level};
    use crate::policy::evaluate::worlds::policy;
    use crate::policy::observe::Mode;
    use crate::policy::path::CanonicalPath;
    use crate::policy::requirement::Requirement;
    use crate::policy::{PolicyParts, Router};

    /// A policy with the one route of these tests, as it is made there, and changed.
    fn changed(route: impl Fn(Route) -> Route, floors: Vec<Floor>) -> Policy {
        let policy = policy(Requirement::Demands(demand(vec![level("multi-factor")])), Mode::Enforce, Vec::new());
        let routes: Vec<Route> = policy.routes().iter().cloned().map(route).collect();
        assert!(Router::new(&routes).is_ok());
        let parts = PolicyParts {
            ladders: policy.ladders().clone(),
            issuers: policy.issuers().to_vec(),
            claims: policy.claims().clone(),
            floors,
            routes,
            hash: policy.hash().into(),
        };
        Policy::new(parts).unwrap()
    }

    fn passes(policy: &Policy, path: &str, method: &str, asked: &str) -> bool {
        let path = CanonicalPath::parse(path).unwrap();
        let target = Target { method, host: "api.example", path: &path };
        let found = judge_preflight(policy, &target, asked);
        if let Some((_, _, permit)) = &found {
            assert_eq!((permit.grounds(), permit.by(), permit.levels()), (&Grounds::Preflight, None, &[][..]));
        }
        found.is_some()
    }

    #[test]
    fn only_a_preflight_for_a_request_of_a_route_that_says_so_passes() {
        let with = |cors| changed(move |route| Route { cors, ..route }, Vec::new());
        let open = with(true);
        assert!(passes(&open, "/payments/7", "OPTIONS", "POST"));
        assert!(!passes(&with(false), "/payments/7", "OPTIONS", "POST"));
        for (path, method, asked) in [
            ("/payments/7", "POST", "POST"),
            ("/payments/7", "GET", "POST"),
            ("/payments/7", "OPTIONS", "CONNECT"),
            ("/payments/7", "OPTIONS", "TRACE"),
            ("/payments/7", "OPTIONS", "TRACK"),
            ("/elsewhere", "OPTIONS", "POST"),
        ] {
            assert!(!passes(&open, path, method, asked), "{method} {path} {asked}");
        }
        let named = changed(
            |route| Route {
                cors: true,
                matches: Match { methods: Methods::named(["POST".into()]), ..route.matches },
                ..route
            },
            Vec::new(),
        );
        assert!(passes(&named, "/payments/7", "OPTIONS", "POST"));
        for asked in ["PUT", "post", "OPTIONS", "GET"] {
            assert!(!passes(&named, "/payments/7", "OPTIONS", asked), "{asked}");
        }
    }

    #[test]
    fn a_floor_is_passed_by_no_preflight_unless_it_says_so_or_does_not_mean_options() {
        let floor = |methods, cors| {
            let open = changed(|route| route, Vec::new());
            let matches = Match { methods, ..open.routes()[0].matches.clone() };
            Floor { name: "f".into(), matches, demand: None, cors }
        };
        let named = |name: &str| Methods::named([Box::from(name)]);
        for (methods, cors, expected) in [
            (Methods::Any, false, false),
            (Methods::Any, true, true),
            (named("POST"), false, true),
            (named("OPTIONS"), false, false),
            (named("OPTIONS"), true, true),
        ] {
            let floor = floor(methods.clone(), cors);
            // A floor for OPTIONS alone does not touch a route for POST alone, and holds all the same.
            let policy = changed(
                |route| Route { cors: true, matches: Match { methods: named("POST"), ..route.matches }, ..route },
                vec![floor.clone()],
            );
            assert_eq!(passes(&policy, "/payments/7", "OPTIONS", "POST"), expected, "{methods:?} {cors}");
            assert_eq!(holds_up_preflights(&floor, &policy.routes()[0]), !expected, "{methods:?} {cors}");
        }
    }
}
