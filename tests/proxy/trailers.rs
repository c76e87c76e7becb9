//! Trailers both ways, whatever client and upstream speak, and calls as gRPC makes them.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use super::gate::{Running1, Setup};
use super::h2_client::{H2, request};
use super::served::{Http2, Served};
use super::upstream::{Upstream, read_body};

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

/// An upstream, and the trailers that reached it, as text.
struct Trailed {
    gate: Running1,
    got: Box<dyn Fn() -> String>,
    _kept: Box<dyn std::any::Any>,
}

/// One that says `ok` and then `x-sum: 2`, and more that is nobody's but ours.
fn upstream(http2: bool) -> Trailed {
    if http2 {
        let got = Arc::new(Mutex::new(String::new()));
        let noted = got.clone();
        let served = Served::h2c(Http2::new(move |mut call| {
            let noted = noted.clone();
            async move {
                let (body, trailers) = call.body().await;
                assert_eq!(body, b"hi");
                for (name, value) in &trailers.unwrap_or_default() {
                    noted.lock().unwrap().push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
                }
                let head = Response::builder().header("trailer", "x-sum").body(()).unwrap();
                let mut stream = call.respond.send_response(head, false).unwrap();
                stream.send_data(Bytes::from_static(b"ok"), false).unwrap();
                stream.send_trailers(fields(&[("x-sum", "2")])).unwrap();
            }
        }));
        let gate = Setup::default().start_with(served.upstream(true, None));
        let got = Box::new(move || std::mem::take(&mut *got.lock().unwrap()));
        return Trailed { gate, got, _kept: Box::new(served) };
    }
    let upstream = Arc::new(Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        write!(stream.get_mut(), "{head}2\r\nok\r\n0\r\nx-sum: 2\r\nconnection: close\r\n\r\n").is_ok()
    }));
    let gate = super::gate::gate(&upstream);
    let seen = upstream.clone();
    let got = Box::new(move || {
        let last = seen.seen().pop().unwrap();
        assert_eq!(last.body, b"hi");
        last.trailers
    });
    Trailed { gate, got, _kept: Box::new(upstream) }
}

#[test]
fn trailers_pass_both_ways_between_all_protocols() {
    for outwards in [false, true] {
        let upstream = upstream(outwards);
        let response = upstream.gate.ask(
            "POST /public HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\nX-Stepgate-Level: top\r\n\r\n",
        );
        assert_eq!((response.body.as_str(), response.trailers.as_str()), ("ok", "x-sum: 2\r\n"), "1.1, h2: {outwards}");
        assert_eq!((upstream.got)(), "x-sum: 1\r\n", "1.1, h2: {outwards}");

        let mut client = H2::to(upstream.gate.address);
        let head = request("POST", "/public", &[("te", "trailers"), ("trailer", "x-sum")]);
        let mut asked = client.begin(head, false).unwrap();
        asked.body.send_data(Bytes::from_static(b"hi"), false).unwrap();
        asked.body.send_trailers(fields(&[("x-sum", "1"), ("x-stepgate-level", "top")])).unwrap();
        let response = client.wait(asked).unwrap();
        assert_eq!((response.body.as_str(), response.trailers.as_str()), ("ok", "x-sum: 2\r\n"), "2, h2: {outwards}");
        assert_eq!((upstream.got)(), "x-sum: 1\r\n", "2, h2: {outwards}");
    }
}

/// A message as gRPC frames it.
fn message(text: &str) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.bytes());
    bytes.into()
}

const CALL: [(&str, &str); 3] = [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "5S")];

