//! WebSocket and other upgrades in HTTP/1.1: judged like every request, nothing passed on before the upstream has agreed, and
//! what it agreed to is checked.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stepgate::Reason;
use stepgate::config::settings::Limits;

use super::client::{Client, get};
use super::gate::{Running1, Setup, gate};
use super::upstream::{Seen, Upstream, eventually, read_body};

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What RFC 6455 section 1.3 says belongs to it.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
pub const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
const TCP: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const LONG: Duration = Duration::from_secs(10);

/// A text frame, masked with zeros as nobody does who has something to hide.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(text.bytes());
    frame
}

fn plain_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, u8::try_from(text.len()).unwrap()];
    frame.extend(text.bytes());
    frame
}

pub fn handshake(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

fn tcp(path: &str, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade\r\nUpgrade: h2c, tcp, other\r\n{fields}\r\n"
    )
}

/// Reads just so much.
fn read(from: &mut impl Read, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    from.read_exact(&mut read).unwrap();
    read
}

/// Agrees, and gives back whatever comes.
fn echo(answer: &'static str) -> Upstream {
    Upstream::scripted(move |_, stream| {
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            stream.get_mut().write_all(&piece[..count]).unwrap();
        }
        let _ = stream.get_mut().shutdown(Shutdown::Write);
        false
    })
}

/// A tunnel that is open.
fn open(gate: &Running1, request: &str) -> Client {
    let mut client = gate.client();
    assert_eq!(client.send(request).head().status, 101);
    client
}

type Got = Arc<Mutex<Vec<u8>>>;

/// Answers so, and notes what comes from then on.
fn noting(answer: &'static str) -> (Upstream, Got) {
    let got = Got::default();
    let noted = got.clone();
    let upstream = Upstream::scripted(move |_, stream| {
        stream.get_mut().write_all(answer.as_bytes()).unwrap();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            noted.lock().unwrap().extend(&piece[..count]);
        }
        false
    });
    (upstream, got)
}

