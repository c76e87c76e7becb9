//! T17: messages whose end two readers could see in two places.

use std::time::Duration;

use crate::support::{Answer, POLICY, Request, Token, Upstream, Wire, World};

/// What would be smuggled: a request for a guarded path.
const SMUGGLED: &str = "GET /strong/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends these bytes and waits until the gate says no more; what the upstream saw must be whole and judged.
fn assert_nothing_smuggled(world: &World, bytes: &str) {
    let mut wire = Wire::open(world.gate.port);
    wire.send(bytes.as_bytes());
    wire.finish();
    drop(wire.rest(Duration::from_millis(1500)));
    for seen in world.upstream.seen() {
        assert!(!seen.path().contains("strong"), "{bytes:?} smuggled {seen:?}");
    }
}

#[test]
fn t17_a_body_has_one_length() {
    let world = World::start();
    let length = SMUGGLED.len();
    for framing in [
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        "Content-Length: 0, 5".to_owned(),
        "Content-Length: +0".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Content-Length:".to_owned(),
        "Content-Length : 0".to_owned(),
        "Content-Length: 99999999999999999999999".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding: gzip, chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding:\r\n chunked".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked".to_owned(),
        "X: y\rTransfer-Encoding: chunked".to_owned(),
        "X: y\0".to_owned(),
    ] {
        let before = world.upstream.begun();
        let mut wire = Wire::open(world.gate.port);
        wire.send(format!("POST /public/x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n0\r\n\r\n").as_bytes());
        let answer = wire.try_response_to("POST");
        assert!(answer.is_none_or(|answer| (400..=501).contains(&answer.status)), "{framing}");
        assert_eq!(world.upstream.begun(), before, "{framing}");
        assert_nothing_smuggled(&world, &format!("POST /public/x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{SMUGGLED}"));
    }
}

#[test]
fn t17_both_lengths_at_once_are_refused_or_one_is_dropped_and_the_connection_ends() {
    let world = World::start();
    for (length, body) in [(5, "0\r\n\r\n"), (0, "0\r\n\r\n"), (100, "5\r\nhello\r\n0\r\n\r\n"), (3, "0\r\n\r\n")] {
        let request = format!(
            "POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        );
        let mut wire = Wire::open(world.gate.port);
        wire.send(request.as_bytes());
        let first = wire.response_to("POST");
        assert!(matches!(first.status, 200 | 400), "{}", first.status);
        assert!(wire.try_response_to("GET").is_none(), "the connection goes on behind two lengths");
        assert_nothing_smuggled(&world, &request);
    }
}

#[test]
fn t17_http_1_0_has_no_transfer_encoding() {
    let world = World::start();
    let request =
        format!("POST /public/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    let mut wire = Wire::open(world.gate.port);
    wire.send(request.as_bytes());
    let answer = wire.try_response_to("POST");
    assert!(answer.is_none_or(|answer| (400..=505).contains(&answer.status)));
    assert_nothing_smuggled(&world, &request);
    assert_eq!(world.upstream.begun(), 0);
    // HTTP/1.0 closes by itself, so nothing behind the first request counts.
    assert_nothing_smuggled(&world, &format!("GET /public/x HTTP/1.0\r\nHost: a\r\n\r\n{SMUGGLED}"));
}

#[test]
fn t17_what_follows_a_wish_to_upgrade_is_not_passed_on() {
    for upgrade in ["websocket", "h2c", "TLS/1.2", "anything"] {
        let world = World::start();
        let head = format!("GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n");
        assert_nothing_smuggled(&world, &format!("{head}{SMUGGLED}"));
        assert_nothing_smuggled(&world, &format!("{}{SMUGGLED}", head.replace("Connection: Upgrade\r\n", "")));
        for seen in world.upstream.seen() {
            assert_eq!(seen.header("upgrade"), None, "{upgrade}: the wish went on");
        }
    }
}

#[test]
fn t17_an_upstream_cannot_switch_protocols_unasked() {
    let upstream = Upstream::that(|_| {
        Answer::raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let world = World::before(upstream, |setup| setup.policy(POLICY));
    let mut wire = Wire::open(world.gate.port);
    wire.send(&Request::get("/public/x").bytes(world.gate.port));
    assert_eq!(wire.response_to("GET").status, 502);
}

#[test]
fn t17_what_an_upstream_sends_unasked_is_nobodys_answer() {
    // The bytes behind the first answer must not become the answer to somebody else's request.
    let stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
    let upstream =
        Upstream::that(move |_| Answer::raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{stray}")));
    let world = World::before(upstream, |setup| setup.policy(POLICY));
    for _ in 0..4 {
        let response = world.gate.send(&Request::get("/public/x"));
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    }
}

#[test]
fn a_chunked_body_arrives_whole_whatever_its_chunks() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    let mut wire = Wire::open(world.gate.port);
    wire.send(format!("POST /any/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n").as_bytes());
    wire.send(b"Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(wire.response_to("POST").status, 200);
    assert_eq!(world.upstream.last().body, "hello world");

    // A body that breaks off is not made whole.
    let before = world.upstream.count();
    for broken in
        ["5\r\nhel", "5\r\nhelloXX\r\n0\r\n\r\n", "zz\r\n", "5\r\nhello\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\n"]
    {
        let mut wire = Wire::open(world.gate.port);
        wire.send(format!("POST /any/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n").as_bytes());
        wire.send(format!("Transfer-Encoding: chunked\r\n\r\n{broken}").as_bytes());
        wire.finish();
        drop(wire.rest(Duration::from_secs(2)));
        assert_eq!(world.upstream.count(), before, "{broken:?} was completed");
    }
}
