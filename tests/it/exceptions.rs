//! `exceptions`: a named person's or client's way around a route's level, what is told of each use, and what it never lifts.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use stepgate::telemetry::timestamp::Rfc3339;
use stepgate::token::Timestamp;

use crate::kept_support::{KEY, NAME, application, kept, with};
use crate::support::{Request, Token, World, eventually, now};

const ROUTES: &str = r#"
  - name: pay
    match: { path: "/pay/**" }
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
  - { name: other, match: { path: "/other/**" }, require: { level: multi-factor } }
floors:
  - { name: safe, match: { path: "/pay/safe/**" }, require: { level: multi-factor } }
"#;

/// A moment from now, as a policy writes it.
pub(crate) fn moment(seconds: i64) -> String {
    let text = Rfc3339(Timestamp::from_seconds(now() + seconds)).to_string();
    format!("{}Z", &text[..19])
}

fn exception(name: &str, who: &str, routes: &str, instead: &str, until: &str) -> String {
    format!(
        "  - name: {name}\n    who: {who}\n    routes: {routes}\n    instead: {instead}\n    until: {until}\n    because: ticket 4711\n"
    )
}

fn policy(exceptions: &str) -> String {
    format!("{}exceptions:\n{exceptions}", World::issuers_and(ROUTES))
}

fn for_ada(until: &str) -> String {
    exception("outage", "{ issuer: bank, subjects: [ada] }", "[pay]", "{ level: single-factor, max_age: 8h }", until)
}

/// Sends a request that must pass, and says the exception in its audit line.
#[track_caller]
fn passes(world: &World, request: &Request) -> Value {
    let (response, line) = world.gate.decision(request);
    assert_eq!(response.status, 200, "{}\n{line}", response.body);
    assert_eq!((&line["decision"], &line["reason"]), (&"allow".into(), &Value::Null), "{line}");
    line
}

#[test]
fn who_is_named_is_let_in_until_it_ends_and_each_use_is_told_everywhere() {
    let until = moment(3_600);
    let job = exception("job", "{ issuer: bank, clients: [job-7] }", "[pay]", "authenticated", &until);
    let world = World::with_policy(&policy(&(for_ada(&until) + &job)));
    let pay = |token: Token| Request::get("/pay/1").bearer(&token.sign(&world.bank));
    let old = Token::access().weak().claim("auth_time", now() - 7_200);
    let line = passes(&world, &pay(old.clone()));
    let told = ["exception", "mode", "level", "subject", "hint"].map(|name| &line[name]);
    assert_eq!(told, [&json!("outage"), &json!("enforce"), &json!("single-factor"), &json!("ada"), &Value::Null]);
    assert_eq!(line["required"], json!(["multi-factor"]), "what the route asks stays told");
    assert_eq!(world.upstream.last().header("x-stepgate-level"), Some("single-factor"), "what was really reached");
    let client = Token::access().without("sub").claim("client_id", "job-7").without("amr").without("acr");
    assert_eq!(passes(&world, &pay(client.clone()))["exception"], "job");
    assert!(world.upstream.last().header("x-stepgate-level").is_none());
    // Who needs none is let in by none.
    assert_eq!(passes(&world, &pay(Token::access()))["exception"], Value::Null);

    let used = |name: &str| world.gate.metric(&format!("stepgate_exceptions_used_total{{exception=\"{name}\"}}"));
    assert_eq!((used("outage"), used("job")), (1.0, 1.0));
    let let_in = world.gate.logged("let in by an exception", |line| line["exception"] == "outage");
    assert_eq!((&let_in["reason"], &let_in["route"]), (&"level_too_low".into(), &"pay".into()), "{let_in}");
    for name in ["outage", "job"] {
        let line = world.gate.logged("an exception is in force", |line| line["exception"] == name);
        let told = ["level", "until", "routes", "because"].map(|name| line[name].as_str().unwrap());
        assert_eq!(told, ["WARN", until.as_str(), "pay", "ticket 4711"], "{line}");
        assert!(!line.to_string().contains("ada"), "nobody is named: {line}");
    }
    let listed = world.gate.reloads()["in_force"]["exceptions"].clone();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!((names, &listed[0]["routes"]), (vec![&json!("outage"), &json!("job")], &json!(["pay"])), "{listed}");

    // Everybody else, elsewhere, and all that a level has nothing to do with.
    world.refuses(&pay(Token::access().weak().claim("sub", "bob")), 401, "level_too_low");
    world.refuses(&pay(Token::access().claim("auth_time", now() - 40_000)), 401, "auth_too_old");
    world.refuses(&pay(old.clone().claim("scope", "accounts")), 401, "level_too_low");
    world.refuses(&pay(client.claim("client_id", "job-8")), 403, "caller_wrong");
    world.refuses(&Request::get("/other/1").bearer(&old.sign(&world.bank)), 401, "level_too_low");
    world.refuses(&Request::get("/pay/safe/1").bearer(&old.sign(&world.bank)), 401, "level_too_low");
    let of_shop = Token::access().issuer("https://shop.example").claim("acr", "low").sign(&world.shop);
    world.refuses(&Request::get("/pay/1").bearer(&of_shop), 401, "level_too_low");
    // Tokens that are not believed.
    world.refuses(&Request::get("/pay/1"), 401, "token_missing");
    world.refuses(&Request::get("/pay/1").bearer(&old.sign(&world.shop)), 401, "signature_invalid");
    world.refuses(&pay(old.clone().claim("exp", now() - 100)), 401, "expired");
    world.refuses(&pay(old.claim("aud", "https://else.example")), 401, "audience_wrong");
    assert!(
        world.gate.audit().iter().filter(|line| line["decision"] == "deny").all(|line| line["exception"].is_null())
    );
    assert_eq!((used("outage"), used("job")), (1.0, 1.0));
}

