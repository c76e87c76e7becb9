//! What a person at a browser gets in place of a problem document: a page, a way to sign in, and an end of being sent there.

use serde_json::{Value, json};

use crate::support::{POLICY, Request, Response, Token, Upstream, World, at_hash, now};

const ROUTES: &str = r#"
  - { name: health, match: { path: /healthz }, require: public }
  - name: app
    match: { path: "/app/**" }
    take: [ authorization, { cookie: session, kind: any } ]
    require: { level: multi-factor, max_age: 5m, scopes: { all: [payments] } }
    on_deny: { redirect: "https://app.example/login?acr_values={acr_values}&max_age={max_age}&scope={scope}&return_to={url}" }
  - name: here
    match: { path: "/here/**" }
    require: { level: multi-factor }
    on_deny: { redirect: "/login?to={url}" }
  - name: once
    match: { path: "/once/**" }
    require: { level: multi-factor }
    on_deny: { repeat: forbid }
  - name: once-too
    match: { path: "/once-too/**" }
    require: { level: multi-factor }
    on_deny: { repeat: forbid, redirect: "https://app.example/login" }
  - name: both
    match: { path: /both }
    take: [ authorization, { header: x-id-token, kind: id } ]
    require: { level: multi-factor }
    on_deny: { repeat: forbid }
  - { name: plain, match: { path: "/plain/**" }, require: { level: multi-factor } }
  - { name: scoped, match: { path: /scoped }, require: { scopes: { all: [payments] } }, on_deny: { redirect: /login } }
  - { name: nightly, match: { path: /nightly }, require: { caller: client, clients: [job-7] }, on_deny: { redirect: /login } }
"#;

const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn world() -> World {
    World::before(Upstream::start(), |setup| {
        setup.policy(&World::issuers_and(ROUTES)).settings("public_url: https://gate.example")
    })
}

/// As a browser asks when somebody follows a link.
fn browse(path: &str) -> Request {
    let request = Request::get(path).header("Accept", HTML);
    request.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "document")
}

/// Asks, must be refused for this reason, and gives the answer; what the audit log has is what the client got.
#[track_caller]
fn refused(world: &World, request: &Request, status: u16, reason: &str) -> Response {
    let before = world.upstream.begun();
    let (response, line) = world.gate.decision(request);
    assert_eq!(
        (response.status, &line["reason"], &line["status"]),
        (status, &json!(reason), &json!(status)),
        "{response:?}"
    );
    assert_eq!((&line["decision"], world.upstream.begun()), (&json!("deny"), before), "{line}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    response
}

/// The values of a query, unescaped once.
fn query(location: &str) -> Vec<(String, String)> {
    let (_, query) = location.split_once('?').unwrap();
    let unescaped = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first == b'%' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
                rest = &after[2..];
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    query.split('&').map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), unescaped(v))).unwrap()).collect()
}

fn told<'q>(query: &'q [(String, String)], name: &str) -> &'q str {
    &query.iter().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn a_browser_is_sent_to_sign_in_with_all_that_the_challenge_asks_for() {
    let world = world();
    let weak = Token::access().weak().claim("scope", "accounts").sign(&world.bank);
    let bearer = browse("/app/a%2Db?x=1&y=//evil.example").bearer(&weak);
    let sent = refused(&world, &bearer, 303, "level_too_low");
    let location = sent.header("location").unwrap();
    assert!(location.starts_with("https://app.example/login?acr_values="), "{location}");
    let query = query(location);
    assert_eq!(told(&query, "acr_values"), "2");
    assert_eq!((told(&query, "max_age"), told(&query, "scope")), ("300", "payments"));
    assert_eq!(told(&query, "return_to"), "https://gate.example/app/a-b?x=1&y=//evil.example");
    assert_eq!(sent.header("www-authenticate"), None, "a challenge is for the answer that challenges");
    assert!(sent.body.contains("Go to the sign-in"), "{}", sent.body);

    // The same of a program has the challenge with the same values.
    let challenged = world.refuses(&Request::get("/app/1").bearer(&weak), 401, "level_too_low").challenge();
    assert_eq!(challenged.get("acr_values"), Some("2"));
    assert_eq!((challenged.get("max_age"), challenged.get("scope")), (Some("300"), Some("payments")));
}

