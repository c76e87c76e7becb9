//! stepgate
pub mod assurance;
#[cfg(feature = "server")]
pub mod cli;
pub mod config;
pub mod policy;
pub mod reason;
pub mod token;
pub use reason::Reason;
