//! A connection to an upstream is used again only when nothing is left on it: neither of a request nor of an answer.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::client::get;
use super::gate::gate;
use super::upstream::{Seen, Upstream, eventually, read_body};

/// An answer that nobody asked for, to be found by the next request if anything of the last one is left over.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers `/public/odd` with `answer` and everything else with `ok`, on whatever connection.
fn odd(answer: &str) -> Upstream {
    let answer = answer.to_owned();
    Upstream::scripted(move |seen, stream| {
        read_body(seen, stream);
        let answer = if seen.line().contains("/odd") { &answer } else { OK };
        stream.get_mut().write_all(answer.as_bytes()).is_ok()
    })
}

/// On which connections the requests came.
fn connections(upstream: &Upstream) -> Vec<usize> {
    upstream.seen().iter().map(|seen| seen.connection).collect()
}

#[test]
fn what_an_upstream_sends_beyond_its_answer_is_nobodys_answer() {
    for (request, answer, status) in [
        ("GET", format!("{OK}{SMUGGLED}"), 200),
        ("GET", format!("{OK}\r\n"), 200),
        ("HEAD", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), 200),
        ("HEAD", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{SMUGGLED}"), 200),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{SMUGGLED}"), 204),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\ncontent-length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), 304),
        ("GET", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{SMUGGLED}"), 200),
        ("GET", format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n{SMUGGLED}"), 200),
    ] {
        let upstream = odd(&answer);
        let gate = gate(&upstream);
        for round in 0..3 {
            let mut client = gate.client();
            assert_eq!(client.send(format!("{request} /public/odd HTTP/1.1\r\nHost: a\r\n\r\n")).head().status, status);
            // At once, and when all has arrived.
            if round == 1 {
                thread::sleep(Duration::from_millis(50));
            }
            let next = gate.get("/public/next", None);
            assert_eq!((next.status, next.body.as_str()), (200, "ok"), "{answer:?}");
        }
        let seen = upstream.seen();
        let odd_ones: Vec<&Seen> = seen.iter().filter(|seen| seen.line().contains("/odd")).collect();
        for odd in odd_ones {
            let last = seen.iter().rfind(|seen| seen.connection == odd.connection).unwrap();
            assert_eq!(last.line(), odd.line(), "nothing is asked after it on its connection: {answer:?}");
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_on_an_idle_connection_ends_it() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        stream.get_mut().write_all(OK.as_bytes()).unwrap();
        if seen.line().contains("/odd") {
            let late: TcpStream = stream.get_ref().try_clone().unwrap();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                let _gone = (&late).write_all(SMUGGLED.as_bytes());
            });
        }
        true
    });
    let gate = gate(&upstream);
    for _ in 0..3 {
        assert_eq!(gate.get("/public/odd", None).body, "ok");
        thread::sleep(Duration::from_millis(150));
        assert_eq!(gate.get("/public/next", None).body, "ok");
    }
    let seen = connections(&upstream);
    assert_ne!(seen[0], seen[1]);
    assert_ne!(seen[2], seen[3]);
}

#[test]
fn an_answer_that_ends_before_its_length_is_cut_for_the_client_too() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let upstream = Upstream::scripted(move |seen, stream| {
            read_body(seen, stream);
            let _ = stream.get_mut().write_all(answer.as_bytes());
            false
        });
        let gate = gate(&upstream);
        let mut client = gate.client();
        let rest = client.send(get("/public", None)).rest();
        assert!(rest.contains("half") && !rest.ends_with("0\r\n\r\n"), "{rest}");
        assert_eq!(upstream.seen().len(), 1, "it is not asked again");
    }
}

#[test]
fn one_connection_serves_requests_with_and_without_a_body_by_turns() {
    let upstream = odd("");
    let gate = gate(&upstream);
    for _turn in 0..3 {
        for request in [
            get("/public/next", None),
            "POST /public/next HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".to_owned(),
            "DELETE /public/next HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "PUT /public/next HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
        ] {
            let answer = gate.client().ask(request);
            assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
        }
    }
    assert_eq!(connections(&upstream), [0; 12]);
}

#[test]
fn interim_answers_in_any_number_leave_the_connection_as_it_is() {
    let upstream = odd(&format!(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{OK}"
    ));
    let gate = gate(&upstream);
    for _ in 0..5 {
        assert_eq!(gate.get("/public/odd", None).body, "ok");
        assert_eq!(gate.get("/public/next", None).body, "ok");
    }
    assert!(connections(&upstream).iter().all(|connection| *connection == 0));
}

#[test]
fn an_interim_answer_after_the_answer_is_not_taken_for_the_next_ones_beginning() {
    let upstream = odd(&format!("{OK}HTTP/1.1 100 Continue\r\n\r\n"));
    let gate = gate(&upstream);
    assert_eq!(gate.get("/public/odd", None).body, "ok");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(gate.get("/public/next", None).body, "ok");
    assert_eq!(connections(&upstream), [0, 1]);
}

#[test]
fn a_connection_on_which_a_body_is_still_to_be_sent_is_not_given_to_another_request() {
    // Answers before it has read the body: whether that comes or not, what is sent next would be taken for a part of it.
    let upstream = Upstream::scripted(|seen, stream| {
        if !seen.line().starts_with("POST") {
            read_body(seen, stream);
        }
        stream.get_mut().write_all(OK.as_bytes()).is_ok() && !seen.line().starts_with("POST") || {
            thread::sleep(Duration::from_millis(300));
            false
        }
    });
    let gate = gate(&upstream);
    for head in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut slow = gate.client();
        assert_eq!(slow.send(format!("POST /public/early HTTP/1.1\r\nHost: a\r\n{head}")).response().body, "ok");
        let before = upstream.seen().len();
        assert_eq!(gate.get("/public/next", None).body, "ok");
        let seen = upstream.seen();
        let early = seen.iter().rfind(|seen| seen.line().starts_with("POST")).unwrap();
        assert_ne!(seen[before].connection, early.connection);
        drop(slow);
    }
}

#[test]
fn an_answer_that_the_client_did_not_take_to_its_end_takes_its_connection_with_it() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        if !seen.line().contains("/odd") {
            return stream.get_mut().write_all(OK.as_bytes()).is_ok();
        }
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n");
        while stream.get_mut().write_all(&[b'x'; 8000]).is_ok() {}
        false
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    assert_eq!(client.send(get("/public/odd", None)).head().status, 200);
    drop(client);
    upstream.wait_closed(1);
    assert_eq!(gate.get("/public/next", None).body, "ok");
    assert_eq!(connections(&upstream), [0, 1]);
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
}
