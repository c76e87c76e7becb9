//! What a route may allow of paths: any case, empty segments, escaped slashes. Nothing that another server would read in them
//! escapes what is asked for it.

use serde_json::json;

use crate::support::{Request, Token, World};

const ROUTES: &str = r#"
  - { name: files, match: { path: "/files/**", encoded_slash: true, empty_segments: true }, require: public }
  - { name: private, match: { path: "/files/private/**" }, require: { level: multi-factor } }
  - { name: project, match: { path: "/projects/{id}", encoded_slash: true }, require: { bind: { id: consent_id } } }
  - { name: other, match: { path: "/other/**" }, require: public }
  - { name: legacy, match: { path: "/legacy/**", ignore_case: true }, require: public }
  - { name: account, match: { path: "/Legacy/Accounts/{id}", ignore_case: true }, require: { bind: { id: consent_id } } }
  - { name: exact, match: { path: "/exact/**" }, require: authenticated }
floors:
  - { name: vault, match: { path: "/exact/vault/**", ignore_case: true }, require: { level: multi-factor } }
"#;

fn world() -> World {
    World::with_routes(ROUTES)
}

#[test]
fn what_a_route_allows_is_forwarded_as_it_was_sent_and_audited_so() {
    let world = world();
    for (target, sent) in [
        ("/files/a%2fb", "/files/a%2Fb"),
        ("/files//a///b//", "/files//a///b//"),
        ("/files/%2F/x", ""),
        ("/files/a%2F%2Fb//c?x=%2f", "/files/a%2F%2Fb//c?x=%2f"),
        ("/LEGACY/Reports/X", "/LEGACY/Reports/X"),
    ] {
        if sent.is_empty() {
            world.passes(&Request::get(target));
            continue;
        }
        let (response, decision) = world.gate.decision(&Request::get(target));
        assert_eq!(response.status, 200, "{target}: {response:?}");
        assert_eq!(world.upstream.last().path(), sent);
        assert_eq!(decision["path"], sent.split('?').next().unwrap());
    }
}

#[test]
fn t2_t10_what_the_route_does_not_allow_or_another_server_would_take_for_more_is_refused() {
    let world = world();
    let strong = Token::access().claim("consent_id", "a").sign(&world.bank);
    for target in [
        "/other/a%2Fb",
        "/other//a",
        "/files/private/a%2Fb",
        "/files/private//a",
        "/files/private%2Fa",
        "/files//private/a",
        "/files/x%2F..%2Fprivate",
        "/files/..%2Fexact",
        "/files/..%2f..%2fexact/vault",
        "/projects/a%2Fb/c%2Fd",
        "/projects//a",
        "/projects/a//",
        "//files/a",
        "/none//a",
        "/none/a%2Fb",
    ] {
        world.refuses(&Request::get(target).bearer(&strong), 400, "path_ambiguous");
    }
}

#[test]
fn a_value_in_the_path_keeps_its_slash_and_its_case() {
    let world = world();
    let of = |target: &str, id: &str| {
        Request::get(target).bearer(&Token::access().claim("consent_id", json!(id)).sign(&world.bank))
    };
    world.passes(&of("/projects/group%2fproject", "group/project"));
    assert_eq!(world.upstream.last().path(), "/projects/group%2Fproject");
    world.refuses(&of("/projects/group%2Fproject", "group"), 403, "claim_mismatch");
    world.refuses(&of("/projects/group%2Fproject", "group%2Fproject"), 403, "claim_mismatch");
    world.passes(&of("/LEGACY/accounts/Seven", "Seven"));
    world.refuses(&of("/legacy/ACCOUNTS/Seven", "seven"), 403, "claim_mismatch");
    world.refuses(&Request::get("/LEGACY/ACCOUNTS/Seven"), 401, "token_missing");
    world.refuses(&Request::get("/legacy/accounts/Seven/"), 401, "token_missing");
    // The sign for kelvin, and a long s: letters that a server which ignores case may take for `k` and `s`.
    world.refuses(&Request::get("/legacy/account%C5%BF/Seven"), 400, "path_ambiguous");
}

#[test]
fn a_floor_that_ignores_case_holds_in_any_case_on_a_route_that_does_not() {
    let world = world();
    let weak = Token::access().weak().sign(&world.bank);
    world.passes(&Request::get("/exact/Vaults/1").bearer(&weak));
    for target in ["/exact/vault/1", "/exact/VAULT/1", "/exact/Vault"] {
        world.refuses(&Request::get(target).bearer(&weak), 401, "level_too_low");
    }
    world.refuses(&Request::get("/EXACT/vault/1").bearer(&weak), 403, "route_none");
}
