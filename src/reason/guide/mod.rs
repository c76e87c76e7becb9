//! What an operator should know of each reason: for `stepgate reasons`, docs/reasons.md, and the hint beside each denial.
//!
//! A reason without a text here does not compile. The texts are for whoever is woken by them: facts, and where to look.

mod issuer;
mod kept;
mod request;
mod sign_in;
mod text;
mod token;

pub use text::{Guide, NewSignIn};
