//! One decision, as those who record it need to see it.

use crate::assurance::Assurance;
use crate::policy::{Denial, Permit, Policy, Route};
use crate::reason::Reason;

/// One decision, made and not yet carried out. Holds no token and no header value besides the request's id.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The request's `X-Request-Id`, kept or made.
    pub id: &'a str,
    /// The trace that the request belongs to.
    pub trace: Option<&'a str>,
    /// The method, as sent.
    pub method: &'a str,
    /// The host, in canonical form where it has one.
    pub host: &'a str,
    /// The path without its query, in canonical form where it has one.
    pub path: &'a str,
    /// The route; `None`: no route was found, or none was looked for.
    pub route: Option<&'a Route>,
    /// The token that was judged; `None`: none could be believed.
    pub assurance: Option<&'a Assurance>,
    /// What was decided.
    pub outcome: Result<&'a Permit, &'a Denial>,
    /// The status with which the gate itself answers; `None`: the upstream answers.
    pub status: Option<u16>,
    /// What the operator should know beyond the reason. Empty where there is nothing.
    pub detail: &'a str,
    /// How long the decision took, in microseconds.
    pub micros: u64,
    /// The policy that decided.
    pub policy: &'a Policy,
}

/// The record cannot be kept, and the settings say that nothing goes on without one.
///
/// The request must be answered as [`Reason::Overloaded`], whatever was decided; it has been counted and logged as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log is blocked")]
pub struct Blocked;

/// Whoever records what the data path does. Never waits for a disk, a pipe or a socket.
pub trait Recorder: Send + Sync {
    /// Records a decision, before it is carried out.
    ///
    /// # Errors
    /// [`Blocked`] when the request must not go on.
    fn decided(&self, decision: &Decision<'_>) -> Result<(), Blocked>;

    /// Records that the upstream failed a request that was let through. `decision` is the one recorded before, its status
    /// now that of the gate's answer; `reason` is [`Reason::UpstreamUnreachable`] or [`Reason::UpstreamTimeout`].
    fn upstream_failed(&self, decision: &Decision<'_>, reason: Reason);

    /// Counts a connection of a client.
    fn connection_opened(&self);

    /// Counts its end.
    fn connection_closed(&self);
}
