//! Headers by which a client would speak for the gate, hide the gate's own words, or be somebody else.

use crate::support::{POLICY, Request, Token, Upstream, Wire, World, free_port};

#[test]
fn t12_no_header_changes_what_was_asked_for() {
    let world = World::start();
    for name in [
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Original-Url",
        "X-Original-Uri",
        "X-Rewrite-Url",
        "X-Envoy-Original-Path",
    ] {
        world.refuses(&Request::get("/strong/1").header(name, "/healthz"), 401, "token_missing");
        world.passes(&Request::get("/healthz").header(name, "/strong/1"));
        assert_eq!(world.upstream.last().header(&name.to_ascii_lowercase()), None, "{name} went on");
    }
    for name in ["X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Forwarded-Method"] {
        world.refuses(&Request::post("/accounts/1", "x").header(name, "GET"), 403, "route_none");
        world.passes(&Request::get("/healthz").header(name, "DELETE"));
        assert_eq!(world.upstream.last().header(&name.to_ascii_lowercase()), None, "{name} went on");
    }
    let before = world.upstream.begun();
    let forwarded = Request::get("/strong/1").header("X-Forwarded-Host", "x").header("Forwarded", "host=x;for=1.2.3.4");
    world.refuses(&forwarded.header("X-Forwarded-Prefix", "/healthz"), 401, "token_missing");
    assert_eq!(world.upstream.begun(), before);
}

#[test]
fn t12_what_is_forwarded_of_the_connection_is_the_gates_own_word() {
    let world = World::start();
    let request = Request::get("/healthz")
        .host("api.example:8443")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Port", "1")
        .header("X-Forwarded-Prefix", "/evil")
        .header("X-Real-Ip", "6.6.6.6")
        .header("Forwarded", "for=6.6.6.6;host=evil.example");
    world.passes(&request);
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("api.example:8443"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("host"), Some("api.example:8443"));
    for name in seen.names() {
        assert_ne!(name, "x-forwarded-prefix");
        for evil in ["6.6.6.6", "evil"] {
            assert!(!seen.header(name).unwrap_or_default().contains(evil), "{name}");
        }
    }
}

#[test]
fn t12_nobody_can_be_told_to_believe_everybody() {
    let port = free_port();
    let (code, said) = crate::support::Gate::setup(&Upstream::start())
        .policy("version: 1\nroutes: [ { name: all, match: { path: \"/**\" }, require: public } ]\n")
        .settings(&format!("listeners: [ {{ address: \"127.0.0.1:{port}\", trusted_peers: [0.0.0.0/0] }} ]"))
        .fails();
    assert!(code.is_some_and(|code| code != 0), "{said}");
    assert!(said.contains("trusted_peers"), "{said}");
}

/// All the ways to write our headers that some application folds into one.
const SPELLINGS: &[&str] = &[
    "X-Stepgate-Subject",
    "x-stepgate-level",
    "X_Stepgate_Subject",
    "X-Stepgate_Level",
    "x_stepgate-acr",
    "X-STEPGATE-AMR",
    "X-Stepgate-Anything",
    "X-Stepgate-",
    "X.Stepgate.Subject",
    "x.stepgate_subject",
];

#[test]
fn t13_what_only_the_gate_may_say_is_taken_from_every_client() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    let spoofed =
        |path: &str| SPELLINGS.iter().fold(Request::get(path), |request, name| request.header(name, "spoofed"));
    world.passes(&spoofed("/healthz"));
    let seen = world.upstream.last();
    let ours = |name: &&str| name.replace(['_', '.'], "-").starts_with("x-stepgate");
    assert_eq!(
        seen.names().into_iter().filter(ours).collect::<Vec<_>>(),
        Vec::<&str>::new(),
        "a public route sets none"
    );

    world.passes(&spoofed("/any/1").bearer(&token));
    let seen = world.upstream.last();
    for name in seen.names().into_iter().filter(ours) {
        assert!(name.starts_with("x-stepgate-"), "{name}");
        assert_ne!(seen.header(name), Some("spoofed"), "{name}");
    }
    assert_eq!(seen.header("x-stepgate-subject"), Some("ada"));
}

