//! What the upstream is told of the user.

use std::time::Duration;

use serde_json::json;

use crate::support::{POLICY, Request, Token, Upstream, World, eventually, now};

#[test]
fn the_upstream_is_told_who_it_is_and_how_they_signed_in() {
    let world = World::start();
    let at = now() - 60;
    let token = Token::access().claim("auth_time", at).sign(&world.bank);
    world.passes(&Request::get("/strong/1").bearer(&token));
    let seen = world.upstream.last();
    for (name, value) in [
        ("x-stepgate-subject", "ada"),
        ("x-stepgate-level", "multi-factor"),
        ("x-stepgate-acr", "2"),
        ("x-stepgate-amr", "pwd otp"),
        ("x-stepgate-issuer", "bank"),
        ("x-stepgate-client", "app"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("x-stepgate-auth-time"), Some(at.to_string().as_str()));
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {token}").as_str()),
        "kept unless it is to be stripped"
    );
}

#[test]
fn what_the_token_does_not_say_is_not_said() {
    let world = World::start();
    let bare =
        Token::access().without("acr").without("amr").without("auth_time").without("client_id").sign(&world.bank);
    world.passes(&Request::get("/any/1").bearer(&bare).header("X-Stepgate-Acr", "3"));
    let seen = world.upstream.last();
    for name in ["x-stepgate-level", "x-stepgate-acr", "x-stepgate-amr", "x-stepgate-auth-time", "x-stepgate-client"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-stepgate-subject"), Some("ada"));
}

#[test]
fn a_value_can_neither_end_its_header_nor_make_a_list_longer() {
    let world = World::start();
    let token = Token::access()
        .claim("sub", "Zoë\r\nX-Stepgate-Level: hardware-protected 😀")
        .claim("client_id", "a b\tc\u{7f}")
        .claim("amr", json!(["pwd", "otp", "fpt hwk"]))
        .sign(&world.bank);
    world.passes(&Request::get("/any/1").bearer(&token));
    let seen = world.upstream.last();
    let subject = "Zo%C3%AB%0D%0AX-Stepgate-Level:%20hardware-protected%20%F0%9F%98%80";
    assert_eq!(seen.header("x-stepgate-subject"), Some(subject));
    assert_eq!(seen.header("x-stepgate-client"), Some("a%20b%09c%7F"));
    assert_eq!(seen.header("x-stepgate-amr"), Some("pwd otp fpt%20hwk"));
    assert_eq!(seen.header("x-stepgate-level"), Some("multi-factor"));
}

#[test]
fn a_percent_sign_in_a_value_is_not_taken_for_an_escape() {
    let world = World::start();
    let subject = |sub: &str| {
        world.passes(&Request::get("/any/1").bearer(&Token::access().claim("sub", sub).sign(&world.bank)));
        world.upstream.last().header("x-stepgate-subject").unwrap().to_owned()
    };
    assert_ne!(subject("a b"), subject("a%20b"), "two users have one name at the upstream");
}

#[test]
fn the_token_can_be_kept_from_the_upstream() {
    let settings = "identity: { headers: true, strip_token: true }";
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings(settings));
    let (access, id) = (Token::access().sign(&world.bank), Token::id().sign(&world.bank));
    world.passes(&Request::get("/any/1").bearer(&access));
    assert_eq!(world.upstream.last().header("authorization"), None);
    assert_eq!(world.upstream.last().header("x-stepgate-subject"), Some("ada"));
    world.passes(&Request::get("/portal/1").header("X-Id-Token", &id));
    assert_eq!(world.upstream.last().header("x-id-token"), None);
    world.passes(&Request::get("/portal/1").header("Cookie", &format!("a=1; portal_id={id}; b=2")));
    let cookie = world.upstream.last().header("cookie").unwrap_or_default().to_owned();
    assert!(!cookie.contains(&id) && cookie.contains("a=1") && cookie.contains("b=2"), "{cookie}");
}

#[test]
fn without_identity_headers_none_are_set_and_none_pass() {
    let settings = "identity: { headers: false }";
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings(settings));
    let token = Token::access().sign(&world.bank);
    world.passes(
        &Request::get("/any/1").bearer(&token).header("X-Stepgate-Subject", "eve").header("X_Stepgate_Level", "x"),
    );
    let seen = world.upstream.last();
    assert!(seen.names().iter().all(|name| !name.replace('_', "-").starts_with("x-stepgate")), "{:?}", seen.names());
}

#[test]
fn what_is_told_follows_the_token_the_route_and_the_policy_each_time() {
    const ROUTES: &str = r#"
  - { name: plain, match: { path: "/plain" }, require: { level: single-factor } }
  - { name: deaf, match: { path: "/deaf" }, require: { level: single-factor, ignore_amr: [otp] } }
"#;
    let policy = World::issuers_and(ROUTES);
    // One, which meets each caller often enough to remember it.
    let world = World::before(Upstream::start(), |setup| setup.policy(&policy).settings("workers: 1"));
    let both = Token::access().without("acr").sign(&world.bank);
    let one = Token::access().without("acr").claim("amr", json!(["pwd"])).claim("sub", "bob").sign(&world.bank);
    let told = |path: &str, token: &str| {
        world.passes(&Request::get(path).bearer(token));
        let seen = world.upstream.last();
        ["subject", "level", "amr", "issuer"]
            .map(|name| seen.header(&format!("x-stepgate-{name}")).unwrap_or("none").to_owned())
    };
    for _ in 0..3 {
        assert_eq!(told("/plain", &both), ["ada", "multi-factor", "pwd otp", "bank"]);
        assert_eq!(told("/deaf", &both), ["ada", "single-factor", "pwd", "bank"]);
        assert_eq!(told("/plain", &one), ["bob", "single-factor", "pwd", "bank"]);
    }
    // More of them than are remembered, so that some follow on another in its place.
    for number in 0..200 {
        let name = format!("user-{number}");
        let token = Token::access().without("acr").claim("sub", name.as_str()).sign(&world.bank);
        // Who comes twice is remembered.
        for _ in 0..3 {
            assert_eq!(told("/plain", &token)[0], name);
        }
    }
    for _ in 0..3 {
        assert_eq!(told("/plain", &both)[0], "ada");
    }
    // A level of another name, which leaves whatever is known of tokens as it is.
    let levels = "version: 1\nlevels: [single-factor, two-factors, phishing-resistant]\n";
    let policy = policy.replace("multi-factor", "two-factors").replacen("version: 1\n", levels, 1);
    world.gate.reload(&policy);
    eventually("the level has another name", Duration::from_secs(10), || told("/plain", &both)[1] == "two-factors");
    world.gate.reload(&policy.replacen("  bank:", "  bench:", 1));
    eventually("the issuer has another name", Duration::from_secs(10), || told("/plain", &both)[3] == "bench");
}
