//! "Is it alive, is it ready, what did it count?" The admin listener: `/livez`, `/readyz`, `/metrics`, `/log`, `/reload`, and
//! what requests are judged by: `/policy`, `/keys`. For people `/` and `/routes`.
//!
//! Loopback only; changes nothing, and shows no policy, without the credential. Started by `cli`; changes no decision and shows no token.

pub mod actions;
pub mod credential;
pub mod door;
pub mod inside;
pub mod listener;
mod page;
pub mod readiness;
pub mod routes;
#[cfg(test)]
mod trial;

pub use actions::Actions;
pub use credential::{Credential, NoCredential};
pub use door::Door;
pub use inside::{Inside, Published};
pub use listener::{AdminError, AdminListener};
pub use readiness::Readiness;
pub use routes::{Jwks, router};
