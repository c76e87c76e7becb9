//! `mode`: what a route lets through only because it observes, and what it refuses all the same.

use serde_json::Value;

use crate::support::{Alg, Gate, Key, Request, Token, Upstream, World, free_port, now};

const ROUTES: &str = r#"
  - { name: enforced, match: { path: "/enforced/**" }, require: { level: multi-factor } }
  - name: observed
    match: { path: "/observed/**" }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
    mode: observe
  - name: watched
    match: { path: "/watched/**" }
    take: [ authorization, { cookie: session, kind: id } ]
    require: { level: multi-factor }
    mode: observe-all
  - { name: tier, match: { path: /tier }, require: { claims: { tier: gold } }, mode: observe }
  - { name: user, match: { path: /user }, require: { caller: user }, mode: observe }
  - name: callback
    match: { path: /callback }
    take: [ { form: id_token, kind: id } ]
    require: { level: multi-factor }
    mode: observe-all
  - { name: bank-only, match: { path: /bank-only }, require: { issuers: [bank] }, mode: observe }
floors:
  - { name: base, match: { path: "/observed/base/**" }, require: { level: single-factor } }
  - { name: safe, match: { path: "/watched/safe/**" }, require: { level: multi-factor } }
  - { name: sure, match: { path: "/watched/sure/**" }, require: authenticated }
"#;

/// Sends a request that must pass as one that would be denied; says its audit line and what the upstream was told.
#[track_caller]
fn lifts(world: &World, request: &Request, reason: &str) -> (Value, Vec<(String, String)>) {
    let (response, decision) = world.gate.decision(request);
    assert_eq!(response.status, 200, "{}\n{decision}", response.body);
    assert_eq!((&decision["decision"], &decision["reason"]), (&"would_deny".into(), &reason.into()), "{decision}");
    assert!(decision["status"].is_null() && decision["hint"].is_string(), "{decision}");
    let seen = world.upstream.seen().pop().unwrap();
    let ours = seen.names().into_iter().filter(|name| name.starts_with("x-stepgate-"));
    let told = ours.map(|name| (name.to_owned(), seen.header(name).unwrap().to_owned())).collect();
    (decision, told)
}

fn told<'t>(fields: &'t [(String, String)], name: &str) -> Option<&'t str> {
    fields.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

#[test]
fn observe_lets_through_what_lacks_in_strength_and_tells_the_upstream_what_was_really_reached() {
    let world = World::with_routes(ROUTES);
    let get = |path: &str, token: Token| Request::get(path).bearer(&token.sign(&world.bank));
    let (decision, fields) = lifts(&world, &get("/observed/1", Token::access().weak()), "level_too_low");
    assert_eq!((&decision["mode"], &decision["level"]), (&"observe".into(), &"single-factor".into()));
    assert_eq!(decision["subject"], "ada", "{decision}");
    assert_eq!(told(&fields, "x-stepgate-level"), Some("single-factor"));
    assert_eq!(told(&fields, "x-stepgate-subject"), Some("ada"));
    let none = Token::access().without("acr").without("amr");
    let (decision, fields) = lifts(&world, &get("/observed/1", none), "acr_missing");
    assert!(decision["level"].is_null() && told(&fields, "x-stepgate-level").is_none());
    lifts(&world, &get("/observed/1", Token::access().claim("auth_time", now() - 400)), "auth_too_old");
    lifts(&world, &get("/observed/1", Token::access().without("auth_time")), "auth_time_missing");
    lifts(&world, &get("/observed/1", Token::access().claim("scope", "accounts")), "scope_missing");
    lifts(&world, &get("/tier", Token::access()), "claim_mismatch");
    lifts(&world, &get("/user", Token::access().without("sub")), "caller_wrong");
    // What is enough is allowed as anywhere.
    let (response, decision) = world.gate.decision(&get("/observed/1", Token::access()));
    assert_eq!((response.status, &decision["decision"]), (200, &"allow".into()));
    assert_eq!(decision["mode"], "observe");
    // Elsewhere the same is refused as ever.
    world.refuses(&get("/enforced/1", Token::access().weak()), 401, "level_too_low");

    let counted = |decision: &str, reason: &str| {
        let labels = format!("{{route=\"observed\",decision=\"{decision}\",reason=\"{reason}\"}}");
        world.gate.metric(&format!("stepgate_requests_total{labels}"))
    };
    assert!((counted("would_deny", "level_too_low") - 1.0).abs() < 0.1);
    assert!((counted("allow", "-") - 1.0).abs() < 0.1);
    let line = world.gate.logged("would be denied", |line| line["reason"] == "level_too_low");
    assert_eq!((&line["route"], line["hint"].is_string()), (&"observed".into(), true), "{line}");
}

