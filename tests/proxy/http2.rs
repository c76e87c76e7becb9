//! HTTP/2 from clients: the same walk, the same answers, other limits.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::client::Client;
use super::gate::{Running1, Setup, assert_only_known_fields, gate};
use super::h2_client::{
    ACK, DATA, END_HEADERS, END_STREAM, GO_AWAY, H2, HEADERS, PING, PREFACE, RESET, Raw, SETTINGS, block, frame, get,
    get_block, request,
};
use super::upstream::{Upstream, eventually, read_body};

fn impatient(upstream: &Upstream) -> Running1 {
    let limits =
        Limits { head_read: Duration::from_millis(600), idle: Duration::from_millis(1500), ..Limits::default() };
    Setup { limits, ..Setup::default() }.start(upstream.address)
}

#[test]
fn both_protocols_are_spoken_on_one_port_by_what_the_client_sends_first() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let response = client.ask(get("/public/a?b=%2e", None));
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    assert_eq!(gate.get("/public/a", None).status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[0].line(), "GET /public/a?b=%2e HTTP/1.1");
    assert_eq!(seen[0].field("host"), Some("api.example"));
    assert_eq!(seen[0].field("x-forwarded-host"), Some("api.example"));
    assert_eq!(seen[0].field("x-forwarded-proto"), Some("http"));
    assert_eq!(gate.decided()[0].host, "api.example");
}

#[test]
fn a_preface_that_comes_byte_by_byte_is_one_and_one_that_stops_is_cut_off() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut stream = std::net::TcpStream::connect(gate.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for byte in PREFACE {
        stream.write_all(&[*byte]).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    let mut raw = Raw(stream);
    raw.send(&frame(SETTINGS, 0, 0, &[]));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/public")));
    assert_eq!(raw.until(HEADERS).unwrap().stream, 1);
    // As far as POST and the preface are alike, and no more.
    for begun in [&b"P"[..], b"PRI * HTTP/2.0\r\n"] {
        let started = Instant::now();
        let mut client = gate.client();
        assert!(client.send(begun).rest().is_empty());
        assert!(started.elapsed() < Duration::from_millis(1300), "{:?}", started.elapsed());
    }
}

#[test]
fn a_first_head_that_drips_in_has_one_limit_for_all_of_it() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut client = gate.client();
    let started = Instant::now();
    for byte in b"PRI" {
        let _ = client.0.get_mut().write_all(&[*byte]);
        thread::sleep(Duration::from_millis(150));
    }
    client.send("X");
    assert!(client.is_closed());
    assert!(started.elapsed() < Duration::from_millis(1200), "{:?}", started.elapsed());
}

#[test]
fn every_reason_has_its_answer_and_its_record_over_http_2_too() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for reason in Reason::ALL {
        let path = "/accounts/7";
        let token = format!("bad.{reason}");
        let fields = format!("Authorization: Bearer {token}\r\nX-Request-Id: same\r\n");
        let old = gate.ask(format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n"));
        let authorization = format!("Bearer {token}");
        let new = client.ask(request("GET", path, &[("authorization", &authorization), ("x-request-id", "same")]));
        assert_eq!((new.status, &new.body), (old.status, &old.body), "{reason}");
        assert_only_known_fields(&new);
        assert_eq!(new.field("connection"), None);
        for name in ["www-authenticate", "retry-after", "content-length", "x-request-id"] {
            assert_eq!(new.field(name), old.field(name), "{reason}: {name}");
        }
        let noted = gate.decided();
        assert_eq!(noted[noted.len() - 1], noted[noted.len() - 2], "{reason}");
        assert_eq!(noted[noted.len() - 1].reason, Some(*reason));
    }
    assert!(upstream.seen().is_empty());
}

/// Asks for something that is refused for this reason.
#[track_caller]
fn refused(gate: &Running1, client: &mut H2, request: http::Request<()>, reason: Reason, status: u16) {
    let response = client.ask(request);
    assert_eq!(response.status, status, "{response:?}");
    let noted = gate.decided().pop().unwrap();
    assert_eq!((noted.reason, noted.status), (Some(reason), Some(status)));
}

