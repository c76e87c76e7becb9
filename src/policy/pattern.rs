//! What a route or floor matches: hosts, a path and methods, and which of two paths is the narrower.

use crate::policy::host::HostPattern;
use crate::policy::path::{Allowances, CanonicalPath};
pub use crate::policy::segment::Segment;

/// A path pattern: segments, and whether anything may follow (`**`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Box<[Segment]>,
    rest: bool,
}

/// Why a path pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not start with `/`.
    #[error("a path starts with `/`")]
    NotAbsolute,
    /// `**` somewhere else than at the end.
    #[error("`**` stands for the rest of the path, so it can only be the last segment")]
    RestNotLast,
    /// `*` alone or inside a segment.
    #[error("`*` is not a pattern here: use `{{name}}` for one segment or `**` for the rest")]
    Star,
    /// A character that regular expressions are made of and that no path has unescaped.
    #[error(
        "`{0}` makes no pattern here: patterns are no regular expressions; use `{{name}}` for one segment or `**` for the rest"
    )]
    RegularExpression(char),
    /// `{}` or `{a b}` or braces within a segment.
    #[error("a parameter is a whole segment, `{{name}}`, its name of letters, digits, `_` and `-`")]
    Parameter,
    /// The same name twice.
    #[error("the parameter `{{{0}}}` stands twice in the path")]
    Repeated(Box<str>),
    /// A letter in whatever case, that is none of a to z.
    #[error("`ignore_case` knows the letters a to z alone, and `{0}` has others: add a route for each spelling")]
    CaseOfOthers(Box<str>),
    /// A literal segment that no request can have.
    #[error("no request can match this: {0}")]
    Ambiguous(#[from] crate::policy::path::Ambiguity),
}

impl PathPattern {
    /// Parses `/a/{id}/**`. Literal segments are brought to the form that requests are brought to.
    ///
    /// # Errors
    /// For anything that is not a pattern, or that no request could match.
    pub fn parse(written: &str) -> Result<Self, PatternError> {
        Self::parse_allowing(written, Allowances::default())
    }

    /// The same for a route that allows what other paths can't have.
    ///
    /// # Errors
    /// As for any pattern.
    pub fn parse_allowing(written: &str, allowed: Allowances) -> Result<Self, PatternError> {
        if let Some(mark) = written.chars().find(|mark| matches!(mark, '[' | ']' | '^' | '|' | '\\')) {
            return Err(PatternError::RegularExpression(mark));
        }
        let inner = written.strip_prefix('/').ok_or(PatternError::NotAbsolute)?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let (inner, rest) = match inner.strip_suffix("**") {
            Some(before) if before.is_empty() || before.ends_with('/') => {
                (before.strip_suffix('/').unwrap_or(before), true)
            }
            Some(_) | None => (inner, false),
        };
        let mut segments: Vec<Segment> = Vec::new();
        for piece in inner.split('/').filter(|_| !inner.is_empty()) {
            let segment = Segment::parse(piece, allowed)?;
            if let Segment::Parameter(name) = &segment
                && segments.contains(&segment)
            {
                return Err(PatternError::Repeated(name.clone()));
            }
            segments.push(segment);
        }
        Ok(Self { segments: segments.into(), rest })
    }

    /// The same in whatever case the letters of its literals are.
    ///
    /// # Errors
    /// [`PatternError::CaseOfOthers`].
    pub fn ignoring_case(&self) -> Result<Self, PatternError> {
        let segments = self.segments.iter().cloned().map(Segment::ignoring_case).collect::<Result<_, _>>()?;
        Ok(Self { segments, rest: self.rest })
    }

