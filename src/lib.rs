//! stepgate
#[cfg(feature = "server")]
pub mod admin;
pub mod assurance;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod clock;
pub mod config;
#[cfg(feature = "server")]
pub mod live;
pub mod policy;
pub mod reason;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod token;
pub use reason::Reason;
