//! The id_token that an identity provider posts: judged on its way in, and passed on byte for byte.

use std::time::Duration;

use crate::support::{Request, Response, Token, Upstream, Wire, World, free_port};

const ROUTES: &str = r#"
  - name: callback
    match: { path: /callback, methods: [POST, GET, PUT] }
    take: [ { form: id_token, kind: id, on_error: forward } ]
    require: { level: multi-factor }
  - name: strict
    match: { path: /strict }
    take: [ { form: id_token, kind: id } ]
    require: { level: multi-factor }
  - name: both
    match: { path: /both }
    take: [ { form: id_token, kind: id }, { cookie: session, kind: id }, authorization ]
    require: { level: multi-factor }
  - { name: any, match: { path: "/any/**" }, require: authenticated }
"#;

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn posted(path: &str, body: &str) -> Request {
    Request::post(path, body).header(FORM.0, FORM.1)
}

fn limited() -> World {
    let settings = "limits: { form: 2KiB, idle: 1s }";
    World::before(Upstream::start(), |setup| setup.policy(&World::issuers_and(ROUTES)).settings(settings))
}

#[test]
fn a_posted_id_token_is_judged_and_the_form_reaches_the_upstream_byte_for_byte() {
    let world = World::with_routes(ROUTES);
    // Written as no serializer would write it again.
    let body = format!("&state=a%2fB+c&&id%5Ftoken={}&empty=&iss", Token::id().sign(&world.bank));
    world.passes(&posted("/callback?tenant=7", &body).header("Origin", "https://idp.example"));
    let seen = world.upstream.seen().pop().unwrap();
    assert_eq!((seen.body.as_str(), seen.path()), (body.as_str(), "/callback?tenant=7"));
    assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("x-stepgate-level"), Some("multi-factor"));
    // A weak one is told why, and its form goes nowhere.
    let weak = format!("id_token={}", Token::id().weak().sign(&world.bank));
    world.refuses(&posted("/callback", &weak), 401, "level_too_low");
    let forged = format!("id_token={}", Token::id().sign(&world.shop));
    world.refuses(&posted("/callback", &forged), 401, "signature_invalid");
    let access = format!("id_token={}", Token::access().sign(&world.bank));
    world.refuses(&posted("/callback", &access), 401, "token_kind_wrong");
}

