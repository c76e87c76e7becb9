//! "Show me, with nothing set up": an identity provider, an application and a policy in one process, and a story to try.
//!
//! The gate itself is the one of `run`; only its settings are made here instead of read. Everything listens on loopback,
//! keys live in memory and end with the process. With a policy of the operator's own the provider answers for all its
//! issuers. Called by `cli` alone.

pub mod echo;
pub mod idp;
pub mod keys;
pub mod mint;
pub mod ports;
pub mod setting;
pub mod story;
pub mod tour;
pub mod vendor;
pub mod wish;

pub use mint::{Mint, Usual};
pub use ports::{DemoError, Ports, Reserved};
pub use story::{Step, Story};
pub use tour::{Stop, Tour};
