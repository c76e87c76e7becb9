//! stepgate
#[cfg(feature = "server")]
pub mod clock;
pub mod reason;
pub mod token;
pub use reason::Reason;
