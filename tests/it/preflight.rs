//! `cors: preflight`, from the policy's file to the audit log.

use crate::support::{Request, Token, World};

const ROUTES: &str = r#"
  - { name: pay, match: { path: "/pay/**", methods: [POST] }, require: { level: multi-factor }, cors: preflight }
  - { name: read, match: { path: "/pay/**", methods: [GET] }, require: { level: single-factor } }
  - { name: options, match: { path: "/pay/own", methods: [OPTIONS] }, require: authenticated }
floors:
  - { name: base, match: { path: "/**" }, require: authenticated, cors: preflight }
"#;

fn preflight(path: &str, asked: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", asked)
        .header("Access-Control-Request-Headers", "authorization")
}

#[test]
fn a_preflight_passes_under_its_route_and_the_request_after_it_needs_what_it_needed() {
    let world = World::with_routes(ROUTES);
    let (response, decision) = world.gate.decision(&preflight("/pay/7", "POST"));
    assert_eq!(response.status, 200);
    for (member, value) in [("decision", "allow"), ("kind", "preflight"), ("route", "pay"), ("method", "OPTIONS")] {
        assert_eq!(decision[member], value, "{decision}");
    }
    assert!(decision["subject"].is_null() && decision["reason"].is_null() && decision["status"].is_null());
    assert_eq!(world.upstream.last().line, "OPTIONS /pay/7 HTTP/1.1");

    world.refuses(&preflight("/pay/7", "GET"), 403, "route_none");
    world.refuses(&preflight("/elsewhere", "POST"), 403, "route_none");
    let weak = Token::access().weak().sign(&world.bank);
    world.refuses(&preflight("/pay/7", "POST").bearer(&weak), 403, "route_none");
    world.refuses(&Request::post("/pay/7", "x").header("Origin", "https://app.example"), 401, "token_missing");
    world.refuses(&Request::post("/pay/7", "x").bearer(&weak), 401, "level_too_low");
    // A route of its own for OPTIONS takes what is no preflight, and asks for a token as ever.
    world.refuses(&Request::new("OPTIONS", "/pay/own").header("Origin", "https://app.example"), 401, "token_missing");
    assert_eq!(world.gate.send(&preflight("/pay/own", "POST")).status, 200);
    assert_eq!(world.gate.decision(&Request::new("OPTIONS", "/pay/own").bearer(&weak)).1["route"], "options");
}

#[test]
fn a_policy_that_is_reloaded_takes_the_word_back() {
    let world = World::with_routes(ROUTES);
    assert_eq!(world.gate.send(&preflight("/pay/7", "POST")).status, 200);
    world.gate.reload(&World::issuers_and(
        &ROUTES.replace("{ level: multi-factor }, cors: preflight }", "{ level: multi-factor } }"),
    ));
    world.refuses(&preflight("/pay/7", "POST"), 403, "route_none");
}