    /// The same with other literals in the place of its first segments.
    #[must_use]
    pub(in crate::policy) fn beginning_with<'s>(
        &self,
        literals: impl Iterator<Item = &'s str>,
        replaced: usize,
    ) -> Self {
        let literals = literals.map(|text| Segment::Literal(text.into()));
        Self { segments: literals.chain(self.segments.iter().skip(replaced).cloned()).collect(), rest: self.rest }
    }

    /// Its segments, without `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the operator wrote `;` parameters into it, so that the application is known to tell paths apart by them.
    #[must_use]
    pub fn names_parameters(&self) -> bool {
        let named = |text: &str| text.contains(';') || text.contains("%3B");
        self.segments.iter().filter_map(Segment::text).any(named)
    }

    /// Whether it ends in `**`.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether it means one path alone, in whatever case.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.rest && self.segments.iter().all(|segment| segment.text().is_some())
    }

    /// Whether the path is meant. A final slash makes no difference; `/a/**` means `/a` too.
    #[must_use]
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        self.fits(path, Segment::matches)
    }

    /// Whether the path is meant where the server ignores case.
    #[must_use]
    pub fn matches_in_any_case(&self, path: &CanonicalPath) -> bool {
        self.fits(path, Segment::matches_in_any_case)
    }

    fn fits(&self, path: &CanonicalPath, fits: impl Fn(&Segment, &str) -> bool) -> bool {
        let mut given = path.segments();
        self.segments.iter().all(|segment| given.next().is_some_and(|piece| fits(segment, piece)))
            && (self.rest || given.next().is_none())
    }

    /// The segment that a parameter stands for in a path that this matches, still escaped.
    #[must_use]
    pub fn parameter<'p>(&self, name: &str, path: &'p CanonicalPath) -> Option<&'p str> {
        let place =
            self.segments.iter().position(|segment| matches!(segment, Segment::Parameter(n) if **n == *name))?;
        path.segments().nth(place)
    }

    /// Whether every path that the other means is meant by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let fits = |(mine, theirs): (&Segment, &Segment)| mine.covers(theirs);
        let prefix =
            self.segments.len() <= other.segments.len() && self.segments.iter().zip(&*other.segments).all(fits);
        prefix && (self.rest || (!other.rest && self.segments.len() == other.segments.len()))
    }

    /// Whether some path is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |(a, b): (&Segment, &Segment)| a.overlaps(b);
        let (mine, theirs) = (self.segments.len(), other.segments.len());
        self.segments.iter().zip(&*other.segments).all(meet)
            && (mine == theirs || (mine < theirs && self.rest) || (theirs < mine && other.rest))
    }
}

/// The methods that a route means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Methods {
    /// Any method.
    Any,
    /// These; GET implies HEAD. Sorted, upper-case, never empty.
    Named(Box<[Box<str>]>),
}

impl Methods {
    /// Named methods, HEAD added beside GET.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = Box<str>>) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().collect();
        if names.iter().any(|name| **name == *"GET") {
            names.push("HEAD".into());
        }
        names.sort_unstable();
        names.dedup();
        Self::Named(names.into())
    }

    /// Whether a method is meant. Methods are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn matches(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| **name == *method),
        }
    }

    /// Whether some method is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Named(names), Self::Named(_)) => names.iter().any(|name| other.matches(name)),
        }
    }
}

/// What a route or floor matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Any of these hosts. Never empty.
    pub hosts: Box<[HostPattern]>,
    /// The path.
    pub path: PathPattern,
    /// The path as the policy wrote it.
    pub path_written: Box<str>,
    /// The methods.
    pub methods: Methods,
    /// Whether the upstream ignores case, and the path with it.
    pub ignore_case: bool,
    /// What else its upstream is known to mean.
    pub allows: Allowances,
}

impl Match {
    /// Whether a request is meant.
    #[must_use]
    pub fn matches(&self, target: &Target<'_>) -> bool {
        self.methods.matches(target.method)
            && self.hosts.iter().any(|host| host.matches(target.host))
            && self.path.matches(target.path)
    }

    /// Whether a request is meant that takes this route: if the route's upstream ignores case, in whatever case.
    #[must_use]
    pub fn holds_on(&self, route: &Self, target: &Target<'_>) -> bool {
        if !route.ignore_case {
            return self.matches(target);
        }
        self.methods.matches(target.method)
            && self.hosts.iter().any(|host| host.matches(target.host))
            && self.path.matches_in_any_case(target.path)
    }

    /// Whether some request is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.methods.overlaps(&other.methods)
            && self.path.overlaps(&other.path)
            && self.hosts.iter().any(|mine| other.hosts.iter().any(|theirs| mine.overlaps(theirs)))
    }
}