#[test]
fn whatever_a_sign_in_would_mend_leads_there_and_the_rest_is_a_page() {
    let world = world();
    let sent = |path: &str, token: Option<Token>, reason: &str| {
        let request = token.map_or_else(|| browse(path), |token| browse(path).bearer(&token.sign(&world.bank)));
        refused(&world, &request, 303, reason).header("location").unwrap().to_owned()
    };
    let absent = sent("/app/1", None, "token_missing");
    assert!(absent.contains("acr_values=&max_age=&scope=&return_to=https%3A%2F%2Fgate.example%2Fapp%2F1"), "{absent}");
    sent("/app/1", Some(Token::access().claim("exp", now() - 60)), "expired");
    sent("/app/1", Some(Token::access().claim("auth_time", now() - 600)), "auth_too_old");
    assert_eq!(
        sent("/here/1", None, "token_missing"),
        "https://gate.example/login?to=https%3A%2F%2Fgate.example%2Fhere%2F1"
    );

    for (path, token, status, reason) in [
        ("/scoped", Token::access().claim("scope", "accounts"), 403, "scope_missing"),
        ("/nightly", Token::access(), 403, "caller_wrong"),
        ("/nowhere", Token::access(), 403, "route_none"),
    ] {
        let page = refused(&world, &browse(path).bearer(&token.sign(&world.bank)), status, reason);
        assert_eq!((page.header("location"), page.header("content-type")), (None, Some("text/html; charset=utf-8")));
        assert!(!page.body.contains(reason), "a page names no code:\n{}", page.body);
    }
    let malformed = browse("/app/%2e%2e%2f..%2f").bearer("x");
    assert_eq!(refused(&world, &malformed, 400, "path_ambiguous").header("location"), None);
}

#[test]
fn nothing_that_a_client_sends_decides_where_a_browser_is_sent() {
    let world = world();
    let elsewhere = [
        browse("/app/1").host("evil.example"),
        browse("/app/1")
            .host("evil.example")
            .header("X-Forwarded-Host", "evil.example")
            .header("Forwarded", "host=evil.example"),
        browse("http://evil.example/app/1").host("evil.example"),
        browse("/app/x@evil.example/").header("X-Forwarded-Proto", "http").header("X-Original-URL", "//evil.example"),
        browse("/app/1?return_to=https://evil.example/&next=//evil.example%0d%0aLocation:%20https://evil.example"),
        browse("/app/1?{url}{acr_values}&next=%22%3E%3Cscript%3E'"),
        browse("/app/1?\"><script>alert(1)</script>"),
        browse("/app/%0d%0aLocation:%20x").host("evil.example"),
    ];
    for request in &elsewhere {
        let response = world.gate.send(request);
        let Some(location) = response.header("location") else {
            assert_eq!(response.status, 400, "{response:?}");
            continue;
        };
        assert!(location.starts_with("https://app.example/login?acr_values=&max_age="), "{location}");
        assert_eq!(
            location.matches("evil.example").count(),
            location.split_once("return_to=").unwrap().1.matches("evil.example").count()
        );
        let back = query(location).into_iter().find(|(name, _)| name == "return_to").unwrap().1;
        assert!(back.starts_with("https://gate.example/app/"), "{back}");
        assert!(location.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"{}".contains(&byte)), "{location}");
        assert_eq!(location.matches('&').count(), 3, "no value ends early: {location}");
        assert!(!response.body.contains("<script"), "{}", response.body);
    }
    let ours = world.gate.send(&browse("/here//evil.example").host("evil.example"));
    assert_eq!((ours.status, ours.header("location")), (400, None), "a path with two readings is none of ours");
    let ours = world.gate.send(&browse("/here/1").host("evil.example"));
    assert!(ours.header("location").unwrap().starts_with("https://gate.example/login?"), "{ours:?}");
}