#[test]
fn t17_what_a_client_says_before_the_101_comes_after_it_and_what_the_upstream_says_behind_it_arrives() {
    let early = Arc::new(Mutex::new(None));
    let noted = early.clone();
    let upstream = Upstream::scripted(move |_, stream| {
        stream.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        *noted.lock().unwrap() = Some(stream.read(&mut [0; 100]).map_err(|error| error.kind()));
        stream.get_ref().set_read_timeout(Some(LONG)).unwrap();
        stream.get_mut().write_all(&[AGREED.as_bytes(), &plain_frame("welcome")].concat()).unwrap();
        let said = read(stream, 11);
        stream.get_mut().write_all(&said[6..]).unwrap();
        false
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    let head = client
        .send([handshake("/public/a?b", "Sec-WebSocket-Protocol: chat\r\n").as_bytes(), &frame("early")].concat())
        .head();
    assert_eq!(
        (head.status, head.field("upgrade"), head.field("connection")),
        (101, Some("websocket"), Some("upgrade"))
    );
    assert_eq!(
        (head.field("sec-websocket-accept"), head.field("sec-websocket-protocol")),
        (Some(ACCEPT), Some("chat"))
    );
    assert!(head.field("content-length").is_none() && head.field("transfer-encoding").is_none());
    assert_eq!(read(&mut client.0, 9), plain_frame("welcome"));
    assert_eq!(read(&mut client.0, 5), b"early");
    assert!(client.is_closed());
    let nothing = std::io::ErrorKind::WouldBlock;
    assert_eq!(*early.lock().unwrap(), Some(Err(nothing)), "nothing came before the 101");
    let seen = upstream.only();
    assert_eq!(seen.line(), "GET /public/a?b HTTP/1.1");
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!((seen.field("sec-websocket-key"), seen.field("sec-websocket-version")), (Some(KEY), Some("13")));
    assert_eq!(
        (seen.field("sec-websocket-protocol"), seen.field("x-forwarded-for")),
        (Some("chat"), Some("127.0.0.1"))
    );
}

#[test]
fn an_upgrade_is_judged_like_every_request_and_its_identity_told() {
    let upstream = echo(AGREED);
    let gate = gate(&upstream);
    let weak = handshake("/admin", "Authorization: Bearer low\r\n");
    gate.refused(&weak, Reason::LevelTooLow, 401, &upstream);
    gate.refused(handshake("/admin", ""), Reason::TokenMissing, 401, &upstream);
    gate.refused(handshake("/nowhere", ""), Reason::RouteNone, 403, &upstream);
    assert_eq!(gate.notes.connections(), 0, "nobody was connected to");
    drop(open(&gate, &handshake("/admin", "Authorization: Bearer high\r\n")));
    assert_eq!(upstream.only().field("x-stepgate-level"), Some("multi-factor"));
    let noted = gate.decided().pop().unwrap();
    assert_eq!((noted.method.as_str(), noted.route.as_deref(), noted.reason), ("GET", Some("admin"), None));
}

#[test]
fn a_cookie_opens_a_websocket_only_from_a_page_of_the_own_origin() {
    let upstream = echo(AGREED);
    let gate = gate(&upstream);
    let with = |origin: &str| handshake("/app", &format!("Cookie: session=low\r\n{origin}"));
    for origin in ["", "Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        gate.refused(with(origin), Reason::OriginRefused, 403, &upstream);
    }
    drop(open(&gate, &with("Origin: http://api.example\r\n")));
    drop(open(&gate, &with("Sec-Fetch-Site: same-origin\r\n")));
}

#[test]
fn a_101_that_agrees_to_something_else_is_an_error_and_nothing_of_the_client_reaches_that_upstream() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let (upstream, got) = noting(answer);
        let gate = gate(&upstream);
        let mut client = gate.client();
        client.send([handshake("/public", "").as_bytes(), &frame("secret")].concat());
        let response = client.response();
        assert_eq!(
            (response.status, response.json()["reason"].as_str()),
            (502, Some("upstream_unreachable")),
            "{answer}"
        );
        upstream.wait_closed(1);
        assert!(got.lock().unwrap().is_empty(), "{answer}");
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_an_error() {
    for request in [
        get("/public", None),
        tcp("/public", "Content-Length: 0\r\n"),
        handshake("/public", "").replace("HTTP/1.1", "HTTP/1.0"),
        handshake("/public", "").replace("keep-alive, Upgrade", "keep-alive"),
        handshake("/public", "").replace("GET", "POST"),
        handshake("/public", "Content-Length: 1\r\n") + "x",
        handshake("/public", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
    ] {
        let (upstream, got) = noting(AGREED);
        let gate = gate(&upstream);
        let response = gate.ask(&request);
        assert_eq!(response.status, 502, "{request}");
        let seen = upstream.only();
        assert_eq!((seen.field("upgrade"), seen.field("connection")), (None, None), "{request}");
        upstream.wait_closed(1);
        let sent = got.lock().unwrap().clone();
        assert!(sent.is_empty() || sent == b"x" || sent == b"0\r\n\r\n", "{request}");
    }
}

#[test]
fn a_websocket_that_is_begun_badly_is_refused() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for (from, to) in
        [("Version: 13", "Version: 8"), (KEY, "x"), ("Sec-WebSocket-Key", "X-Key"), ("Sec-WebSocket-Version", "X-V")]
    {
        gate.refused(handshake("/public", "").replace(from, to), Reason::RequestMalformed, 400, &upstream);
    }
}

#[test]
fn an_upstream_that_declines_is_heard_and_what_follows_is_a_request_and_is_judged() {
    let upstream = Upstream::answering(
        "HTTP/1.1 403 Forbidden\r\nUpgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 3\r\n\r\nno!",
    );
    let gate = gate(&upstream);
    let mut client = gate.client();
    client.send(handshake("/public", "") + &get("/admin", None) + &get("/public/x", None));
    let declined = client.response();
    assert_eq!((declined.status, declined.body.as_str(), declined.field("upgrade")), (403, "no!", None));
    assert_eq!(client.response().status, 401);
    assert_eq!((client.response().status, upstream.seen().len()), (403, 2));
    assert_eq!(upstream.seen()[1].line(), "GET /public/x HTTP/1.1");
    assert_eq!(gate.notes.connections(), 1, "its connection is used again");
}

#[test]
fn what_a_route_names_is_carried_as_it_comes_and_nothing_that_it_does_not_name() {
    let upstream = echo(TCP);
    let gate = gate(&upstream);
    let mut client = open(&gate, &tcp("/wire", "Content-Length: 0\r\nTE: trailers\r\n"));
    let seen = upstream.only();
    assert_eq!(
        (seen.field("upgrade"), seen.field("connection"), seen.field("te")),
        (Some("tcp"), Some("upgrade"), None)
    );
    client.send(b"\x00\xffraw");
    assert_eq!(read(&mut client.0, 5), b"\x00\xffraw");
    client.send("last");
    client.0.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), "last", "one side may end before the other");
}

