//! The whole program against a certified OpenID provider that we did not write: real sign-ins, real tokens, real
//! discovery and key sets, real sockets. Nothing is mocked but the user's hands.
//!
//! `make e2e` runs it (`cargo test --profile e2e --features e2e --test e2e`). A program that is missing fails the
//! suite; it never skips. Every test starts its own provider, upstream and gate on ports of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is how a promise is seen to be broken"
)]

mod id_tokens;
mod key_rotation;
mod provider_outage;
mod step_up;
mod support;
