//! Paths, hosts and methods that two readers could read in two ways: they have one reading here or are refused, and what
//! was judged is what is forwarded.

use crate::support::{Request, Token, Wire, World};

/// Everything under `/admin` is guarded, everything under `/public` open, and the inner host stricter than the others.
const ROUTES: &str = r#"
  - { name: public, match: { path: "/public/**" }, require: public }
  - { name: health, match: { path: /healthz }, require: public }
  - { name: admin, match: { path: "/admin/**" }, require: { level: multi-factor } }
  - { name: version, match: { path: /v1.0/status }, require: public }
  - { name: inner, match: { hosts: [inner.example], path: "/public/**" }, require: { level: multi-factor } }
  - { name: edit, match: { path: "/tree/{id}/edit", methods: [POST] }, require: public }
  - { name: wiki, match: { hosts: ["*.wiki.example"], path: "/**" }, require: public }
"#;

fn world() -> World {
    World::with_routes(ROUTES)
}

/// Sends a request without a token for this raw target; nothing that is guarded may reach the upstream.
fn assert_guarded(world: &World, target: &str) {
    let before = world.upstream.begun();
    let response = world.gate.send(&Request::get(target));
    if world.upstream.begun() > before {
        let path = world.upstream.last().path().to_owned();
        assert!(path.starts_with("/public/") && !path.contains(".."), "{target} was forwarded as {path}");
    } else {
        assert!(matches!(response.status, 400 | 401 | 403), "{target}: {}", response.status);
    }
}

fn assert_ambiguous(world: &World, target: &str) {
    let token = Token::access().sign(&world.bank);
    let before = world.upstream.begun();
    let response = world.gate.send(&Request::get(target).bearer(&token));
    assert_eq!(response.status, 400, "{target}: {}", response.head);
    assert_eq!(world.upstream.begun(), before, "{target} was forwarded");
}

#[test]
fn t1_dot_segments_are_resolved_before_anything_is_judged_and_so_forwarded() {
    let world = world();
    let token = Token::access().sign(&world.bank);
    for target in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "/public/./../admin/x",
        "/admin/y/../x",
        "/admin/./x",
        "/%61dmin/x",
    ] {
        world.refuses(&Request::get(target), 401, "token_missing");
        world.passes(&Request::get(target).bearer(&token));
        assert_eq!(world.upstream.last().path(), "/admin/x", "{target}");
    }
    world.passes(&Request::get("/admin/../public/x"));
    assert_eq!(world.upstream.last().path(), "/public/x");
    for target in ["/../admin/x", "/public/../../admin/x", "/public/..%2fadmin/x", "/public/%2e%2e%2fadmin/x"] {
        assert_ambiguous(&world, target);
    }
}

#[test]
fn t2_escaped_slashes_backslashes_and_empty_segments_are_refused() {
    let world = world();
    for target in [
        "/public/%2F..%2Fadmin",
        "/public/a%2fb",
        "/public/a%5Cb",
        "/public/..%5cadmin",
        "/public/a\\b",
        "/public\\..\\admin",
        "//admin/x",
        "/public//admin",
        "/admin//x",
        "/public/%00",
        "/public/a%0db",
    ] {
        assert_ambiguous(&world, target);
    }
}

#[test]
fn t3_an_escaped_escape_is_refused() {
    let world = world();
    for target in ["/public/%252e%252e/admin", "/public/%25%32%65", "/public/%252F", "/public/%25%32%46x"] {
        assert_ambiguous(&world, target);
    }
    world.passes(&Request::get("/public/100%25"));
    assert_eq!(world.upstream.last().path(), "/public/100%25");
}

#[test]
fn t4_a_fragment_is_refused() {
    let world = world();
    for target in ["/public/x#/../../admin/x", "/admin/x#", "/public/#", "/public/x?y#z"] {
        let before = world.upstream.begun();
        let response = world.gate.send(&Request::get(target));
        assert_eq!(response.status, 400, "{target}: {}", response.head);
        assert_eq!(world.upstream.begun(), before);
    }
}

#[test]
fn t5_dots_with_parameters_are_refused_and_other_parameters_pass_as_they_are() {
    let world = world();
    for target in
        ["/public/..;/admin/x", "/public/..;a=b/admin", "/public/.;/x", "/public/..%3B/admin", "/public/%2e%2e;/x"]
    {
        assert_ambiguous(&world, target);
    }
    assert_guarded(&world, "/public;x/../admin/x");
    assert_guarded(&world, "/admin;x/y");
    world.passes(&Request::get("/public/a;v=1/b"));
    assert_eq!(world.upstream.last().path(), "/public/a;v=1/b");
}

