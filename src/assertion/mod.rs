//! "Who called?", signed by us: the keys by which upstreams believe it, read from files and published.
//!
//! `proxy` says what is asserted, `admin` publishes the public halves, `cli` puts the two together. Knows no request.

mod key;
mod keyring;

pub use key::SigningKey;
pub use keyring::{Keyring, KeysInForce};
