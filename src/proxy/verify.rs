//! What the data path asks of whoever verifies tokens.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::assurance::{Assurance, Issuer, IssuerId};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::token::{Credential, Timestamp};

/// Why a token is not believed, or cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: Reason,
    /// The cause, for the operator alone.
    pub detail: String,
    /// The issuer, as far as one is known.
    pub issuer: Option<IssuerId>,
    /// When to ask again, where that may help.
    pub retry_after: Option<Duration>,
}

/// Verifies tokens.
pub trait Verify: Send + Sync + 'static {
    /// Verifies a token against the policy's issuers and maps it.
    fn verify(
        &self,
        credential: &Credential,
        policy: &Policy,
        peer: IpAddr,
        now: Timestamp,
    ) -> impl Future<Output = Result<Arc<Assurance>, Rejected>>;

    /// The `acr` values that the issuer's discovery document says it supports; `None`: it does not say.
    fn acr_values_supported(&self, _issuer: &Issuer) -> Option<Arc<[Box<str>]>> {
        None
    }
}
