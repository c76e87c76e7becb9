//! stepgate
pub mod assurance;
#[cfg(feature = "server")]
pub mod clock;
pub mod config;
#[cfg(feature = "server")]
pub mod jwks;
pub mod policy;
pub mod reason;
pub mod token;
pub use reason::Reason;