#[test]
fn t6_a_host_is_the_same_in_any_case_with_a_port_or_a_final_dot() {
    let world = world();
    for host in ["inner.example", "INNER.Example", "inner.example.", "inner.example:8443", "Inner.Example.:80"] {
        let (refused, decision) = world.gate.decision(&Request::get("/public/x").host(host));
        assert_eq!((refused.status, &decision["route"]), (401, &"inner".into()), "{host}");
    }
    // The target may name the host too (RFC 9112 section 3.2.2), and then it is the one that counts.
    let absolute = Request::get("http://inner.example/public/x").host("other.example");
    assert!(matches!(world.gate.send(&absolute).status, 400 | 401));
    for host in ["", "inner.example, other.example", "inner.example/x", "a b", "user@inner.example", "[::1"] {
        let response = world.gate.send(&Request::get("/public/x").host(host));
        assert!(matches!(response.status, 400 | 403), "{host:?}: {}", response.status);
    }
    assert_eq!(world.upstream.begun(), 0);

    let mut wire = Wire::open(world.gate.port);
    wire.send(b"GET /public/x HTTP/1.1\r\nHost: other.example\r\nHost: inner.example\r\n\r\n");
    assert_eq!(wire.response_to("GET").status, 400, "two hosts");
    let mut wire = Wire::open(world.gate.port);
    wire.send(b"GET /public/x HTTP/1.1\r\n\r\n");
    assert_eq!(wire.response_to("GET").status, 400, "no host");
    assert_eq!(world.upstream.begun(), 0);
    world.passes(&Request::get("/public/x").host("other.example"));
}

#[test]
fn t7_the_query_opens_and_closes_nothing() {
    let world = world();
    for target in ["/admin/x?/public/", "/admin/x?/../public/x", "/admin?path=/healthz", "/admin/x?access_token=y"] {
        world.refuses(&Request::get(target), 401, "token_missing");
    }
    let token = Token::access().sign(&world.bank);
    world.refuses(&Request::get(&format!("/admin/x?access_token={token}")), 401, "token_missing");
    for target in ["/public/x?a=/../admin", "/public/x?%2F%zz//..", "/healthz?", "/public/x??y=?"] {
        world.passes(&Request::get(target));
        assert_eq!(world.upstream.last().path(), target, "the query goes on as it came");
    }
}

#[test]
fn t8_a_dot_in_a_pattern_is_a_dot_and_a_star_in_a_host_is_whole_labels() {
    let world = world();
    world.passes(&Request::get("/v1.0/status"));
    for target in ["/v1x0/status", "/v1.0/statusx", "/v1.0/status/x", "/x/v1.0/status", "/V1.0/status"] {
        world.refuses(&Request::get(target), 403, "route_none");
    }
    world.passes(&Request::get("/x").host("a.wiki.example"));
    for host in ["wiki.example", "evilwiki.example", "a.wiki.example.evil.example", "a.wikixexample"] {
        world.refuses(&Request::get("/x").host(host), 403, "route_none");
    }
}

#[test]
fn t9_no_character_that_a_path_may_hold_leads_around_the_guard() {
    let world = world();
    for byte in 0x21..=0x7e_u8 {
        let legal = char::from(byte);
        if matches!(legal, '?' | '#' | '%' | '\\' | '/') {
            continue;
        }
        for target in [format!("/admin/{legal}"), format!("/admin/a{legal}b/x"), format!("/admin/{legal}/../x")] {
            let response = world.gate.send(&Request::get(&target));
            // `/admin/./../x` is `/x`, which no route matches.
            assert!(matches!((response.status, legal), (400 | 401, _) | (403, '.')), "{target}: {}", response.status);
        }
        for escaped in [format!("/admin/%{byte:02x}"), format!("/admin%{byte:02X}")] {
            assert_guarded(&world, &escaped);
        }
    }
    assert_eq!(world.upstream.begun(), 0);
}

#[test]
fn t10_where_no_route_matches_the_next_looser_one_does_not_either() {
    let world = world();
    world.passes(&Request::post("/tree/1/edit", "x"));
    for request in [
        Request::get("/tree/1/edit"),
        Request::get("/tree/1/view"),
        Request::post("/tree/1", "x"),
        Request::post("/tree/1/edit/x", "x"),
        Request::new("OPTIONS", "/tree/1/edit"),
        Request::get("/"),
    ] {
        world.refuses(&request, 403, "route_none");
    }
}

#[test]
fn t11_a_target_that_is_no_path_is_refused() {
    let world = world();
    let token = Token::access().sign(&world.bank);
    for line in [
        &b"GET /%zz HTTP/1.1"[..],
        b"GET /public/% HTTP/1.1",
        b"GET /public/%c3%28 HTTP/1.1",
        b"GET /public/\x01 HTTP/1.1",
        b"GET /public/a b HTTP/1.1",
        b"GET public HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"GET http:///public/x HTTP/1.1",
        b"GET http://user@other.example/public/x HTTP/1.1",
        b"CONNECT 127.0.0.1:80 HTTP/1.1",
        b"CONNECT /public/x HTTP/1.1",
        b"TRACE /public/x HTTP/1.1",
        b"GET  /public/x HTTP/1.1",
        b"GET /public/x HTTP/2.0",
        b"GET /public/x",
        b"GET",
        b"G(T /public/x HTTP/1.1",
    ] {
        let mut wire = Wire::open(world.gate.port);
        wire.send(line);
        wire.send(format!("\r\nHost: other.example\r\nAuthorization: Bearer {token}\r\n\r\n").as_bytes());
        let status = wire.try_response_to("GET").map(|response| response.status);
        let line = String::from_utf8_lossy(line);
        assert!(status.is_none_or(|status| (400..=505).contains(&status)), "{line}: {status:?}");
        assert_eq!(world.upstream.begun(), 0, "{line}");
    }
    world.passes(&Request::get("/public/x"));
}
