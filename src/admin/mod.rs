//! "Is it alive, is it ready, what did it count?" The admin listener: `/livez`, `/readyz`, `/metrics`, `/log`, `/reload`.
//!
//! Loopback only; changes nothing without the credential. Started by `cli`; changes no decision and shows no token.

pub mod actions;
pub mod credential;
pub mod listener;
pub mod readiness;
pub mod routes;

pub use actions::Actions;
pub use credential::{Credential, NoCredential};
pub use listener::{AdminError, AdminListener};
pub use readiness::Readiness;
pub use routes::{Jwks, router};
