//! An access token and an id_token in one request: one caller, or none.

use serde_json::json;

use crate::support::{Request, Token, World, at_hash, now};

fn orders(world: &World, access: &Token, id: &Token) -> Request {
    Request::get("/orders").bearer(&access.sign(&world.bank)).header("X-Id-Token", &id.sign(&world.bank))
}

#[test]
fn a_pair_is_tied_by_the_hash_of_the_access_token() {
    let world = World::start();
    let access = Token::access().weak().sign(&world.bank);
    let with = |hash: &str| {
        let id = Token::id().claim("at_hash", hash).sign(&world.bank);
        Request::get("/orders").bearer(&access).header("X-Id-Token", &id)
    };
    world.passes(&with(&at_hash(&access)));
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-stepgate-level"), Some("multi-factor"), "the id_token proves the level");
    let other = Token::access().weak().claim("jti", "2").sign(&world.bank);
    for wrong in [at_hash(&other), String::new(), at_hash(&access)[..10].to_owned(), format!("{}=", at_hash(&access))] {
        world.refuses(&with(&wrong), 401, "tokens_disagree");
    }
}

#[test]
fn a_pair_is_tied_by_an_equal_session() {
    let world = World::start();
    let with = |one: &str, other: &str| {
        orders(&world, &Token::access().weak().claim("sid", one), &Token::id().claim("sid", other))
    };
    world.passes(&with("s1", "s1"));
    world.refuses(&with("s1", "s2"), 401, "tokens_disagree");
    world.refuses(&with("s1", "S1"), 401, "tokens_disagree");
    world.refuses(&with("", ""), 401, "tokens_disagree");
    for odd in [json!(null), json!(["s1"]), json!(1)] {
        let (access, id) = (Token::access().claim("sid", odd.clone()), Token::id().claim("sid", odd));
        world.refuses(&orders(&world, &access, &id), 401, "tokens_disagree");
    }
}

#[test]
fn an_equal_subject_ties_nothing_unless_the_policy_says_so() {
    let bound = World::start();
    bound.refuses(&orders(&bound, &Token::access(), &Token::id()), 401, "tokens_disagree");

    let policy = crate::support::POLICY.replacen(
        "    id: { audiences: [app] }",
        "    id: { audiences: [app] }\n    pair: subject",
        1,
    );
    let world = World::with_policy(&policy);
    let id = || Token::id().claim("azp", "app");
    world.passes(&orders(&world, &Token::access().weak(), &id()));
    world.refuses(&orders(&world, &Token::access().claim("sub", "eve"), &id()), 401, "tokens_disagree");
    world.refuses(&orders(&world, &Token::access().without("sub"), &id()), 401, "tokens_disagree");
    world.refuses(&orders(&world, &Token::access().claim("client_id", "other"), &id()), 401, "tokens_disagree");
}

#[test]
fn two_issuers_are_two_callers() {
    let world = World::start();
    let access = Token::access().issuer("https://shop.example").claim("sid", "s1").sign(&world.shop);
    let id = Token::id().claim("sid", "s1").claim("at_hash", at_hash(&access)).sign(&world.bank);
    world.refuses(&Request::get("/orders").bearer(&access).header("X-Id-Token", &id), 401, "tokens_disagree");
}

#[test]
fn level_and_age_are_met_by_one_token_alone_and_scopes_by_the_access_token() {
    let world = World::with_routes(
        r#"
  - name: orders
    match: { path: /orders }
    take: [ authorization, { header: x-id-token, kind: id } ]
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
"#,
    );
    let tied = |token: Token| token.claim("sid", "s1");
    let (old, weak) = (now() - 4000, Token::access().weak());
    // Strong but old, beside fresh but weak: neither will do.
    let strong_and_old = tied(Token::id().claim("auth_time", old));
    let (refused, decision) = world.gate.decision(&orders(&world, &tied(weak.clone()), &strong_and_old));
    assert_eq!(refused.status, 401, "{decision}");
    assert_eq!(world.upstream.begun(), 0);
    world.passes(&orders(&world, &tied(weak.clone().claim("auth_time", old)), &tied(Token::id())));
    // A scope in the id_token grants nothing.
    let scoped_id = tied(Token::id().claim("scope", "payments"));
    world.refuses(&orders(&world, &tied(weak.claim("scope", "accounts")), &scoped_id), 403, "scope_missing");
}

#[test]
fn both_tokens_must_hold_by_themselves() {
    let world = World::start();
    let tied = |token: Token| token.claim("sid", "s1");
    world.passes(&orders(&world, &tied(Token::access()), &tied(Token::id())));
    let expired = |token: Token| token.claim("exp", now() - 100);
    world.refuses(&orders(&world, &tied(expired(Token::access())), &tied(Token::id())), 401, "expired");
    world.refuses(&orders(&world, &tied(Token::access()), &tied(expired(Token::id()))), 401, "expired");
}
