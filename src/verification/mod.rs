//! From a token's text to what policies judge: the one stage of the walk that may wait for an issuer.
//!
//! [`Verifier::verify`] answers for tokens seen before without waiting, for others once they were checked. Called by the proxy
//! and by every integration, once for each token of a request. Decides nothing about routes and keeps no verdicts:
//! only what a token proved, which each route judges anew.

mod cache;
mod digest;
mod nearby;
mod recent;
mod shared;
#[cfg(test)]
mod tests;
mod verifier;

pub(crate) use verifier::why_unknown;
pub use verifier::{Rejected, Verifier};
