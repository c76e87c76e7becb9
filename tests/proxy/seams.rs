//! Where one part hands over to another: what ends early, and what two protocols read differently.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason as Reset;
use http::Response;
use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::client::get;
use super::gate::{Setup, gate};
use super::h2_client::{
    self, DATA, END_HEADERS, END_STREAM, H2, HEADERS, RESET, Raw, block, frame, get_block, request,
};
use super::served::{Http2, Served};
use super::upstream::{Upstream, eventually, read_body};

/// RST_STREAM with NO_ERROR.
fn given_up(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &[0; 4])
}

fn post_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "api.example"), (":path", "/public")];
    [block(&head), block(fields)].concat()
}

#[test]
fn an_answer_that_is_cut_short_without_an_error_is_not_taken_for_a_whole_one() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        call.body().await;
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.send_reset(Reset::NO_ERROR);
    }));
    let gate = Setup::default().start_with(served.upstream(true, None));
    let answer = gate.client().send(get("/public", None)).rest();
    assert!(answer.ends_with("\r\n\r\n4\r\nhalf\r\n"), "no last chunk: {answer}");
    let mut client = H2::to(gate.address);
    let asked = client.begin(h2_client::get("/public", None), true).unwrap();
    assert!(client.wait(asked).unwrap_err().is_reset());
}

#[test]
fn an_answer_to_an_upload_that_is_not_wanted_passes_whole() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        let head = Response::builder().status(413).header("content-length", "4").body(()).unwrap();
        let mut stream = call.respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(b"long"), true).unwrap();
        // The library drops what it has not written when a stream is reset.
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(call.request);
        stream.send_reset(Reset::NO_ERROR);
    }));
    let gate = Setup::default().start_with(served.upstream(true, None));
    let mut client = H2::to(gate.address);
    let mut asked = client.begin(request("POST", "/public", &[]), false).unwrap();
    asked.body.send_data(Bytes::from_static(b"half"), false).unwrap();
    let answer = client.wait(asked).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (413, "long"));
}

#[test]
fn an_upload_that_is_given_up_is_not_taken_for_a_whole_one() {
    for early in [false, true] {
        let got = Arc::new(Mutex::new(None));
        let noted = got.clone();
        let upstream = Upstream::scripted(move |_, stream| {
            if early {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
                    .unwrap();
            }
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            *noted.lock().unwrap() = Some(String::from_utf8(rest).unwrap());
            false
        });
        let gate = gate(&upstream);
        let mut raw = Raw::to(gate.address);
        raw.send(&[frame(HEADERS, END_HEADERS, 1, &post_block(&[])), frame(DATA, 0, 1, b"half")].concat());
        if early {
            assert_eq!(raw.until(DATA).unwrap().payload, b"ok");
        }
        eventually(|| upstream.seen().len() == 1);
        thread::sleep(Duration::from_millis(100));
        raw.send(&given_up(1));
        eventually(|| got.lock().unwrap().is_some());
        assert_eq!(got.lock().unwrap().take().unwrap(), "4\r\nhalf\r\n", "early: {early}");
    }
}

#[test]
fn a_value_in_blanks_which_http_1_would_take_off_is_malformed() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for value in [" Bearer forged", "\tBearer forged", "Bearer forged ", " "] {
        let mut raw = Raw::to(gate.address);
        let fields = block(&[("cookie", "session=user.low"), ("authorization", value)]);
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[get_block("/app"), fields].concat()));
        let status = raw.until(HEADERS).unwrap();
        assert!(upstream.seen().is_empty(), "{value:?}: {:?} {status:?}", upstream.seen());
        assert_eq!(gate.decided().pop().unwrap().reason, Some(Reason::RequestMalformed), "{value:?}");
    }
}

#[test]
fn an_upload_that_stalls_after_its_answer_is_let_go_and_its_upstream_with_it() {
    let let_go = Arc::new(AtomicUsize::new(0));
    let noted = let_go.clone();
    let upstream = Upstream::scripted(move |seen, stream| {
        if seen.line().starts_with("GET") {
            read_body(seen, stream);
            return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok();
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        noted.fetch_add(1, Ordering::SeqCst);
        false
    });
    let limits = Limits { idle: Duration::from_millis(1000), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = H2::to(gate.address);
    let mut uploads = Vec::new();
    for _ in 0..5 {
        let mut asked = client.begin(request("POST", "/public", &[]), false).unwrap();
        asked.body.send_data(Bytes::from_static(b"half"), false).unwrap();
        uploads.push(asked);
    }
    // Nothing here ends with the connection, which goes on.
    let started = Instant::now();
    while let_go.load(Ordering::SeqCst) < 5 {
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(client.ask(h2_client::get("/public", None)).status, 200);
        thread::sleep(Duration::from_millis(200));
    }
    assert!(started.elapsed() > Duration::from_millis(900), "a body that is late is waited for");
}
