//! Limits and failures around the decision: too many connections, an upstream that is away, slow or broken.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Answer, Gate, POLICY, Request, Token, Upstream, Wire, World, free_port};

fn assert_counted(gate: &Gate, reason: &str) {
    let metrics = gate.metrics();
    let counted = |line: &&str| line.starts_with("stepgate_") && line.contains(&format!("reason=\"{reason}\""));
    assert!(metrics.lines().any(|line| counted(&line)), "{reason} is not counted:\n{metrics}");
}

#[test]
fn one_connection_too_many_is_told_that_the_gate_is_overloaded() {
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings("limits: { connections: 2 }"));
    let mut held: Vec<_> = (0..2).map(|_| Wire::open(world.gate.port)).collect();
    for wire in &mut held {
        wire.send(&Request::get("/healthz").bytes(world.gate.port));
        assert_eq!(wire.response_to("GET").status, 200);
    }
    let before = world.upstream.begun();
    let mut third = Wire::open(world.gate.port);
    third.send(&Request::get("/healthz").bytes(world.gate.port));
    let refused = third.response_to("GET");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.upstream.begun(), before);
    assert!(world.gate.metrics().contains("\nstepgate_connections_refused_total 1\n"), "{}", world.gate.metrics());
    let counted = "\nstepgate_requests_total{route=\"-\",decision=\"deny\",reason=\"overloaded\"} 1\n";
    assert!(world.gate.metrics().contains(counted), "{}", world.gate.metrics());

    // A place that is left is given again.
    drop(held.pop());
    crate::support::eventually("a new connection is served", Duration::from_secs(5), || {
        let mut wire = Wire::open(world.gate.port);
        wire.send(&Request::get("/healthz").bytes(world.gate.port));
        wire.try_response_to("GET").is_some_and(|response| response.status == 200)
    });
}

#[test]
fn what_cannot_be_recorded_is_not_forwarded() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(POLICY).settings("audit: { to: file, path: /dev/full, when_blocked: refuse }")
    });
    let request = Request::get("/any/1").bearer(&Token::access().sign(&world.bank));
    crate::support::eventually("the gate refuses, since its audit log is full", Duration::from_secs(5), || {
        world.gate.send(&request).status == 503
    });
    let before = world.upstream.begun();
    let refused = world.gate.send(&request);
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("www-authenticate"), None);
    assert_eq!(world.upstream.begun(), before);
    assert_counted(&world.gate, "overloaded");
}

#[test]
fn an_upstream_that_is_not_there_is_unreachable() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(POLICY).upstreams(&format!("{{ app: {{ url: \"http://127.0.0.1:{}\" }} }}", free_port()))
    });
    let request = Request::get("/any/1").bearer(&Token::access().sign(&world.bank));
    let response = world.gate.send(&request);
    assert_eq!(response.status, 502);
    assert_eq!(response.header("www-authenticate"), None);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_failed(&world.gate, "upstream_unreachable", 502);
    let head = world.gate.send(&request.method("HEAD"));
    assert_eq!((head.status, head.body.as_str()), (502, ""));
}

#[test]
fn an_upstream_that_breaks_off_or_talks_no_http_is_unreachable() {
    for broken in [Answer::nothing(), Answer::raw("nonsense\r\n\r\n").closing(), Answer::raw("HTTP/1.1 20").closing()] {
        let world = World::before(Upstream::that(move |_| broken.clone()), |setup| setup.policy(POLICY));
        let request = Request::post("/any/1", "x").bearer(&Token::access().sign(&world.bank));
        assert_eq!(world.gate.send(&request).status, 502);
        assert_failed(&world.gate, "upstream_unreachable", 502);
        assert_eq!(world.upstream.begun(), 1, "a POST is not sent again");
    }
}

#[test]
fn an_upstream_that_does_not_answer_in_time_has_timed_out() {
    let upstream = Upstream::that(|_| Answer::ok().after(Duration::from_secs(20)));
    let url = format!("http://127.0.0.1:{}", upstream.port);
    let world = World::before(upstream, |setup| {
        setup.policy(POLICY).upstreams(&format!("{{ app: {{ url: \"{url}\", timeout: 1s }} }}"))
    });
    let response = world.gate.send(&Request::get("/any/1").bearer(&Token::access().sign(&world.bank)));
    assert_eq!(response.status, 504);
    assert_eq!(response.header("www-authenticate"), None);
    assert_failed(&world.gate, "upstream_timeout", 504);
}

/// The failure is in the audit log, and counted.
fn assert_failed(gate: &Gate, reason: &str, status: u16) {
    let line = gate.audited("the failure is in the audit log", |line| line["reason"] == reason);
    assert_eq!((&line["decision"], &line["status"]), (&Value::from("allow"), &Value::from(status)));
    assert_counted(gate, reason);
}

#[test]
fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let world = World::before(Upstream::start(), |setup| setup.policy(POLICY).settings("limits: { body: 1KiB }"));
    let post = |size: usize| Request::post("/public/x", &"x".repeat(size));
    world.passes(&post(1024));
    let refused = world.refuses(&post(1025), 413, "body_too_large");
    assert_eq!(refused.header("www-authenticate"), None);
    assert_counted(&world.gate, "body_too_large");

    // Of chunks it is known only on the way, and the upstream never sees a whole request.
    let before = world.upstream.count();
    let mut wire = Wire::open(world.gate.port);
    wire.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        wire.send(b"200\r\n");
        wire.send(&[b'x'; 0x200]);
        wire.send(b"\r\n");
    }
    wire.send(b"0\r\n\r\n");
    assert_eq!(wire.response_to("POST").status, 413);
    assert_eq!(world.upstream.count(), before);
}

#[test]
fn a_head_that_is_too_long_or_too_slow_is_refused_and_the_gate_goes_on() {
    let world = World::before(Upstream::start(), |setup| {
        setup.policy(POLICY).settings("limits: { head: 4KiB, head_read: 1s }")
    });
    let long = world.gate.send(&Request::get("/healthz").header("X-Long", &"x".repeat(8 << 10)));
    assert!((400..500).contains(&long.status), "{}", long.status);
    let many = (0..150).fold(Request::get("/healthz"), |request, number| request.header(&format!("x-{number}"), "y"));
    assert!((400..500).contains(&world.gate.send(&many).status));

    let mut slow = Wire::open(world.gate.port);
    slow.send(b"GET /healthz HTTP/1.1\r\nHost: a");
    let answer = slow.try_response_to("GET");
    assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)));
    assert_eq!(world.upstream.begun(), 0);
    world.passes(&Request::get("/healthz"));
}