#[test]
fn it_ends_in_a_gate_that_runs_on_and_whoever_starts_anew_is_told() {
    let until = moment(4);
    let world = World::with_policy(&policy(&for_ada(&until)));
    let weak = Request::get("/pay/1").bearer(&Token::access().weak().sign(&world.bank));
    assert_eq!(passes(&world, &weak)["exception"], "outage");
    eventually("it ends", Duration::from_secs(10), || world.gate.send(&weak).status == 401);
    world.refuses(&weak, 401, "level_too_low");
    let in_force = world.gate.reloads()["in_force"].clone();
    assert_eq!(in_force["exceptions"], json!([]), "{in_force}");
    // A policy whose exception has ended is taken, and one that would last too long is not.
    let file = world.gate.file("policies/0.yaml");
    fs::write(&file, policy(&for_ada(&until)) + "# another\n").unwrap();
    eventually("it is taken", Duration::from_secs(5), || {
        world.gate.reloads()["in_force"]["policy"] != in_force["policy"]
    });
    let lint = world.gate.logged("hardly means what it says", |line| line.to_string().contains("`outage` ended at"));
    assert_eq!(lint["level"], "WARN", "{lint}");
    fs::write(&file, policy(&for_ada(&moment(8 * 86_400)))).unwrap();
    eventually("it is refused", Duration::from_secs(5), || !world.gate.reloads()["refused"].is_null());
    let refused = world.gate.reloads()["refused"]["diagnostics"].clone();
    assert!(refused.as_str().unwrap().contains("more than 7 days ahead"), "{refused}");
    world.refuses(&weak, 401, "level_too_low");
}

#[test]
fn what_is_kept_of_such_a_sign_in_proves_what_it_proved_and_no_more() {
    let routes = r#"
  - name: callback
    match: { path: /signin }
    take: [ { header: x-id-token, kind: id } ]
    require: { level: multi-factor }
    keep: { cookie: __Host-stepgate, for: 8h }
  - { name: app, match: { path: "/app/**" }, take: [ { kept: __Host-stepgate } ], require: { level: multi-factor } }
  - { name: read, match: { path: "/read/**" }, take: [ { kept: __Host-stepgate } ], require: { level: multi-factor } }
exceptions:
"#;
    let named = "{ issuer: bank, subjects: [ada] }";
    let exceptions = exception("outage", named, "[callback, read]", "{ level: single-factor }", &moment(3_600));
    let world = World::before(application(), |setup| {
        let setup = setup.policy(&(World::issuers_and(routes).trim_end().to_owned() + "\n" + &exceptions));
        setup.settings("seal: { keys: [ { file: seal.key } ] }").file("seal.key", &format!("{KEY}\n"))
    });
    let sign_in =
        |token: Token| Request::post("/signin", "x").host("app.example").header("X-Id-Token", &token.sign(&world.bank));
    world.refuses(&sign_in(Token::id().weak().claim("sub", "bob")), 401, "level_too_low");
    let response = world.passes(&sign_in(Token::id().weak()));
    let cookie = kept(&response, NAME).unwrap_or_else(|| panic!("nothing was kept\n{}", response.head));
    world.refuses(&with(Request::get("/app/1"), &cookie), 401, "level_too_low");
    let line = passes(&world, &with(Request::get("/read/1"), &cookie));
    assert_eq!((&line["exception"], &line["kept"]), (&json!("outage"), &json!(true)), "{line}");
    assert_eq!(world.upstream.last().header("x-stepgate-level"), Some("single-factor"));
}
