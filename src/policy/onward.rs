//! What a route says of the way on to its upstream: how long a body may be, and what becomes of the path. Judges nothing: what
//! was matched, judged and recorded is the path as it came.

use crate::policy::path::CanonicalPath;
use crate::policy::pattern::{PathPattern, Segment};

/// How long a request's body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLimit {
    /// Of any length.
    Any,
    /// So many bytes.
    Bytes(u64),
}

impl BodyLimit {
    /// The most bytes; `None`: any number.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// What becomes of a path on its way up: the literal beginning of the route's own pattern, all before its first parameter or
/// `**`, is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The beginning that goes, by segments.
    segments: Box<[Box<str>]>,
    /// The same as one text; `/a/b`, or empty.
    replaced: Box<str>,
    /// What comes in its place; empty for `/`.
    prefix: Box<str>,
}

impl Rewrite {
    /// Replaces the literal beginning of `pattern` by `prefix`, which has no final slash.
    #[must_use]
    pub fn new(pattern: &PathPattern, prefix: &CanonicalPath) -> Self {
        let literal = |segment: &Segment| match segment {
            Segment::Literal(text) | Segment::Folded(text) => Some(text.clone()),
            Segment::Parameter(_) => None,
        };
        let segments: Box<[Box<str>]> = pattern.segments().iter().map_while(literal).collect();
        let replaced = segments.iter().fold(String::new(), |text, segment| text + "/" + segment).into();
        let prefix = prefix.as_str().strip_suffix('/').unwrap_or(prefix.as_str()).into();
        Self { segments, replaced, prefix }
    }

    /// The paths that the upstream sees, where `pattern` is the one that this was made for.
    #[must_use]
    pub fn pattern(&self, pattern: &PathPattern) -> PathPattern {
        pattern.beginning_with(self.prefix.split('/').skip(1), self.segments.len())
    }

    /// The beginning that clients know and the upstream does not see, such as `/a/b`; `None`: nothing is taken away.
    #[must_use]
    pub fn replaced(&self) -> Option<&str> {
        (!self.replaced.is_empty()).then_some(&*self.replaced)
    }

    /// The path as the upstream is to see it, in canonical form like the one that was judged. `None`: it does not begin as the
    /// pattern does, so that nobody can say what would be left of it.
    #[must_use]
    pub fn of(&self, path: &CanonicalPath) -> Option<String> {
        let mut rest = path.as_str();
        for literal in &self.segments {
            let inner = rest.strip_prefix('/')?;
            let (segment, after) = inner.split_at_checked(inner.find('/').unwrap_or(inner.len()))?;
            // The pattern may have matched without regard to case.
            if !segment.eq_ignore_ascii_case(literal) {
                return None;
            }
            rest = after;
        }
        let whole = [&*self.prefix, rest].concat();
        Some(if whole.is_empty() { "/".to_owned() } else { whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CanonicalPath {
        CanonicalPath::parse(text).unwrap()
    }

    #[test]
    fn the_literal_beginning_of_the_pattern_is_replaced_and_nothing_else() {
        for (pattern, prefix, given, is) in [
            ("/accounts/**", "/v1", "/accounts/7", "/v1/7"),
            ("/accounts/**", "/v1", "/accounts", "/v1"),
            ("/accounts/**", "/v1", "/accounts/", "/v1/"),
            ("/accounts/**", "/", "/accounts/7", "/7"),
            ("/accounts/**", "/", "/accounts", "/"),
            ("/accounts/**", "/", "/accounts/", "/"),
            ("/accounts/{id}/x", "/v1/a", "/accounts/accounts/x", "/v1/a/accounts/x"),
            ("/{id}/accounts", "/v1", "/7/accounts", "/v1/7/accounts"),
            ("/**", "/v1", "/", "/v1/"),
            ("/**", "/v1", "/a/b/", "/v1/a/b/"),
            ("/**", "/", "/", "/"),
            ("/a/b", "/c", "/a/b", "/c"),
            ("/a/b", "/c", "/a/b/", "/c/"),
            ("/a b/**", "/c", "/a%20b/d", "/c/d"),
            ("/Accounts/**", "/v1", "/aCCOUNTS/7", "/v1/7"),
        ] {
            let rewrite = Rewrite::new(&PathPattern::parse(pattern).unwrap(), &path(prefix));
            let written = rewrite.of(&path(given));
            assert_eq!(written.as_deref(), Some(is), "{pattern} {prefix} {given}");
            assert_eq!(path(is).as_str(), is, "what is forwarded has one reading too");
        }
    }

    #[test]
    fn the_pattern_of_what_the_upstream_sees_is_the_same_below_its_beginning() {
        for (pattern, prefix, is) in [
            ("/accounts/**", "/v1", "/v1/**"),
            ("/accounts/**", "/", "/**"),
            ("/accounts/{id}/x", "/v1/a", "/v1/a/{id}/x"),
            ("/{id}/accounts", "/v1", "/v1/{id}/accounts"),
            ("/a/b", "/", "/"),
            ("/**", "/v1", "/v1/**"),
        ] {
            let pattern = PathPattern::parse(pattern).unwrap();
            let seen = Rewrite::new(&pattern, &path(prefix)).pattern(&pattern);
            assert_eq!(seen, PathPattern::parse(is).unwrap(), "{pattern:?} {prefix}");
        }
    }

    #[test]
    fn a_path_that_does_not_begin_as_the_pattern_does_is_not_rewritten() {
        let rewrite = Rewrite::new(&PathPattern::parse("/a/b/**").unwrap(), &path("/v1"));
        for other in ["/", "/a", "/a/", "/a/c", "/x/a/b", "/ab/c"] {
            assert_eq!(rewrite.of(&path(other)), None, "{other}");
        }
        assert_eq!(rewrite.replaced(), Some("/a/b"));
        assert_eq!(Rewrite::new(&PathPattern::parse("/{a}/b").unwrap(), &path("/v1")).replaced(), None);
    }
}