#[test]
fn t13_trailers_say_no_more_than_headers() {
    let world = World::start();
    let mut wire = Wire::open(world.gate.port);
    wire.send(b"POST /public/x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Stepgate-Level\r\n\r\n");
    wire.send(b"5\r\nhello\r\n0\r\n");
    for name in SPELLINGS {
        wire.send(format!("{name}: spoofed\r\n").as_bytes());
    }
    wire.send(b"Authorization: Bearer x\r\nX-Checksum: 1\r\n\r\n");
    assert_eq!(wire.response_to("POST").status, 200);
    let seen = world.upstream.last();
    assert_eq!(seen.body, "hello");
    for (name, value) in &seen.trailers {
        assert_ne!(value, "spoofed", "{name}");
        assert_ne!(name, "authorization");
    }
}

#[test]
fn t14_connection_does_not_take_away_what_the_gate_says() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    for named in [
        "x-stepgate-level, X-Stepgate-Subject",
        "close, x-stepgate-level, x-stepgate-subject",
        "x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-request-id",
        "host",
        "content-length, transfer-encoding",
    ] {
        let mut wire = Wire::open(world.gate.port);
        let request = Request::post("/any/1", "body").bearer(&token).header("Connection", named);
        wire.send(&request.bytes(world.gate.port));
        let status = wire.response_to("POST").status;
        if status == 400 {
            continue;
        }
        assert_eq!(status, 200, "{named}");
        let seen = world.upstream.last();
        assert_eq!(seen.body, "body", "{named}");
        for (name, value) in
            [("x-stepgate-level", "multi-factor"), ("x-stepgate-subject", "ada"), ("x-forwarded-for", "127.0.0.1")]
        {
            assert_eq!(seen.header(name), Some(value), "Connection: {named}");
        }
        assert!(seen.header("host").is_some() && seen.header("x-request-id").is_some(), "{named}");
    }
    // What the client names there and is not the gate's own is meant for this hop alone (RFC 9110 section 7.6.1).
    let mut wire = Wire::open(world.gate.port);
    let hop =
        Request::get("/any/1").bearer(&token).header("Connection", "x-hop").header("X-Hop", "1").header("TE", "gzip");
    wire.send(&hop.header("Keep-Alive", "5").bytes(world.gate.port));
    assert_eq!(wire.response_to("GET").status, 200);
    let seen = world.upstream.last();
    for name in ["x-hop", "keep-alive", "te"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn t15_bytes_that_are_no_text_open_nothing() {
    let world = World::start();
    let token = Token::access().weak().sign(&world.bank);
    for name in ["X-Odd", "User-Agent", "X-Request-Id", "Traceparent", "Accept", "Cookie", "Origin"] {
        let odd = |path: &str| Request::get(path).raw_header(name, b"a\xff\xfe\x80");
        for (refused, meant) in [
            (world.gate.send(&odd("/strong/1")), "no token"),
            (world.gate.send(&odd("/strong/1").bearer(&token)), "weak token"),
        ] {
            assert!(matches!(refused.status, 400 | 401), "{name}, {meant}: {}", refused.status);
        }
    }
    for value in [&b"Bearer \xff\xfe"[..], b"Bearer\xa0x", b"\xffBearer x", b"Bearer", b"Bearer ", b"Basic eDp5"] {
        let refused = world.gate.send(&Request::get("/strong/1").raw_header("Authorization", value));
        assert!(matches!(refused.status, 400 | 401), "{value:?}: {}", refused.status);
    }
    // What cannot be read is not the origin that a cookie needs, nor as if it were not there.
    let id = format!("portal_id={}", Token::id().sign(&world.bank));
    let post = Request::post("/portal/1", "x").header("Cookie", &id).header("Sec-Fetch-Site", "same-origin");
    world.refuses(&post.raw_header("Origin", b"\xff"), 403, "origin_refused");
    assert_eq!(world.upstream.begun(), 0);
}

#[test]
fn t16_who_looks_like_a_health_check_is_asked_for_a_token_too() {
    let world = World::start();
    for agent in ["GoogleHC/1.0", "kube-probe/1.29", "ELB-HealthChecker/2.0", "Prometheus/2.0", "stepgate-healthcheck"]
    {
        let request = Request::get("/any/1").header("User-Agent", agent).header("X-Health-Check", "1");
        world.refuses(&request, 401, "token_missing");
    }
    for (name, value) in [("X-Forwarded-For", "127.0.0.1"), ("X-Internal", "true"), ("X-Envoy-Internal", "true")] {
        world.refuses(&Request::get("/any/1").header(name, value), 401, "token_missing");
    }
}

#[test]
fn t24_two_tokens_in_one_place_are_refused_even_when_both_are_good() {
    let world = World::start();
    let (one, other) = (Token::access().sign(&world.bank), Token::access().weak().sign(&world.bank));
    let any = || Request::get("/any/1");
    world.refuses(&any().bearer(&one).bearer(&one), 400, "token_duplicate");
    world.refuses(&any().bearer(&one).bearer(&other), 400, "token_duplicate");
    world.refuses(&any().bearer(&one).header("Authorization", "Basic eDp5"), 400, "token_duplicate");
    world.refuses(&any().header("Authorization", "").bearer(&one), 400, "token_duplicate");
    let listed = world.gate.send(&any().bearer(&format!("{one}, Bearer {other}")));
    assert!(matches!(listed.status, 400 | 401));
    let spaced = world.gate.send(&any().bearer(&format!("{one} {other}")));
    assert!(matches!(spaced.status, 400 | 401));

    let id = Token::id().sign(&world.bank);
    let portal = || Request::get("/portal/1");
    world.refuses(&portal().header("X-Id-Token", &id).header("X-Id-Token", &id), 400, "token_duplicate");
    world.refuses(&portal().header("Cookie", &format!("portal_id={id}; portal_id={id}")), 400, "token_duplicate");
    let two_fields = portal().header("Cookie", &format!("portal_id={id}")).header("Cookie", &format!("portal_id={id}"));
    world.refuses(&two_fields, 400, "token_duplicate");
    assert_eq!(world.upstream.begun(), 0);
}

#[test]
fn t24_a_second_token_that_is_bad_is_not_outvoted_by_a_good_one() {
    let world = World::start();
    let access = Token::access().sign(&world.bank);
    let orders = |id: &str| Request::get("/orders").bearer(&access).header("X-Id-Token", id);
    world.passes(&Request::get("/orders").bearer(&access));
    let before = world.upstream.begun();
    for bad in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        Token::id().sign(&world.shop),
        Token::id().claim("exp", 1).sign(&world.bank),
        Token::id().claim("aud", "elsewhere").sign(&world.bank),
        Token::access().sign(&world.bank),
    ] {
        let refused = world.gate.send(&orders(&bad));
        assert_eq!(refused.status, 401, "{}", refused.body);
    }
    assert_eq!(world.upstream.begun(), before);
}

