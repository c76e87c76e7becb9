//! "What does this route demand, and is it met?" Request facts, verified tokens and a time in, permit or denial out.
//!
//! [`Policy::route`] picks the route, [`judge`] judges: by [`decide`], and by the route's mode where that refuses. The proxy and
//! every command call these.
//! Nothing here sees HTTP types or raw tokens, reads a clock, logs or waits.

pub mod ambiguity;
pub mod decision;
pub(in crate::policy) mod ends;
pub mod error_response;
pub mod evaluate;
pub mod exception;
pub mod host;
pub mod metadata;
pub mod near;
pub mod observe;
pub mod on_deny;
pub mod onward;
pub mod path;
pub mod pattern;
pub mod preflight;
pub(in crate::policy) mod readings;
pub mod requirement;
pub mod route;
pub mod router;
pub mod segment;
pub mod streams;
pub mod tie;

use std::collections::HashMap;

pub use decision::{Denial, Excepted, Grounds, Permit, StepUp};
pub use error_response::judge_error_response;
pub use evaluate::{Asked, Step, Tokens, What, decide, ground, retell};
pub use evaluate::{Asking, Branch, Mend, Missed, Reckoned, mend, outline, outlined, reckon};
pub use exception::{Exception, Standing, Tried, Who};
pub use host::{HostPattern, canonical_host};
pub use metadata::{METADATA_ROUTE, ResourceMetadata};
pub use near::Elsewhere;
pub use observe::{Mode, judge, overlook};
pub use on_deny::{OnDeny, Repeat, Template};
pub use onward::{BodyLimit, Rewrite};
pub use path::{Allowances, Ambiguity, CanonicalPath};
pub use pattern::{Match, Methods, PathPattern, Segment, Target};
pub use preflight::{PREFLIGHT, holds_up_preflights, judge_preflight};
pub use requirement::{Condition, Demand, Requirement, WantedCaller};
pub use route::{Ending, Floor, Keep, Kinds, Origins, Place, Route, TokenSource};
pub use router::{Router, Tie};
pub use streams::{AtPolicy, Streams};

use crate::assurance::{ClaimTable, Issuer, IssuerId, Ladders};
use crate::policy::exception::Way;
use crate::reason::Reason;

/// A whole policy, compiled and complete.
#[derive(Clone, Debug)]
pub struct Policy {
    ladders: Ladders,
    issuers: Box<[Issuer]>,
    by_iss: HashMap<Box<str>, IssuerId>,
    claims: ClaimTable,
    floors: Box<[Floor]>,
    routes: Box<[Route]>,
    router: Router,
    /// Whether some route or floor ignores case.
    folds: bool,
    kept: Box<[Box<str>]>,
    renews: bool,
    exceptions: Box<[Exception]>,
    ways: Box<[Way]>,
    hash: Box<str>,
}

/// The parts of a policy, each checked by `config`.
#[derive(Clone, Debug)]
pub struct PolicyParts {
    /// The ladders.
    pub ladders: Ladders,
    /// The issuers; each one's `id` is its place here.
    pub issuers: Vec<Issuer>,
    /// The claims that `claims` and `bind` read.
    pub claims: ClaimTable,
    /// The floors.
    pub floors: Vec<Floor>,
    /// The routes; `floors` in them are places in the list above. [`Policy::new`] sets these and `reads_form`.
    pub routes: Vec<Route>,
    /// `sha256:…` of the policy's sources and of the profiles in use.
    pub hash: Box<str>,
}

