//! The data path over real sockets: raw clients in front, a scripted upstream behind, tokens that the test itself knows.
#![allow(clippy::allow_attributes, reason = "helpers of an integration test are not seen as tests")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    clippy::clone_on_ref_ptr,
    clippy::needless_pass_by_value,
    let_underscore_drop,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod proxy {
    mod client;
    mod connections;
    mod drain;
    mod edge;
    mod floods;
    mod forms;
    mod forwarding;
    mod gate;
    mod grpc;
    mod h2_client;
    mod http2;
    mod hygiene;
    mod multiplexed;
    mod old_clients;
    mod oversight;
    mod pki;
    mod preflight;
    mod refusals;
    mod reuse;
    mod route_keys;
    mod seams;
    mod secured;
    mod served;
    mod smuggling;
    mod streaming;
    mod tls;
    mod tokens;
    mod trailers;
    mod unreadable;
    mod upgrades;
    mod upgrades_http2;
    mod upstream;
    mod upstreams;
}