#[test]
fn t6_t11_a_request_that_can_be_read_in_two_ways_is_400() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for fields in [&[("host", "other.example")][..], &[("host", "api.example"), ("host", "api.example")]] {
        refused(&gate, &mut client, request("GET", "/public", fields), Reason::RequestMalformed, 400);
    }
    assert_eq!(client.ask(request("GET", "/public", &[("host", "API.example")])).status, 200);
    for uri in ["http://user@api.example/public", "ftp://api.example/public"] {
        let request = http::Request::builder().uri(uri).body(()).unwrap();
        refused(&gate, &mut client, request, Reason::RequestMalformed, 400);
    }
    for method in ["TRACE", "get"] {
        refused(&gate, &mut client, request(method, "/public", &[]), Reason::RequestMalformed, 400);
    }
    let connect = http::Request::builder().method("CONNECT").uri("api.example:80").body(()).unwrap();
    refused(&gate, &mut client, connect, Reason::RequestMalformed, 400);
    refused(&gate, &mut client, get("/public/%2fadmin", None), Reason::PathAmbiguous, 400);
    assert_eq!(upstream.seen().len(), 1);
    // Neither names a host.
    let mut raw = Raw::to(gate.address);
    let headless = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/public")]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &headless));
    assert!(raw.until(HEADERS).is_some());
    assert_eq!(gate.decided().pop().unwrap().reason, Some(Reason::RequestMalformed));
    // No path stands before the query, with the host where HTTP/1.1 has it and where HTTP/2 has it.
    for host in ["host", ":authority"] {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "?/public"), (host, "api.example")];
        fields.sort_unstable();
        let mut raw = Raw::to(gate.address);
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
        assert!(raw.until(HEADERS).is_some());
        assert_eq!(gate.decided().pop().unwrap().reason, Some(Reason::PathAmbiguous), "{host}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn fields_that_are_of_a_connection_are_no_part_of_a_request() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for (name, value) in [("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "websocket")] {
        let mut raw = Raw::to(gate.address);
        let bad = [get_block("/public"), block(&[(name, value)])].concat();
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bad));
        assert_eq!(raw.until(RESET).unwrap().stream, 1, "{name}");
    }
    assert!(upstream.seen().is_empty());
    let mut client = H2::to(gate.address);
    assert_eq!(client.ask(request("GET", "/public", &[("te", "trailers")])).status, 200);
    // Said anew on the connection to the upstream, which wants it listed (RFC 9110 section 10.1.4).
    let seen = upstream.only();
    assert_eq!((seen.field("te"), seen.field("connection")), (Some("trailers"), Some("te")));
}

#[test]
fn cookies_in_several_fields_are_read_and_forwarded_as_one() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let fields = [("cookie", "a=1"), ("cookie", "session=high"), ("cookie", "b=2; c=3")];
    assert_eq!(client.ask(request("GET", "/app/x", &fields)).status, 200);
    assert_eq!(upstream.only().field("cookie"), Some("a=1; session=high; b=2; c=3"));
    let twice = [("cookie", "session=high"), ("cookie", "session=low")];
    refused(&gate, &mut client, request("GET", "/app/x", &twice), Reason::TokenDuplicate, 400);
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nkeep-alive: timeout=5\r\nconnection: x-hop\r\nx-hop: 1\r\n\
         trailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\nconnection: close\r\n\r\n",
    );
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let mut asked = client.begin(request("POST", "/public", &[("trailer", "x-sum")]), false).unwrap();
    asked.body.send_data(Bytes::from_static(b"hi"), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("x-stepgate-level", "top".parse().unwrap());
    asked.body.send_trailers(trailers).unwrap();
    let response = client.wait(asked).unwrap();
    assert_eq!((response.body.as_str(), response.trailers.as_str()), ("ok", "x-sum: 2\r\n"));
    for name in ["connection", "keep-alive", "transfer-encoding", "x-hop"] {
        assert_eq!(response.field(name), None);
    }
    let seen = upstream.only();
    assert_eq!((seen.body.as_slice(), seen.trailers.as_str()), (&b"hi"[..], "x-sum: 1\r\n"));
    assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
    let mut asked = client.begin(request("PUT", "/public", &[("content-length", "2")]), false).unwrap();
    asked.body.send_data(Bytes::from_static(b"hi"), true).unwrap();
    assert_eq!(client.wait(asked).unwrap().status, 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.body.as_slice(), seen.field("content-length")), (&b"hi"[..], Some("2")));
}

