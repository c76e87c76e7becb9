//! A refusal on its way from where it was found to `respond`: what the client may learn and what only the operator does.

use std::borrow::Cow;
use std::time::Duration;

use crate::policy::Denial;
use crate::proxy::verify::Rejected;
use crate::reason::Reason;

/// A request that is not forwarded, or that no upstream answered.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Boxed, so that results that hold a refusal stay small.
    pub(super) denial: Box<Denial>,
    /// The cause, for the operator alone.
    pub(super) detail: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(denial: Denial, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { denial: Box::new(denial), detail: detail.into(), retry_after: None }
    }

    pub(super) fn because(reason: Reason) -> Self {
        Self::new(Denial::because(reason), "")
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::new(denial, "")
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        let denial = Box::new(Denial { issuer: rejected.issuer, ..Denial::because(rejected.reason) });
        Self { denial, detail: rejected.detail.into(), retry_after: rejected.retry_after }
    }
}
