//! WebSocket over HTTP/2 (RFC 8441), on either side: an extended CONNECT is judged as the GET that it stands for.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Request, Response};
use stepgate::Reason;
use stepgate::config::settings::{ClientTls, Limits};

use super::gate::{Running1, Setup, gate};
use super::h2_client::{END_HEADERS, END_STREAM, H2, HEADERS, RESET, Raw, block, frame, get, request};
use super::pki::Authority;
use super::served::{Http2, Served};
use super::upgrades::{KEY, handshake};
use super::upstream::{Seen, Upstream, eventually, read_body};

/// An extended CONNECT.
fn connect(path: &str, protocol: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request("CONNECT", path, fields);
    request.extensions_mut().insert(Protocol::from(protocol));
    request
}

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

fn accept_of(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::Engine as _;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash)
}

fn agreement(seen: &Seen) -> String {
    let protocol = seen.field("upgrade").unwrap();
    let accept = seen.field("sec-websocket-key").map(accept_of).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

/// Agrees with the right proof, greets, and gives back whatever comes.
fn echo() -> Upstream {
    Upstream::scripted(|seen, stream| {
        stream.get_mut().write_all(&[agreement(seen).as_bytes(), b"\x81\x02hi"].concat()).unwrap();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            stream.get_mut().write_all(&piece[..count]).unwrap();
        }
        false
    })
}

/// A client that waits until the gate has said that it takes extended CONNECT.
fn client(address: SocketAddr) -> H2 {
    let mut h2 = H2::to(address);
    assert_eq!(h2.ask(get("/nowhere", None)).status, 403);
    assert!(h2.takes_connect(), "SETTINGS_ENABLE_CONNECT_PROTOCOL");
    h2
}

#[test]
fn a_websocket_is_carried_on_a_stream_and_begun_upstream_as_in_http_1() {
    let upstream = echo();
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let fields = [VERSION, ("sec-websocket-protocol", "chat"), ("authorization", "Bearer high")];
    let asked = h2.begin(connect("/admin/ws?x", "websocket", &fields), false).unwrap();
    h2.duplex(
        asked,
        |head| {
            assert_eq!(
                (head.status.as_u16(), &head.headers["sec-websocket-protocol"]),
                (200, &"chat".parse().unwrap())
            );
            for name in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
                assert!(!head.headers.contains_key(name), "{name}");
            }
        },
        &[
            (b"", b"\x81\x02hi"),
            (b"\x82\x83\0\0\0\0abc", b"\x82\x83\0\0\0\0abc"),
            (b"\x82\x80\0\0\0\0", b"\x82\x80\0\0\0\0"),
        ],
    );
    let seen = upstream.only();
    assert_eq!(seen.line(), "GET /admin/ws?x HTTP/1.1");
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!((seen.field("sec-websocket-version"), seen.field("host")), (Some("13"), Some("api.example")));
    assert_eq!(
        (seen.field("x-stepgate-level"), seen.field("sec-websocket-key").unwrap().len()),
        (Some("multi-factor"), 24)
    );
    let noted = gate.decided().pop().unwrap();
    assert_eq!(
        (noted.method.as_str(), noted.path.as_str(), noted.route.as_deref()),
        ("GET", "/admin/ws", Some("admin"))
    );
    upstream.wait_closed(1);
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 0);
    assert_eq!(h2.ask(get("/nowhere", None)).status, 403, "the connection goes on");
}

#[track_caller]
fn refused(gate: &Running1, h2: &mut H2, request: Request<()>, reason: Reason, status: u16) {
    let asked = h2.begin(request, false).unwrap();
    assert_eq!(h2.wait(asked).unwrap().status, status);
    assert_eq!(gate.decided().pop().unwrap().reason, Some(reason));
}

#[test]
fn an_extended_connect_is_judged_as_the_get_that_it_stands_for() {
    let upstream = echo();
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let weak = [VERSION, ("authorization", "Bearer low")];
    refused(&gate, &mut h2, connect("/admin", "websocket", &weak), Reason::LevelTooLow, 401);
    refused(&gate, &mut h2, connect("/read", "websocket", &[VERSION]), Reason::TokenMissing, 401);
    let foreign = [VERSION, ("cookie", "session=low"), ("origin", "http://evil.example")];
    refused(&gate, &mut h2, connect("/app", "websocket", &foreign), Reason::OriginRefused, 403);
    refused(&gate, &mut h2, connect("/public", "websocket", &[]), Reason::RequestMalformed, 400);
    refused(&gate, &mut h2, connect("/public", "tcp", &[]), Reason::RequestMalformed, 400);
    refused(&gate, &mut h2, connect("/wire", "h2c", &[]), Reason::RequestMalformed, 400);
    refused(&gate, &mut h2, connect("/public/a%2fb", "websocket", &[VERSION]), Reason::PathAmbiguous, 400);
    assert!(upstream.seen().is_empty() && gate.notes.connections() == 0);
}