#[test]
fn a_script_or_a_program_gets_what_it_got_before_and_is_never_redirected() {
    let world = world();
    let fetch = |mode: &str| Request::get("/app/1").header("Accept", HTML).header("Sec-Fetch-Mode", mode);
    for request in [
        Request::get("/app/1"),
        Request::get("/app/1").header("Accept", "*/*"),
        Request::get("/app/1").header("Accept", "application/json, text/html;q=0.9"),
        Request::get("/app/1").header("Accept", "text/html;q=0, */*;q=0.1"),
        fetch("cors"),
        fetch("same-origin"),
        fetch("no-cors"),
        fetch("websocket"),
        Request::post("/app/1", "x=1").header("Accept", HTML),
        Request::new("PUT", "/app/1").header("Accept", HTML).header("Sec-Fetch-Mode", "navigate"),
    ] {
        let answer = refused(&world, &request, 401, "token_missing");
        assert_eq!(
            (answer.header("location"), answer.header("content-type")),
            (None, Some("application/problem+json"))
        );
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&document["status"], &document["reason"]), (&json!(401), &json!("token_missing")));
        assert!(answer.header("www-authenticate").is_some());
    }
    let told = |request: &Request| world.gate.send(request).header("vary").map(str::to_owned);
    assert_eq!(told(&Request::get("/app/1")).as_deref(), Some("accept, sec-fetch-dest, sec-fetch-mode"));
    assert_eq!(told(&browse("/app/1")), told(&Request::get("/app/1")));
    assert_eq!(told(&Request::post("/app/1", "x")), None);
}

#[test]
fn a_page_tells_what_the_challenge_tells_and_an_id_to_quote() {
    let world = world();
    let weak = Token::access().weak().sign(&world.bank);
    let page = refused(&world, &browse("/plain/1").bearer(&weak), 401, "level_too_low");
    assert_eq!(
        page.header("www-authenticate"),
        world.gate.send(&Request::get("/plain/1").bearer(&weak)).header("www-authenticate")
    );
    let id = page.header("x-request-id").unwrap();
    assert!(
        page.body.starts_with("<!doctype html>") && page.body.contains(&format!("<code>{id}</code>")),
        "{}",
        page.body
    );
    assert!(page.body.contains("<h1>Sign in again</h1>") && page.body.contains("<code>2</code>"), "{}", page.body);
    for secret in ["level_too_low", "bank", "plain", "multi-factor", "ada", &weak] {
        assert!(!page.body.contains(secret), "{secret} is told:\n{}", page.body);
    }
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let security = page.header("content-security-policy").unwrap();
    assert!(
        security.starts_with("default-src 'none'; style-src 'sha256-") && security.contains("frame-ancestors 'none'")
    );
    assert!(!page.body.contains("<script") && !page.body.contains("http"), "{}", page.body);

    let head = world.gate.send(&browse("/plain/1").method("HEAD").bearer(&weak));
    assert_eq!((head.status, head.body.as_str()), (401, ""));
    assert_eq!(head.header("content-type"), Some("text/html; charset=utf-8"));
    let hostile = browse("/plain/1").header("X-Request-Id", "<script>alert(1)</script>");
    assert!(!world.gate.send(&hostile).body.contains("<script"));
}

#[test]
fn a_new_sign_in_that_is_still_short_ends_the_rounds_where_the_route_says_so() {
    let world = world();
    let at = |issued: i64| Token::access().weak().claim("iat", issued);
    let ask = |path: &str, token: &Token| Request::get(path).bearer(&token.sign(&world.bank));
    let first = at(now() - 20);
    world.refuses(&ask("/once/1", &first), 401, "level_too_low");
    world.refuses(&ask("/once/2", &first), 401, "level_too_low");
    let second = at(now() - 10);
    let ended = world.refuses(&ask("/once/1", &second), 403, "level_too_low");
    assert_eq!(ended.header("www-authenticate"), None);
    assert_eq!(ended.header("content-type"), Some("application/problem+json"));
    // To load it again is no way back into the circle, and neither is a third round; the first token is where it was.
    world.refuses(&ask("/once/1", &second), 403, "level_too_low");
    world.refuses(&ask("/once/9", &at(now())), 403, "level_too_low");
    world.refuses(&ask("/once/1", &first), 401, "level_too_low");
    // A browser gets a page of it, and is sent nowhere.
    let page = refused(&world, &browse("/once/1").bearer(&second.sign(&world.bank)), 403, "level_too_low");
    assert!(page.body.contains("<h1>You may not open this page</h1>"), "{}", page.body);
    // Whoever did what was asked is let in.
    world.passes(&ask("/once/1", &Token::access()));

    // Other people, other routes, and routes that do not say so, begin anew.
    world.refuses(&ask("/once/1", &second.clone().claim("sub", "bob")), 401, "level_too_low");
    world.refuses(&ask("/once-too/1", &second), 401, "level_too_low");
    world.refuses(&ask("/plain/1", &first), 401, "level_too_low");
    world.refuses(&ask("/plain/1", &second), 401, "level_too_low");
    let shop = |issued: i64| {
        let token = at(issued).issuer("https://shop.example").claim("acr", "low");
        Request::get("/once/1").bearer(&token.sign(&world.shop))
    };
    world.refuses(&shop(now() - 5), 401, "level_too_low");
    let line = world.gate.decision(&shop(now())).1;
    assert_eq!(
        (&line["status"], &line["reason"], &line["subject"]),
        (&json!(403), &json!("level_too_low"), &json!("ada"))
    );
}

