//! Protected-resource metadata (RFC 9728): the gate answers for it itself, out of the policy, and every 401 says where.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{POLICY, Request, Response, Token, Upstream, World, eventually};

const PATH: &str = "/.well-known/oauth-protected-resource";
const PUBLIC_URL: &str = "public_url: https://api.example";

fn world(policy: &str) -> World {
    World::before(Upstream::start(), |setup| setup.settings(PUBLIC_URL).policy(policy))
}

fn document(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn the_gate_itself_tells_strangers_where_tokens_come_from_and_records_that_it_did() {
    let world = world(POLICY);
    let (answer, decision) = world.gate.decision(&Request::get(PATH));
    let expected = json!({
        "resource": "https://api.example",
        "authorization_servers": ["https://bank.example", "https://shop.example", "https://club.example"],
        "scopes_supported": ["payments"],
        "bearer_methods_supported": ["header"],
    });
    assert_eq!(document(&answer), expected);
    let field = |name| answer.header(name);
    assert_eq!(field("content-type"), Some("application/json"));
    assert_eq!(field("cache-control"), Some("public, max-age=300"));
    assert_eq!(field("access-control-allow-origin"), Some("*"));
    assert_eq!(field("x-request-id"), decision["id"].as_str());
    let said = |name: &str| decision[name].clone();
    assert_eq!([said("route"), said("decision"), said("reason")], [json!("(metadata)"), json!("allow"), Value::Null]);
    assert_eq!([said("status"), said("path"), said("required")], [json!(200), json!(PATH), json!([])]);

    let head = world.gate.send(&Request::new("HEAD", PATH));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length").unwrap().parse(), Ok(answer.body.len()));
    // A body that nobody asked for, a token, a query and another host change nothing of it.
    let odd = Request::new("GET", &format!("{PATH}/?x=1")).host("other.example").bearer("nonsense");
    assert_eq!(document(&world.gate.send(&odd)), expected);
    assert_eq!(world.upstream.begun(), 0, "the upstream hears nothing of it");
    let counted = r#"stepgate_requests_total{route="(metadata)",decision="allow",reason="-"}"#;
    eventually("they are counted", Duration::from_secs(2), || world.gate.metrics().contains(&format!("{counted} 3")));
}

#[test]
fn every_401_says_where_the_metadata_is_and_nothing_else_does() {
    let world = world(POLICY);
    let url = Some("https://api.example/.well-known/oauth-protected-resource");
    let weak = Request::get("/strong/1").bearer(&Token::access().weak().sign(&world.bank));
    let bad = Request::get("/any/1").bearer("a.b.c");
    for (request, reason) in
        [(Request::get("/any/1"), "token_missing"), (bad, "token_malformed"), (weak, "level_too_low")]
    {
        let refused = world.refuses(&request, 401, reason);
        assert_eq!(refused.challenge().get("resource_metadata"), url, "{reason}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{reason}");
    }
    let poor = Request::get("/scoped").bearer(&Token::access().claim("scope", "x").sign(&world.bank));
    let refused = world.refuses(&poor, 403, "scope_missing");
    assert_eq!(refused.challenge().get("resource_metadata"), None);
}

#[test]
fn neither_a_floor_nor_a_wide_route_hides_it_and_a_route_for_that_very_path_does() {
    let routes = |literal: &str| {
        let (before, rest) = POLICY.split_once("routes:\n").unwrap();
        let floor =
            "floors:\n  - { name: all, match: { path: \"/.well-known/**\" }, require: { level: multi-factor } }\n";
        let wide = "  - { name: wide, match: { path: \"/**\" }, require: { level: single-factor } }\n  \
                    - { name: parameter, match: { path: \"/.well-known/{name}\" }, require: { level: single-factor } }\n";
        format!("{before}{floor}routes:\n{rest}{wide}{literal}")
    };
    let hidden = world(&routes(""));
    assert_eq!(document(&hidden.gate.send(&Request::get(PATH)))["resource"], "https://api.example");
    // For other methods and for what is below there are only the routes.
    for request in [Request::post(PATH, "x"), Request::new("OPTIONS", PATH), Request::get(&format!("{PATH}/below"))] {
        hidden.refuses(&request, 401, "token_missing");
    }
    let literal = "  - { name: own, match: { path: /.well-known/oauth-protected-resource }, require: authenticated }\n";
    let own = world(&routes(literal));
    let refused = own.refuses(&Request::get(PATH), 401, "token_missing");
    assert!(refused.challenge().get("resource_metadata").is_some(), "whoever serves it, that is where it is");
    own.passes(&Request::get(PATH).bearer(&Token::access().sign(&own.bank)));
}

#[test]
fn without_a_public_url_or_access_tokens_there_is_none_and_nothing_names_it() {
    let with_routes = World::with_routes("  - { name: any, match: { path: \"/any/**\" }, require: authenticated }");
    let only_id = world(&World::issuers_and(
        "  - { name: any, match: { path: \"/any/**\" }, take: [ { header: x-id-token, kind: id } ], require: authenticated }",
    ));
    for world in [with_routes, only_id] {
        world.refuses(&Request::get(PATH), 403, "route_none");
        let refused = world.refuses(&Request::get("/any/1"), 401, "token_missing");
        assert_eq!(refused.challenge().get("resource_metadata"), None);
    }
}

#[test]
fn another_policy_has_another_document_at_once() {
    let world = world(POLICY);
    world.gate.reload(&World::issuers_and(
        "  - { name: any, match: { path: /any }, require: { issuers: [shop], scopes: { any: [b, a] } } }",
    ));
    let now = document(&world.gate.send(&Request::get(PATH)));
    assert_eq!(now["authorization_servers"], json!(["https://shop.example"]));
    assert_eq!(now["scopes_supported"], json!(["a", "b"]));
}