impl Policy {
    /// Puts the parts together and indexes them.
    ///
    /// # Errors
    /// Every pair of routes of which neither is more specific.
    pub fn new(parts: PolicyParts) -> Result<Self, Vec<Tie>> {
        let PolicyParts { ladders, issuers, claims, floors, mut routes, hash } = parts;
        for route in &mut routes {
            let touching = floors.iter().enumerate().filter(|(_, floor)| floor.matches.overlaps(&route.matches));
            route.floors = touching.map(|(place, _)| place).collect();
            route.reads_form = route.take.iter().any(|source| matches!(source.place, Place::Form { .. }));
        }
        let kept = end_what_is_kept(&mut routes);
        let renews = routes.iter().any(|route| route.streams.renews_by_sid);
        let router = Router::new(&routes)?;
        let matches = routes.iter().map(|route| &route.matches).chain(floors.iter().map(|floor| &floor.matches));
        let folds = matches.into_iter().any(|matches| matches.ignore_case);
        let by_iss = issuers.iter().map(|issuer| (issuer.expectation.issuer.clone(), issuer.id)).collect();
        Ok(Self {
            ladders,
            issuers: issuers.into(),
            by_iss,
            claims,
            floors: floors.into(),
            routes: routes.into(),
            router,
            folds,
            kept,
            renews,
            exceptions: Box::default(),
            ways: Box::default(),
            hash,
        })
    }

    /// The same policy with these exceptions. The places of routes in them are those of [`Self::routes`].
    #[must_use]
    pub fn with_exceptions(self, exceptions: Vec<Exception>) -> Self {
        let ways = exception::ways(&exceptions, &self.routes);
        Self { exceptions: exceptions.into(), ways, ..self }
    }

    /// The route that a request takes.
    ///
    /// # Errors
    /// [`Reason::RouteNone`] when none matches: what the policy does not name is refused.
    pub fn route<'p>(&'p self, target: &Target<'_>) -> Result<&'p Route, Denial> {
        self.route_at(target).map(|(_, route)| route)
    }

