//! "What was proved at sign-in, for the requests that follow": a believed token's claims in, a sealed cookie's value out,
//! and back.
//!
//! [`Kept`] is what is kept, [`Keyring`] seals and opens it, [`Ended`] remembers which ones a logout ended. Keys, nonces and
//! times are arguments: nothing here reads a clock, asks for randomness or knows HTTP. Called by `proxy`.

mod claims;
mod ended;
mod envelope;
mod kept;
mod key;

pub use ended::{Ended, Full};
pub use envelope::{Keyring, Label, MOST_KEYS, NONCE, Opening};
pub use kept::{Kept, NotKept, SessionId};
pub use key::{BadKey, SealKey};
