//! A refusal on its way from where it was found to `respond`: what the client may learn and what only the operator does.

use std::borrow::Cow;
use std::time::Duration;

use crate::policy::{Denial, Mode, Permit, Policy, Route, Target, overlook};
use crate::reason::Reason;
use crate::verification::Rejected;

/// A request that is not forwarded, or that no upstream answered.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Boxed, so that results that hold a refusal stay small.
    pub(super) denial: Box<Denial>,
    /// The cause, for the operator alone.
    pub(super) detail: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
    /// The head is beyond a limit, for which there is a status of its own (RFC 6585 section 5).
    pub(super) head_too_large: bool,
}

impl Refusal {
    pub(super) fn new(denial: Denial, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { denial: Box::new(denial), detail: detail.into(), retry_after: None, head_too_large: false }
    }

    /// Lets the request through all the same, where the route only observes what it would refuse for want of a token.
    pub(super) fn overlooked(self, policy: &Policy, route: &Route, target: &Target<'_>) -> Result<Permit, Self> {
        if route.mode == Mode::Enforce {
            return Err(self);
        }
        let Self { denial, detail, retry_after, head_too_large } = self;
        let denial = Denial { detail: detail.into_owned(), ..*denial };
        let refused = |denial| Self { retry_after, head_too_large, ..Self::from(denial) };
        overlook(policy, route, target, denial).map_err(refused)
    }

    pub(super) fn because(reason: Reason) -> Self {
        Self::new(Denial::because(reason), "")
    }
}

impl From<Denial> for Refusal {
    fn from(mut denial: Denial) -> Self {
        let detail = std::mem::take(&mut denial.detail);
        Self::new(denial, detail)
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        let Rejected { rejection, issuer, retry_after } = rejected;
        let denial = Box::new(Denial { issuer, ..Denial::because(rejection.reason) });
        Self { denial, detail: rejection.detail, retry_after, head_too_large: false }
    }
}