    /// The route that a request takes, with its place in [`Self::routes`].
    ///
    /// # Errors
    /// [`Reason::RouteNone`] when none matches; [`Reason::PathAmbiguous`] when an application that takes `;…` for
    /// parameters of a segment would serve a path that another route or floor guards (checklist T5), and when the route does
    /// not allow what is in the path, or another server would read it to its own ends.
    pub fn route_at<'p>(&'p self, target: &Target<'_>) -> Result<(usize, &'p Route), Denial> {
        let place = self.router.find(target);
        if target.path.needs() != Allowances::default() || self.folds && readings::has_letters_alike(target.path) {
            self.hold_readings(target, place)?;
        }
        if let Some(bare) = target.path.without_parameters() {
            let bare = Target { path: &bare, ..*target };
            let bare_place = self.router.find(&bare);
            let meant =
                place.and_then(|place| self.routes.get(place)).is_some_and(|r| r.matches.path.names_parameters());
            if !meant && bare_place != place || !self.same_floors(target, place, &bare, bare_place) {
                let detail = "without its `;` parameters the path has another route or other floors".into();
                return Err(Denial { detail, ..Denial::because(Reason::PathAmbiguous) });
            }
        }
        let found = place.and_then(|place| self.routes.get(place).map(|route| (place, route)));
        found.ok_or_else(|| {
            let detail =
                format!("no route matches {} on host `{}`, path `{}`", target.method, target.host, target.path);
            Denial { detail, ..Denial::because(Reason::RouteNone) }
        })
    }

    /// Whether two requests stand on the same floors, and name there what claims are bound to alike. What a floor matches and a route takes, they overlap in, so that only the
    /// floors under the two routes need be looked at.
    fn same_floors(&self, one: &Target<'_>, at: Option<usize>, other: &Target<'_>, other_at: Option<usize>) -> bool {
        let under = |place: usize| self.routes.get(place).map_or(&[][..], |route| &route.floors);
        let routes = [at, other_at].map(|place| place.and_then(|place| self.routes.get(place)));
        let in_any_case = routes.into_iter().flatten().find(|route| route.matches.ignore_case);
        let on = |floor: &Floor, target| match in_any_case {
            Some(route) => floor.matches.holds_on(&route.matches, target),
            None => floor.matches.matches(target),
        };
        let alike = |floor: &Floor| {
            !readings::binds_otherwise(floor.demand.as_ref(), &floor.matches.path, one.path, other.path)
        };
        let same = |floor: &Floor| match (on(floor, one), on(floor, other)) {
            (true, true) => alike(floor),
            (one, other) => one == other,
        };
        match (at, other_at) {
            (Some(at), Some(other_at)) => {
                under(at).iter().chain(under(other_at)).filter_map(|place| self.floors.get(*place)).all(same)
            }
            (None, _) | (_, None) => self.floors.iter().all(same),
        }
    }

    /// The ladders.
    #[must_use]
    pub fn ladders(&self) -> &Ladders {
        &self.ladders
    }

    /// All issuers.
    #[must_use]
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// The issuer with this `iss`, byte for byte.
    #[must_use]
    pub fn issuer_of(&self, iss: &str) -> Option<&Issuer> {
        self.by_iss.get(iss).and_then(|id| self.issuer(*id))
    }

    /// The issuer in this place.
    #[must_use]
    pub fn issuer(&self, id: IssuerId) -> Option<&Issuer> {
        self.issuers.get(usize::try_from(id.0).ok()?)
    }

    /// What the operator should look at when this issuer's user is refused for this reason: what the issuer's profile says,
    /// else the general word.
    #[must_use]
    pub fn hint(&self, reason: Reason, issuer: Option<IssuerId>) -> &str {
        let of_profile = issuer.and_then(|id| self.issuer(id)).and_then(|issuer| issuer.hints.get(reason));
        of_profile.unwrap_or(reason.hint())
    }

    /// The claims that `claims` and `bind` read.
    #[must_use]
    pub fn claims(&self) -> &ClaimTable {
        &self.claims
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The names of the cookies in which some route keeps what was proved at sign-in, each once.
    #[must_use]
    pub fn kept(&self) -> &[Box<str>] {
        &self.kept
    }

    /// Whether streams of some route are renewed by later requests of the same session.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.renews
    }

    /// All exceptions, those that are over too.
    #[must_use]
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// The routes of one of them.
    pub fn routes_of<'p>(&'p self, exception: &'p Exception) -> impl Iterator<Item = &'p Route> {
        exception.routes.iter().filter_map(|place| self.routes.get(*place))
    }

    /// All floors.
    #[must_use]
    pub fn floors(&self) -> &[Floor] {
        &self.floors
    }

    /// The floors that a route's request stands on.
    pub fn floors_under<'p>(
        &'p self,
        route: &'p Route,
        target: &Target<'p>,
    ) -> impl Iterator<Item = &'p Floor> + Clone {
        let target = *target;
        route
            .floors
            .iter()
            .filter_map(|place| self.floors.get(*place))
            .filter(move |floor| floor.matches.holds_on(&route.matches, &target))
    }

    /// `sha256:…` of the policy's sources and of the profiles in use.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Tells each route which kept cookies end on some of its paths. The names of all cookies that are kept.
fn end_what_is_kept(routes: &mut [Route]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut endings: Vec<Ending> = Vec::new();
    for keep in routes.iter().filter_map(|route| route.keep.as_deref()) {
        if !names.contains(&keep.cookie) {
            names.push(keep.cookie.clone());
        }
        for path in &keep.ends_on {
            let same =
                routes.iter().filter_map(|route| route.keep.as_deref()).filter(|same| same.cookie == keep.cookie);
            let seconds = same.map(|same| same.seconds).max().unwrap_or_default();
            let ending = Ending { cookie: keep.cookie.clone(), path: path.clone(), seconds, ignore_case: false };
            if !endings.contains(&ending) {
                endings.push(ending);
            }
        }
    }
    for route in routes {
        route.ends = endings.iter().filter(|ending| ending.path.overlaps(&route.matches.path)).cloned().collect();
        if route.matches.ignore_case {
            for ending in &mut route.ends {
                ending.ignore_case = true;
            }
        }
    }
    names.into()
}
