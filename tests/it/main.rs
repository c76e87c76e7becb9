//! The whole program on real sockets, with tokens made by the test: what it lets through and what it refuses, and that
//! nothing of what it refuses reaches the upstream.
//!
//! Tests that begin with `t1_` to `t38_` are named after a checklist of holes that other gates had; each has a small
//! fault in `tests/mutants/mutants.toml` that turns it red.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is how a promise is seen to be broken"
)]

mod admin_page;
mod assertion;
mod audit_lines;
mod audit_log;
mod challenges;
mod connections;
mod cookies;
mod exceptions;
mod explain_kept;
mod explain_running;
mod forms;
mod forwarding;
mod hostile_claims;
mod hostile_headers;
mod hostile_paths;
mod hostile_tokens;
mod identity;
mod issuers_away;
mod issuers_keys;
mod kept;
mod kept_ends;
mod kept_support;
mod limits;
mod loops;
mod metadata;
mod observe;
mod path_allowances;
mod preflight;
mod reasons;
mod refusals_for_browsers;
mod reload;
mod reload_issuers;
mod reload_load;
mod remembered_tokens;
mod routes;
mod secrecy;
mod settings;
#[path = "../support/mod.rs"]
mod shared;
mod sign_in_strength;
mod smuggling;
mod support;
mod two_tokens;
mod vendors_products;
mod vendors_states;
