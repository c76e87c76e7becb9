//! What the data path asks of whoever verifies tokens.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use crate::assurance::{Assurance, Issuer};
use crate::policy::Policy;
use crate::token::{Credential, Timestamp};
use crate::verification::Rejected;

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

    /// The `acr` values that the discovery document of the policy's issuer says it supports; `None`: it does not say.
    fn acr_values_supported(&self, _policy: &Policy, _issuer: &Issuer) -> Option<Arc<Box<[Box<str>]>>> {
        None
    }
}