#[test]
fn responses_without_a_body_have_none_and_keep_their_length() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let answer = match seen.line().split(' ').nth(1).unwrap() {
            "/public/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/public/304" => "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        };
        stream.get_mut().write_all(answer.as_bytes()).is_ok()
    });
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for (method, path, status, length) in [
        ("HEAD", "/public", 200, Some("5")),
        ("GET", "/public/204", 204, None),
        ("GET", "/public/304", 304, Some("5")),
        ("HEAD", "/accounts", 401, Some("338")),
    ] {
        let response = client.ask(request(method, path, &[]));
        assert_eq!((response.status, response.body.as_str()), (status, ""), "{path}");
        assert_eq!(response.field("content-length").is_some(), length.is_some(), "{path}");
    }
}

#[test]
fn a_long_download_arrives_whole() {
    let body = "0123456789abcdef".repeat(64 << 10);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let upstream = Upstream::answering(&answer);
    let gate = gate(&upstream);
    let response = H2::to(gate.address).ask(get("/public", None));
    assert!(response.body == body && response.field("content-length") == Some(&body.len().to_string()));
}

#[test]
fn a_refused_upload_gets_its_answer_and_the_connection_goes_on() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for _ in 0..3 {
        let mut asked = client.begin(request("POST", "/accounts", &[]), false).unwrap();
        // Eight megabytes: more than any window, so nobody could send it all.
        // The answer may be here before it is handed over.
        let _ = asked.body.send_data(Bytes::from(vec![b'x'; 8 << 20]), true);
        let response = client.wait(asked).unwrap();
        assert_eq!((response.status, response.json()["reason"].as_str()), (401, Some("token_missing")));
    }
    assert_eq!(client.ask(get("/public", None)).status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_refused_body_that_is_not_long_is_taken_to_its_end_and_a_long_one_is_stopped() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    let post = block(&[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/accounts")]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &post));
    assert_eq!(raw.until(HEADERS).unwrap().stream, 1);
    assert_eq!(raw.until(DATA).unwrap().flags & END_STREAM, END_STREAM, "the answer does not wait for it");
    thread::sleep(Duration::from_millis(100));
    raw.send(&frame(DATA, END_STREAM, 1, b"a=b"));
    raw.send(&frame(PING, 0, 0, &[0; 8]));
    // Some clients take any reset for a failure, whatever they were answered before.
    while let Some(next) = raw.frame() {
        assert_ne!(next.kind, RESET);
        if next.kind == PING {
            break;
        }
    }
    raw.send(&frame(HEADERS, END_HEADERS, 3, &post));
    let started = Instant::now();
    let reset = raw.until(RESET).unwrap();
    assert_eq!((reset.stream, reset.code()), (3, 0), "NO_ERROR");
    assert!(started.elapsed() < Duration::from_millis(3500), "{:?}", started.elapsed());
}

#[test]
fn a_body_over_the_limit_is_refused_while_it_comes() {
    let upstream = Upstream::plain();
    let limits = Limits { body: Some(10), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = H2::to(gate.address);
    let mut asked = client.begin(request("POST", "/public", &[]), false).unwrap();
    asked.body.send_data(Bytes::from_static(b"more than ten bytes"), true).unwrap();
    assert_eq!(client.wait(asked).unwrap().status, 413);
    assert_eq!(client.ask(get("/public", None)).status, 200);
}

#[test]
fn more_fields_than_the_limit_are_431_with_our_own_words_in_both_protocols() {
    let upstream = Upstream::plain();
    let limited =
        |headers| Setup { limits: Limits { headers, ..Limits::default() }, ..Setup::default() }.start(upstream.address);
    let gate = limited(10);
    let mut client = H2::to(gate.address);
    let fields = |count| vec![("x", "y"); count];
    assert_eq!(client.ask(request("GET", "/public", &fields(9))).status, 200);
    refused(&gate, &mut client, request("GET", "/public", &fields(11)), Reason::RequestMalformed, 431);
    let old = |count: usize| format!("GET /public HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(gate.ask(old(9)).status, 200);
    let response = gate.refused(old(10), Reason::RequestMalformed, 431, &upstream);
    assert_eq!(response.json()["reason"], "request_malformed");
    assert_eq!(response.json()["status"], 431);
    let gate = limited(150);
    assert_eq!(gate.ask(old(149)).status, 200, "more than hyper has room for by itself");
    assert_eq!(H2::to(gate.address).ask(request("GET", "/public", &fields(149))).status, 200);
}

#[test]
fn a_head_over_the_limit_is_431_and_the_connection_goes_on() {
    let upstream = Upstream::plain();
    let limits = Limits { head: 16 << 10, ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let long = "x".repeat(12 << 10);
    let mut client = H2::to(gate.address);
    assert_eq!(client.ask(request("GET", "/public", &[("x-long", &long)])).status, 200);
    // The library on this side knows the limit and would not send it.
    let mut raw = Raw::to(gate.address);
    let field = |number: usize| block(&[(&format!("x-{number}"), "y".repeat(100).as_str())]);
    let mut bytes = get_block("/public");
    (0..125).for_each(|number| bytes.extend(field(number)));
    let (first, rest) = bytes.split_at(10 << 10);
    raw.send(&frame(HEADERS, END_STREAM, 1, first));
    raw.send(&frame(9, END_HEADERS, 1, rest));
    let head = raw.until(HEADERS).unwrap();
    assert_eq!((head.stream, head.flags & END_STREAM), (1, END_STREAM), "the library's own 431");
    assert_eq!(gate.decided().len(), 1);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &get_block("/public")));
    assert_eq!(raw.until(HEADERS).unwrap().stream, 3);
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn requests_over_the_limit_are_refused_before_anything_else_is_done() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        if seen.line().contains("slow") {
            thread::sleep(Duration::from_millis(600));
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let limits = Limits { requests: 2, ..Limits::default() };
    let gate = Setup { limits, workers: 2, ..Setup::default() }.start(upstream.address);
    let mut client = H2::to(gate.address);
    let slow = [(); 2].map(|()| client.begin(get("/public/slow", None), true).unwrap());
    eventually(|| upstream.seen().len() == 2);
    refused(&gate, &mut client, get("/public", None), Reason::Overloaded, 503);
    let response = gate.refused(super::client::get("/accounts", None), Reason::Overloaded, 503, &upstream);
    assert_eq!(response.field("retry-after"), Some("1"));
    for asked in slow {
        assert_eq!(client.wait(asked).unwrap().status, 200);
    }
    eventually(|| gate.get("/public", None).status == 200);
    assert_eq!(client.ask(get("/public", None)).status, 200, "what is answered makes room");
}

#[test]
fn clients_are_told_the_limits() {
    let upstream = Upstream::plain();
    let limits = Limits { streams: 7, head: 20 << 10, ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut raw = Raw::to(gate.address);
    let settings = raw.until(SETTINGS).unwrap();
    let told: std::collections::BTreeMap<u16, u32> = settings
        .payload
        .chunks(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes(one[2..6].try_into().unwrap())))
        .collect();
    // The last one offers extended CONNECT (RFC 8441).
    for (setting, value) in [(3, 7), (4, 64 << 10), (5, 16 << 10), (6, 20 << 10), (1, 4 << 10), (8, 1)] {
        assert_eq!(told.get(&setting), Some(&value), "{told:?}");
    }
}

#[test]
fn a_stream_over_the_limit_is_refused_alone() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(500));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let limits = Limits { streams: 2, ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut raw = Raw::to(gate.address);
    for stream in [1, 3, 5] {
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_block("/public")));
    }
    let reset = raw.until(RESET).unwrap();
    assert_eq!((reset.stream, reset.code()), (5, 7), "REFUSED_STREAM");
    assert!(raw.until(HEADERS).is_some() && raw.until(HEADERS).is_some());
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn a_connection_that_asks_nothing_is_ended_with_goaway_at_the_idle_limit() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut client = H2::to(gate.address);
    assert_eq!(client.ask(get("/public", None)).status, 200);
    thread::sleep(Duration::from_millis(900));
    assert_eq!(client.ask(get("/public", None)).status, 200, "longer than a head may take, shorter than it may idle");
    let started = Instant::now();
    client.ended(Duration::from_secs(5)).unwrap();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_millis(2600), "{took:?}");
    let mut raw = Raw::to(gate.address);
    assert_eq!(raw.until(GO_AWAY).unwrap().code(), 0);
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
}

