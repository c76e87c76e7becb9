//! stepgate
pub mod assurance;
pub mod config;
pub mod policy;
pub mod reason;
pub mod token;
pub use reason::Reason;
