//! Tokens in cookies, which browsers send by themselves: another site must not act for the user.

use crate::support::{Request, Token, Upstream, World};

const ROUTES: &str = r#"
  - name: portal
    match: { path: "/portal/**" }
    take: [ { cookie: portal_id, kind: id } ]
    require: { level: multi-factor }
  - name: partner
    match: { path: "/partner/**" }
    take: [ { cookie: portal_id, kind: id, origins: ["https://partner.example"] } ]
    require: { level: multi-factor }
"#;

struct Asks<'w> {
    world: &'w World,
    cookie: String,
}

impl Asks<'_> {
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::new(method, path).host("app.example").header("Cookie", &self.cookie);
        headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    fn passes(&self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.world.passes(&self.request(method, path, headers));
    }

    fn refuses(&self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.world.refuses(&self.request(method, path, headers), 403, "origin_refused");
    }
}

#[test]
fn an_unsafe_method_needs_an_origin_that_is_ours_or_listed() {
    let world = World::with_routes(ROUTES);
    let asks = Asks { world: &world, cookie: format!("a=b; portal_id={}; c=d", Token::id().sign(&world.bank)) };
    let ours = ("Origin", "http://app.example");
    let partner = ("Origin", "https://partner.example");
    let evil = ("Origin", "https://evil.example");

    // What changes nothing may come from anywhere: a link is no harm.
    for method in ["GET", "HEAD", "OPTIONS"] {
        asks.passes(method, "/portal/1", &[]);
        asks.passes(method, "/portal/1", &[evil]);
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        asks.passes(method, "/portal/1", &[ours]);
        asks.refuses(method, "/portal/1", &[evil]);
        asks.refuses(method, "/portal/1", &[]);
        asks.refuses(method, "/portal/1", &[partner]);
        asks.passes(method, "/partner/1", &[partner]);
        asks.passes(method, "/partner/1", &[ours]);
        asks.refuses(method, "/partner/1", &[evil]);
    }
    for close in [
        "null",
        "http://app.example.evil.example",
        "http://app.example:81",
        "http://evil.example/http://app.example",
        "app.example",
        "http://app.example, https://evil.example",
        "",
        "*",
    ] {
        asks.refuses("POST", "/portal/1", &[("Origin", close)]);
    }
    asks.refuses("POST", "/portal/1", &[ours, evil]);
    asks.refuses("POST", "/partner/1", &[("Origin", "http://partner.example")]);
}

#[test]
fn where_there_is_no_origin_the_browsers_own_word_counts() {
    let world = World::with_routes(ROUTES);
    let asks = Asks { world: &world, cookie: format!("portal_id={}", Token::id().sign(&world.bank)) };
    asks.passes("POST", "/portal/1", &[("Sec-Fetch-Site", "same-origin")]);
    for site in ["cross-site", "same-site", "odd", ""] {
        asks.refuses("POST", "/portal/1", &[("Sec-Fetch-Site", site)]);
    }
    // What cannot be read is no word.
    world.refuses(
        &asks.request("POST", "/portal/1", &[("Sec-Fetch-Site", "same-origin")]).raw_header("Origin", b"\xff"),
        403,
        "origin_refused",
    );
}

#[test]
fn the_public_url_says_what_our_own_origin_is() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(&World::issuers_and(ROUTES)).settings("public_url: https://app.example")
    });
    let asks = Asks { world: &world, cookie: format!("portal_id={}", Token::id().sign(&world.bank)) };
    asks.passes("POST", "/portal/1", &[("Origin", "https://app.example")]);
    asks.refuses("POST", "/portal/1", &[("Origin", "http://app.example")]);
    asks.refuses("POST", "/portal/1", &[("Origin", "https://app.example.evil.example")]);
}

#[test]
fn a_wish_to_upgrade_is_unsafe_too() {
    let world = World::with_routes(ROUTES);
    let asks = Asks { world: &world, cookie: format!("portal_id={}", Token::id().sign(&world.bank)) };
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "https://evil.example"),
    ];
    asks.refuses("GET", "/portal/1", &upgrade);
}

#[test]
fn a_token_in_a_header_needs_no_origin() {
    let world = World::start();
    let id = Token::id().sign(&world.bank);
    world.passes(&Request::post("/portal/1", "x").header("X-Id-Token", &id).header("Origin", "https://evil.example"));
}

#[test]
fn only_the_named_cookie_is_a_token() {
    let world = World::with_routes(ROUTES);
    let id = Token::id().sign(&world.bank);
    for cookie in [
        format!("portal={id}"),
        format!("Portal_Id={id}"),
        format!("portal_id2={id}"),
        format!("a=portal_id={id}"),
        format!("a=\"; portal_idx={id}\""),
        id.clone(),
    ] {
        world.refuses(&Request::get("/portal/1").header("Cookie", &cookie), 401, "token_missing");
    }
    world.passes(&Request::get("/portal/1").header("Cookie", &format!("x=1;portal_id={id}")));
}
