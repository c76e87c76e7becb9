//! Requests by which a finding is tried before it is said: what the policy does with such a one is what a gate would do.

use crate::config::lints::asks::Asks;
use crate::config::lints::weaker::{COMMON, Weaker};
use crate::policy::{CanonicalPath, HostPattern, Methods, PathPattern, Segment, Target};

/// In the place of what may be anything. No host has such a name, and hardly a path.
pub(super) const ANYTHING: &str = "~";

impl Weaker<'_> {
    /// The route that a request takes, and what is asked of it there: by the route, and by every floor that it stands on.
    pub(super) fn asked(&self, target: &Target<'_>) -> Option<(usize, Asks)> {
        let (place, route) = self.policy.route_at(target).ok()?;
        let (mut asks, _) = self.asks.get(place)?.clone();
        for floor in &route.floors {
            if self.policy.floors().get(*floor)?.matches.holds_on(&route.matches, target) {
                asks.and(self.floors.get(*floor)?);
            }
        }
        Some((place, asks))
    }
}

/// A host that both patterns mean, where there is one.
pub(super) fn host(one: &HostPattern, other: &HostPattern) -> String {
    let of = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(suffix) => format!("{ANYTHING}{suffix}"),
        HostPattern::Any => ANYTHING.to_owned(),
    };
    match (one, other) {
        (HostPattern::Exact(_), _) | (_, HostPattern::Any) => of(one),
        (_, HostPattern::Exact(_)) | (HostPattern::Any, _) => of(other),
        // The longer suffix ends in the shorter.
        (HostPattern::Suffix(a), HostPattern::Suffix(b)) => of(if a.len() < b.len() { other } else { one }),
    }
}

/// Methods that both mean: those that are named, else the common ones.
pub(super) fn methods<'m>(one: &'m Methods, other: &'m Methods) -> impl Iterator<Item = &'m str> {
    let (named, common): (&[Box<str>], &[&str]) = match (one, other) {
        (Methods::Named(names), _) | (Methods::Any, Methods::Named(names)) => (names, &[]),
        (Methods::Any, Methods::Any) => (&[], &COMMON),
    };
    let all = named.iter().map(|name| &**name).chain(common.iter().copied());
    all.filter(|method| one.matches(method) && other.matches(method))
}

/// The segments of a path that both patterns mean, where there is one, with so many more than they name.
pub(super) fn segments<'p>(one: &'p PathPattern, other: &'p PathPattern, more: usize) -> Vec<&'p str> {
    let (mine, theirs) = (one.segments(), other.segments());
    let both = (0..mine.len().max(theirs.len())).map(|at| match (mine.get(at), theirs.get(at)) {
        // What keeps its case says which.
        (Some(Segment::Literal(text)), _) | (_, Some(Segment::Literal(text))) => &**text,
        (one, other) => one.and_then(Segment::text).or_else(|| other?.text()).unwrap_or(ANYTHING),
    });
    both.chain(std::iter::repeat_n(ANYTHING, more)).collect()
}

/// The path of these segments.
pub(super) fn path<'s>(segments: impl Iterator<Item = &'s str>) -> Option<CanonicalPath> {
    let text = segments.fold(String::new(), |text, segment| text + "/" + segment);
    CanonicalPath::of_request(if text.is_empty() { "/" } else { &text }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Allowances;

    #[test]
    fn a_sample_is_of_both_patterns() {
        let (exact, suffix) =
            (|name: &str| HostPattern::Exact(name.into()), |name: &str| HostPattern::Suffix(name.into()));
        for (one, other) in [
            (HostPattern::Any, HostPattern::Any),
            (HostPattern::Any, suffix(".x.example")),
            (exact("a.x.example"), suffix(".x.example")),
            (exact("a.x.example"), HostPattern::Any),
            (suffix(".example"), suffix(".x.example")),
        ] {
            for (one, other) in [(&one, &other), (&other, &one)] {
                let host = host(one, other);
                assert!(one.matches(&host) && other.matches(&host), "{one} {other} {host}");
            }
        }
        let pattern = |written: &str| PathPattern::parse_allowing(written, Allowances::default()).unwrap();
        let folded = |written: &str| pattern(written).ignoring_case().unwrap();
        for (one, other, more) in [
            (pattern("/**"), pattern("/"), 0),
            (pattern("/**"), pattern("/a/**"), 2),
            (pattern("/{x}/b"), pattern("/a/**"), 0),
            (pattern("/{x}/{y}"), pattern("/{y}/{x}"), 0),
            (folded("/a/**"), pattern("/A/b"), 0),
            (folded("/a/{x}"), folded("/A/B"), 0),
        ] {
            for (one, other) in [(&one, &other), (&other, &one)] {
                let path = path(segments(one, other, more).into_iter()).unwrap();
                assert!(one.matches(&path) && other.matches(&path), "{one:?} {other:?} {path}");
            }
        }
        let named = |names: &[&str]| Methods::named(names.iter().map(|name| (*name).into()));
        let both = |one: &Methods, other: &Methods| methods(one, other).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(both(&named(&["POST", "LOCK"]), &Methods::Any), ["LOCK", "POST"]);
        assert_eq!(both(&Methods::Any, &named(&["LOCK"])), ["LOCK"]);
        assert_eq!(both(&named(&["GET", "PUT"]), &named(&["PUT", "POST"])), ["PUT"]);
        assert_eq!(both(&Methods::Any, &Methods::Any), COMMON);
    }
}
