//! What clients may find out about us by themselves (RFC 9728): which authorization servers' tokens count here, and for
//! which scopes. Made from the policy once, when it is put in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::assurance::IssuerId;
use crate::policy::host::HostPattern;
use crate::policy::path::{Allowances, CanonicalPath};
use crate::policy::pattern::{Match, Methods, PathPattern, Target};
use crate::policy::requirement::{Condition, Demand, Requirement};
use crate::policy::route::{Floor, Place, Route};
use crate::policy::{Kinds, Policy};
use crate::token::TokenKind;

/// What records call the route under which the gate itself answers for its metadata.
pub const METADATA_ROUTE: &str = "(metadata)";

/// The metadata of the resource that this gate guards.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceMetadata {
    /// Where clients find it: what a challenge names as `resource_metadata`.
    pub url: Box<str>,
    /// The document: JSON.
    pub document: Arc<str>,
    /// The public route under which the gate itself answers. Not one of the policy's.
    pub route: Route,
    /// The path of `url`, without a final slash.
    path: Box<str>,
}

/// RFC 9728 section 2, in its order.
#[derive(Serialize)]
struct Document<'p> {
    resource: &'p str,
    authorization_servers: Vec<&'p str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<&'p str>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    bearer_methods_supported: &'p [&'p str],
}

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl ResourceMetadata {
    /// The metadata of a policy's routes under the URL by which clients know us; `None`: no route takes an access token of
    /// an issuer of which access tokens are taken, so that there is nothing to find out.
    #[must_use]
    pub fn of(policy: &Policy, public_url: &str) -> Option<Self> {
        let mut issuers: BTreeSet<u32> = BTreeSet::new();
        let (mut scopes_supported, mut by_header) = (BTreeSet::new(), false);
        for route in policy.routes().iter().filter(|route| takes_access_tokens(route)) {
            let floors = route.floors.iter().filter_map(|place| policy.floors().get(*place));
            let holding =
                floors.clone().filter(|floor| always_under(floor, route)).filter_map(|floor| floor.demand.as_ref());
            let all = policy.issuers().iter().filter(|issuer| issuer.expectation.access.is_some());
            let all = all.map(|issuer| issuer.id).collect();
            let left = route.require.demand().into_iter().chain(holding).fold(all, admitted);
            issuers.extend(left.iter().map(|id| id.0));
            by_header |= route.take.iter().any(|from| from.place == Place::Authorization && is_access(from.kinds));
            for demand in route.require.demand().into_iter().chain(floors.filter_map(|floor| floor.demand.as_ref())) {
                demand.walk(&mut |condition| scopes(condition, &mut scopes_supported));
            }
        }
        let named = issuers.iter().filter_map(|id| policy.issuer(IssuerId(*id)));
        let authorization_servers: Vec<&str> = named.map(|issuer| &*issuer.expectation.issuer).collect();
        if authorization_servers.is_empty() {
            return None;
        }
        let (origin, path) = well_known(public_url)?;
        let url = format!("{origin}{path}");
        let bearer_methods_supported: &[&str] = if by_header { &["header"] } else { &[] };
        let document =
            Document { resource: public_url, authorization_servers, scopes_supported, bearer_methods_supported };
        Some(Self {
            document: serde_json::to_string(&document).ok()?.into(),
            route: own_route(&path)?,
            path: CanonicalPath::parse(&path).ok()?.as_str().trim_end_matches('/').into(),
            url: url.into(),
        })
    }

    /// Whether the gate itself answers a request: one for the document, unless a route of the policy is for that very path.
    /// A route with a parameter or `**` in its path was not written with this in mind.
    #[must_use]
    pub fn answers(&self, policy: &Policy, target: &Target<'_>) -> bool {
        let path = target.path.as_str();
        *path.strip_suffix('/').unwrap_or(path) == *self.path
            && self.route.matches.methods.matches(target.method)
            && !policy.route(target).is_ok_and(|route| route.matches.path.is_literal())
    }
}

/// RFC 9728 section 3.1: the well-known part stands between the authority and the path, without a slash that is all of it.
fn well_known(public_url: &str) -> Option<(&str, String)> {
    let authority = public_url.find("://")?.checked_add(3)?;
    let end = public_url.get(authority..)?.find(['/', '?', '#']).and_then(|at| at.checked_add(authority));
    let (origin, path) = public_url.split_at_checked(end.unwrap_or(public_url.len()))?;
    let rest = if path == "/" { "" } else { path };
    (!rest.contains(['?', '#'])).then(|| (origin, format!("{WELL_KNOWN}{rest}")))
}

/// As if the policy had it. Public, and under no floor: what it answers is for everybody, and comes from no upstream.
fn own_route(path: &str) -> Option<Route> {
    let methods = Methods::named(["GET".into()]);
    let (pattern, hosts) = (PathPattern::parse(path).ok()?, [HostPattern::Any].into());
    Some(Route::new(
        METADATA_ROUTE,
        Match {
            hosts,
            path: pattern,
            path_written: path.into(),
            methods,
            ignore_case: false,
            allows: Allowances::default(),
        },
        Requirement::Public,
    ))
}

fn is_access(kinds: Kinds) -> bool {
    kinds.takes(TokenKind::Access)
}

fn takes_access_tokens(route: &Route) -> bool {
    route.require != Requirement::Public && route.take.iter().any(|from| is_access(from.kinds))
}

/// Whether every request of a route stands on this floor. Where that can't be told, it counts as one that need not: an
/// issuer too many is named then, and none is left out.
fn always_under(floor: &Floor, route: &Route) -> bool {
    let Match { hosts, path, methods, .. } = &floor.matches;
    *methods == Methods::Any && hosts.contains(&HostPattern::Any) && path.covers(&route.matches.path)
}

/// Of some issuers those whose tokens a demand does not turn away whatever is in them.
fn admitted(issuers: Vec<IssuerId>, demand: &Demand) -> Vec<IssuerId> {
    demand.conditions.iter().fold(issuers, |left, condition| match condition {
        Condition::Issuers(named) => left.into_iter().filter(|id| named.contains(id)).collect(),
        Condition::All(parts) => parts.iter().fold(left, admitted),
        Condition::Any(parts) => {
            let some: Vec<IssuerId> = parts.iter().flat_map(|part| admitted(left.clone(), part)).collect();
            left.into_iter().filter(|id| some.contains(id)).collect()
        }
        Condition::Audience(_)
        | Condition::Caller(_)
        | Condition::Clients(_)
        | Condition::Level(_)
        | Condition::Evidence(_)
        | Condition::MaxAge(_)
        | Condition::Scopes { .. }
        | Condition::Bind { .. } => left,
    })
}

/// The scopes that a condition names, those that are none (RFC 6749 section 3.3) left out.
fn scopes<'p>(condition: &'p Condition, named: &mut BTreeSet<&'p str>) {
    if let Condition::Scopes { all, any } = condition {
        let is_scope = |scope: &&str| {
            !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        };
        named.extend(all.iter().chain(any).map(|scope| &**scope).filter(is_scope));
    }
}
