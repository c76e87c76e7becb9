//! "May we believe this token?" Unverified text in, [`VerifiedToken`] out.
//!
//! Called by `assurance` (for its types), by `jwks` (to parse key sets) and by `verification`. Never fetches a key, reads
//! a clock or knows a route.

pub mod algorithm;
pub mod claim_path;
pub mod expectation;
pub mod json;
pub mod key_source;
pub mod time;
pub mod verified;

pub use algorithm::Algorithm;
pub use claim_path::ClaimPath;
pub use expectation::{Expectation, KindRule, TokenKind};
pub use json::Json;
pub use key_source::{KeyPlace, KeySource};
pub use time::Timestamp;
pub use verified::VerifiedToken;
