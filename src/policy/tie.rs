//! Two routes that some request would match with neither being the narrower: an error at load.

use crate::policy::pattern::Methods;
use crate::policy::route::Route;

/// Two routes of which neither is more specific: places in the list that was indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The earlier one.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

/// Whether two routes are such, of which some host is the same.
pub(in crate::policy) fn tie(routes: &[Route], a: usize, b: usize) -> Option<Tie> {
    let (first, second) = (a.min(b), a.max(b));
    let (one, other) = (&routes.get(first)?.matches, &routes.get(second)?.matches);
    if !one.methods.overlaps(&other.methods) || !one.path.overlaps(&other.path) {
        return None;
    }
    let ordered = match (one.path.covers(&other.path), other.path.covers(&one.path)) {
        (true, true) => (one.methods == Methods::Any) != (other.methods == Methods::Any),
        (covers, covered) => covers || covered,
    };
    (!ordered).then_some(Tie { first, second })
}
