//! A form that is read for its token and sent on, over HTTP/1.1 and HTTP/2 on either side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason as Reset;
use http::HeaderMap;
use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::client::Response;
use super::gate::{Setup, gate};
use super::h2_client::{H2, request};
use super::served::{Http2, Served};
use super::upstream::Upstream;

const TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Sends a form over HTTP/2 in these pieces, without a length.
#[track_caller]
fn post(client: &mut H2, path: &str, pieces: &[&str]) -> Response {
    let mut asked = client.begin(request("POST", path, &[TYPE]), false).unwrap();
    for piece in pieces {
        asked.body.send_data(Bytes::copy_from_slice(piece.as_bytes()), false).unwrap();
    }
    asked.body.send_data(Bytes::new(), true).unwrap();
    client.wait(asked).unwrap()
}

fn impatient() -> Limits {
    let (head_read, idle) = (Duration::from_millis(600), Duration::from_millis(1500));
    Limits { head_read, idle, form: 4 << 10, ..Limits::default() }
}

/// The body of a request, and its fields.
type Noted = (Vec<u8>, HeaderMap);

/// An HTTP/2 upstream that refuses so many streams first, and notes the bodies and heads of the others.
fn noting(refusals: usize) -> (Served, Arc<Mutex<Vec<Noted>>>) {
    let (noted, count) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let notes = noted.clone();
    let served = Served::h2c(Http2::new(move |mut call| {
        let (notes, refuse) = (notes.clone(), count.fetch_add(1, Ordering::SeqCst) < refusals);
        async move {
            if refuse {
                call.respond.send_reset(Reset::REFUSED_STREAM);
                return;
            }
            let fields = call.request.headers().clone();
            let body = call.body().await.0;
            notes.lock().unwrap().push((body, fields));
            call.answer("ok");
        }
    }));
    (served, noted)
}

#[test]
fn a_form_over_http_2_goes_up_over_http_1_with_its_length_however_long_it_is() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    assert_eq!(post(&mut client, "/form/a?b=1", &["id_to", "ken=id.high", "&state=%2f+x"]).status, 200);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((seen.line(), &seen.body[..]), ("POST /form/a?b=1 HTTP/1.1", &b"id_token=id.high&state=%2f+x"[..]));
    assert_eq!((seen.field("content-length"), seen.field("transfer-encoding")), (Some("28"), None));
    assert_eq!(seen.field("x-stepgate-level"), Some("multi-factor"));
    let filler = "x".repeat(10_000);
    let pieces: Vec<&str> = std::iter::once("id_token=id.high&f=").chain([&*filler; 5]).collect();
    assert_eq!(post(&mut client, "/form", &pieces).status, 200);
    assert_eq!(upstream.seen().pop().unwrap().body, pieces.concat().as_bytes());
    assert_eq!(post(&mut client, "/form", &["id_token=id.low"]).status, 401);
    assert_eq!(post(&mut client, "/form", &["id_token=id.high", &filler.repeat(7)]).status, 413);
    assert_eq!(post(&mut client, "/form", &["error=access_denied"]).status, 200);
    assert_eq!(upstream.seen().len(), 3);
}

#[test]
fn a_form_goes_up_over_http_2_and_is_sent_again_where_the_upstream_did_nothing_with_it() {
    let (served, noted) = noting(1);
    let gate = Setup::default().start_with(served.upstream(true, None));
    let chunked = "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                   Transfer-Encoding: chunked\r\n\r\n9\r\nid_token=\r\n7\r\nid.high\r\n0\r\n\r\n";
    assert_eq!(gate.ask(chunked).body, "ok");
    assert_eq!(served.requests(), 2, "the first was refused");
    assert_eq!(post(&mut H2::to(gate.address), "/form", &["id_token", "=id.high"]).body, "ok");
    let noted = noted.lock().unwrap();
    assert_eq!(noted.len(), 2);
    for (body, fields) in &*noted {
        assert_eq!(body, b"id_token=id.high");
        assert_eq!(fields["content-length"], "16");
        assert_eq!(fields["x-stepgate-level"], "multi-factor");
    }
}

#[test]
fn a_form_that_stalls_ends_its_stream_and_no_other_and_one_that_is_given_up_is_not_forwarded() {
    let upstream = Upstream::plain();
    let gate = Setup { limits: impatient(), ..Setup::default() }.start(upstream.address);
    let mut client = H2::to(gate.address);
    let begin = |client: &mut H2| {
        let mut asked = client.begin(request("POST", "/form", &[TYPE]), false).unwrap();
        asked.body.send_data(Bytes::from_static(b"id_token=id.high"), false).unwrap();
        asked
    };
    let mut given_up = begin(&mut client);
    given_up.body.send_reset(Reset::NO_ERROR);
    assert!(client.wait(given_up).is_err());
    let started = Instant::now();
    let stalled = begin(&mut client);
    let mut dripping = begin(&mut client);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(400));
        drop(dripping.body.send_data(Bytes::from_static(b"&"), false));
    }
    // A reset, or a refusal just before it.
    for late in [stalled, dripping] {
        assert!(client.wait(late).map_or(true, |answer| answer.status == 400));
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_millis(3500), "{took:?}");
    assert_eq!(post(&mut client, "/form", &["id_token=id.high"]).status, 200, "the connection goes on");
    assert_eq!(upstream.seen().len(), 1, "nothing that was not whole was forwarded");
    let reasons = gate.decided().into_iter().filter_map(|noted| noted.reason);
    assert!(reasons.into_iter().all(|reason| reason == Reason::RequestMalformed));
}