#[test]
fn observe_refuses_whoever_has_no_token_that_is_believed() {
    let world = World::with_routes(ROUTES);
    world.refuses(&Request::get("/observed/1"), 401, "token_missing");
    world.refuses(&Request::get("/observed/1").bearer(&Token::access().sign(&world.shop)), 401, "signature_invalid");
    let expired = Token::access().claim("exp", now() - 100).sign(&world.bank);
    world.refuses(&Request::get("/observed/1").bearer(&expired), 401, "expired");
    let foreign = Token::access().issuer("https://shop.example").sign(&world.shop);
    world.refuses(&Request::get("/bank-only").bearer(&foreign), 401, "issuer_refused");
    world.refuses(&Request::get("/observed/a%2Fb"), 400, "path_ambiguous");
    let decision = world.gate.audited("the mode is told with refusals too", |line| line["reason"] == "expired");
    assert_eq!((&decision["mode"], &decision["decision"]), (&"observe".into(), &"deny".into()));
}

#[test]
fn observe_all_lets_those_through_too_and_names_nobody() {
    let world = World::with_routes(ROUTES);
    let forged = Token::access().sign(&world.shop);
    for (request, reason) in [
        (Request::get("/watched/1"), "token_missing"),
        (Request::get("/watched/1").bearer(&forged), "signature_invalid"),
        (Request::get("/watched/1").bearer("only.twoparts"), "token_malformed"),
        (Request::get("/watched/1").bearer(&forged).bearer(&forged), "token_duplicate"),
        (Request::get("/watched/1").header("Cookie", "session=a; session=b"), "token_duplicate"),
    ] {
        let (decision, fields) = lifts(&world, &request.header("X-Stepgate-Subject", "admin"), reason);
        assert_eq!(decision["mode"], "observe-all");
        assert!(
            decision["subject"].is_null() && decision["level"].is_null() && decision["kind"].is_null(),
            "{decision}"
        );
        assert!(fields.is_empty(), "{fields:?}");
    }
    let weak = Request::get("/watched/1").bearer(&Token::access().weak().sign(&world.bank));
    let (_, fields) = lifts(&world, &weak, "level_too_low");
    assert_eq!(told(&fields, "x-stepgate-level"), Some("single-factor"));
}

#[test]
fn what_another_site_or_a_bad_body_does_is_refused_though_a_reason_that_is_lifted_comes_before_it() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(&World::issuers_and(ROUTES)).settings("limits: { form: 1KiB, body: 4KiB }")
    });
    let evil = |request: Request| request.header("Origin", "https://evil.example");
    let id = Token::id().sign(&world.bank);
    world.refuses(
        &evil(Request::post("/watched/1", "x").header("Cookie", &format!("session={id}"))),
        403,
        "origin_refused",
    );
    let twice = Request::post("/watched/1", "x").header("Cookie", "session=a; session=b");
    world.refuses(&evil(twice), 403, "origin_refused");
    let long = "x".repeat(5 << 10);
    world.refuses(&Request::post("/watched/1", &long), 413, "body_too_large");
    world.refuses(
        &Request::post("/callback", "{}").header("Content-Type", "application/json"),
        415,
        "body_unsupported",
    );
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    world.refuses(&Request::post("/callback", &long[..2000]).header(form.0, form.1), 413, "body_too_large");
    // With `Authorization` twice, which would be lifted by itself.
    let doubly = Request::post("/callback", "{}").bearer("a").bearer("b");
    world.refuses(&doubly, 415, "body_unsupported");
    let request = Request::post("/callback", "state=x").header(form.0, form.1);
    lifts(&world, &request, "token_missing");
    assert_eq!(world.upstream.seen().pop().unwrap().body, "state=x");
}

