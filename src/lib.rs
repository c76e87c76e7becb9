//! stepgate
pub mod assurance;
pub mod policy;
pub mod reason;
pub mod token;
pub use reason::Reason;
