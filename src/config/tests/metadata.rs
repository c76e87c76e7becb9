//! What a policy tells strangers by its protected-resource metadata (RFC 9728), told by the compiled policy.

use serde_json::{Value, json};

use crate::config::tests::taken;
use crate::policy::{CanonicalPath, Policy, ResourceMetadata, Target};

const ISSUERS: &str = r#"
version: 1
issuers:
  a: { issuer: "https://a.example", access: { audiences: [api] }, proves: { single-factor: { factors: 1 } } }
  b: { issuer: "https://b.example", access: { audiences: [api] }, id: { audiences: [app] } }
  c: { issuer: "https://c.example", id: { audiences: [app] } }
"#;

fn policy(rest: &str) -> Policy {
    taken(&format!("{ISSUERS}{rest}")).policy
}

/// The document for these routes, in YAML, and what stands before them.
fn told(rest: &str) -> Option<Value> {
    let metadata = ResourceMetadata::of(&policy(rest), "https://api.example");
    metadata.map(|metadata| serde_json::from_str(&metadata.document).unwrap())
}

fn servers(rest: &str) -> Option<Vec<String>> {
    let document = told(rest)?;
    let servers = document["authorization_servers"].as_array().unwrap().iter();
    Some(servers.map(|iss| iss.as_str().unwrap().to_owned()).collect())
}

fn some(names: &str) -> Option<Vec<String>> {
    Some(names.chars().map(|name| format!("https://{name}.example")).collect())
}

#[test]
fn the_servers_are_the_issuers_whose_access_tokens_some_route_admits() {
    let one = |require: &str| servers(&format!("routes: [ {{ name: r, match: {{ path: /r }}, require: {require} }} ]"));
    assert_eq!(one("authenticated"), some("ab"), "of `c` no access token is taken");
    assert_eq!(one("{ scopes: { all: [x] } }"), some("ab"));
    assert_eq!(one("{ issuers: [b] }"), some("b"));
    assert_eq!(one("{ issuers: [c] }"), None);
    assert_eq!(one("public"), None);
    assert_eq!(
        one("{ any: [ { issuers: [b], scopes: { all: [x] } }, { issuers: [a] } ] }"),
        some("ab"),
        "in the policy's order"
    );
    assert_eq!(one("{ any: [ { issuers: [b] }, { issuers: [c] } ] }"), some("b"));
    assert_eq!(one("{ issuers: [a, b], all: [ { issuers: [b, c] } ] }"), some("b"));
    let taking = |take: &str| {
        servers(&format!("routes: [ {{ name: r, match: {{ path: /r }}, take: [ {take} ], require: authenticated }} ]"))
    };
    assert_eq!(taking("{ header: x-id-token, kind: id }"), None);
    assert_eq!(taking("{ header: x-token, kind: any }"), some("ab"));
    let floor = |floor: &str| {
        servers(&format!(
            "floors: [ {{ name: f, match: {{ {floor} }}, require: {{ issuers: [a] }} }} ]\nroutes: [ {{ name: r, match: {{ path: \"/r/**\" }}, require: authenticated }} ]"
        ))
    };
    assert_eq!(floor("path: \"/**\""), some("a"), "every request stands on it");
    for partly in ["path: /r/x", "path: \"/**\", methods: [GET]", "path: \"/**\", hosts: [x.example]"] {
        assert_eq!(floor(partly), some("ab"), "{partly}: some requests do not");
    }
}

#[test]
fn scopes_are_named_once_and_in_order_and_what_is_empty_is_left_out() {
    let routes = r#"
floors:
  - { name: f, match: { path: "/r/**" }, require: { scopes: { all: [floor] } } }
  - { name: elsewhere, match: { path: "/other/**" }, require: { scopes: { all: [unused] } } }
routes:
  - { name: r, match: { path: "/r/**" }, require: { scopes: { all: [write, read] } } }
  - { name: s, match: { path: /s }, require: { any: [ { scopes: { any: [read, "\u00e9"] } }, { scopes: { all: [admin] } } ] } }
  - { name: id, match: { path: /id }, take: [ { header: x-id-token, kind: id } ], require: { scopes: { all: [of-no-use] } } }
"#;
    let document = told(routes).unwrap();
    assert_eq!(document["scopes_supported"], json!(["admin", "floor", "read", "write"]));
    assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    let odd = told(
        "routes: [ { name: r, match: { path: /r }, take: [ { header: x-token, kind: any } ], require: authenticated } ]",
    );
    let expected = json!({ "resource": "https://api.example", "authorization_servers": ["https://a.example", "https://b.example"] });
    assert_eq!(odd, Some(expected), "no scope is named, and none of the ways of RFC 6750 is taken");
}

#[test]
fn the_well_known_part_stands_before_the_path_of_the_url() {
    let policy = policy("routes: [ { name: r, match: { path: \"/**\" }, require: authenticated } ]");
    let at = |url: &str| ResourceMetadata::of(&policy, url);
    for (url, expected) in [
        ("https://api.example", "https://api.example/.well-known/oauth-protected-resource"),
        ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource"),
        ("http://[::1]:8080", "http://[::1]:8080/.well-known/oauth-protected-resource"),
        ("https://api.example/pay/v1", "https://api.example/.well-known/oauth-protected-resource/pay/v1"),
        ("https://api.example/pay/", "https://api.example/.well-known/oauth-protected-resource/pay/"),
    ] {
        let metadata = at(url).unwrap();
        assert_eq!(*metadata.url, *expected);
        let asked = |method, path: &str| {
            let path = CanonicalPath::parse(path).unwrap();
            metadata.answers(&policy, &Target { method, host: "api.example", path: &path })
        };
        let path = expected.find("/.well-known").map(|at| expected.split_at(at).1).unwrap();
        assert!(asked("GET", path) && asked("HEAD", path) && !asked("POST", path) && !asked("OPTIONS", path), "{url}");
        assert!(!asked("GET", "/.well-known/oauth-protected-resourc") && !asked("GET", "/"), "{url}");
        assert!(!asked("GET", &format!("{}/more", path.trim_end_matches('/'))), "{url}");
    }
    for no_place in ["api.example", "https://api.example/?a", "https://api.example?a", "https://api.example/#a"] {
        assert_eq!(at(no_place), None, "{no_place}");
    }
}

#[test]
fn a_route_for_that_very_path_answers_in_our_place_for_its_own_methods_and_hosts() {
    let path = CanonicalPath::parse("/.well-known/oauth-protected-resource").unwrap();
    let answers = |matches: &str, host| {
        let policy = policy(&format!(
            "routes: [ {{ name: r, match: {{ {matches} }}, require: authenticated }}, {{ name: s, match: {{ path: /s }}, require: authenticated }} ]"
        ));
        let metadata = ResourceMetadata::of(&policy, "https://api.example").unwrap();
        metadata.answers(&policy, &Target { method: "GET", host, path: &path })
    };
    assert!(!answers("path: /.well-known/oauth-protected-resource", "api.example"));
    assert!(answers("path: /.well-known/oauth-protected-resource, methods: [POST]", "api.example"));
    assert!(!answers("path: /.well-known/oauth-protected-resource, hosts: [own.example]", "own.example"));
    assert!(answers("path: /.well-known/oauth-protected-resource, hosts: [own.example]", "api.example"));
    assert!(answers("path: \"/**\"", "api.example") && answers("path: \"/.well-known/{x}\"", "api.example"));
    assert!(answers("path: \"/.well-known/oauth-protected-resource/**\"", "api.example"));
}