#[test]
fn a_plain_connect_is_refused_and_a_protocol_beside_another_method_is_no_request() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    let plain = block(&[(":method", "CONNECT"), (":authority", "api.example:80")]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &plain));
    let get = block(&[
        (":method", "GET"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/public"),
    ]);
    assert!(raw.until(HEADERS).is_some());
    assert_eq!(gate.decided().pop().unwrap().reason, Some(Reason::RequestMalformed));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &get));
    let upgrade = block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/public"),
        ("upgrade", "websocket"),
    ]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 5, &upgrade));
    let outcome = |raw: &mut Raw, stream| loop {
        let frame = raw.frame().unwrap();
        if frame.stream == stream && [HEADERS, RESET].contains(&frame.kind) {
            return (frame.kind, (frame.kind == RESET).then(|| frame.code()));
        }
    };
    assert_eq!(outcome(&mut raw, 3), (RESET, Some(1)), "PROTOCOL_ERROR");
    assert_eq!(outcome(&mut raw, 5), (RESET, Some(1)), "PROTOCOL_ERROR");
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn an_upstream_that_declines_is_heard_and_no_success_reads_as_agreement() {
    let upstream = Upstream::answering("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!");
    let declining = gate(&upstream);
    let mut h2 = client(declining.address);
    let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    let response = h2.wait(asked).unwrap();
    assert_eq!((response.status, response.body.as_str()), (403, "no!"));
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    assert_eq!(h2.wait(asked).unwrap().status, 502);
    assert!(gate.notes.causes.lock().unwrap()[0].contains("answered 200 OK and did not switch"));
}

#[test]
fn what_a_route_names_is_carried_on_a_stream_too_and_one_side_may_end_before_the_other() {
    let upstream = Upstream::scripted(|seen, stream| {
        stream.get_mut().write_all(agreement(seen).as_bytes()).unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        stream.get_mut().write_all(&all).unwrap();
        false
    });
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let asked = h2.begin(connect("/wire", "tcp", &[]), false).unwrap();
    h2.until_the_end(asked, &[b"some ", b"bytes"], b"some bytes");
    assert_eq!((upstream.only().field("upgrade"), upstream.only().field("sec-websocket-key")), (Some("tcp"), None));
}

#[test]
fn a_stream_that_is_reset_ends_its_tunnel_alone() {
    let upstream = echo();
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let one = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    let mut other = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 2);
    other.body.send_reset(h2::Reason::CANCEL);
    upstream.wait_closed(1);
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 1);
    h2.duplex(
        one,
        |head| assert_eq!(head.status, 200),
        &[(b"", b"\x81\x02hi"), (b"\x81\x80\0\0\0\0", b"\x81\x80\0\0\0\0")],
    );
}

#[test]
fn many_tunnels_may_come_and_go_on_one_connection() {
    let upstream = echo();
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    for _ in 0..300 {
        let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
        h2.duplex(asked, |head| assert_eq!(head.status, 200), &[(b"", b"\x81\x02hi")]);
    }
    assert_eq!(h2.ask(get("/nowhere", None)).status, 403, "none of them counts as given up");
}

#[test]
fn what_a_client_never_takes_of_a_tunnel_ends_with_it() {
    let upstream = Upstream::scripted(|seen, stream| {
        let frame = [&b"\x82\x7f\0\0\0\0\0\x10\0\0"[..], &[0; 1 << 20]].concat();
        let _given_up = stream.get_mut().write_all(&[agreement(seen).as_bytes(), &frame].concat());
        false
    });
    let limits = Limits { idle: Duration::from_millis(500), ..Setup::default().limits };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut raw = Raw::to(gate.address);
    let asked = block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/public"),
        VERSION,
    ]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &asked));
    // It makes no more room than there is at first.
    assert!(raw.until(RESET).is_some_and(|frame| frame.stream == 1));
}

#[test]
fn a_drain_says_goodbye_on_streams_too() {
    let upstream = Upstream::scripted(|seen, stream| {
        stream.get_mut().write_all(agreement(seen).as_bytes()).unwrap();
        let mut close = [0; 18];
        stream.read_exact(&mut close).unwrap();
        stream.get_mut().write_all(&[0x88, 0]).unwrap();
        let _ = stream.read(&mut close);
        false
    });
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 1);
    gate.shut_down();
    let close = b"\x88\x0c\x03\xe9going away";
    h2.duplex(asked, |head| assert_eq!(head.status, 200), &[(b"", close), (b"\x88\x80\0\0\0\0", b"")]);
    h2.ended(Duration::from_secs(2)).unwrap();
    gate.join();
}