#[test]
fn a_request_with_a_body_is_no_upgrade() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    assert_eq!(gate.ask(tcp("/wire", "Content-Length: 5\r\n") + "hello").status, 200);
    let seen = upstream.only();
    assert_eq!((seen.field("upgrade"), seen.field("connection"), seen.body.as_slice()), (None, None, &b"hello"[..]));
}

#[test]
fn a_tunnel_counts_among_the_requests_under_way_until_it_ends() {
    let upstream = Upstream::scripted(|seen, stream| {
        if seen.field("upgrade").is_none() {
            return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok();
        }
        stream.get_mut().write_all(AGREED.as_bytes()).unwrap();
        let _ = stream.read(&mut [0]);
        false
    });
    let limits = Limits { requests: 1, ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let client = open(&gate, &handshake("/public", ""));
    assert_eq!((gate.get("/public", None).status, *gate.notes.tunnels.lock().unwrap()), (503, 1));
    drop(client);
    upstream.wait_closed(1);
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 0);
    assert_eq!(gate.get("/public", None).status, 200);
}

#[test]
fn silence_has_no_limit_and_taking_nothing_has() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let upstream = echo(AGREED);
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut silent = open(&gate, &handshake("/public", ""));
    let flood = Upstream::scripted(|_, stream| {
        stream.get_mut().write_all(TCP.as_bytes()).unwrap();
        while stream.get_mut().write_all(&[0; 4096]).is_ok() {}
        false
    });
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let flooded = Setup { limits, ..Setup::default() }.start(flood.address);
    let stalled = open(&flooded, &tcp("/wire", "Content-Length: 0\r\n"));
    flood.wait_closed(1);
    drop(stalled);
    std::thread::sleep(Duration::from_millis(1000));
    silent.send(frame("there"));
    assert_eq!(read(&mut silent.0, 11), frame("there"));
}

#[test]
fn whoever_goes_on_alone_has_a_limit() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let upstream = Upstream::scripted(|_, stream| {
        stream.get_mut().write_all(TCP.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        // It neither says nor ends anything.
        std::thread::sleep(Duration::from_secs(4));
        false
    });
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = open(&gate, &tcp("/wire", "Content-Length: 0\r\n"));
    client.0.get_ref().shutdown(Shutdown::Write).unwrap();
    let started = Instant::now();
    assert!(client.is_closed() && started.elapsed() < Duration::from_secs(2));
}

/// What a close frame says, of which `mask` was taken off.
fn said(frame: &[u8]) -> (u16, String) {
    let (mask, payload) =
        if frame[1] & 0x80 == 0 { ([0; 4], &frame[2..]) } else { (frame[2..6].try_into().unwrap(), &frame[6..]) };
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8(payload[2..].to_vec()).unwrap())
}

/// A close frame without a reason.
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

