//! What a request that is judged again and again asks of the allocator: nothing, in the core.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is how a promise is seen to be broken"
)]

#[path = "it/support/keys.rs"]
#[expect(dead_code, reason = "shared with the whole-program tests, which use all of it")]
mod keys;
#[path = "it/support/token.rs"]
#[expect(dead_code, reason = "shared with the whole-program tests, which use all of it")]
mod token;

use allocation_counter::measure;
use stepgate::config::{SourceFile, load_policy};
use stepgate::policy::{CanonicalPath, Policy, Target, Tokens, decide};
use stepgate::token::{Credential, KeyLimits, KeySet, Timestamp, Unverified, verify};

use keys::{Alg, Key, jwks};
use token::{Token, now};

const POLICY: &str = "
version: 1
issuers:
  bank:
    issuer: https://bank.example
    access: { audiences: [\"https://api.example\"] }
    mapping: { acr: { from: [acr] } }
    proves:
      single-factor: { any: [ { acr: [\"1\"] }, { factors: 1 } ] }
      multi-factor: { any: [ { acr: [\"2\"] }, { factors: 2 } ] }
floors:
  - { name: all, match: { path: \"/**\" }, require: { level: single-factor } }
routes:
  - { name: read, match: { path: \"/accounts/**\" }, require: { level: single-factor, scopes: { all: [accounts] } } }
  - { name: pay, match: { path: \"/payments/{id}\", methods: [POST] },
      require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } } }
  - { name: raw, match: { path: /raw }, require: { issuers: [bank], amr: { any: [otp] }, factors: 2 } }
";

fn policy() -> Policy {
    let file = SourceFile { name: "policy.yaml".into(), folder: ".".into(), text: POLICY.into() };
    load_policy(vec![file]).unwrap().policy
}

/// Judges a request with a verified token, and counts what that allocates from the canonical path on.
fn allocations(method: &str, path: &str) -> u64 {
    let policy = policy();
    let key = Key::new(Alg::Es256, "k");
    let keys = KeySet::parse(jwks(&[&key]).as_bytes(), KeyLimits::USUAL).unwrap();
    let credential = Credential::new(&Token::access().sign(&key), 16 << 10).unwrap();
    let now = Timestamp::from_seconds(now());
    let issuer = policy.issuer_of("https://bank.example").unwrap();
    let mut room = Vec::new();
    let token = Unverified::parse(&credential, &mut room).unwrap();
    let (verified, _) = verify(token, &keys, &issuer.expectation, now).unwrap();
    let assurance = issuer.assess(&verified, policy.claims());
    let path = CanonicalPath::parse(path).unwrap();
    let target = Target { method, host: "api.example", path: &path };
    let mut allowed = false;
    let counted = measure(|| {
        let (_, route) = policy.route_at(&target).unwrap();
        allowed = decide(&policy, route, &target, Some(Tokens::One(&assurance)), now).is_ok();
    });
    assert!(allowed, "the request is let through");
    counted.count_total
}

#[test]
fn judging_a_known_token_allocates_nothing() {
    for (method, path) in [("GET", "/accounts/7/items"), ("POST", "/payments/7"), ("GET", "/raw")] {
        assert_eq!(allocations(method, path), 0, "{method} {path}");
    }
}
