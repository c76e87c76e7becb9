//! Stepgate: a sidecar reverse proxy that enforces how a user signed in.
//!
//! # The request's way
//!
//! `proxy` accepts a connection and reads a head → [`policy::CanonicalPath`] gives the path its one reading →
//! [`policy::Policy::route`] picks the most specific route → `proxy` takes the tokens from where that route looks →
//! `verification` believes them or not ([`token`] checks them against keys that `jwks` keeps fresh) and maps them to
//! [`assurance`] (kept in a cache: claims, never verdicts) → [`policy::decide`] judges: the one decision function, pure →
//! `proxy` forwards with a permit, or answers with a refusal.
//!
//! # A setting's way
//!
//! Files → [`config`] (every problem at once, or one complete policy) → `live` (one pointer, swapped whole).
//!
//! # The fence
//!
//! The core rooms below take values and return values: no sockets, files, clock, async or logging. The outer rooms carry
//! `#[cfg(feature = "server")]`, here and nowhere else; CI builds the core without them.

// The core.
pub mod assurance;
pub mod config;
pub mod policy;
pub mod reason;
pub mod seal;
pub mod token;

// The outer rooms.
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod assertion;
#[cfg(feature = "server")]
mod at_hand;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod jwks;
#[cfg(feature = "server")]
pub mod live;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod tls;
#[cfg(feature = "server")]
pub mod verification;

pub use reason::Reason;
