//! "May we believe this token?" Unverified text in, [`VerifiedToken`] out.
//!
//! Called by `assurance` (for its types), by `jwks` (to parse key sets) and by `verification`. Never fetches a key, reads
//! a clock or knows a route.

pub mod algorithm;
pub mod at_hash;
pub mod checks;
pub mod claim_path;
pub mod claims;
pub mod credential;
#[cfg(feature = "server")]
pub(crate) mod der;
pub mod expectation;
mod header;
pub mod json;
mod jwk;
pub mod key_source;
pub mod keys;
pub(crate) mod lately;
mod names;
pub mod rejection;
mod signature;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod time;
pub mod unverified;
pub mod verified;
pub mod verify;

pub use algorithm::Algorithm;
pub use at_hash::at_hash_fits;
pub use checks::{Check, Held, Shown, danger_show};
pub use claim_path::ClaimPath;
pub use credential::Credential;
pub use expectation::{Expectation, KindRule, Required, TokenKind};
pub use json::{Json, Tree};
pub use key_source::{KeyPlace, KeySource};
pub use keys::{KeyId, KeyLimits, KeySet, KeySetError};
pub use rejection::Rejection;
pub use time::Timestamp;
pub use unverified::Unverified;
pub use verified::VerifiedToken;
pub use verify::{danger_assume_signed, verify};
