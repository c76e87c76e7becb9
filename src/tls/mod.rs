//! "Whom do we speak to, and who are we?" Certificates, keys and trust roots from files, for listeners, upstreams and issuers.
//!
//! Roots are always named: the file that is configured; without one the system's store; where there is none (a bare
//! container), the list that is compiled in. Called by `jwks`, `proxy` and `cli`. Decides nothing about a request.

pub mod client;
pub mod pem;
pub mod reload;
pub mod roots;
pub mod server;

pub use client::UpstreamTls;
pub use reload::Reloaded;
pub use roots::roots;
pub use server::ListenerTls;
