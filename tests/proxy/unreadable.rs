//! Heads that are no requests: answered and recorded like any other refusal, and the end of their connection.

use std::io::Write;
use std::thread;
use std::time::Duration;

use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::client::{Client, get};
use super::gate::{Running1, Setup, assert_only_known_fields, gate};
use super::upstream::{Upstream, eventually, read_body};

/// Reads the one answer to an unreadable head and checks it against the record.
#[track_caller]
fn refused(gate: &Running1, client: &mut Client, status: u16, what: &str) {
    let response = client.response();
    assert_eq!(response.status, status, "{what}");
    assert_only_known_fields(&response);
    let body = response.json();
    assert_eq!((body["reason"].as_str(), body["status"].as_u64()), (Some("request_malformed"), Some(status.into())));
    assert_eq!(body["request_id"].as_str(), response.field("x-request-id"), "{what}");
    assert_eq!(response.field("connection"), Some("close"), "{what}");
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "{what}");
    assert_eq!(client.rest(), "", "nothing follows: {what}");
    let noted = gate.decided().pop().unwrap();
    assert_eq!(
        (noted.reason, noted.status, noted.route),
        (Some(Reason::RequestMalformed), Some(status), None),
        "{what}"
    );
    assert_eq!((noted.method.as_str(), noted.host.as_str(), noted.path.as_str()), ("", "", ""), "{what}");
    assert_eq!(Some(noted.id.as_str()), response.field("x-request-id"), "{what}");
    assert!(!noted.detail.is_empty(), "{what}");
}

const UNREADABLE: [(&str, u16); 14] = [
    ("HELLO\r\n\r\n", 400),
    ("GET /public HTTP/3.0\r\n\r\n", 400),
    ("GET  /public HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GE(T /public HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /public HTTP/1.1\r\nHo st: a\r\n\r\n", 400),
    ("GET /public HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET /public HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    ("GET /public HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
    ("GET /public HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
    ("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
    ("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    ("\x16\x03\x01\x02\0\x01\0\x01\x03\x03", 400),
    ("GET /public[\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http:///public HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

#[test]
fn an_unreadable_head_gets_a_problem_document_and_a_record() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for (number, (head, status)) in UNREADABLE.into_iter().enumerate() {
        let mut client = gate.client();
        client.send(head);
        refused(&gate, &mut client, status, head);
        assert_eq!(gate.decided().len(), number + 1, "one record each: {head}");
        assert_eq!(*gate.notes.unreadable.lock().unwrap(), number + 1);
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_head_over_the_limits_is_431_with_a_problem_document() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let long = "x".repeat(33 << 10);
    for head in [
        format!("GET /public HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
        format!("GET /public HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)),
        format!("GET /public/{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut client = gate.client();
        client.send(&head);
        refused(&gate, &mut client, 431, &head[..40]);
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn an_unreadable_head_behind_others_is_answered_in_its_turn() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(150));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = gate(&upstream);
    for (head, status) in UNREADABLE {
        for before in [
            get("/public/1", None),
            "POST /public/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into(),
        ] {
            let mut client = gate.client();
            client.send(format!("{before}{}{head}{}", get("/accounts", None), get("/public/never", None)));
            assert_eq!(client.response().body, "ok", "{head}");
            assert_eq!(client.response().status, 401, "{head}");
            refused(&gate, &mut client, status, head);
        }
    }
    assert!(!upstream.seen().iter().any(|seen| seen.head.contains("never")));
}

#[test]
fn an_unreadable_head_spoils_no_long_answer_before_it() {
    const SIZE: usize = 8 << 20;
    let upstream = Upstream::scripted(|_, stream| {
        let out = stream.get_mut();
        write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n").unwrap();
        out.write_all(&vec![b'x'; SIZE]).is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send(format!("{}HELLO\r\n\r\n", get("/public", None)));
    // The client reads late, so that much of the answer waits while the next head is already there.
    thread::sleep(Duration::from_millis(300));
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (200, SIZE));
    assert!(response.body.bytes().all(|byte| byte == b'x'));
    refused(&gate, &mut client, 400, "behind a long answer");
}

#[test]
fn an_answer_of_an_upstream_that_looks_like_one_of_ours_is_passed() {
    let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let upstream = Upstream::answering(bare);
    let gate = gate(&upstream);
    let mut client = gate.client();
    for _ in 0..3 {
        let response = client.ask(get("/public", None));
        assert_eq!((response.status, response.field("content-length")), (400, Some("0")));
    }
    let body = Upstream::answering(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{bare}", bare.len()));
    let gate = super::gate::gate(&body);
    assert_eq!(gate.client().ask(get("/public", None)).body, bare);
    assert!(gate.decided().iter().all(|noted| noted.reason.is_none()));
}

#[test]
fn requests_sent_ahead_in_pieces_are_all_answered() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = gate.client();
    let all: String = (0..50).map(|number| get(&format!("/public/{number}"), None)).collect();
    for piece in all.as_bytes().chunks(37) {
        client.send(piece);
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..50 {
        assert_eq!(client.response().status, 200);
    }
    let paths: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(paths, (0..50).map(|number| format!("GET /public/{number} HTTP/1.1")).collect::<Vec<_>>());
}

#[test]
fn an_unreadable_head_that_cannot_be_recorded_is_refused_as_overload() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    *gate.notes.blocked.lock().unwrap() = true;
    let response = gate.client().ask("HELLO\r\n\r\n");
    assert_eq!((response.status, response.json()["reason"].as_str()), (503, Some("overloaded")));
    assert_eq!(response.field("retry-after"), Some("1"));
}

#[test]
fn a_client_that_sends_nonsense_and_reads_nothing_is_let_go() {
    let upstream = Upstream::plain();
    let limits = Limits { idle: Duration::from_millis(800), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = gate.client();
    client.send("HELLO\r\n\r\n");
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 1);
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
    assert_eq!(client.response().status, 400);
}
