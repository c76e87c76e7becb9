//! Clients of HTTP/1.0, and what few clients of HTTP/1.1 do: `OPTIONS *`, `Expect`.

use std::io::Write;

use stepgate::Reason;

use super::gate::gate;
use super::upstream::{Upstream, read_body};

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";

#[test]
fn a_client_of_http_1_0_that_wants_to_go_on_is_told_that_it_may() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    for number in 0..3 {
        let response = client.ask(format!(
            "POST /public/{number} HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi"
        ));
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
        assert_eq!(response.field("connection"), Some("keep-alive"));
    }
    let answer = client.send("GET /public/last HTTP/1.0\r\nHost: a\r\n\r\n").rest();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
    let asked = ["POST /public/0", "POST /public/1", "POST /public/2", "GET /public/last"];
    assert_eq!(lines, asked.map(|line| format!("{line} HTTP/1.1")), "the upstream is asked in HTTP/1.1");
}

#[test]
fn chunks_are_no_answer_to_a_client_of_http_1_0_and_its_connection_ends_with_what_has_no_length() {
    let upstream = Upstream::answering(CHUNKED);
    let gate = gate(&upstream);
    for connection in ["", "Connection: keep-alive\r\n"] {
        let asked = format!("GET /public HTTP/1.0\r\nHost: a\r\n{connection}\r\n");
        let answer = gate.client().send(asked).rest();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("keep-alive"), "{head}");
        assert_eq!(body, "hello");
    }
    // To HTTP/1.1 the same goes in chunks, and the connection goes on.
    let mut client = gate.client();
    for _ in 0..2 {
        let response = client.ask("GET /public HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
        assert_eq!((response.body.as_str(), response.trailers.as_str()), ("hello", "x-sum: 1\r\n"));
    }
}

#[test]
fn head_in_http_1_0_has_the_length_and_no_body() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    let answer = gate(&upstream).client().send("HEAD /public HTTP/1.0\r\nHost: a\r\n\r\n").rest();
    assert!(answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_refusal_and_a_request_without_host_are_the_same_in_http_1_0() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    gate.refused("GET /accounts HTTP/1.0\r\nHost: a\r\n\r\n", Reason::TokenMissing, 401, &upstream);
    gate.refused("GET /public HTTP/1.0\r\n\r\n", Reason::RequestMalformed, 400, &upstream);
}

#[test]
fn options_of_no_path_is_on_no_route() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for bytes in ["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.0\r\nHost: a\r\n\r\n"] {
        gate.refused(bytes, Reason::RouteNone, 403, &upstream);
    }
    assert_eq!(gate.ask("OPTIONS /public HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
}

#[test]
fn a_client_of_http_1_0_is_not_told_to_continue() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let asked = "POST /public HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let answer = gate.client().send(asked).send("hi").rest();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(upstream.only().body, b"hi");
}

#[test]
fn what_an_upstream_answers_before_it_has_a_body_that_was_waited_for_passes() {
    let upstream = Upstream::scripted(|seen, stream| {
        let refused = seen.line().contains("/refused");
        if !refused {
            read_body(seen, stream);
        }
        let status = if refused { "413 Payload Too Large\r\nconnection: close" } else { "200 OK" };
        write!(stream.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno").is_ok() && !refused
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send("POST /public/refused HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    let mut response = client.head();
    if response.status == 100 {
        response = client.head();
    }
    assert_eq!(response.status, 413);
    // What the client sends in the place of the body is no request: the beginning of it is the body, or nobody reads it.
    drop(client.0.get_mut().write_all(b"GET /public/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(!client.rest().contains("200 OK"));
    assert_eq!(gate.get("/public/1", None).status, 200);
    let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(lines, ["POST /public/refused HTTP/1.1", "GET /public/1 HTTP/1.1"]);
}

#[test]
fn an_expectation_that_nobody_can_meet_is_refused_and_the_connection_ends() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let asked = "POST /public HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nhi";
    let response = gate.refused(asked, Reason::RequestMalformed, 400, &upstream);
    assert_eq!(response.field("connection"), Some("close"));
}
