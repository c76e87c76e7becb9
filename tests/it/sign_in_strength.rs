//! What a sign-in is worth: what only looks strong, or was strong elsewhere, or long ago, is refused.

use serde_json::{Value, json};

use crate::support::{Request, Token, World, now};

fn strong(token: &str) -> Request {
    Request::get("/strong/1").bearer(token)
}

#[test]
fn t33_a_weaker_sign_in_than_was_asked_for_is_refused_even_right_after_the_challenge() {
    let world = World::start();
    let weak = Token::access().weak();
    let refused = world.refuses(&strong(&weak.sign(&world.bank)), 401, "level_too_low");
    let asked = refused.challenge();
    assert_eq!(asked.get("acr_values"), Some("2"));
    // The issuer signs the user in anew, and does not do what was asked; it may even repeat the question.
    for answer in [
        weak.clone().claim("auth_time", now()).claim("iat", now()),
        weak.clone().claim("acr_values", "2").claim("requested_acr", "2"),
        weak.clone().claim("acrs", json!(["2"])),
        weak.claim("claims", json!({ "acr": "2" })),
    ] {
        world.refuses(&strong(&answer.sign(&world.bank)), 401, "level_too_low");
    }
    world.passes(&strong(&Token::access().sign(&world.bank)));
}

#[test]
fn t34_methods_of_one_class_are_one_factor() {
    let world = World::start();
    let club = |amr: Value| Token::access().issuer("https://club.example").claim("amr", amr).sign(&world.club);
    for one in [
        json!(["otp", "otp"]),
        json!(["pwd", "pin"]),
        json!(["pwd", "kba"]),
        json!(["pwd", "mfa"]),
        json!(["mfa"]),
        json!(["made", "up"]),
        json!(["pwd", "OTP"]),
        json!(["pwd", "otp "]),
        json!(["user", "pwd"]),
    ] {
        world.refuses(&strong(&club(one.clone())), 401, "level_too_low");
    }
    world.passes(&strong(&club(json!(["pwd", "otp"]))));
}

#[test]
fn t34_an_mfa_that_the_rest_does_not_bear_out_counts_for_nothing_where_the_policy_says_so() {
    let world = World::with_policy(
        r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    mfa: derived
    ignore_amr: [sms]
    proves: { multi-factor: { amr: { any: [mfa] } } }
routes:
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor } }
"#,
    );
    let bank = |amr: Value| strong(&Token::access().claim("amr", amr).sign(&world.bank));
    for one in [json!(["mfa"]), json!(["mfa", "pwd"]), json!(["mfa", "pwd", "pin"]), json!(["mfa", "pwd", "sms"])] {
        world.refuses(&bank(one), 401, "level_too_low");
    }
    world.passes(&bank(json!(["mfa", "pwd", "otp"])));
}

#[test]
fn t35_an_old_sign_in_does_not_open_a_route_that_asks_for_a_fresh_one() {
    let world = World::start();
    let pay = |token: Token| Request::post("/payments/7", "x").bearer(&token.sign(&world.bank));
    // A new token of an old session.
    let old = Token::access().claim("auth_time", now() - 301).claim("iat", now());
    let refused = world.refuses(&pay(old.clone()), 401, "auth_too_old");
    assert_eq!(refused.challenge().get("max_age"), Some("300"));
    world.passes(&strong(&old.sign(&world.bank)));
    // When the user signed in is not what `iat` says, nor what anything else says.
    world.refuses(&pay(Token::access().without("auth_time").claim("iat", now())), 401, "auth_time_missing");
    world.refuses(&pay(Token::access().claim("auth_time", now() + 60)), 401, "claims_malformed");
    world.passes(&pay(Token::access()));
}