#[test]
fn a_head_that_is_not_ended_is_cut_off_at_its_limit() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let settings = frame(SETTINGS, ACK, 0, &[]);
    for begun in [
        frame(HEADERS, 0, 1, &get_block("/public")),
        frame(HEADERS, END_HEADERS, 1, &get_block("/public"))[..20].to_vec(),
        frame(HEADERS, END_HEADERS, 1, &get_block("/public"))[..5].to_vec(),
    ] {
        let mut raw = Raw::to(gate.address);
        raw.send(&settings);
        let started = Instant::now();
        raw.send(&begun);
        while raw.frame().is_some() {}
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(1400), "{took:?}");
    }
}

#[test]
fn a_body_that_stalls_ends_its_stream_and_no_other() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        if seen.line().contains("slow") {
            thread::sleep(Duration::from_millis(2500));
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = impatient(&upstream);
    let mut client = H2::to(gate.address);
    let slow = client.begin(get("/public/slow", None), true).unwrap();
    let mut stalled = client.begin(request("POST", "/public", &[]), false).unwrap();
    stalled.body.send_data(Bytes::from_static(b"half"), false).unwrap();
    let started = Instant::now();
    assert!(client.wait(stalled).unwrap_err().is_reset());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_millis(2400), "{took:?}");
    assert_eq!(client.wait(slow).unwrap().status, 200, "a slow answer is not the client's doing");
    upstream.wait_closed(1);
    assert!(gate.notes.failed.lock().unwrap().is_empty(), "that was not the upstream's doing either");
    // One that goes on, however slowly, is waited for.
    let mut alive = client.begin(request("POST", "/public", &[]), false).unwrap();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(400));
        alive.body.send_data(Bytes::from_static(b"more"), false).unwrap();
    }
    alive.body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(client.wait(alive).unwrap().status, 200);
}

