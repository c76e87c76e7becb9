//! What a route or floor matches: host, path and method, and which of two matches is the narrower.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use crate::policy::path::CanonicalPath;

/// A host pattern. Hosts are compared in lower case, without port and without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Box<str>),
    /// `*.example.com`: any host that ends in this suffix, which begins with a dot. The bare domain is not meant.
    Suffix(Box<str>),
    /// Any host.
    Any,
}

impl HostPattern {
    /// Whether a host, already in canonical form, is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Any => true,
        }
    }

    /// Whether some host is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Exact(a), b) => b.matches(a),
            (a, Self::Exact(b)) => a.matches(b),
            (Self::Suffix(a), Self::Suffix(b)) => a.ends_with(&**b) || b.ends_with(&**a),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A host in the form in which it is compared: lower case, without port and final dot. `None` for what is no host.
///
/// Borrowed where nothing had to be changed, as for nearly every request.
#[must_use]
pub fn canonical_host(authority: &str) -> Option<Cow<'_, str>> {
    if authority.starts_with('[') {
        let end = authority.find(']')?;
        let (address, after) = authority.split_at_checked(end.checked_add(1)?)?;
        let inner: Ipv6Addr = address.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        return is_port(after).then(|| Cow::Owned(format!("[{inner}]")));
    }
    let (name, port) = authority.find(':').and_then(|at| authority.split_at_checked(at)).unwrap_or((authority, ""));
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels_are_legal = name.split('.').all(|label| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    if !labels_are_legal || name.len() > 253 || !is_port(port) {
        return None;
    }
    let is_lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) })
}

/// Nothing, or `:` and a port number (which RFC 3986 lets be empty).
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .map_or(text.is_empty(), |digits| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text, in canonical form.
    Literal(Box<str>),
    /// Any one segment, under a name.
    Parameter(Box<str>),
}

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
            let segment = segment(piece)?;
            if let Segment::Parameter(name) = &segment
                && segments.contains(&segment)
            {
                return Err(PatternError::Repeated(name.clone()));
            }
            segments.push(segment);
        }
        Ok(Self { segments: segments.into(), rest })
    }

    /// Its segments, without `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends in `**`.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether the path is meant. A final slash makes no difference; `/a/**` means `/a` too.
    #[must_use]
    pub fn matches(&self, path: &CanonicalPath) -> bool {
        let mut given = path.segments();
        for segment in &self.segments {
            match (segment, given.next()) {
                (Segment::Literal(text), Some(piece)) if **text == *piece => {}
                (Segment::Parameter(_), Some(_)) => {}
                (Segment::Literal(_) | Segment::Parameter(_), _) => return false,
            }
        }
        self.rest || given.next().is_none()
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
        let fits = |(mine, theirs): (&Segment, &Segment)| matches!(mine, Segment::Parameter(_)) || mine == theirs;
        let prefix =
            self.segments.len() <= other.segments.len() && self.segments.iter().zip(&*other.segments).all(fits);
        prefix && (self.rest || (!other.rest && self.segments.len() == other.segments.len()))
    }

    /// Whether some path is meant by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Parameter(_), _) | (_, Segment::Parameter(_)) => true,
        };
        let (mine, theirs) = (self.segments.len(), other.segments.len());
        self.segments.iter().zip(&*other.segments).all(meet)
            && (mine == theirs || (mine < theirs && self.rest) || (theirs < mine && other.rest))
    }
}

fn segment(piece: &str) -> Result<Segment, PatternError> {
    if let Some(name) = piece.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        let legal = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        return if legal { Ok(Segment::Parameter(name.into())) } else { Err(PatternError::Parameter) };
    }
    match piece {
        "**" => Err(PatternError::RestNotLast),
        _ if piece.contains('*') => Err(PatternError::Star),
        _ if piece.contains(['{', '}']) => Err(PatternError::Parameter),
        _ => {
            let path = CanonicalPath::parse(&format!("/{piece}"))?;
            let mut segments = path.segments();
            match (segments.next(), segments.next()) {
                (Some(only), None) => Ok(Segment::Literal(only.into())),
                _ => Err(PatternError::Ambiguous(crate::policy::path::Ambiguity::EmptySegment)),
            }
        }
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
}

impl Match {
    /// Whether a request is meant.
    #[must_use]
    pub fn matches(&self, target: &Target<'_>) -> bool {
        self.methods.matches(target.method)
            && self.hosts.iter().any(|host| host.matches(target.host))
            && self.path.matches(target.path)
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
    /// The host, as [`canonical_host`] makes it.
    pub host: &'r str,
    /// The path.
    pub path: &'r CanonicalPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t6_hosts_compare_in_lower_case_without_port_and_final_dot() {
        for (written, is) in [
            ("api.example", "api.example"),
            ("API.Example", "api.example"),
            ("api.example.", "api.example"),
            ("api.example:8443", "api.example"),
            ("API.example.:443", "api.example"),
            ("api.example:", "api.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ] {
            assert_eq!(canonical_host(written).as_deref(), Some(is), "{written}");
        }
        for bad in [
            "", ".", "a..b", ".a", "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[x]", "[::1]x", "a,b", "é", "a\\",
            "a:123456",
        ] {
            assert_eq!(canonical_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_suffix_means_sub_domains_at_any_depth_and_not_the_domain() {
        let suffix = HostPattern::Suffix(".bank.example".into());
        assert!(suffix.matches("a.bank.example"));
        assert!(suffix.matches("a.b.bank.example"));
        assert!(!suffix.matches("bank.example"));
        assert!(!suffix.matches("evilbank.example"));
        assert!(!suffix.matches(".bank.example"));
    }

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
        ] {
            assert_eq!(pattern(a).covers(&pattern(b)), covers, "{a} covers {b}");
            assert_eq!(pattern(a).overlaps(&pattern(b)), overlaps, "{a} overlaps {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), overlaps, "{b} overlaps {a}");
        }
    }

    #[test]
    fn get_implies_head_and_nothing_implies_options() {
        let get = Methods::named(["GET".into()]);
        assert!(get.matches("GET") && get.matches("HEAD"));
        assert!(!get.matches("OPTIONS") && !get.matches("get"));
    }
}