#[test]
fn t36_values_compare_whole_and_numbers_as_numbers() {
    let world = World::with_policy(
        r#"
version: 1
issuers:
  bank:
    issuer: https://bank.example
    keys: { jwks_file: ../bank.json }
    access: { audiences: ["https://api.example"] }
    proves:
      single-factor: { any: [ { acr: [aal1, aal2] }, { acr: { at_least: 1 } } ] }
      multi-factor: { any: [ { acr: [aal2] }, { acr: { at_least: 9 } }, { amr: { any: [mfa] } } ] }
routes:
  - { name: strong, match: { path: "/strong/**" }, require: { level: multi-factor } }
"#,
    );
    let with = |name: &str, value: Value| {
        strong(&Token::access().without("amr").claim("acr", "aal1").claim(name, value).sign(&world.bank))
    };
    for acr in ["aal20", "xaal2", "AAL2", "aal2 ", " aal2", "aal1 aal2", "aal", "8", "09x", "-10", "9.5", "1e9", "0x10"]
    {
        let (refused, decision) = world.gate.decision(&with("acr", json!(acr)));
        assert_eq!(refused.status, 401, "{acr}: {decision}");
    }
    for amr in [json!(["nomfa"]), json!(["mfa2"]), json!(["MFA"]), json!(["mfa "]), json!(["pwd,mfa"])] {
        let (refused, decision) = world.gate.decision(&with("amr", amr.clone()));
        assert_eq!(refused.status, 401, "{amr}: {decision}");
    }
    assert_eq!(world.upstream.begun(), 0);
    world.passes(&with("acr", json!("aal2")));
    world.passes(&with("acr", json!("10")));
    world.passes(&with("amr", json!(["mfa"])));
}

#[test]
fn t37_a_rule_that_cannot_be_judged_lets_nobody_through() {
    let world = World::with_routes(
        r#"
  - { name: no-sms, match: { path: /no-sms }, require: { amr: { none: [sms] } } }
  - { name: not-weak, match: { path: /not-weak }, require: { issuers: [bank], not: { acr: ["1"] } } }
  - { name: not-blocked, match: { path: /not-blocked }, require: { not: { claims: { blocked: true } } } }
"#,
    );
    let get = |path: &str, token: Token| Request::get(path).bearer(&token.sign(&world.bank));
    world.passes(&get("/no-sms", Token::access()));
    world.refuses(&get("/no-sms", Token::access().claim("amr", json!(["pwd", "sms"]))), 401, "amr_insufficient");
    world.refuses(&get("/no-sms", Token::access().without("amr")), 401, "amr_missing");
    world.refuses(&get("/no-sms", Token::access().claim("amr", json!([]))), 401, "amr_missing");
    world.refuses(&get("/no-sms", Token::access().claim("amr", json!({}))), 401, "amr_malformed");
    world.passes(&get("/not-weak", Token::access()));
    world.refuses(&get("/not-weak", Token::access().without("acr")), 401, "acr_missing");
    world.refuses(&get("/not-weak", Token::access().claim("acr", Value::Null)), 401, "acr_missing");
    world.passes(&get("/not-blocked", Token::access().claim("blocked", false)));
    world.refuses(&get("/not-blocked", Token::access().claim("blocked", true)), 403, "claim_mismatch");
    world.refuses(&get("/not-blocked", Token::access()), 403, "claim_mismatch");
}

#[test]
fn a_sign_in_is_worth_what_its_own_issuer_says_it_is() {
    let world = World::start();
    // `2` is the bank's word for two factors, and nothing at the shop; methods prove nothing there either.
    let shops = |acr: &str| Token::access().issuer("https://shop.example").claim("acr", acr).sign(&world.shop);
    world.refuses(&strong(&shops("2")), 401, "acr_unknown");
    world.passes(&strong(&shops("high")));
    world.refuses(&strong(&Token::access().weak().claim("acr", "high").sign(&world.bank)), 401, "level_too_low");
}

#[test]
fn a_client_that_acts_for_itself_reaches_no_level() {
    let world = World::start();
    let client = || Token::access().claim("client_id", "job-7");
    let nightly = |token: Token| Request::get("/nightly").bearer(&token.sign(&world.bank));
    for own in [client().without("sub"), client().claim("sub", "job-7")] {
        world.passes(&nightly(own.clone()));
        world.refuses(&strong(&own.sign(&world.bank)), 403, "caller_wrong");
        world.refuses(&Request::get("/otp").bearer(&own.sign(&world.bank)), 403, "caller_wrong");
        world.refuses(&Request::get("/fresh").bearer(&own.sign(&world.bank)), 403, "caller_wrong");
    }
    world.refuses(&nightly(client()), 403, "caller_wrong");
    world.refuses(&nightly(client().without("sub").claim("client_id", "job-8")), 403, "caller_wrong");
}