/// What a request asks for, in canonical form.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    /// The method, as sent.
    pub method: &'r str,
    /// The host, as [`crate::policy::canonical_host`] makes it.
    pub host: &'r str,
    /// The path.
    pub path: &'r CanonicalPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(written: &str) -> PathPattern {
        PathPattern::parse(written).unwrap()
    }

    fn path(raw: &str) -> CanonicalPath {
        CanonicalPath::parse(raw).unwrap()
    }

    #[test]
    fn a_path_pattern_matches_whole_segments() {
        for (written, yes, no) in [
            ("/a/**", &["/a", "/a/", "/a/b", "/a/b/c"][..], &["/", "/ab", "/b/a"][..]),
            ("/a/{x}", &["/a/b", "/a/b/"], &["/a", "/a/", "/a/b/c"]),
            ("/a", &["/a", "/a/"], &["/a/b", "/A", "/"]),
            ("/", &["/"], &["/a"]),
            ("/**", &["/", "/a", "/a/b"], &[]),
            ("/%61b", &["/ab"], &["/a"]),
        ] {
            for raw in yes {
                assert!(pattern(written).matches(&path(raw)), "{written} {raw}");
            }
            for raw in no {
                assert!(!pattern(written).matches(&path(raw)), "{written} {raw}");
            }
        }
        assert_eq!(pattern("/a/{id}/c").parameter("id", &path("/a/7/c")), Some("7"));
    }

    proptest::proptest! {
        #[test]
        fn a_literal_is_in_the_form_that_requests_are_brought_to(piece in "[!-~]{1,6}|[a-c.;%27fF~]{1,6}") {
            let parsed = Segment::parse(&piece, Allowances::default());
            if let Ok(Segment::Literal(text)) = parsed {
                let canonical = CanonicalPath::parse(&format!("/{piece}")).unwrap();
                proptest::prop_assert_eq!(canonical.segments().collect::<Vec<_>>(), [&*text]);
            }
        }
    }

    #[test]
    fn t8_what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "a",
            "/a/**/b",
            "/a/*",
            "/a*",
            "/a/{x}{y}",
            "/a/{}",
            "/a/{x}/{x}",
            "/a//b",
            "/a/../b",
            "/a/%2f",
            "/{x",
            "/.*",
        ] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn covering_and_overlapping_are_told_apart() {
        for (a, b, covers, overlaps) in [
            ("/**", "/a", true, true),
            ("/a/**", "/a", true, true),
            ("/a/{x}", "/a/b", true, true),
            ("/a/b", "/a/{x}", false, true),
            ("/a/{x}", "/a/{y}", true, true),
            ("/a/{x}", "/{y}/b", false, true),
            ("/a/{x}/c", "/a/b/**", false, true),
            ("/a", "/b", false, false),
            ("/a/**", "/b/**", false, false),
            ("/a/{x}", "/a", false, false),
            ("/a", "/A", false, false),
        ] {
            assert_eq!(pattern(a).covers(&pattern(b)), covers, "{a} covers {b}");
            assert_eq!(pattern(a).overlaps(&pattern(b)), overlaps, "{a} overlaps {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), overlaps, "{b} overlaps {a}");
        }
    }

    #[test]
    fn in_whatever_case_a_pattern_means_more_and_never_less() {
        let folded = |written: &str| pattern(written).ignoring_case().unwrap();
        assert!(folded("/Admin/{Id}/x").matches(&path("/aDMIN/Seven/X/")));
        assert!(!folded("/admin/{id}").matches(&path("/admins/7")));
        assert_eq!(
            folded("/Admin/{Id}/x").parameter("Id", &path("/aDMIN/Seven/X")),
            Some("Seven"),
            "a value keeps its case"
        );
        assert!(
            pattern("/Admin/x").matches_in_any_case(&path("/aDMIN/X")) && !pattern("/admin").matches(&path("/ADMIN"))
        );
        for (a, b, covers, covered) in [
            ("/a/b", "/A/b", true, false),
            ("/a/{x}", "/A/b", true, false),
            ("/a/b", "/A/{x}", false, false),
            ("/1/**", "/1/a", true, false),
        ] {
            assert_eq!(folded(a).covers(&pattern(b)), covers, "{a} covers {b}");
            assert_eq!(pattern(b).covers(&folded(a)), covered, "{b} covers {a}");
            assert!(folded(a).overlaps(&pattern(b)) && pattern(b).overlaps(&folded(a)), "{a} overlaps {b}");
        }
        assert_eq!(pattern("/1/{x}").ignoring_case(), Ok(pattern("/1/{x}")), "no letters, no difference");
    }

    #[test]
    fn get_implies_head_and_nothing_implies_options() {
        let get = Methods::named(["GET".into()]);
        assert!(get.matches("GET") && get.matches("HEAD"));
        assert!(!get.matches("OPTIONS") && !get.matches("get"));
    }
}