#[test]
fn a_floor_is_enforced_on_routes_that_observe() {
    let world = World::with_routes(ROUTES);
    let get = |path: &str, token: Token| Request::get(path).bearer(&token.sign(&world.bank));
    lifts(&world, &get("/observed/base/1", Token::access().weak()), "level_too_low");
    let nothing = Token::access().without("acr").without("amr");
    world.refuses(&get("/observed/base/1", nothing.claim("auth_time", now())), 401, "acr_missing");
    world.refuses(&get("/watched/safe/1", Token::access().weak()), 401, "level_too_low");
    world.refuses(&Request::get("/watched/safe/1"), 401, "token_missing");
    world.refuses(&Request::get("/watched/sure/1"), 401, "token_missing");
    lifts(&world, &get("/watched/sure/1", Token::access().weak()), "level_too_low");
}

#[test]
fn an_issuer_whose_keys_cannot_be_had_stops_nobody_on_a_route_that_observes_all() {
    let (key, upstream) = (Key::new(Alg::Es256, "k"), Upstream::start());
    let issuer = format!("http://127.0.0.1:{}", free_port());
    let route = |name: &str, mode: &str| {
        format!("  - {{ name: {name}, match: {{ path: /{name} }}, require: authenticated, mode: {mode} }}\n")
    };
    let policy = format!(
        "version: 1\nissuers: {{ idp: {{ issuer: \"{issuer}\", access: {{ audiences: [\"https://api.example\"] }} }} }}\nroutes:\n{}{}",
        route("watched", "observe-all"),
        route("observed", "observe")
    );
    let gate = Gate::setup(&upstream).policy(&policy).start();
    let token = Token::access().issuer(&issuer).sign(&key);
    let (response, decision) = gate.decision(&Request::get("/watched").bearer(&token));
    assert_eq!((response.status, &decision["reason"]), (200, &"keys_unavailable".into()), "{decision}");
    assert_eq!((&decision["decision"], &decision["issuer"]), (&"would_deny".into(), &"idp".into()));
    let seen = upstream.seen().pop().unwrap();
    assert!(!seen.names().iter().any(|name| name.starts_with("x-stepgate-")), "{:?}", seen.names());
    assert_eq!(gate.send(&Request::get("/observed").bearer(&token)).status, 503);
}

#[test]
fn tokens_that_are_to_be_stripped_are_stripped_believed_or_not() {
    let settings = "identity: { strip_token: true }";
    let world = World::before(Upstream::start(), |setup| setup.policy(&World::issuers_and(ROUTES)).settings(settings));
    let forged = Token::access().sign(&world.shop);
    let request = Request::get("/watched/1").bearer(&forged).header("Cookie", "a=1; session=x");
    lifts(&world, &request, "token_malformed");
    let seen = world.upstream.seen().pop().unwrap();
    assert_eq!((seen.header("authorization"), seen.header("cookie")), (None, Some("a=1")));
}

#[test]
fn an_upstream_that_fails_is_told_with_the_decision_before_it() {
    let nobody = format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", free_port());
    let world = World::before(Upstream::start(), |setup| setup.policy(&World::issuers_and(ROUTES)).upstreams(&nobody));
    let (response, _) = world.gate.decision(&Request::get("/watched/1"));
    assert_eq!(response.status, 502);
    let line = world.gate.audited("the failure is told", |line| line["reason"] == "upstream_unreachable");
    assert_eq!((&line["mode"], &line["decision"]), (&"observe-all".into(), &"would_deny".into()));
}
