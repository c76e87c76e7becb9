//! One decision as it is told to audit log, metrics and log; and who takes it.

use std::io;
use std::net::IpAddr;

use crate::assurance::{Assurance, IssuerId};
use crate::policy::{Denial, Mode, Permit, Policy, Route};
use crate::reason::Reason;
use crate::telemetry::upstream::UpstreamMeter;
use crate::token::Timestamp;

/// One decision. Borrowed from the request: a recorder copies what it keeps. Holds no token.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The request's id, as `X-Request-Id` tells it.
    pub id: &'a str,
    /// The trace id of a W3C `traceparent`, where the request has a well-formed one.
    pub trace: Option<&'a str>,
    /// When the decision was made.
    pub at: Timestamp,
    /// The client's address: whoever is connected to us or, where those are trusted, whom they name.
    pub peer: IpAddr,
    /// The method, as sent. Empty when the head could not be read.
    pub method: &'a str,
    /// The canonical host; the one that was sent, cut short, where there is none. Empty when the request names none.
    pub host: &'a str,
    /// The canonical path, never the query; the one that was sent, cut short, where there is none.
    pub path: &'a str,
    /// The policy by which it was judged.
    pub policy: &'a Policy,
    /// The route, once one was found.
    pub route: Option<&'a Route>,
    /// The token that spoke: of two, the one whose evidence was enough, or else the access token.
    pub assurance: Option<&'a Assurance>,
    /// Whether that was kept of an earlier sign-in, and came in a sealed cookie.
    pub kept: bool,
    /// Allowed or refused.
    pub outcome: Result<&'a Permit, &'a Denial>,
    /// The status that we answered with; `None` when the request is forwarded.
    pub status: Option<u16>,
    /// The cause, for the operator alone. Empty when the reason says all.
    pub detail: &'a str,
    /// How long the decision took, in microseconds.
    pub micros: u64,
}

impl<'a> Decision<'a> {
    /// The issuer of the token, as far as one is known.
    #[must_use]
    pub fn issuer(&self) -> Option<IssuerId> {
        let of_denial = self.denial().and_then(|denial| denial.issuer);
        self.assurance.map(|assurance| assurance.issuer).or(of_denial)
    }

    /// Why it was refused, or would have been did its route enforce what it asks.
    #[must_use]
    pub fn denial(&self) -> Option<&'a Denial> {
        match self.outcome {
            Ok(permit) => permit.would_deny(),
            Err(denial) => Some(denial),
        }
    }

    /// What its route does with what it would refuse.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.route.map_or(Mode::Enforce, |route| route.mode)
    }

    /// What the operator should look at; `None` when the request was allowed. For the operator alone.
    #[must_use]
    pub fn hint(&self) -> Option<&'a str> {
        let denial = self.denial()?;
        // Where a kept cookie was not believed, no token of an issuer was at fault.
        let of_cookie = (self.kept && self.assurance.is_none()).then(|| denial.reason.hint_of_kept()).flatten();
        Some(of_cookie.unwrap_or_else(|| self.policy.hint(denial.reason, self.issuer())))
    }
}

/// A request that was allowed and that the upstream did not answer.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamFailure<'a> {
    /// The request's id.
    pub id: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name.
    pub upstream: &'a str,
    /// The route's mode.
    pub mode: Mode,
    /// Whether it would have been refused, did the route enforce what it asks.
    pub would_deny: bool,
    /// [`Reason::UpstreamUnreachable`] or [`Reason::UpstreamTimeout`].
    pub reason: Reason,
    /// The status that we answered with.
    pub status: u16,
    /// The cause, for the operator alone.
    pub detail: &'a str,
}

/// The record of a decision could not be taken, and the settings say that nothing goes on without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log takes no more lines for now")]
pub struct Blocked;

/// What a client's connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

/// What became of a kept cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptEvent {
    /// A sign-in was kept.
    Set,
    /// One that was kept was believed.
    Opened,
    /// One that was kept was not believed.
    Refused,
    /// A logout ended one.
    Ended,
    /// A sign-in was not kept: it is too large for a cookie.
    TooLarge,
    /// A sign-in was not kept, or a logout refused: no more ended ones can be remembered.
    Full,
    /// A sign-in was not kept for another reason.
    Failed,
}

impl KeptEvent {
    /// All of them, in their order.
    pub const ALL: [Self; 7] =
        [Self::Set, Self::Opened, Self::Refused, Self::Ended, Self::TooLarge, Self::Full, Self::Failed];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Opened => "opened",
            Self::Refused => "refused",
            Self::Ended => "ended",
            Self::TooLarge => "too_large",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }

    /// Whether somebody has to look at it.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::TooLarge | Self::Full | Self::Failed)
    }
}

/// Takes what happened. Called from the data path: must neither wait nor block.
pub trait Recorder: Send + Sync {
    /// A request was decided. Called once for each request, before it is forwarded or answered.
    ///
    /// # Errors
    /// [`Blocked`]: the request is refused as `overloaded`.
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked>;

    /// An allowed request was not answered by its upstream.
    fn upstream_failed(&self, failure: &UpstreamFailure<'_>);

    /// A worker begins to count what it asks of an upstream.
    fn upstream(&self, _name: &str) -> UpstreamMeter {
        UpstreamMeter::default()
    }

    /// A connection could not be taken from the system: it is short of descriptors or memory.
    fn accept_failed(&self, _error: &io::Error) {}

    /// What a connection speaks is known.
    fn connection_speaks(&self, _protocol: Protocol, _tls: bool) {}

    /// A client connected and was let in.
    fn connection_opened(&self) {}

    /// A client's connection ended.
    fn connection_closed(&self) {}

    /// A client and an upstream have left HTTP: a WebSocket, or another upgrade.
    fn tunnel_opened(&self) {}

    /// That is over.
    fn tunnel_closed(&self) {}

    /// So many connections of one worker were cut off, since `limits.drain` had passed.
    fn connections_cut(&self, _connections: usize) {}

    /// A client connected while the limit on connections was reached, and was turned away.
    fn connection_refused(&self, _peer: IpAddr) {}

    /// A connection did not begin with the PROXY protocol header that its listener wants, and was closed.
    fn proxy_header_refused(&self, _peer: IpAddr, _detail: &str) {}

    /// A client and we came to no terms on TLS.
    fn handshake_failed(&self, _peer: IpAddr, _detail: &str) {}

    /// Something became of a kept cookie. `id`: the request's; `detail`: where there is trouble, what it is.
    fn kept(&self, _event: KeptEvent, _id: &str, _detail: &str) {}

    /// What came on a connection was no HTTP request that could be answered by the policy.
    fn request_unreadable(&self, _peer: IpAddr, _detail: &str) {}
}
