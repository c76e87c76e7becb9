//! "Whom do we speak to, and who are we?" Certificates, keys and trust roots from files, for listeners, upstreams and issuers.
//!
//! Roots are always named: the file that is configured; without one the system's store; where there is none (a bare
//! container), the list that is compiled in. Called by `jwks`, `proxy` and `cli`. Decides nothing about a request.

pub mod pem;
pub mod roots;

pub use roots::roots;
