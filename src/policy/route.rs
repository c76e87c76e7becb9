//! A route, compiled: what it matches, where it looks for tokens, what it asks, where it forwards.

use std::time::Duration;

use crate::policy::observe::Mode;
use crate::policy::on_deny::OnDeny;
use crate::policy::onward::{BodyLimit, Rewrite};
use crate::policy::path::CanonicalPath;
use crate::policy::pattern::{Match, PathPattern};
use crate::policy::readings;
use crate::policy::requirement::{Demand, Requirement};
use crate::policy::streams::Streams;
use crate::token::TokenKind;

/// A route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The policy's name for it, unique.
    pub name: Box<str>,
    /// What it matches.
    pub matches: Match,
    /// Where it looks for tokens, in order. Empty only on a public route.
    pub take: Box<[TokenSource]>,
    /// Whether one of these places is a posted form.
    pub reads_form: bool,
    /// What it asks.
    pub require: Requirement,
    /// What it does with what it would refuse.
    pub mode: Mode,
    /// The upstream's name in `stepgate.yaml`; `None`: the only one there.
    pub upstream: Option<Box<str>>,
    /// The floors that some of its requests stand on: places in the policy's list.
    pub floors: Box<[usize]>,
    /// What a refused browser is offered; `None`: nothing but a page.
    pub on_deny: Option<Box<OnDeny>>,
    /// What is kept of a sign-in that comes here; `None`: nothing.
    pub keep: Option<Box<Keep>>,
    /// Which kept cookies end here (set by [`crate::policy::Policy::new`]).
    pub ends: Box<[Ending]>,
    /// How long the upstream may take to answer with a head; `None`: as long as the upstream's own setting says.
    pub timeout: Option<Duration>,
    /// How long a body may be; `None`: as long as the process's limit says.
    pub max_body: Option<BodyLimit>,
    /// What becomes of the path on its way up; `None`: nothing.
    pub rewrite: Option<Box<Rewrite>>,
    /// What ends its long-lived streams.
    pub streams: Streams,
    /// What its requests may go over to besides WebSocket: names of protocols, as in `Upgrade`.
    pub upgrades: Box<[Box<str>]>,
    /// Whether browsers' preflights of its requests pass without a token.
    pub cors: bool,
}

/// What is kept of a sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// The cookie's name, which begins with `__Host-`.
    pub cookie: Box<str>,
    /// For how many seconds.
    pub seconds: u32,
    /// The paths where it ends before.
    pub ends_on: Box<[PathPattern]>,
}

/// A kept cookie that ends on some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// The paths.
    pub path: PathPattern,
    /// For how many seconds it is kept at the most.
    pub seconds: u32,
    /// Whether it ends in whatever case the path is: the route's upstream ignores it.
    pub ignore_case: bool,
}

impl Route {
    /// A route that says nothing but what it is called, matches and asks: it enforces that, keeps and takes nothing, and goes to
    /// the only upstream. Of a public one there is nothing to watch.
    #[must_use]
    pub fn new(name: &str, matches: Match, require: Requirement) -> Self {
        let streams = if require == Requirement::Public { Streams::UNWATCHED } else { Streams::default() };
        Self {
            name: name.into(),
            matches,
            take: Box::default(),
            reads_form: false,
            require,
            mode: Mode::Enforce,
            upstream: None,
            floors: Box::default(),
            on_deny: None,
            keep: None,
            ends: Box::default(),
            timeout: None,
            max_body: None,
            rewrite: None,
            streams,
            upgrades: Box::default(),
            cors: false,
        }
    }
}

impl Route {
    /// What is kept of a sign-in that comes on this path. What ends there does not begin there.
    #[must_use]
    pub fn keeps_on(&self, path: &CanonicalPath) -> Option<&Keep> {
        let ends = |keep: &&Keep| self.ends.iter().any(|ending| ending.cookie == keep.cookie && ending.is_on(path));
        self.keep.as_deref().filter(|keep| !ends(keep))
    }
}

impl Ending {
    /// Whether it ends on this path, or would for an application that reads it otherwise.
    #[must_use]
    pub fn is_on(&self, path: &CanonicalPath) -> bool {
        let means = |path: &CanonicalPath| match self.ignore_case {
            true => self.path.matches_in_any_case(path),
            false => self.path.matches(path),
        };
        let may_differ = || path.as_str().contains([';', '%']) || path.needs().empty_segments;
        let others = || readings::of(path, self.ignore_case).unwrap_or_default();
        means(path) || may_differ() && others().iter().any(|reading| means(&reading.path))
    }
}

/// A floor: demands that hold on top of every route they touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// The policy's name for it, unique.
    pub name: Box<str>,
    /// What it matches.
    pub matches: Match,
    /// What it asks; `None`: any valid token.
    pub demand: Option<Demand>,
    /// Whether preflights pass it without a token, where their route has them pass.
    pub cors: bool,
}

/// A place where a token is looked for, and the kinds taken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// The place.
    pub place: Place,
    /// The kinds of token taken from there. Never empty.
    pub kinds: Kinds,
}

/// A place where a token is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer` (RFC 6750 section 2.1) or `DPoP` (RFC 9449 section 7.1).
    Authorization,
    /// The whole value of this header; its name is in lower case.
    Header(Box<str>),
    /// The cookie with this name, taken for unsafe methods and upgrades only from these origins.
    Cookie(Box<str>, Origins),
    /// The parameter with this name of a form that is posted.
    Form {
        /// The parameter's name.
        name: Box<str>,
        /// Whether an error response of the identity provider, which has no token, is forwarded.
        forwards_errors: bool,
    },
    /// The cookie with this name in which a gate kept what was proved at sign-in; from these origins as any other cookie.
    Kept(Box<str>, Origins),
}

/// The origins from which a cookie is taken with an unsafe method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// The origin of the request itself.
    Same,
    /// These, as browsers write them in `Origin`, besides the request's own.
    Listed(Box<[Box<str>]>),
}

/// A set of token kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Access tokens alone.
    Access,
    /// `id_tokens` alone.
    Id,
    /// Either.
    Any,
}

impl Kinds {
    /// Whether tokens of a kind are taken.
    #[must_use]
    pub fn takes(self, kind: TokenKind) -> bool {
        match self {
            Self::Any => true,
            Self::Access => kind == TokenKind::Access,
            Self::Id => kind == TokenKind::Id,
        }
    }
}
