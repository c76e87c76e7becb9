//! stepgate
pub mod assurance;
#[cfg(feature = "server")]
pub mod clock;
pub mod config;
#[cfg(feature = "server")]
pub mod live;
pub mod policy;
#[cfg(feature = "server")]
pub mod proxy;
pub mod reason;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod token;
pub use reason::Reason;
