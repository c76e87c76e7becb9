//! Every line of the audit log is what its published schema says: the members, all of them, and their types.

use serde_json::Value;
use stepgate::config::schema::Schema;

use crate::support::{POLICY, Request, Token, Upstream, World, free_port};

fn schema() -> Value {
    serde_json::from_str(Schema::named("audit").unwrap().text).unwrap()
}

fn resolved<'s>(schema: &'s Value, part: &'s Value) -> &'s Value {
    part["$ref"].as_str().map_or(part, |path| schema.pointer(path.trim_start_matches('#')).unwrap())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a value fits as much of a schema as that of the audit log needs.
fn fits(schema: &Value, part: &Value, value: &Value) -> bool {
    let part = resolved(schema, part);
    let among = |words: &Value| words.as_array().is_none_or(|words| words.contains(value));
    let typed = match &part["type"] {
        Value::Array(types) => types.iter().any(|one| one == type_of(value)),
        Value::String(one) => *one == type_of(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    };
    let one_of = |parts: &Vec<Value>| parts.iter().any(|part| fits(schema, part, value));
    let items = || value.as_array().is_none_or(|items| items.iter().all(|item| fits(schema, &part["items"], item)));
    let members = || match (part["properties"].as_object(), value.as_object()) {
        (Some(known), Some(members)) => {
            let required: Vec<&str> = part["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            members.len() == required.len()
                && required.iter().all(|name| members.contains_key(*name))
                && members.iter().all(|(name, value)| fits(schema, &known[name], value))
        }
        _ => true,
    };
    among(&part["enum"])
        && part.get("const").is_none_or(|only| only == value)
        && typed
        && part["anyOf"].as_array().is_none_or(one_of)
        && (part.get("items").is_none() || items())
        && members()
}

#[test]
fn decisions_and_failures_of_upstreams_are_written_as_the_schema_says() {
    let nobody = format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", free_port());
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).upstreams(&nobody));
    let weak = Token::access().claim("acr", "1").claim("amr", ["pwd"]).sign(&world.bank);
    for request in [
        Request::get("/healthz"),
        Request::get("/nowhere"),
        Request::get("/any/a%2Fb"),
        Request::get("/any/1"),
        Request::get("/any/1").bearer("no-token"),
        Request::get("/accounts/1?x=y").bearer(&weak),
        Request::post("/payments/7", "").bearer(&weak),
    ] {
        world.gate.decision(&request);
    }
    let schema = schema();
    world.gate.audited("the upstream's failure is in the audit log", |line| line["upstream"] == "app");
    let lines = world.gate.audit();
    for line in &lines {
        assert!(fits(&schema, &schema, line), "{line}");
    }
    let kind = |name: &str| lines.iter().filter(|line| fits(&schema, &schema["$defs"][name], line)).count();
    assert_eq!(kind("decision"), 7);
    assert!(kind("upstream_failure") > 0);
}

#[test]
fn a_line_with_a_member_too_many_too_few_or_of_another_type_would_be_noticed() {
    let schema = schema();
    let line = serde_json::json!({
        "v": 1, "ts": "2026-01-01T12:00:00.123456Z", "id": "r", "via": "proxy", "route": "a", "mode": "enforce",
        "decision": "allow", "reason": "upstream_timeout", "status": 504, "upstream": "app",
    });
    assert!(fits(&schema, &schema, &line));
    for (name, value) in [("more", "x".into()), ("status", "504".into()), ("reason", "tired".into()), ("v", 2.into())] {
        let mut changed = line.clone();
        changed[name] = value;
        assert!(!fits(&schema, &schema, &changed), "{changed}");
    }
    let mut fewer = line;
    fewer.as_object_mut().unwrap().remove("upstream");
    assert!(!fits(&schema, &schema, &fewer));
}
