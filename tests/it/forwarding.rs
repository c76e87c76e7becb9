//! What passes, passes whole: method, target, fields and body, both ways.

use crate::support::{Answer, POLICY, Request, Token, Upstream, Wire, World};

#[test]
fn a_request_arrives_as_it_was_sent() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let request = Request::new(method, "/any/a%20b/c;d=1/?q=%2F&r=a+b").bearer(&token);
        world.passes(&request.header("X-Custom", "1").header("Accept", "*/*").header("Cookie", "a=1; b=2"));
        let seen = world.upstream.last();
        assert_eq!(seen.line, format!("{method} /any/a%20b/c;d=1/?q=%2F&r=a+b HTTP/1.1"));
        assert_eq!(seen.header("x-custom"), Some("1"));
        assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
        assert_eq!(seen.header("host"), Some(format!("127.0.0.1:{}", world.gate.port).as_str()));
    }
}

#[test]
fn an_answer_arrives_as_it_was_given() {
    let upstream = Upstream::that(|seen| match seen.path() {
        "/public/created" => Answer::status(
            201,
            "Location: /x\r\nX-Stepgate-Level: from-upstream\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            "made",
        ),
        "/public/nothing" => Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/public/chunks" => {
            Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        }
        "/public/until-close" => Answer::raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end").closing(),
        "/public/early" => {
            Answer::raw("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        "/public/challenge" => Answer::status(401, "WWW-Authenticate: Basic realm=\"own\"\r\n", "own"),
        _ => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    });
    let world = World::before(upstream, |setup| setup.policy(POLICY));
    let get = |path: &str| world.gate.send(&Request::get(path));
    let created = get("/public/created");
    assert_eq!((created.status, created.body.as_str()), (201, "made"));
    assert_eq!(created.header("location"), Some("/x"));
    assert_eq!(created.head.to_ascii_lowercase().matches("set-cookie").count(), 2);
    assert_eq!(get("/public/nothing").status, 204);
    assert_eq!(get("/public/chunks").body, "abcdef");
    assert_eq!(get("/public/until-close").body, "to the end");
    assert_eq!(get("/public/early").body, "ok");
    let own = get("/public/challenge");
    assert_eq!((own.status, own.header("www-authenticate")), (401, Some("Basic realm=\"own\"")), "the upstream's own");
    let head = world.gate.send(&Request::new("HEAD", "/public/head"));
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("5"), ""));
}

#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    let upstream = Upstream::that(|seen| match seen.path() {
        "/public/length" => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").closing(),
        _ => Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").closing(),
    });
    let world = World::before(upstream, |setup| setup.policy(POLICY));
    for (path, whole) in [("/public/length", "Content-Length: 4"), ("/public/chunks", "0\r\n\r\n")] {
        let mut wire = Wire::open(world.gate.port);
        wire.send(&Request::get(path).bytes(world.gate.port));
        let answer = String::from_utf8_lossy(&wire.rest(std::time::Duration::from_secs(5))).into_owned();
        assert!(!answer.to_ascii_lowercase().contains(&whole.to_ascii_lowercase()), "{answer}");
    }
}

#[test]
fn a_request_id_is_kept_or_made() {
    let world = World::start();
    world.passes(&Request::get("/healthz").header("X-Request-Id", "my-own-1"));
    assert_eq!(world.upstream.last().header("x-request-id"), Some("my-own-1"));
    world.passes(&Request::get("/healthz"));
    let made = world.upstream.last().header("x-request-id").unwrap().to_owned();
    assert!(made.len() >= 16, "{made}");
    world.passes(&Request::get("/healthz"));
    assert_ne!(world.upstream.last().header("x-request-id"), Some(made.as_str()));
    // One that could spoil a log line is replaced.
    world.passes(&Request::get("/healthz").header("X-Request-Id", &"x".repeat(2000)));
    assert!(world.upstream.last().header("x-request-id").unwrap().len() < 500);
}

#[test]
fn a_client_that_waits_for_100_continue_is_told_so_and_not_when_it_is_refused() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut wire = Wire::open(world.gate.port);
    wire.send(head("/any/1").as_bytes());
    std::thread::sleep(std::time::Duration::from_millis(200));
    wire.send(b"body");
    assert_eq!(wire.response_to("POST").status, 200);
    assert_eq!(world.upstream.last().body, "body");

    let mut wire = Wire::open(world.gate.port);
    wire.send(head("/nowhere").as_bytes());
    let refused = String::from_utf8_lossy(&wire.rest(std::time::Duration::from_millis(700))).into_owned();
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
}