#[test]
fn a_drain_says_goodbye_to_both_sides_between_two_frames_and_waits_for_their_answers() {
    let got = Got::default();
    let noted = got.clone();
    let upstream = Upstream::scripted(move |_: &mut Seen, stream: &mut BufReader<TcpStream>| {
        stream.get_mut().write_all(AGREED.as_bytes()).unwrap();
        // Half of a frame is there, and the close frame is not to come into it.
        let mut said = read(stream, 8);
        stream.get_mut().write_all(&[0x81, 4, b'h', b'a']).unwrap();
        said.extend(read(stream, 3));
        std::thread::sleep(Duration::from_millis(100));
        stream.get_mut().write_all(b"lf").unwrap();
        said.extend(read(stream, 6 + 2 + 10));
        noted.lock().unwrap().extend(said);
        stream.get_mut().write_all(&[0x88, 0]).unwrap();
        noted.lock().unwrap().extend(read(stream, 0));
        false
    });
    let gate = gate(&upstream);
    let mut client = open(&gate, &handshake("/public", ""));
    client.send(&frame("hello")[..8]);
    assert_eq!(read(&mut client.0, 4), [0x81, 4, b'h', b'a']);
    gate.shut_down();
    std::thread::sleep(Duration::from_millis(300));
    client.send(&frame("hello")[8..]);
    assert_eq!(read(&mut client.0, 2), b"lf");
    let close = read(&mut client.0, 2 + 2 + 10);
    assert_eq!((close[0], close[1], said(&close)), (0x88, 12, (1001, "going away".to_owned())));
    client.send(CLOSE);
    assert!(client.is_closed());
    let started = Instant::now();
    gate.join();
    assert!(started.elapsed() < Duration::from_secs(1), "nothing was left to wait for");
    let got = got.lock().unwrap();
    assert_eq!(got[..11], frame("hello"));
    assert_eq!(
        (got[11], got[12], said(&got[11..])),
        (0x88, 0x8c, (1001, "going away".to_owned())),
        "masked, as a client's"
    );
}

#[test]
fn a_drain_does_not_wait_for_those_who_do_not_answer_its_goodbye() {
    let (upstream, _) = noting(AGREED);
    let gate = gate(&upstream);
    let mut client = open(&gate, &handshake("/public", ""));
    let started = Instant::now();
    gate.shut_down();
    assert_eq!(said(&read(&mut client.0, 14)).0, 1001);
    assert!(client.is_closed());
    gate.join();
    assert!(started.elapsed() < Duration::from_millis(2900), "{:?}", started.elapsed());
}

#[test]
fn whoever_has_said_close_is_not_spoken_for_again() {
    let (upstream, got) = noting(AGREED);
    let gate = gate(&upstream);
    let mut client = open(&gate, &handshake("/public", ""));
    client.send(CLOSE);
    eventually(|| got.lock().unwrap().len() == CLOSE.len());
    gate.shut_down();
    assert_eq!(said(&read(&mut client.0, 14)).0, 1001, "the upstream had said nothing yet");
    gate.join();
    assert_eq!(*got.lock().unwrap(), CLOSE);
}

#[test]
fn what_is_not_websocket_goes_on_until_the_limit_of_a_drain() {
    let upstream = echo(TCP);
    let limits = Limits { drain: Duration::from_millis(800), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut client = open(&gate, &tcp("/wire", "Content-Length: 0\r\n"));
    let started = Instant::now();
    gate.shut_down();
    std::thread::sleep(Duration::from_millis(300));
    client.send("still");
    assert_eq!(read(&mut client.0, 5), b"still");
    gate.join();
    assert!(started.elapsed() >= Duration::from_millis(800));
    assert!(client.is_closed());
}

#[test]
fn bytes_that_are_no_frames_end_a_websocket() {
    let upstream = echo(AGREED);
    let gate = gate(&upstream);
    let mut client = open(&gate, &handshake("/public", ""));
    client.send([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    assert!(client.is_closed());
}

#[test]
fn an_upstream_that_takes_too_long_or_is_not_there_is_told_as_for_every_request() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let _ = stream.read(&mut [0]);
        false
    });
    let gate = Setup { timeout: Some(Duration::from_millis(300)), ..Setup::default() }.start(upstream.address);
    assert_eq!(gate.ask(handshake("/public", "")).status, 504);
    upstream.wait_closed(1);
    let gone = Setup::default().start(([127, 0, 0, 1], 1).into());
    assert_eq!(gone.ask(handshake("/public", "")).status, 502);
    assert_eq!(*gone.notes.failed.lock().unwrap(), [("app".to_owned(), Reason::UpstreamUnreachable, 502)]);
}
