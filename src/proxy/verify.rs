//! What the data path asks of whoever verifies tokens.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::assurance::{Assurance, Issuer, IssuerId};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::token::Timestamp;

/// An unverified token. Cheap to clone; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Arc<str>);

impl Credential {
    /// Takes a token of at most `limit` bytes; `None` if it is longer.
    #[must_use]
    pub fn new(text: &str, limit: usize) -> Option<Self> {
        (text.len() <= limit).then(|| Self(text.into()))
    }

    /// The token itself. Whoever asks must not print, log or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

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