#[test]
fn t32_a_body_is_passed_on_as_it_comes_and_never_searched_for_a_token() {
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY));
    let token = Token::access().sign(&world.bank);
    let form = format!("access_token={token}");
    let request = Request::post("/any/1", &form).header("Content-Type", "application/x-www-form-urlencoded");
    world.refuses(&request, 401, "token_missing");

    // The upstream hears of the request while its body, of no known end, is still coming.
    let mut wire = Wire::open(world.gate.port);
    wire.send(format!("POST /any/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n").as_bytes());
    wire.send(b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    crate::support::eventually("the upstream hears of it", std::time::Duration::from_secs(5), || {
        world.upstream.begun() == 1
    });
    assert_eq!(world.upstream.count(), 0);
    for _ in 0..64 {
        wire.send(b"10000\r\n");
        wire.send(&[b'x'; 0x1_0000]);
        wire.send(b"\r\n");
    }
    wire.send(b"0\r\n\r\n");
    assert_eq!(wire.response_to("POST").status, 200);
    assert_eq!(world.upstream.last().body.len(), 5 + 64 * 0x1_0000);

    // A refusal does not wait for the body either.
    let mut wire = Wire::open(world.gate.port);
    wire.send(b"POST /any/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nsome");
    assert_eq!(wire.response_to("POST").status, 401);
}
