//! Responses and connections: what comes back, and when a connection is used again.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::get;
use super::gate::gate;
use super::upstream::{Upstream, read_body};

#[test]
fn both_sides_keep_their_connections() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    for _ in 0..5 {
        assert_eq!(client.ask(get("/public", None)).body, "ok");
        assert_eq!(client.ask("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").body, "ok");
        assert_eq!(
            client
                .ask("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                .body,
            "ok"
        );
        assert_eq!(client.ask(get("/accounts", None)).status, 401, "a refusal keeps it too");
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 15);
    assert!(seen.iter().all(|seen| seen.connection == 0), "one connection to the upstream");
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let answer = format!("{} {}", seen.line(), String::from_utf8_lossy(&seen.body));
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    let mut all = String::new();
    for number in 0..40 {
        all += &format!("POST /public/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}");
        all += &get("/accounts", None);
    }
    client.send(all);
    for number in 0..40 {
        assert_eq!(client.response().body, format!("POST /public/{number} HTTP/1.1 {number:02}"));
        assert_eq!(client.response().status, 401);
    }
}

#[test]
fn a_head_request_and_answers_without_a_body_pass_as_they_are() {
    for (request, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n", Some("1234")),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\netag: \"x\"\r\n\r\n", None),
    ] {
        let upstream = Upstream::answering(answer);
        let gate = gate(&upstream);
        let mut client = gate.client();
        let response = client.send(format!("{request} /public HTTP/1.1\r\nHost: a\r\n\r\n")).head();
        assert_eq!((response.field("etag"), response.field("content-length")), (Some("\"x\""), length), "{answer}");
        assert_eq!(client.send("HEAD /public HTTP/1.1\r\nHost: a\r\n\r\n").head().field("etag"), Some("\"x\""));
        assert!(upstream.seen().iter().all(|seen| seen.connection == 0));
    }
}

#[test]
fn what_is_between_the_upstream_and_us_stays_there() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-inner\r\nkeep-alive: timeout=5\r\nx-inner: 1\r\nx-outer: 1\r\n\
         set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n",
    );
    let response = gate(&upstream).get("/public", None);
    assert_eq!(
        (response.field("x-inner"), response.field("keep-alive"), response.field("x-outer")),
        (None, None, Some("1"))
    );
    assert_eq!(response.fields.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
}

#[test]
fn an_interim_answer_is_not_taken_for_the_answer() {
    let upstream = Upstream::answering(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let gate = gate(&upstream);
    let response = gate.get("/public", None);
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
}

#[test]
fn an_answer_of_unknown_length_is_passed_to_old_and_new_clients() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
    let gate = gate(&upstream);
    assert_eq!(gate.get("/public", None).body, "until the end");
    let mut old = gate.client();
    let answer = old.send("GET /public HTTP/1.0\r\nHost: a\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nuntil the end"), "{answer}");
    let chunked = Upstream::answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = super::gate::gate(&chunked).client().send("GET /public HTTP/1.0\r\nHost: a\r\n\r\n").rest();
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn trailers_pass_both_ways_without_what_only_we_may_say() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n",
    );
    let gate = gate(&upstream);
    let response = gate.ask(
        "POST /public HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-sum, x-stepgate-level, x_stepgate_acr\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\nx-stepgate-level: top\r\nx_stepgate_acr: top\r\n\r\n",
    );
    assert_eq!((response.body.as_str(), response.trailers.as_str()), ("ok", "x-sum: 2\r\n"));
    let seen = upstream.only();
    assert_eq!((seen.body.as_slice(), seen.trailers.as_str()), (&b"hi"[..], "x-sum: 1\r\n"));
}

#[test]
fn a_request_is_sent_again_only_where_nothing_is_done_twice() {
    // The second request on a connection is read and not answered: the upstream closes in that very moment.
    let served = AtomicUsize::new(0);
    let upstream = Upstream::scripted(move |seen, stream| {
        read_body(seen, stream);
        let odd = served.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        odd && stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = gate(&upstream);
    assert_eq!(gate.get("/public/1", None).status, 200);
    assert_eq!(gate.get("/public/2", None).status, 200, "sent again, on a new connection");
    let lines =
        |upstream: &Upstream| upstream.seen().iter().map(|seen| seen.line()[..13].to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&upstream), ["GET /public/1", "GET /public/2", "GET /public/2"]);
    let response = gate.ask("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(response.status, 502, "a change is never sent twice");
    assert_eq!(upstream.seen().len(), 4);
    assert_eq!(gate.get("/public/3", None).status, 200);
}

#[test]
fn a_connection_that_the_upstream_closed_meanwhile_is_not_used() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let gate = gate(&upstream);
    for number in 0..5 {
        let response = gate.ask("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(response.status, 200);
        assert_eq!(upstream.seen().len(), number + 1);
    }
}

#[test]
fn the_target_is_sent_in_origin_form_whatever_the_client_sent() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    gate.ask("GET http://api.example/public/a?b=%20 HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert_eq!(upstream.only().line(), "GET /public/a?b=%20 HTTP/1.1");
    gate.ask("GET /public/old HTTP/1.0\r\nHost: api.example\r\n\r\n");
    assert_eq!(upstream.seen()[1].line(), "GET /public/old HTTP/1.1");
}

#[test]
fn a_policy_that_is_swapped_holds_for_the_next_request_on_an_open_connection() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    assert_eq!(client.ask(get("/public", None)).status, 200);
    let parts = stepgate::policy::PolicyParts {
        ladders: Default::default(),
        issuers: Vec::new(),
        claims: Default::default(),
        floors: Vec::new(),
        routes: Vec::new(),
        hash: "sha256:empty".into(),
    };
    let policy = stepgate::policy::Policy::new(parts).unwrap();
    gate.live.swap(stepgate::live::Snapshot {
        policy,
        upstream_of_route: Vec::new(),
        metadata: None,
        files: std::sync::Arc::default(),
    });
    assert_eq!(client.ask(get("/public", None)).status, 403, "an empty policy lets nothing through");
}