#[test]
fn a_browser_that_signed_in_anew_and_is_still_short_is_not_sent_round_again() {
    let world = world();
    let ask =
        |issued: i64| browse("/once-too/1").bearer(&Token::access().weak().claim("iat", issued).sign(&world.bank));
    let sent = refused(&world, &ask(now() - 20), 303, "level_too_low");
    assert_eq!(sent.header("location"), Some("https://app.example/login"));
    let page = refused(&world, &ask(now() - 10), 403, "level_too_low");
    assert_eq!((page.header("location"), page.header("content-type")), (None, Some("text/html; charset=utf-8")));
}

#[test]
fn what_is_wrong_with_a_token_or_cannot_be_told_apart_is_never_a_repeat() {
    let world = world();
    for age in [30, 20, 10, 0] {
        let expired = Token::access().weak().claim("iat", now() - age).claim("exp", now() - 60);
        world.refuses(&Request::get("/once/1").bearer(&expired.sign(&world.bank)), 401, "expired");
        world.refuses(&Request::get("/once/1"), 401, "token_missing");
        let undated = Token::access().weak().without("iat").claim("jti", age);
        world.refuses(&Request::get("/once/1").bearer(&undated.sign(&world.bank)), 401, "level_too_low");
    }
}

#[test]
fn another_policy_asks_anew() {
    let world = world();
    let ask =
        |issued: i64| Request::get("/once/1").bearer(&Token::access().weak().claim("iat", issued).sign(&world.bank));
    world.refuses(&ask(now() - 20), 401, "level_too_low");
    world.refuses(&ask(now() - 10), 403, "level_too_low");
    world.gate.reload(&format!("{}# another\n", World::issuers_and(ROUTES)));
    world.refuses(&ask(now() - 10), 401, "level_too_low");
    world.refuses(&ask(now()), 403, "level_too_low");
}

#[test]
fn every_worker_knows_who_was_refused() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(&World::issuers_and(ROUTES)).settings("workers: 4\npublic_url: https://gate.example")
    });
    let ask =
        |issued: i64| Request::get("/once/1").bearer(&Token::access().weak().claim("iat", issued).sign(&world.bank));
    world.refuses(&ask(now() - 20), 401, "level_too_low");
    // Each on a connection of its own, which any of the four may take.
    for _ in 0..24 {
        world.refuses(&ask(now() - 10), 403, "level_too_low");
    }
}

#[test]
fn a_gate_whose_redirects_need_its_name_does_not_start_without_one() {
    let (code, said) = crate::support::Gate::setup(&Upstream::start()).policy(&World::issuers_and(ROUTES)).fails();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("set `public_url` in stepgate.yaml") && said.contains("0.yaml"), "{said}");
}

#[test]
fn without_on_deny_a_browser_gets_a_page() {
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY));
    let page = refused(&world, &browse("/strong/1"), 401, "token_missing");
    assert!(page.body.contains("<h1>Sign in first</h1>") && page.header("www-authenticate").is_some(), "{page:?}");
}

#[test]
fn of_two_tokens_the_newer_one_tells_of_a_new_sign_in() {
    let world = world();
    let access = Token::access().weak().claim("iat", now() - 20).sign(&world.bank);
    let ask = |issued: i64| {
        let id = Token::id().weak().claim("iat", issued).claim("at_hash", at_hash(&access)).sign(&world.bank);
        Request::get("/both").bearer(&access).header("X-Id-Token", &id)
    };
    world.refuses(&ask(now() - 20), 401, "level_too_low");
    world.refuses(&ask(now() - 5), 403, "level_too_low");
}
