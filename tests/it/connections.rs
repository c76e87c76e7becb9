//! Connections that carry more than one request.

use std::time::Duration;

use crate::support::{Request, Token, Wire, World};

#[test]
fn a_connection_goes_on_after_a_refusal() {
    let world = World::start();
    let port = world.gate.port;
    let token = Token::access().sign(&world.bank);
    let mut wire = Wire::open(port);
    for _ in 0..3 {
        wire.send(&Request::get("/any/1").bytes(port));
        assert_eq!(wire.response_to("GET").status, 401);
        wire.send(&Request::get("/nowhere").method("HEAD").bytes(port));
        assert_eq!(wire.response_to("HEAD").status, 403);
        wire.send(&Request::get("/any/1").bearer(&token).bytes(port));
        assert_eq!(wire.response_to("GET").body, "ok");
    }
    assert_eq!(world.upstream.count(), 3);
}

#[test]
fn what_one_request_brought_is_not_the_next_ones() {
    let world = World::start();
    let port = world.gate.port;
    let token = Token::access().sign(&world.bank);
    let mut wire = Wire::open(port);
    wire.send(&Request::get("/any/1").bearer(&token).bytes(port));
    assert_eq!(wire.response_to("GET").status, 200);
    wire.send(&Request::get("/any/1").bytes(port));
    assert_eq!(wire.response_to("GET").status, 401);
    wire.send(&Request::get("/healthz").bytes(port));
    assert_eq!(wire.response_to("GET").status, 200);
    assert_eq!(world.upstream.last().header("x-stepgate-subject"), None);
    assert_eq!(world.upstream.last().header("authorization"), None);
}

#[test]
fn requests_sent_at_once_are_judged_one_by_one_and_answered_in_order() {
    let world = World::start();
    let port = world.gate.port;
    let (strong, weak) = (Token::access().sign(&world.bank), Token::access().weak().sign(&world.bank));
    let mut bytes = Vec::new();
    let requests = [
        (Request::get("/strong/1").bearer(&strong), 200),
        (Request::get("/strong/2").bearer(&weak), 401),
        (Request::get("/strong/3"), 401),
        (Request::post("/any/4", "body of four").bearer(&weak), 200),
        (Request::get("/nowhere"), 403),
        (Request::get("/strong/5").bearer(&strong), 200),
    ];
    for (request, _) in &requests {
        bytes.extend(request.bytes(port));
    }
    let mut wire = Wire::open(port);
    wire.send(&bytes);
    for (_, status) in requests {
        assert_eq!(wire.response_to("GET").status, status);
    }
    let paths: Vec<_> = world.upstream.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, ["/strong/1", "/any/4", "/strong/5"]);
    assert_eq!(world.upstream.seen()[1].body, "body of four");
}

#[test]
fn the_body_of_a_refused_request_is_not_the_next_request() {
    let world = World::start();
    let port = world.gate.port;
    let body = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut wire = Wire::open(port);
    wire.send(&Request::post("/any/1", body).bytes(port));
    assert_eq!(wire.response_to("POST").status, 401);
    // Either the connection ends, or it goes on behind the body.
    wire.send(&Request::get("/nowhere").bytes(port));
    assert!(wire.try_response_to("GET").is_none_or(|response| response.status == 403));
    assert_eq!(wire.rest(Duration::from_millis(300)), b"");
    assert_eq!(world.upstream.begun(), 0);
}

#[test]
fn the_upstream_hears_of_many_requests_over_few_connections() {
    let world = World::start();
    let token = Token::access().sign(&world.bank);
    for _ in 0..20 {
        world.passes(&Request::get("/any/1").bearer(&token));
    }
    let connections = world.upstream.seen().iter().map(|seen| seen.connection).max().unwrap();
    assert!(connections < 20, "a new connection for every request");
}
