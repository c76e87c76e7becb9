//! stepgate
pub mod reason;
pub mod token;
pub use reason::Reason;
