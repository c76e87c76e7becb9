//! What the steps of a request cost by themselves, with what they ask of the allocator: `cargo bench --bench core`.
//!
//! Times are of this machine and this moment; docs/performance.md says what they are good for.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a bench that cannot be set up shall say so and end"
)]

#[path = "../tests/it/support/keys.rs"]
#[expect(dead_code, reason = "shared with the whole-program tests, which use all of it")]
mod keys;
#[path = "../tests/it/support/token.rs"]
#[expect(dead_code, reason = "shared with the whole-program tests, which use all of it")]
mod token;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use stepgate::assurance::Assurance;
use stepgate::config::{SourceFile, load_policy};
use stepgate::jwks::{IssuerKeysConfig, KeySettings, KeyStore};
use stepgate::policy::{CanonicalPath, Policy, Target, Tokens, decide};
use stepgate::seal::{Kept, Keyring, Label, NONCE, SealKey};
use stepgate::token::{Credential, KeyLimits, KeyPlace, KeySet, KeySource, Timestamp, Unverified, verify};
use stepgate::verification::Verifier;

use keys::{Alg, Key, jwks};
use token::{Token, now};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ISSUER: &str = "
version: 1
issuers:
  bank:
    issuer: https://bank.example
    access: { audiences: [\"https://api.example\"] }
    proves: { single-factor: { factors: 1 }, multi-factor: { any: [ { acr: [\"2\"] }, { factors: 2 } ] } }
";

/// So many routes, all of them asking for two factors.
fn text(routes: usize) -> String {
    let mut text = String::from(ISSUER);
    text.push_str("routes:\n");
    for number in 0..routes {
        let (service, resource) = (number % 100, number / 100);
        writeln!(text, "  - {{ name: r{number}, match: {{ path: \"/s{service}/r{resource}/{{id}}/**\", methods: [GET] }}, require: {{ level: multi-factor }} }}").unwrap();
    }
    text
}

/// The files of a policy: none longer than what is read of one.
fn files(routes: usize) -> Vec<SourceFile> {
    const PER_FILE: usize = 2_500;
    let text = text(routes);
    let (head, list) = text.split_once("routes:\n").unwrap();
    let lines: Vec<&str> = list.lines().collect();
    let file = |(number, lines): (usize, &[&str])| {
        let head = if number == 0 { head } else { "version: 1\n" };
        let text = format!("{head}routes:\n{}\n", lines.join("\n"));
        SourceFile { name: format!("{number}.yaml"), folder: ".".into(), text }
    };
    lines.chunks(PER_FILE).enumerate().map(file).collect()
}

fn policy(routes: usize) -> Policy {
    load_policy(files(routes)).unwrap().policy
}

fn assurance(policy: &Policy, methods: usize) -> Assurance {
    let key = Key::new(Alg::Es256, "k");
    let keys = KeySet::parse(jwks(&[&key]).as_bytes(), KeyLimits::USUAL).unwrap();
    let mut amr: Vec<String> = (2..methods).map(|number| format!("x-{number}")).collect();
    amr.extend(["pwd".to_owned(), "otp".to_owned()]);
    let credential = Credential::new(&Token::access().claim("amr", amr).sign(&key), 16 << 10).unwrap();
    let issuer = policy.issuer_of("https://bank.example").unwrap();
    let now = Timestamp::from_seconds(now());
    let mut room = Vec::new();
    let token = Unverified::parse(&credential, &mut room).unwrap();
    let (verified, _) = verify(token, &keys, &issuer.expectation, now).unwrap();
    issuer.assess(&verified, policy.claims())
}

/// The decision on a token that is known, for tokens with so many `amr` values.
#[divan::bench(args = [2, 8, 64])]
fn decision(bencher: Bencher<'_, '_>, methods: usize) {
    let policy = policy(10);
    let assurance = assurance(&policy, methods);
    let path = CanonicalPath::parse("/s7/r0/42/items").unwrap();
    let target = Target { method: "GET", host: "api.example", path: &path };
    let now = Timestamp::from_seconds(now());
    let route = policy.route(&target).unwrap();
    bencher.bench(|| decide(&policy, route, black_box(&target), Some(Tokens::One(&assurance)), now).is_ok());
}

/// Which route of so many.
#[divan::bench(args = [10, 1_000, 10_000])]
fn route(bencher: Bencher<'_, '_>, routes: usize) {
    let policy = policy(routes);
    let path = CanonicalPath::parse("/s7/r0/42/items").unwrap();
    let target = Target { method: "GET", host: "api.example", path: &path };
    bencher.bench(|| policy.route_at(black_box(&target)).is_ok());
}

/// A policy of so many routes, from its text.
#[divan::bench(args = [10, 1_000, 10_000], sample_count = 5)]
fn load(bencher: Bencher<'_, '_>, routes: usize) {
    bencher.with_inputs(|| files(routes)).bench_values(|files| load_policy(files).unwrap());
}

/// A path as it came: one that is canonical, and one with escapes and dots.
#[divan::bench(args = ["/accounts/7/items/42", "/a/%7Eb/./c/../%e2%82%ac"])]
fn canonical_path(path: &str) -> bool {
    CanonicalPath::parse(black_box(path)).is_ok()
}

/// A token from its text to its claims, its signature checked.
#[divan::bench(args = Alg::ALL)]
fn verification(bencher: Bencher<'_, '_>, alg: Alg) {
    let policy = policy(10);
    let key = Key::new(alg, "k");
    let keys = KeySet::parse(jwks(&[&key]).as_bytes(), KeyLimits::USUAL).unwrap();
    let credential = Credential::new(&Token::access().sign(&key), 16 << 10).unwrap();
    let issuer = policy.issuer_of("https://bank.example").unwrap();
    let now = Timestamp::from_seconds(now());
    bencher.bench(|| {
        let mut room = Vec::new();
        let token = Unverified::parse(black_box(&credential), &mut room).unwrap();
        verify(token, &keys, &issuer.expectation, now).is_ok()
    });
}

/// A token that was verified before, one of so many that come in turn: 1 is remembered by its text, many by their hash.
#[divan::bench(args = [1, 1_000])]
fn cache_hit(bencher: Bencher<'_, '_>, tokens: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let key = Key::new(Alg::Es256, "k");
    std::fs::write(&file, jwks(&[&key])).unwrap();
    let policy = policy(10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let keys = Arc::new(KeyStore::new(KeySettings::new(Duration::from_secs(3600), false), runtime.handle().clone()));
    let source = KeySource { place: KeyPlace::JwksFile(file), ca: None };
    keys.take_up(
        policy.hash(),
        &[IssuerKeysConfig { name: "bank".into(), issuer: "https://bank.example".into(), source }],
    );
    let verifier = Verifier::new(keys, 64 << 20).unwrap();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now = Timestamp::from_seconds(now());
    let sign = |number| Credential::new(&Token::access().claim("jti", number).sign(&key), 16 << 10).unwrap();
    let credentials: Vec<Credential> = (0..tokens).map(sign).collect();
    for credential in &credentials {
        runtime.block_on(verifier.verify(credential, &policy, peer, now)).unwrap();
    }
    let mut turn = credentials.iter().cycle();
    bencher.bench_local(|| runtime.block_on(verifier.verify(turn.next().unwrap(), &policy, peer, now)).is_ok());
}

/// What was kept of a sign-in, from the cookie's value to what policies judge; opened with the last of so many keys.
#[divan::bench(args = [1, 2])]
fn kept_opening(bencher: Bencher<'_, '_>, keys: usize) {
    let policy = policy(10);
    let (credential, assurance) = believed(&policy);
    let now = Timestamp::from_seconds(now());
    let key =
        |number: u8| SealKey::parse(&keys::base64_url((0..32u8).map(|n| n ^ number).collect::<Vec<_>>())).unwrap();
    let label = Label { cookie: "__Host-stepgate", host: "app.example" };
    let kept = Kept::of(&credential, &assurance, &policy, 28_800, now).unwrap();
    let first = Keyring::new(&[key(0)]).unwrap();
    let value = first.seal(kept.to_bytes().unwrap(), label, [9; NONCE]).unwrap();
    let ring = Keyring::new(&(0..u8::try_from(keys).unwrap()).rev().map(key).collect::<Vec<_>>()).unwrap();
    bencher.bench(|| {
        let text = ring.open(black_box(&value), label).unwrap();
        Kept::from_bytes(&text).unwrap().recall(&policy, now).is_ok()
    });
}

/// The other way, as a callback does.
#[divan::bench]
fn kept_sealing(bencher: Bencher<'_, '_>) {
    let policy = policy(10);
    let (credential, assurance) = believed(&policy);
    let now = Timestamp::from_seconds(now());
    let key = SealKey::parse(&keys::base64_url((0..32u8).collect::<Vec<_>>())).unwrap();
    let label = Label { cookie: "__Host-stepgate", host: "app.example" };
    let ring = Keyring::new(&[key]).unwrap();
    bencher.bench(|| {
        let kept = Kept::of(black_box(&credential), &assurance, &policy, 28_800, now).unwrap();
        ring.seal(kept.to_bytes().unwrap(), label, [9; NONCE]).is_some()
    });
}

/// A token, and what it proved.
fn believed(policy: &Policy) -> (Credential, Assurance) {
    let key = Key::new(Alg::Es256, "k");
    let keys = KeySet::parse(jwks(&[&key]).as_bytes(), KeyLimits::USUAL).unwrap();
    let credential = Credential::new(&Token::access().sign(&key), 16 << 10).unwrap();
    let issuer = policy.issuer_of("https://bank.example").unwrap();
    let now = Timestamp::from_seconds(now());
    let mut room = Vec::new();
    let token = Unverified::parse(&credential, &mut room).unwrap();
    let (verified, _) = verify(token, &keys, &issuer.expectation, now).unwrap();
    let assurance = issuer.assess(&verified, policy.claims());
    (credential, assurance)
}
