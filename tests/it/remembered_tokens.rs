//! Tokens that were verified before are judged anew each time, and forgotten when they must be.

use std::time::Duration;

use serde_json::json;

use crate::support::{Alg, Key, Request, Token, World, eventually, jwks, now};

fn get(path: &str, token: &str) -> Request {
    Request::get(path).bearer(token)
}

#[test]
fn t28_a_token_that_satisfied_one_route_is_judged_anew_for_a_stronger_one() {
    let world = World::start();
    let weak = Token::access().weak().claim("scope", "accounts").sign(&world.bank);
    for _ in 0..3 {
        world.passes(&get("/any/1", &weak));
        world.passes(&get("/accounts/1", &weak));
        world.refuses(&get("/strong/1", &weak), 401, "level_too_low");
        world.refuses(&get("/scoped", &weak), 403, "scope_missing");
        world.refuses(&get("/other-api", &weak), 401, "audience_wrong");
    }
}

#[test]
fn t29_a_token_is_remembered_for_its_own_issuer_alone() {
    // Bank and shop have different keys under one `kid`.
    let world = World::start();
    assert_eq!(world.bank.kid, world.shop.kid);
    let banks = Token::access().sign(&world.bank);
    world.passes(&get("/any/1", &banks));
    let shops = Token::access().issuer("https://shop.example");
    world.passes(&get("/any/1", &shops.sign(&world.shop)));
    for _ in 0..2 {
        world.refuses(&get("/any/1", &shops.sign(&world.bank)), 401, "signature_invalid");
        world.refuses(&get("/any/1", &Token::access().sign(&world.shop)), 401, "signature_invalid");
    }
    // The remembered token's signature on other claims, and its claims with another signature.
    let (signed, signature) = banks.rsplit_once('.').unwrap();
    let other = Token::access().claim("sub", "eve").sign(&world.bank);
    let (other_signed, other_signature) = other.rsplit_once('.').unwrap();
    world.refuses(&get("/any/1", &format!("{other_signed}.{signature}")), 401, "signature_invalid");
    world.refuses(&get("/any/1", &format!("{signed}.{other_signature}")), 401, "signature_invalid");
}

#[test]
fn t30_a_remembered_token_is_refused_once_it_expired() {
    let world = World::start();
    // Within the leeway of 30 seconds, and not for long.
    let token = Token::access().claim("exp", now() - 27).sign(&world.bank);
    world.passes(&get("/any/1", &token));
    world.passes(&get("/any/1", &token));
    std::thread::sleep(Duration::from_millis(3500));
    world.refuses(&get("/any/1", &token), 401, "expired");
}

#[test]
fn t30_the_age_of_the_sign_in_is_judged_at_every_hit() {
    let world = World::start();
    let token = Token::access().claim("auth_time", now() - 297).sign(&world.bank);
    world.passes(&get("/fresh", &token));
    world.passes(&get("/fresh", &token));
    std::thread::sleep(Duration::from_millis(3500));
    world.refuses(&get("/fresh", &token), 401, "auth_too_old");
    world.passes(&get("/any/1", &token));
}

#[test]
fn a_remembered_token_is_refused_once_its_key_left_the_set() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    world.passes(&get("/any/1", &token));
    let next = Key::new(Alg::Es256, "key-2");
    world.gate.replace("bank.json", &jwks(&[&next]));
    eventually("a token of the new key passes", Duration::from_secs(10), || {
        world.gate.send(&get("/any/1", &Token::access().sign(&next))).status == 200
    });
    let before = world.upstream.begun();
    let (refused, decision) = world.gate.decision(&get("/any/1", &token));
    assert!(matches!(refused.status, 401 | 503), "{decision}");
    assert_eq!(world.upstream.begun(), before);
}

#[test]
fn a_remembered_token_is_refused_once_another_key_has_the_name_of_its_key() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    world.passes(&get("/any/1", &token));
    let next = Key::new(Alg::Es256, &world.bank.kid);
    world.gate.replace("bank.json", &jwks(&[&next]));
    eventually("the old token is refused", Duration::from_secs(10), || {
        let refused = world.gate.send(&get("/any/1", &token));
        assert!(matches!(refused.status, 200 | 401));
        refused.status == 401
    });
    world.passes(&get("/any/1", &Token::access().sign(&next)));
}

#[test]
fn a_refused_token_is_not_remembered_as_refused() {
    // What was refused for one route's demands passes where less is asked.
    let world = World::start();
    let token = Token::access().weak().claim("amr", json!(["pwd"])).sign(&world.bank);
    world.refuses(&get("/strong/1", &token), 401, "level_too_low");
    world.passes(&get("/accounts/1", &token));
}
