//! A path as other servers read it: `%2F` for a slash, `//` for one, `;…` for nothing, a letter of Unicode for the one of
//! ASCII that it folds to.
//!
//! A route may allow what its upstream is known to mean. Whether that is so the gate can't see, so whatever another reading
//! would come under must hold already: [`Policy::route_at`] refuses what stands on other floors or belongs to another route
//! when it is read otherwise (checklist T1, T2, T5).

use crate::policy::path::{Ambiguity, CanonicalPath, normalise};
use crate::policy::pattern::{PathPattern, Target};
use crate::policy::requirement::{Condition, Demand};
use crate::policy::{Denial, Policy};
use crate::reason::Reason;

/// One way to read a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Reading {
    pub(in crate::policy) path: CanonicalPath,
    /// Whether `%2F` became a slash on the way.
    pub(in crate::policy) is_decoded: bool,
}

/// All other readings of a path, those of readings among them: a server may do several of these things, in any order.
/// `folds`: also those of a server that ignores case and knows more letters than a to z.
///
/// # Errors
/// When one of them has itself no single reading: a dot segment between two escaped slashes is never harmless.
pub(in crate::policy) fn of(path: &CanonicalPath, folds: bool) -> Result<Vec<Reading>, Ambiguity> {
    let mut all = vec![Reading { path: path.clone(), is_decoded: false }];
    let mut done = 0;
    // Each step takes something away for good, and there are four: no more than 32 come of it.
    while let Some(Reading { path, is_decoded }) = all.get(done).cloned() {
        let others = [
            decoded(&path)?.map(|path| Reading { path, is_decoded: true }),
            merged(&path)?.map(|path| Reading { path, is_decoded }),
            path.without_parameters().map(|path| Reading { path, is_decoded }),
            unfolded(&path).filter(|_| folds).map(|path| Reading { path, is_decoded }),
        ];
        for reading in others.into_iter().flatten() {
            if !all.contains(&reading) {
                all.push(reading);
            }
        }
        done = done.saturating_add(1);
    }
    all.remove(0);
    Ok(all)
}

/// With `%2F` read as a slash.
fn decoded(path: &CanonicalPath) -> Result<Option<CanonicalPath>, Ambiguity> {
    replaced(path, &[("%2F", "/")])
}

/// With several slashes read as one.
fn merged(path: &CanonicalPath) -> Result<Option<CanonicalPath>, Ambiguity> {
    let mut text = path.as_str().to_owned();
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    (text != path.as_str()).then(|| as_it_stands(&text)).transpose()
}

/// With those letters that Unicode folds to one of ASCII read as that: long s, dotless and dotted i, the sign for kelvin.
fn unfolded(path: &CanonicalPath) -> Option<CanonicalPath> {
    const ALIKE: [(&str, &str); 4] = [("%C5%BF", "s"), ("%C4%B1", "i"), ("%C4%B0", "i"), ("%E2%84%AA", "k")];
    replaced(path, &ALIKE).ok().flatten()
}

fn replaced(path: &CanonicalPath, pairs: &[(&str, &str)]) -> Result<Option<CanonicalPath>, Ambiguity> {
    if !pairs.iter().any(|(from, _)| path.as_str().contains(from)) {
        return Ok(None);
    }
    let text = pairs.iter().fold(path.as_str().to_owned(), |text, (from, to)| text.replace(from, to));
    as_it_stands(&text).map(Some)
}

/// A path that is canonical already.
fn as_it_stands(text: &str) -> Result<CanonicalPath, Ambiguity> {
    let (normal, _) = normalise(text)?;
    if normal == text { CanonicalPath::of_request(text) } else { Err(Ambiguity::EncodedSlash) }
}

/// Whether Unicode folds one of its letters to one of ASCII: only then a server that ignores case may read it otherwise.
pub(in crate::policy) fn has_letters_alike(path: &CanonicalPath) -> bool {
    path.as_str().contains('%') && unfolded(path).is_some()
}

impl Policy {
    /// Whether a path that servers may read in several ways is the same to this policy in each of them. `place`: of the route
    /// that it takes.
    #[cold]
    pub(in crate::policy) fn hold_readings(&self, target: &Target<'_>, place: Option<usize>) -> Result<(), Denial> {
        let ambiguous = |detail: String| Denial { detail, ..Denial::because(Reason::PathAmbiguous) };
        let route = place.and_then(|place| self.routes().get(place));
        let needs = target.path.needs();
        if let Some(ambiguity) = needs.beyond(route.map(|route| route.matches.allows).unwrap_or_default()) {
            return Err(ambiguous(ambiguity.to_string()));
        }
        let unreadable = |ambiguity| ambiguous(format!("read as another server may read it, {ambiguity}"));
        // What goes on has one reading as well: where its beginning is taken away, a `//` or `%2F` may come to stand first.
        let written = route.and_then(|route| route.rewrite.as_deref()).and_then(|rewrite| rewrite.of(target.path));
        if let Some(written) = written {
            CanonicalPath::of_request(&written).and_then(|path| of(&path, self.folds)).map_err(unreadable)?;
        }
        for Reading { path, is_decoded } in of(target.path, self.folds).map_err(unreadable)? {
            let other = Target { path: &path, ..*target };
            let other_place = self.router.find(&other);
            // Under `encoded_slash` a `{name}` may hold slashes however the upstream spells them: then no wider route is
            // for it, as none is for any path of this one.
            let may_be_wider = is_decoded && !needs.empty_segments && place.is_some();
            let same_route = other_place == place || may_be_wider && self.is_wider(other_place, place);
            if !same_route {
                return Err(ambiguous(format!("as `{path}`, which servers may read it as, it has another route")));
            }
            let binds_otherwise = needs.empty_segments
                && route.is_some_and(|route| {
                    binds_otherwise(route.require.demand(), &route.matches.path, target.path, &path)
                });
            if binds_otherwise || !self.same_floors(target, place, &other, other_place) {
                return Err(ambiguous(format!(
                    "as `{path}`, which servers may read it as, it has other floors or names"
                )));
            }
        }
        Ok(())
    }

    /// Whether all that a route matches a second one matches too, or there is no second one.
    fn is_wider(&self, wide: Option<usize>, narrow: Option<usize>) -> bool {
        let path =
            |place: Option<usize>| place.and_then(|place| self.routes().get(place)).map(|route| &route.matches.path);
        match (path(wide), path(narrow)) {
            (Some(wide), Some(narrow)) => wide.covers(narrow),
            (None, _) => true,
            (Some(_), None) => false,
        }
    }
}

/// Whether a parameter that is bound to a claim stands for another value in another reading.
pub(in crate::policy) fn binds_otherwise(
    demand: Option<&Demand>,
    pattern: &PathPattern,
    one: &CanonicalPath,
    other: &CanonicalPath,
) -> bool {
    let mut differs = false;
    if let Some(demand) = demand {
        demand.walk(&mut |condition| {
            if let Condition::Bind { parameter, .. } = condition {
                differs |= pattern.parameter(parameter, one) != pattern.parameter(parameter, other);
            }
        });
    }
    differs
}

#[cfg(test)]
mod tests;
