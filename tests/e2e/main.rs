//! The whole program against programs that we did not write. A certified OpenID provider: real sign-ins, real tokens, real
//! discovery and key sets, real sockets; nothing is mocked but the user's hands. Clients and peers that people have: curl,
//! openssl, nghttp, h2load, and nginx on either side.
//!
//! `make e2e` runs it (`cargo test --features e2e --test e2e`) against the optimised program, which `STEPGATE_TESTED` names;
//! unset, it is the one that cargo builds beside it. A program that is missing fails the suite; it never skips. Every test
//! starts its own provider, upstream and gate on ports of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is how a promise is seen to be broken"
)]

mod assertion;
mod curl;
mod discovery;
mod drain;
mod events;
mod grpc;
mod id_tokens;
mod key_rotation;
mod memory;
mod nghttp;
mod nginx_edge;
mod nginx_several;
mod nginx_upstream;
mod online;
mod openssl;
mod provider_outage;
mod reload;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other suite uses more of it")]
mod shared;
mod situations;
mod situations_rsa;
mod slow_heads;
mod step_up;
mod streams;
mod support;
mod told;
mod websockets;