#[test]
fn a_form_in_chunks_goes_up_with_its_length_and_one_that_is_waited_for_is_asked_for() {
    let world = World::with_routes(ROUTES);
    let body = format!("id_token={}", Token::id().sign(&world.bank));
    let (first, last) = body.split_at(20);
    let head = "POST /callback HTTP/1.1\r\nHost: app.example\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let mut wire = Wire::open(world.gate.port);
    wire.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n", first.len()).as_bytes());
    wire.send(format!("{:x}\r\n{last}\r\n0\r\nX-Trailer: 1\r\n\r\n", last.len()).as_bytes());
    assert_eq!(wire.response_to("POST").status, 200);
    let seen = world.upstream.seen().pop().unwrap();
    assert_eq!((seen.body.as_str(), seen.header("transfer-encoding")), (body.as_str(), None));
    assert_eq!(seen.header("content-length"), Some(body.len().to_string().as_str()));
    // The same connection goes on.
    wire.send(format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
    assert_eq!(wire.head_line(), "HTTP/1.1 100 Continue");
    wire.send(body.as_bytes());
    assert_eq!(wire.response_to("POST").status, 200);
    assert_eq!(world.upstream.seen().len(), 2);
}

#[test]
fn what_is_no_form_is_unsupported_and_nobody_is_told_to_send_it() {
    let world = World::with_routes(ROUTES);
    let form = format!("id_token={}", Token::id().sign(&world.bank));
    for kind in
        ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"]
    {
        world.refuses(&Request::post("/callback", &form).header("Content-Type", kind), 415, "body_unsupported");
    }
    world.refuses(&Request::post("/callback", &form), 415, "body_unsupported");
    world.refuses(&posted("/callback", &form).header("Content-Encoding", "gzip"), 415, "body_unsupported");
    for bad in ["&x=%", "&x=%zz", "&x=%ff", "&_charset_=utf-16"] {
        world.refuses(&posted("/callback", &format!("{form}{bad}")), 415, "body_unsupported");
    }
    let mut wire = Wire::open(world.gate.port);
    wire.send(b"POST /callback HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(wire.head_line(), "HTTP/1.1 415 Unsupported Media Type", "no `100 Continue` before");
}

#[test]
fn a_form_beyond_its_limit_is_too_large_whether_that_is_announced_or_found() {
    let world = limited();
    let token = Token::id().sign(&world.bank);
    let padded = |length: usize| {
        let body = format!("id_token={token}&filler=");
        format!("{body}{}", "x".repeat(length - body.len()))
    };
    world.passes(&posted("/callback", &padded(2 << 10)));
    let refused = world.refuses(&posted("/callback", &padded((2 << 10) + 1)), 413, "body_too_large");
    assert_eq!(refused.header("www-authenticate"), None);
    let body = padded((2 << 10) + 1);
    let mut wire = Wire::open(world.gate.port);
    let head = "POST /callback HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    wire.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
    assert_eq!(wire.response_to("POST").status, 413);
    let decision = world.gate.audited("it is recorded", |line| line["reason"] == "body_too_large");
    assert_eq!(decision["route"], "callback");
    assert_eq!(world.upstream.seen().len(), 1);
    // Elsewhere a body may be as long as it likes.
    let long = Request::post("/any/1", &"x".repeat(9 << 10)).bearer(&Token::access().sign(&world.bank));
    world.passes(&long);
}

#[test]
fn two_tokens_in_one_form_are_refused_in_every_spelling_and_none_is_none() {
    let world = World::with_routes(ROUTES);
    let token = Token::id().sign(&world.bank);
    for body in [
        format!("id_token={token}&id_token={token}"),
        format!("id_token={token}&ID_TOKEN=x"),
        format!("id_token={token}&id_token[]=x"),
        format!("x=1;id_token={token}"),
        format!("id.token={token}"),
    ] {
        world.refuses(&posted("/callback", &body), 400, "token_duplicate");
    }
    world.refuses(&posted("/callback?id_token=x", &format!("id_token={token}")), 400, "token_duplicate");
    world.refuses(&posted("/callback", "state=x"), 401, "token_missing");
    world.refuses(&posted("/callback", "id_token="), 401, "token_missing");
    world.refuses(&Request::post("/callback", ""), 401, "token_missing");
    world.refuses(&posted("/callback", "id_token=a b"), 401, "token_malformed");
    // Only POST posts; of what else has a body nothing is read.
    world.refuses(&posted("/callback", &format!("id_token={token}")).with_method("PUT"), 401, "token_missing");
    world.refuses(&Request::get("/callback"), 401, "token_missing");
    let on_any = posted("/any/1", &format!("id_token={token}"));
    world.refuses(&on_any, 401, "token_missing");
}

#[test]
fn an_error_response_passes_without_a_token_where_the_route_says_so_and_says_so_in_the_audit_log() {
    let world = World::with_routes(ROUTES);
    let body = "error=access_denied&error_description=The+user+said+no&state=x";
    let request =
        posted("/callback", body).header("X-Stepgate-Level", "multi-factor").header("Origin", "https://idp.example");
    let (response, decision) = world.gate.decision(&request);
    assert_eq!(response.status, 200);
    let seen = world.upstream.seen().pop().unwrap();
    assert_eq!(seen.body, body);
    assert!(!seen.names().iter().any(|name| name.starts_with("x-stepgate-")), "{:?}", seen.names());
    assert_eq!((&decision["decision"], &decision["kind"]), (&"allow".into(), &"error_response".into()));
    assert!(decision["reason"].is_null() && decision["issuer"].is_null() && decision["level"].is_null());

    world.refuses(&posted("/strict", body), 401, "token_missing");
    for more in ["&code=x", "&error=again", "&user=admin"] {
        world.refuses(&posted("/callback", &format!("{body}{more}")), 401, "token_missing");
    }
    world.refuses(&posted("/callback?code=x", body), 401, "token_missing");
    world.refuses(&posted("/callback?id_token=x", body), 400, "token_duplicate");
    // Beside a token the token decides.
    let weak = Token::id().weak().sign(&world.bank);
    world.refuses(&posted("/callback", &format!("{body}&id_token={weak}")), 401, "level_too_low");
    world.refuses(&posted("/callback", &format!("{body}&Id_Token={weak}")), 400, "token_duplicate");
    world.passes(&posted("/callback", &format!("{body}&id_token={}", Token::id().sign(&world.bank))));
}

#[test]
fn a_form_beside_a_cookie_or_an_access_token_is_as_two_sources_are() {
    let world = World::with_routes(ROUTES);
    let (strong, weak) = (Token::id().sign(&world.bank), Token::id().weak().sign(&world.bank));
    let cookie = |request: Request, token: &str| request.header("Cookie", &format!("session={token}"));
    let form = |token: &str| posted("/both", &format!("id_token={token}"));
    world.passes(&form(&strong));
    world.passes(&cookie(Request::get("/both"), &strong));
    let ours = |request: Request| request.host("app.example").header("Origin", "http://app.example");
    world.passes(&ours(cookie(form(&strong), &strong)));
    world.refuses(&ours(cookie(form(&weak), &strong)), 400, "token_duplicate");
    // A form needs no origin, the cookie beside it does.
    world.refuses(&cookie(form(&strong), &strong).header("Origin", "https://idp.example"), 403, "origin_refused");
    world.refuses(&ours(cookie(posted("/both", "x=%"), &strong)), 415, "body_unsupported");
    world.passes(&ours(cookie(posted("/both", "x=1"), &strong)));
    // An access token of the same sign-in, which nothing ties to it.
    world.refuses(&form(&strong).bearer(&Token::access().sign(&world.bank)), 401, "tokens_disagree");
    let tied = |token: Token| token.claim("sid", "s-1").sign(&world.bank);
    let pair = posted("/both", &format!("id_token={}", tied(Token::id()))).bearer(&tied(Token::access().weak()));
    world.passes(&pair);
}

#[test]
fn a_form_that_stalls_or_trickles_or_breaks_off_is_never_forwarded() {
    let world = limited();
    let body = format!("id_token={}", Token::id().sign(&world.bank));
    let head = format!(
        "POST /callback HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stalled = Wire::open(world.gate.port);
    stalled.send(format!("{head}id_token=").as_bytes());
    let mut trickling = Wire::open(world.gate.port);
    trickling.send(head.as_bytes());
    let mut broken = Wire::open(world.gate.port);
    broken.send(format!("{head}{}", &body[..30]).as_bytes());
    broken.finish();
    let mut answer = None;
    for byte in body.bytes().take(8) {
        trickling.send(&[byte]);
        std::thread::sleep(Duration::from_millis(300));
    }
    let refused = |response: Option<Response>| response.is_none_or(|response| response.status == 400);
    answer.replace(trickling.try_response_to("POST"));
    assert!(answer.is_some_and(refused), "the whole form has one limit, however lively it comes");
    assert!(refused(stalled.try_response_to("POST")));
    assert!(refused(broken.try_response_to("POST")));
    assert_eq!(world.upstream.begun(), 0);
    let lines = world.gate.audit();
    assert!(lines.iter().all(|line| line["reason"] == "request_malformed"), "{lines:?}");
    world.passes(&posted("/callback", &body));
}

#[test]
fn an_upstream_that_goes_away_is_told_of_an_error_response_too() {
    let nobody = format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", free_port());
    let world = World::before(Upstream::start(), |setup| setup.policy(&World::issuers_and(ROUTES)).upstreams(&nobody));
    let response = world.gate.send(&posted("/callback", "error=access_denied"));
    assert_eq!(response.status, 502);
}

#[test]
fn stripping_tokens_leaves_the_form_as_it_is() {
    let settings = "identity: { strip_token: true }";
    let world = World::before(Upstream::start(), |setup| setup.policy(&World::issuers_and(ROUTES)).settings(settings));
    let body = format!("id_token={}", Token::id().sign(&world.bank));
    world.passes(&posted("/callback", &body));
    assert_eq!(world.upstream.seen().pop().unwrap().body, body);
}