#[test]
fn a_grpc_call_of_many_messages_goes_both_ways_at_once_and_ends_with_its_status() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut stream = call.respond.send_response(head, false).unwrap();
        // Each message is sent back as it comes, before the next one is asked for.
        let body = call.request.body_mut();
        while let Some(Ok(data)) = body.data().await {
            drop(body.flow_control().release_capacity(data.len()));
            stream.send_data(data, false).unwrap();
        }
        stream.send_trailers(fields(&[("grpc-status", "0"), ("grpc-message", "done")])).unwrap();
    }));
    let gate = Setup::default().start_with(served.upstream(true, None));
    let mut client = H2::to(gate.address);
    let asked = client.begin(request("POST", "/public/pkg.Service/Talk", &CALL), false).unwrap();
    client.talk(asked, &["one", "two", "three"].map(message), Duration::from_secs(5), |trailers| {
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"0".parse().unwrap(), &"done".parse().unwrap())
        );
    });
    let head = served.last();
    for (name, value) in CALL {
        assert_eq!(head.headers[name], value);
    }
    assert_eq!(gate.decided().len(), 1);
}

#[test]
fn a_grpc_call_that_fails_before_its_first_message_ends_in_its_head() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        call.body().await;
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        call.respond.send_response(head.body(()).unwrap(), true).unwrap();
    }));
    let gate = Setup::default().start_with(served.upstream(true, None));
    let mut client = H2::to(gate.address);
    let mut asked = client.begin(request("POST", "/public/pkg.Service/Get", &CALL), false).unwrap();
    asked.body.send_data(message("one"), true).unwrap();
    let response = client.wait(asked).unwrap();
    assert_eq!((response.status, response.field("grpc-status"), response.body.as_str()), (200, Some("5"), ""));
}

#[test]
fn trailers_pass_both_ways_without_what_only_we_may_say() {
    let got = Arc::new(Mutex::new(None));
    let noted = got.clone();
    let served = Served::h2c(Http2::new(move |mut call| {
        let noted = noted.clone();
        async move {
            let (body, trailers) = call.body().await;
            *noted.lock().unwrap() = Some((body, trailers.unwrap()));
            let head = Response::builder().header("trailer", "x-sum").body(()).unwrap();
            let mut stream = call.respond.send_response(head, false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), false).unwrap();
            stream.send_trailers(fields(&[("x-sum", "2")])).unwrap();
        }
    }));
    let response = Setup::default().start_with(served.upstream(true, None)).ask(
        "POST /public HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: x-sum, x_stepgate_acr\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\nx-stepgate-level: top\r\nx_stepgate_acr: top\r\n\r\n",
    );
    assert_eq!((response.body.as_str(), response.trailers.as_str()), ("ok", "x-sum: 2\r\n"));
    let (body, trailers) = got.lock().unwrap().take().unwrap();
    assert_eq!((body.as_slice(), trailers), (&b"hi"[..], fields(&[("x-sum", "1")])));
}

#[test]
fn a_client_of_http_1_that_takes_trailers_is_told_of_to_an_upstream_of_http_1() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        write!(stream.get_mut(), "{head}2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n").is_ok()
    });
    let gate = super::gate::gate(&upstream);
    let response = gate.ask("GET /public HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!(response.trailers, "x-sum: 2\r\n");
    let seen = upstream.only();
    assert_eq!((seen.field("te"), seen.field("connection")), (Some("trailers"), Some("te")));
    assert_eq!(gate.get("/public", None).trailers, "");
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.field("te"), seen.field("connection")), (None, None));
}

#[test]
fn a_grpc_answer_of_nothing_but_trailers_passes() {
    let served = Served::h2c(Http2::new(|mut call| async move {
        call.body().await;
        let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        call.respond.send_response(head.body(()).unwrap(), true).unwrap();
    }));
    let response = Setup::default().start_with(served.upstream(true, None)).ask(
        "POST /public/pkg.Service/Get HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\
         Content-Length: 5\r\n\r\n\0\0\0\0\0",
    );
    assert_eq!((response.status, response.field("grpc-status"), response.body.as_str()), (200, Some("5"), ""));
    let head = served.last();
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["content-type"], "application/grpc");
}
