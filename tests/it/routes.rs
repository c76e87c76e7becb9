//! Which route a request takes, and what else stands under it.

use serde_json::json;

use crate::support::{Request, Token, Upstream, World};

#[test]
fn floors_hold_on_top_of_every_route_they_touch() {
    let policy = World::issuers_and(
        r#"
  - { name: all, match: { path: "/**" }, require: authenticated }
  - { name: report, match: { path: /admin/report }, require: { scopes: { all: [reports] } } }
floors:
  - { name: admin, match: { path: "/admin/**" }, require: { level: multi-factor, ignore_amr: [otp] } }
"#,
    );
    let world = World::with_policy(&policy);
    let get = |path: &str, token: Token| Request::get(path).bearer(&token.sign(&world.bank));
    let by_key = || Token::access().claim("amr", json!(["pwd", "hwk"])).without("acr");
    world.passes(&get("/x", Token::access().weak()));
    world.refuses(&get("/admin/x", Token::access().weak()), 401, "level_too_low");
    world.refuses(&get("/admin", Token::access().weak()), 401, "level_too_low");
    world.passes(&get("/admin/x", by_key()));
    // The most specific route is under the floor too, and what the floor ignores counts for nothing.
    let report = |token: Token| get("/admin/report", token.claim("scope", "reports"));
    world.refuses(&report(Token::access().weak()), 401, "level_too_low");
    world.refuses(&report(Token::access().claim("amr", json!(["pwd", "otp"])).without("acr")), 401, "level_too_low");
    world.passes(&report(by_key()));
    world.refuses(&get("/admin/report", by_key().claim("scope", "x")), 403, "scope_missing");
}

#[test]
fn the_most_specific_route_wins_whatever_file_it_is_in() {
    let first = "version: 1\nroutes:\n  - { name: all, match: { path: \"/**\" }, require: public }\n  \
                 - { name: pay, match: { path: \"/pay/{id}\", methods: [POST] }, require: { level: multi-factor } }\n";
    let second = World::issuers_and(
        "  - { name: pays, match: { path: \"/pay/**\" }, require: authenticated }\n  \
         - { name: status, match: { path: /pay/status }, require: public }",
    );
    for files in [[first, &second], [&second, first]] {
        let world = World::before(Upstream::start(), |setup| setup.policy(files[0]).policy(files[1]));
        let weak = Token::access().weak().sign(&world.bank);
        world.passes(&Request::get("/x"));
        world.refuses(&Request::get("/pay/7"), 401, "token_missing");
        world.passes(&Request::get("/pay/7").bearer(&weak));
        world.refuses(&Request::post("/pay/7", "x").bearer(&weak), 401, "level_too_low");
        world.refuses(&Request::post("/pay/7/", "x").bearer(&weak), 401, "level_too_low");
        world.passes(&Request::get("/pay/status"));
        world.refuses(&Request::get("/pay/7/x"), 401, "token_missing");
    }
}

#[test]
fn a_path_parameter_must_name_what_the_token_names() {
    let world = World::start();
    let consent = |path: &str, id: serde_json::Value| {
        Request::get(path).bearer(&Token::access().claim("consent_id", id).sign(&world.bank))
    };
    world.passes(&consent("/consents/urn:c:7", json!("urn:c:7")));
    world.passes(&consent("/consents/7", json!(7)));
    world.passes(&consent("/consents/a%20b", json!("a b")));
    world.passes(&consent("/consents/b", json!(["a", "b"])));
    for (path, id) in [
        ("/consents/8", json!("7")),
        ("/consents/7", json!("77")),
        ("/consents/77", json!("7")),
        ("/consents/7", json!("7 ")),
        ("/consents/a", json!("A")),
        ("/consents/7", json!([])),
        ("/consents/null", json!(null)),
        ("/consents/true", json!(true)),
    ] {
        world.refuses(&consent(path, id), 403, "claim_mismatch");
    }
    let without = Request::get("/consents/7").bearer(&Token::access().sign(&world.bank));
    world.refuses(&without, 403, "claim_mismatch");
}

#[test]
fn an_id_token_is_taken_where_the_route_looks_for_one_and_nowhere_else() {
    let world = World::start();
    let id = Token::id().sign(&world.bank);
    world.passes(&Request::get("/portal/1").header("X-Id-Token", &id));
    world.refuses(&Request::get("/portal/1").bearer(&id), 401, "token_missing");
    world.refuses(&Request::get("/any/1").header("X-Id-Token", &id), 401, "token_missing");
    world.refuses(&Request::get("/any/1").bearer(&id), 401, "token_kind_wrong");
    let weak = Token::id().weak().sign(&world.bank);
    world.refuses(&Request::get("/portal/1").header("X-Id-Token", &weak), 401, "level_too_low");
    // Several audiences need a word on whom it is for.
    let several = || Token::id().claim("aud", json!(["app", "other"]));
    let portal = |token: Token| Request::get("/portal/1").header("X-Id-Token", &token.sign(&world.bank));
    world.refuses(&portal(several()), 401, "azp_wrong");
    world.passes(&portal(several().claim("azp", "app")));
}

#[test]
fn an_empty_policy_lets_nothing_through() {
    let world = World::with_policy("version: 1\n");
    let token = Token::access().sign(&world.bank);
    for path in ["/", "/healthz", "/any/1"] {
        world.refuses(&Request::get(path), 403, "route_none");
        world.refuses(&Request::get(path).bearer(&token), 403, "route_none");
    }
}

#[test]
fn of_several_alternatives_one_is_enough() {
    let world = World::with_routes(
        r#"
  - name: nightly
    match: { path: /batch }
    require: { any: [ { level: multi-factor, max_age: 1h }, { caller: client, clients: [job-7], scopes: { all: [batch] } } ] }
"#,
    );
    let batch = |token: Token| Request::get("/batch").bearer(&token.sign(&world.bank));
    let job = Token::access().without("sub").claim("client_id", "job-7");
    world.passes(&batch(Token::access()));
    world.passes(&batch(job.clone().claim("scope", "batch")));
    world.refuses(&batch(job.clone()), 403, "scope_missing");
    world.refuses(&batch(job.claim("client_id", "job-8").claim("scope", "batch")), 403, "caller_wrong");
    world.refuses(&batch(Token::access().weak()), 401, "level_too_low");
}
