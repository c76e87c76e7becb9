//! What a route or floor matches: host, path and method, and which of two matches is the narrower.

use std::fmt;

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
#[must_use]
pub fn canonical_host(authority: &str) -> Option<String> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, after) = inner.split_once(']')?;
            let address: std::net::Ipv6Addr = address.parse().ok()?;
            (format!("[{address}]"), after.strip_prefix(':').or(after.is_empty().then_some("")))
        }
        None => match authority.split_once(':') {
            Some((name, port)) => (name.to_ascii_lowercase(), Some(port)),
            None => (authority.to_ascii_lowercase(), Some("")),
        },
    };
    let port_is_sane = port?.bytes().all(|byte| byte.is_ascii_digit()) && port?.len() <= 5;
    let name = name.strip_suffix('.').map(str::to_owned).unwrap_or(name);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let well_formed = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(legal)
        && !name.contains("..")
        && !name.starts_with('.');
    (port_is_sane && well_formed).then_some(name)
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
