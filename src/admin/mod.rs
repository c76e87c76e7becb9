//! "Is it alive, is it ready, what did it count?" The admin listener: `/livez`, `/readyz`, `/metrics`.
//!
//! Loopback only, read only. Started by `cli`; changes no decision and shows no token.

pub mod listener;
pub mod readiness;
pub mod routes;

pub use listener::{AdminError, AdminListener};
pub use readiness::Readiness;
pub use routes::router;