#[test]
fn an_upstream_in_http_2_that_takes_extended_connect_is_asked_so_by_either_client() {
    let served = Served::h2c(
        Http2::new(|mut call| async move {
            let protocol = call.request.extensions().get::<Protocol>().map(|one| one.as_str().to_owned());
            if call.request.method() != http::Method::CONNECT || protocol.as_deref() != Some("websocket") {
                return call.agree().await;
            }
            let head = Response::builder().header("sec-websocket-protocol", "chat").body(()).unwrap();
            let mut back = call.respond.send_response(head, false).unwrap();
            let body = call.request.body_mut();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                back.send_data(data, false).unwrap();
            }
            let _ = back.send_data(Bytes::new(), true);
        })
        .with_connect(),
    );
    let gate = Setup::default().start_with(served.upstream(true, None));
    let mut http1 = gate.client();
    let head = http1.send(handshake("/public/ws", "")).head();
    assert_eq!(
        (head.status, head.field("upgrade"), head.field("sec-websocket-protocol")),
        (101, Some("websocket"), Some("chat"))
    );
    assert_eq!(head.field("sec-websocket-accept"), Some(&*accept_of(KEY)));
    http1.send(b"\x81\x80\0\0\0\0");
    let mut back = [0; 6];
    http1.0.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"\x81\x80\0\0\0\0");
    let last = served.last();
    assert_eq!((last.method.as_str(), last.uri.to_string().as_str()), ("CONNECT", "http://api.example/public/ws"));
    assert!(!last.headers.contains_key("sec-websocket-key") && !last.headers.contains_key("connection"));
    assert_eq!(last.headers["sec-websocket-version"], "13");
    let mut h2 = client(gate.address);
    let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    h2.duplex(asked, |head| assert_eq!(head.status, 200), &[(b"\x81\x80\0\0\0\0", b"\x81\x80\0\0\0\0")]);
    assert_eq!(gate.get("/public", None).status, 200);
    assert_eq!(served.connections(), 1, "all on one connection");
    drop(http1);
    eventually(|| *gate.notes.tunnels.lock().unwrap() == 0);
}

#[test]
fn an_upstream_in_http_2_that_takes_none_is_asked_in_http_1_in_tls_and_not_at_all_in_the_clear() {
    let authority = Authority::new();
    let plain = || Http2::new(|call| async move { call.agree().await });
    let served = Served::tls(authority.server("ledger.example", &["h2", "http/1.1"]), Some(plain()));
    let tls =
        ClientTls { ca: Some(authority.ca()), server_name: Some("ledger.example".into()), ..ClientTls::default() };
    let gate = Setup::default().start_with(served.upstream(true, Some(tls)));
    // This one declines, as it would any request that it does not understand.
    assert_eq!(gate.ask(handshake("/public/x?y", "")).body, "ok");
    {
        let notes = served.notes.lock().unwrap();
        let alpn: Vec<_> = notes.sessions.iter().map(|(_, alpn)| alpn.as_deref().unwrap()).collect();
        assert_eq!(alpn, ["h2", "http/1.1"]);
        assert!(
            notes.texts[0].starts_with("GET /public/x?y HTTP/1.1\r\n")
                && notes.texts[0].contains("upgrade: websocket\r\n")
        );
        assert!(notes.texts[0].contains("host: api.example\r\n"), "{}", notes.texts[0]);
    }
    let clear = Served::h2c(plain());
    let gate = Setup::default().start_with(clear.upstream(true, None));
    assert_eq!(gate.ask(handshake("/public", "")).status, 502);
    assert!(gate.notes.causes.lock().unwrap()[0].contains("takes no extended CONNECT"));
    assert_eq!(clear.requests(), 0);
}

#[test]
fn a_request_with_upgrade_and_a_body_is_an_ordinary_one_over_http_2_upstreams_too() {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = bodies.clone();
    let served = Served::h2c(
        Http2::new(move |mut call| {
            let noted = noted.clone();
            async move {
                let (body, _) = call.body().await;
                noted.lock().unwrap().push((call.request.method().clone(), body));
                call.answer("ok");
            }
        })
        .with_connect(),
    );
    let gate = Setup::default().start_with(served.upstream(true, None));
    let request = handshake("/public", "Content-Length: 5\r\n").replace("GET", "POST") + "hello";
    assert_eq!(gate.ask(request).status, 200);
    assert_eq!(*bodies.lock().unwrap(), [(http::Method::POST, b"hello".to_vec())]);
}

#[test]
fn an_upstream_in_http_1_is_read_whole_before_a_stream_says_that_it_agreed() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let wrong = agreement(seen).replace("Accept: ", "Accept: x");
        stream.get_mut().write_all(wrong.as_bytes()).is_ok()
    });
    let gate = gate(&upstream);
    let mut h2 = client(gate.address);
    let asked = h2.begin(connect("/public", "websocket", &[VERSION]), false).unwrap();
    assert_eq!(h2.wait(asked).unwrap().status, 502);
    assert!(gate.notes.causes.lock().unwrap()[0].contains("Sec-WebSocket-Accept"));
}