#[test]
fn a_client_that_makes_no_room_for_a_response_loses_that_stream_and_no_other() {
    let upstream =
        Upstream::answering(&format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", "x".repeat(300_000)));
    let gate = impatient(&upstream);
    let mut raw = Raw::to(gate.address);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/public")));
    let started = Instant::now();
    let reset = raw.until(RESET).unwrap();
    let took = started.elapsed();
    assert_eq!(reset.stream, 1);
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_millis(2600), "{took:?}");
    // A small answer of our own needs room too, and there is none at all on a new stream.
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &get_block("/accounts")));
    assert_eq!(raw.until(HEADERS).unwrap().stream, 3);
    assert_eq!(raw.until(RESET).unwrap().stream, 3);
}

#[test]
fn a_client_that_gives_up_a_stream_lets_the_upstream_go_too() {
    let upstream = Upstream::scripted(|_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        false
    });
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let mut waiting = client.begin(get("/public", None), true).unwrap();
    eventually(|| upstream.seen().len() == 1);
    waiting.body.send_reset(h2::Reason::CANCEL);
    upstream.wait_closed(1);
    let waiting = client.begin(get("/public", None), true).unwrap();
    eventually(|| upstream.seen().len() == 2);
    drop((waiting, client));
    upstream.wait_closed(2);
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
}

#[test]
fn many_streams_are_served_at_once() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(300));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    let started = Instant::now();
    let asked: Vec<_> = (0..50).map(|_| client.begin(get("/public", None), true).unwrap()).collect();
    for asked in asked {
        assert_eq!(client.wait(asked).unwrap().body, "ok");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "one after the other they take fifteen seconds");
}

#[test]
fn http_1_after_all_is_http_1_whatever_it_begins_with() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for method in ["POST", "PUT", "PRI", "P", "PR"] {
        let mut client: Client = gate.client();
        client.send(method);
        thread::sleep(Duration::from_millis(30));
        let response = client.ask(" /public HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(response.status, 200, "{method}");
    }
}
