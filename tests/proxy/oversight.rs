//! What lasts ends when what let it in holds no more, and not before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use stepgate::Reason;
use stepgate::live::Snapshot;
use stepgate::policy::{
    AtPolicy, Condition, Demand, Exception, Kinds, Place, PolicyParts, Requirement, Route, Streams, TokenSource, Who,
};
use stepgate::telemetry::StreamEnd;
use stepgate::token::Timestamp;

use super::client::Client;
use super::gate::{Running1, Setup, gate, snapshot, snapshot_but};
use super::h2_client::{self, DATA, H2, HEADERS, RESET, Raw, frame};
use super::served::{Http2, Served};
use super::upgrades::handshake;
use super::upstream::{Upstream, eventually, read_body, read_chunk};

const EXPIRED: StreamEnd = StreamEnd::Refused(Reason::Expired);
/// A moment that is still to come when a test looks, and in which nothing takes long.
const SOON: Duration = Duration::from_millis(1200);

/// Milliseconds since 1970, so long from now.
#[expect(clippy::disallowed_methods, reason = "the tokens of a test end soon")]
fn millis(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() + from_now
}

/// A token that is believed for so long from now on: it expired before, by the leeway that clocks have.
fn good_for(left: Duration, words: &str) -> String {
    format!("until-{}.{words}", millis(i64::try_from(left.as_millis()).unwrap() - 30_000))
}

fn request(line: &str, token: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: api.example\r\nX-Request-Id: r-1\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

fn get(path: &str, token: &str) -> String {
    request(&format!("GET {path}"), token, "")
}

/// Sends an event each 50 ms, for as long as somebody takes them, and at the most for 20 seconds.
fn events(kind: &'static str) -> Upstream {
    Upstream::scripted(move |seen, stream| {
        if seen.line().contains("/quick") || seen.line().contains("/read") {
            return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok();
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut go_on = stream.get_mut().write_all(head.as_bytes()).is_ok();
        for _ in 0..400 {
            go_on = go_on && stream.get_mut().write_all(b"5\r\nevent\r\n").is_ok();
            if !go_on {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    })
}

/// Begins to say something and then says nothing, for as long as the other side is there.
fn silent() -> Upstream {
    Upstream::scripted(|_, stream| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n";
        let _ = stream.get_mut().write_all(head);
        let _ = stream.read(&mut [0]);
        false
    })
}

/// Changes the route of most of these tests.
fn change(parts: &mut PolicyParts, change: impl FnOnce(&mut Route)) {
    change(parts.routes.iter_mut().find(|route| *route.name == *"any").unwrap());
}

/// A gate whose route ends its streams like this.
fn with_streams(upstream: &Upstream, streams: Streams) -> Running1 {
    let gate = gate(upstream);
    gate.live.swap(snapshot_but(|parts| change(parts, |route| route.streams = streams)));
    gate
}

/// A stream that was begun.
struct Begun {
    client: Client,
    since: Instant,
}

fn begin(gate: &Running1, path: &str, token: &str) -> Begun {
    let since = Instant::now();
    let mut client = gate.client();
    assert_eq!(client.send(get(path, token)).head().status, 200);
    assert_eq!(read_chunk(&mut client.0).unwrap(), b"event");
    Begun { client, since }
}

impl Begun {
    /// Reads to the end, which is none of HTTP. How long it lasted.
    #[track_caller]
    fn breaks_off(mut self) -> Duration {
        let rest = self.client.rest();
        assert!(!rest.contains("0\r\n\r\n"), "it looks whole");
        self.since.elapsed()
    }

    /// Whether it still goes on after this time.
    #[track_caller]
    fn goes_on(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(read_chunk(&mut self.client.0).as_deref(), Some(&b"event"[..]), "it ended");
        }
    }
}

#[track_caller]
fn in_time(lasted: Duration, left: Duration) {
    assert!(lasted >= left, "it ended {:?} too early", left - lasted);
    assert!(lasted < left + Duration::from_secs(2), "it ended {:?} late", lasted - left);
}

#[track_caller]
fn ended(gate: &Running1, why: StreamEnd) {
    eventually(|| !gate.notes.ended.lock().unwrap().is_empty());
    let ended = gate.notes.ended.lock().unwrap().clone();
    let [(id, route, cause, _)] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((id.as_str(), route.as_str(), *cause), ("r-1", "any", why));
}

fn demands(conditions: impl IntoIterator<Item = Condition>) -> Requirement {
    Requirement::Demands(Demand { conditions: conditions.into_iter().collect(), ignore_amr: Box::default() })
}

#[test]
fn a_stream_ends_when_its_token_expires_and_not_before_and_the_upstream_is_told() {
    let upstream = events("text/event-stream");
    let gate = gate(&upstream);
    let since = Instant::now();
    let stream = begin(&gate, "/accounts", &good_for(SOON, "x"));
    stream.breaks_off();
    in_time(since.elapsed(), SOON);
    upstream.wait_closed(1);
    ended(&gate, EXPIRED);
    let (.., lasted) = gate.notes.ended.lock().unwrap()[0].clone();
    in_time(lasted + Duration::from_millis(20), SOON);
    assert_eq!(gate.decided().len(), 1, "it is no second decision");
}

#[test]
fn a_stream_that_says_nothing_ends_as_well_and_one_of_a_public_route_never_does() {
    let upstream = silent();
    let gate = gate(&upstream);
    let mut open = begin(&gate, "/public", "nobody.reads.this");
    let since = Instant::now();
    begin(&gate, "/accounts", &good_for(SOON, "x")).breaks_off();
    in_time(since.elapsed(), SOON);
    upstream.wait_closed(1);
    ended(&gate, EXPIRED);
    open.client.0.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let waits = open.client.0.read(&mut [0]).unwrap_err();
    assert!(matches!(waits.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
}

#[test]
fn with_at_exp_keep_a_stream_outlives_its_token_also_when_it_is_judged_anew() {
    let upstream = events("text/event-stream");
    let streams = Streams { closes_at_exp: false, ..Streams::default() };
    let gate = with_streams(&upstream, streams);
    let mut stream = begin(&gate, "/accounts", &good_for(SOON, "x"));
    stream.goes_on(SOON + Duration::from_millis(600));
    gate.live.swap(snapshot_but(|parts| change(parts, |route| route.streams = streams)));
    stream.goes_on(Duration::from_millis(600));
    gate.live.swap(snapshot());
    stream.breaks_off();
    ended(&gate, EXPIRED);
}

#[test]
fn a_download_that_never_pauses_ends_when_its_token_expires() {
    let upstream = Upstream::scripted(|_, stream| {
        let size = 1_u64 << 40;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        let mut go_on = stream.get_mut().write_all(head.as_bytes()).is_ok();
        let part = vec![b'x'; 1 << 18];
        while go_on {
            go_on = stream.get_mut().write_all(&part).is_ok();
        }
        false
    });
    let gate = gate(&upstream);
    let since = Instant::now();
    let mut client = gate.client();
    assert_eq!(client.send(get("/accounts", &good_for(SOON, "x"))).head().status, 200);
    let mut part = vec![0; 1 << 18];
    while matches!(client.0.read(&mut part), Ok(1..)) {}
    in_time(since.elapsed(), SOON);
    upstream.wait_closed(1);
    ended(&gate, EXPIRED);
}

#[test]
fn an_upstream_is_not_kept_waiting_by_a_client_that_takes_nothing_of_what_has_ended() {
    let (stop, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let (told, when) = (Arc::clone(&stop), Arc::clone(&stopped));
    let upstream = Upstream::scripted(move |_, stream| {
        let mut go_on = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n").is_ok();
        while go_on && !told.load(Ordering::SeqCst) {
            go_on = stream.get_mut().write_all(&[b'x'; 1 << 16]).is_ok();
        }
        *when.lock().unwrap() = Some(Instant::now());
        false
    });
    let gate = gate(&upstream);
    let since = Instant::now();
    let mut client = gate.client();
    client.send(get("/accounts", &good_for(SOON, "x")));
    eventually(|| stopped.lock().unwrap().is_some());
    stop.store(true, Ordering::SeqCst);
    assert!(since.elapsed() < SOON + Duration::from_secs(5), "{:?}", since.elapsed());
    ended(&gate, EXPIRED);
}

/// Reads a body of chunks and says whether it ended as one does.
fn uploads() -> (Upstream, Arc<Mutex<Option<bool>>>) {
    let whole = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&whole);
    let upstream = Upstream::scripted(move |seen, stream| {
        if seen.line().contains("/both") {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n";
            stream.get_mut().write_all(head).unwrap();
        }
        while read_chunk(stream).is_some() {}
        let mut end = [0; 2];
        *tell.lock().unwrap() = Some(stream.read_exact(&mut end).is_ok());
        false
    });
    (upstream, whole)
}

/// Sends a chunk each 50 ms until that fails.
fn send_on(mut to: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for _ in 0..200 {
            if to.write_all(b"1\r\nx\r\n").is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody stopped the upload");
    })
}

#[test]
fn an_upload_ends_when_its_token_expires_and_the_client_hears_why() {
    let (upstream, whole) = uploads();
    let gate = gate(&upstream);
    let since = Instant::now();
    let mut client = gate.client();
    client.send(request("POST /accounts", &good_for(SOON, "x"), "Transfer-Encoding: chunked\r\n"));
    let sending = send_on(client.0.get_ref().try_clone().unwrap());
    let response = client.response();
    in_time(since.elapsed(), SOON);
    assert_eq!((response.status, response.field("connection")), (401, Some("close")));
    assert!(response.field("www-authenticate").unwrap().contains("invalid_token"), "{response:?}");
    upstream.wait_closed(1);
    assert_eq!(*whole.lock().unwrap(), Some(false), "the upstream took what it got for the whole");
    drop(client);
    sending.join().unwrap();
    ended(&gate, EXPIRED);
}

#[test]
fn an_upload_that_was_answered_before_its_end_ends_with_its_answer() {
    let (upstream, whole) = uploads();
    let gate = gate(&upstream);
    let since = Instant::now();
    let mut client = gate.client();
    client.send(request("POST /accounts/both", &good_for(SOON, "x"), "Transfer-Encoding: chunked\r\n"));
    assert_eq!(client.head().status, 200);
    let sending = send_on(client.0.get_ref().try_clone().unwrap());
    assert_eq!(client.rest(), "5\r\nevent\r\n");
    in_time(since.elapsed(), SOON);
    upstream.wait_closed(1);
    assert_eq!(*whole.lock().unwrap(), Some(false));
    drop(client);
    sending.join().unwrap();
    ended(&gate, EXPIRED);
}

#[test]
fn over_http2_an_upstream_sees_an_upload_reset_and_never_its_end() {
    for answers in [false, true] {
        let (tell, told) = std::sync::mpsc::channel();
        let served = Served::h2c(Http2::new(move |mut call| {
            let tell = tell.clone();
            async move {
                let mut answer = None;
                if answers {
                    let mut stream = call.respond.send_response(http::Response::new(()), false).unwrap();
                    stream.send_data("event".into(), false).unwrap();
                    answer = Some(stream);
                }
                let body = call.request.body_mut();
                let end = loop {
                    match body.data().await {
                        Some(Ok(data)) => body.flow_control().release_capacity(data.len()).unwrap(),
                        Some(Err(error)) => break Err(error.reason()),
                        None => break Ok(()),
                    }
                };
                tell.send(end).unwrap();
                drop(answer);
            }
        }));
        let gate = Setup::default().start_with(served.upstream(true, None));
        let mut client = gate.client();
        client.send(request("POST /accounts", &good_for(SOON, "x"), "Transfer-Encoding: chunked\r\n"));
        let sending = send_on(client.0.get_ref().try_clone().unwrap());
        let end = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(end, Err(Some(h2::Reason::CANCEL)), "answers: {answers}");
        assert_eq!(client.head().status, if answers { 200 } else { 401 });
        drop(client);
        sending.join().unwrap();
        ended(&gate, EXPIRED);
    }
}

#[test]
fn with_at_max_age_close_a_stream_ends_when_the_sign_in_is_too_old_and_by_default_it_goes_on() {
    let upstream = events("text/event-stream");
    let aged = |streams| {
        move |route: &mut Route| {
            route.require = demands([Condition::MaxAge(300)]);
            route.streams = streams;
        }
    };
    for at_policy in [AtPolicy::Judge, AtPolicy::Keep] {
        let gate = gate(&upstream);
        let streams = Streams { closes_at_max_age: true, at_policy, ..Streams::default() };
        gate.live.swap(snapshot_but(|parts| change(parts, aged(streams))));
        let since = Instant::now();
        let left = i64::try_from(SOON.as_millis()).unwrap();
        let stream = begin(&gate, "/accounts", &format!("signed-{}.x", millis(left - 300_000)));
        stream.breaks_off();
        in_time(since.elapsed(), SOON);
        ended(&gate, StreamEnd::Refused(Reason::AuthTooOld));
    }
    let gate = gate(&upstream);
    gate.live.swap(snapshot_but(|parts| change(parts, aged(Streams::default()))));
    let mut stream = begin(&gate, "/accounts", &format!("signed-{}.x", millis(500 - 300_000)));
    stream.goes_on(Duration::from_millis(900));
    gate.live.swap(snapshot_but(|parts| change(parts, aged(Streams::default()))));
    stream.goes_on(Duration::from_millis(900));
}

#[test]
fn a_stream_is_judged_by_the_policy_that_comes_into_force_and_ends_where_that_refuses() {
    let multi_factor = |parts: &PolicyParts| parts.ladders.rung("multi-factor").unwrap();
    type Change = Box<dyn Fn(&mut PolicyParts)>;
    let header = || TokenSource { place: Place::Header("x-token".into()), kinds: Kinds::Access };
    let cases: Vec<(Change, Reason)> = vec![
        (
            Box::new(move |parts| {
                let level = multi_factor(parts);
                change(parts, |route| route.require = demands([Condition::Level(level)]));
            }),
            Reason::LevelTooLow,
        ),
        (Box::new(|parts| parts.routes.retain(|route| *route.name != *"any")), Reason::RouteNone),
        (
            Box::new(|parts| {
                parts.issuers.remove(0);
                parts.issuers[0].id.0 = 0;
            }),
            Reason::IssuerUnknown,
        ),
        (Box::new(move |parts| change(parts, |route| route.take = [header()].into())), Reason::TokenMissing),
        (Box::new(|parts| change(parts, |route| route.take[0].kinds = Kinds::Id)), Reason::TokenKindWrong),
    ];
    let upstream = events("text/event-stream");
    for (change, reason) in cases {
        let gate = gate(&upstream);
        let mut stream = begin(&gate, "/accounts", "low");
        stream.goes_on(Duration::from_millis(400));
        let since = Instant::now();
        gate.live.swap(snapshot_but(change));
        stream.breaks_off();
        assert!(since.elapsed() < Duration::from_secs(1), "{reason}: {:?}", since.elapsed());
        eventually(|| !gate.notes.ended.lock().unwrap().is_empty());
        assert_eq!(gate.notes.ended.lock().unwrap()[0].2, StreamEnd::Refused(reason));
    }
}

#[test]
fn a_policy_that_lets_it_in_as_well_ends_no_stream_and_one_that_comes_later_is_looked_at_too() {
    let upstream = events("text/event-stream");
    let gate = gate(&upstream);
    let mut stream = begin(&gate, "/accounts", "low");
    for _ in 0..2 {
        gate.live.swap(snapshot_but(|parts| change(parts, |route| route.name = "renamed".into())));
        stream.goes_on(Duration::from_millis(600));
    }
    gate.live.swap(snapshot_but(|parts| parts.routes.clear()));
    stream.breaks_off();
    eventually(|| !gate.notes.ended.lock().unwrap().is_empty());
    let (_, route, why, _) = gate.notes.ended.lock().unwrap()[0].clone();
    assert_eq!((route.as_str(), why), ("renamed", StreamEnd::Refused(Reason::RouteNone)));
}

#[test]
fn what_an_exception_let_in_ends_with_the_exception_whatever_its_route_keeps() {
    let upstream = events("text/event-stream");
    let keeps = Streams { closes_at_exp: false, at_policy: AtPolicy::Keep, ..Streams::default() };
    for streams in [Streams::default(), keeps] {
        let until = millis(i64::try_from(SOON.as_millis()).unwrap());
        let gate = gate(&upstream);
        let snapshot = snapshot_but(|parts| {
            let high = parts.ladders.rung("multi-factor").unwrap();
            change(parts, |route| {
                route.require = demands([Condition::Level(high)]);
                route.streams = streams;
            });
        });
        let outage = Exception {
            name: "outage".into(),
            who: Who {
                issuer: snapshot.policy.issuers()[0].id,
                subjects: ["ada".into()].into(),
                clients: Box::default(),
            },
            routes: [snapshot.policy.routes().iter().position(|route| *route.name == *"any").unwrap()].into(),
            instead: None,
            until: Timestamp::from_micros(until * 1000),
            until_written: "soon".into(),
            because: "a test".into(),
        };
        gate.live.swap(Snapshot { policy: snapshot.policy.with_exceptions(vec![outage]), ..snapshot });
        let since = Instant::now();
        begin(&gate, "/accounts", "low.sub-ada").breaks_off();
        in_time(since.elapsed(), SOON.saturating_sub(Duration::from_millis(100)));
        ended(&gate, StreamEnd::Refused(Reason::LevelTooLow));
    }
}

#[test]
fn at_policy_says_whether_another_policy_ends_a_stream_always_or_never() {
    let upstream = events("text/event-stream");
    let streams = |at_policy| Streams { at_policy, ..Streams::default() };
    let gate = with_streams(&upstream, streams(AtPolicy::Keep));
    let mut kept = begin(&gate, "/accounts", "low");
    gate.live.swap(snapshot_but(|parts| parts.routes.clear()));
    kept.goes_on(Duration::from_millis(900));
    drop(gate);
    let gate = with_streams(&upstream, streams(AtPolicy::Close));
    let mut closed = begin(&gate, "/accounts", "low");
    closed.goes_on(Duration::from_millis(600));
    gate.live.swap(snapshot());
    closed.breaks_off();
    ended(&gate, StreamEnd::PolicyChanged);
}

/// Renews by a request with this token while streams of a session are open on both workers. How long they lasted.
fn renewed_by(token: impl FnOnce() -> String) -> Vec<Duration> {
    let upstream = events("text/event-stream");
    let gate = Setup { workers: 2, ..Setup::default() }.start(upstream.address);
    let streams = Streams { renews_by_sid: true, ..Streams::default() };
    gate.live.swap(snapshot_but(|parts| change(parts, |route| route.streams = streams)));
    let since = Instant::now();
    let first = good_for(SOON, "sub-ann.sid-one");
    let open: Vec<Begun> = (0..8).map(|_| begin(&gate, "/accounts", &first)).collect();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(gate.ask(get("/accounts/quick", &token())).status, 200);
    let read = |stream: Begun| {
        thread::spawn(move || {
            stream.breaks_off();
            since.elapsed()
        })
    };
    let reading: Vec<_> = open.into_iter().map(read).collect();
    reading.into_iter().map(|stream| stream.join().unwrap()).collect()
}

#[test]
fn a_later_token_of_the_same_session_renews_its_streams_whichever_worker_took_it() {
    let longer = SOON * 2;
    for lasted in renewed_by(|| good_for(longer - Duration::from_millis(500), "sub-ann.sid-one")) {
        assert!(lasted >= longer - Duration::from_millis(100), "{lasted:?}");
    }
}

#[test]
fn a_later_sign_in_renews_what_asks_for_its_age_however_much_later_it_was() {
    let upstream = events("text/event-stream");
    let gate = gate(&upstream);
    gate.live.swap(snapshot_but(|parts| {
        change(parts, |route| {
            route.require = demands([Condition::MaxAge(300)]);
            route.streams = Streams { renews_by_sid: true, ..Streams::default() };
        });
    }));
    let first = good_for(SOON, &format!("sub-ann.sid-one.signed-{}", millis(-299_000)));
    let mut stream = begin(&gate, "/accounts", &first);
    stream.goes_on(SOON / 2);
    // As far ahead of our clock as is taken now, and further ahead of when the stream began.
    let later = good_for(SOON * 9, &format!("sub-ann.sid-one.signed-{}", millis(29_900)));
    assert_eq!(gate.ask(get("/accounts/quick", &later)).status, 200);
    stream.goes_on(SOON);
    gate.live.swap(snapshot());
    stream.goes_on(Duration::from_millis(600));
    assert!(gate.notes.ended.lock().unwrap().is_empty());
}

#[test]
fn what_is_of_another_user_or_session_or_not_later_renews_nothing() {
    let renewals = [
        (SOON * 9, "sub-bob.sid-one"),
        (SOON * 9, "sub-ann.sid-two"),
        (SOON * 9, "sub-ann"),
        (SOON / 2, "sub-ann.sid-one"),
        (SOON * 9, "hopeless.sub-ann.sid-one"),
    ];
    for (left, words) in renewals {
        for lasted in renewed_by(|| good_for(left, words)) {
            assert!(lasted < SOON + Duration::from_secs(2), "{words}: {lasted:?}");
        }
    }
}

#[test]
fn what_the_streams_own_route_would_refuse_renews_nothing() {
    let upstream = events("text/event-stream");
    let gate = gate(&upstream);
    gate.live.swap(snapshot_but(|parts| {
        let high = parts.ladders.rung("multi-factor").unwrap();
        change(parts, |route| {
            route.require = demands([Condition::Level(high)]);
            route.streams = Streams { renews_by_sid: true, ..Streams::default() };
        });
    }));
    let since = Instant::now();
    let stream = begin(&gate, "/accounts", &good_for(SOON, "high.sub-ann.sid-one"));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(gate.ask(get("/read", &good_for(SOON * 9, "low.sub-ann.sid-one"))).status, 200);
    stream.breaks_off();
    in_time(since.elapsed(), SOON);
}

#[test]
fn over_http2_the_stream_alone_is_reset_as_cancelled() {
    let upstream = events("text/event-stream");
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    let since = Instant::now();
    let bearer = format!("Bearer {}", good_for(SOON, "x"));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "api.example"),
        (":path", "/accounts"),
        ("authorization", bearer.as_str()),
        ("x-request-id", "r-1"),
    ];
    raw.send(&frame(HEADERS, h2_client::END_STREAM | h2_client::END_HEADERS, 1, &h2_client::block(&fields)));
    assert_eq!(raw.until(DATA).unwrap().payload, b"event");
    let reset = raw.until(RESET).unwrap();
    in_time(since.elapsed(), SOON);
    assert_eq!((reset.stream, reset.code()), (1, 8), "CANCEL");
    ended(&gate, EXPIRED);
    let again =
        frame(HEADERS, h2_client::END_STREAM | h2_client::END_HEADERS, 3, &h2_client::get_block("/public/quick"));
    raw.send(&again);
    assert_eq!(raw.until(HEADERS).unwrap().stream, 3, "the connection goes on");
    upstream.wait_closed(1);
}

#[test]
fn a_call_of_grpc_ends_with_a_status_that_says_why() {
    for (kind, status) in
        [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc-web", false)]
    {
        let upstream = events(kind);
        let gate = gate(&upstream);
        let since = Instant::now();
        let mut client = H2::to(gate.address);
        let asked = client.begin(h2_client::get("/accounts", Some(&good_for(SOON, "x"))), true).unwrap();
        let answer = client.wait(asked);
        in_time(since.elapsed(), SOON);
        match answer {
            Ok(answer) => {
                assert!(status, "{kind}");
                assert_eq!(answer.trailers, "grpc-status: 16\r\ngrpc-message: token expired\r\n");
            }
            Err(error) => assert_eq!((status, error.reason()), (false, Some(h2::Reason::CANCEL)), "{kind}"),
        }
    }
}

#[test]
fn what_is_answered_in_time_is_neither_ended_nor_told_of() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(300));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(300));
        stream.get_mut().write_all(b"2\r\nok\r\n0\r\n\r\n").is_ok()
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    for _ in 0..2 {
        let token = good_for(SOON, "x");
        let answer =
            client.ask(request("POST /accounts", &token, "Transfer-Encoding: chunked\r\n") + "2\r\nhi\r\n0\r\n\r\n");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    thread::sleep(SOON);
    assert!(gate.notes.ended.lock().unwrap().is_empty());
    assert_eq!(gate.notes.connections(), 1, "the upstream's connection is used again");
}

#[test]
fn a_websocket_is_told_goodbye_on_both_sides_when_its_token_expires() {
    const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let got = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&got);
    let upstream = Upstream::scripted(move |_, stream| {
        stream.get_mut().write_all(AGREED.as_bytes()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        *noted.lock().unwrap() = rest;
        false
    });
    let gate = gate(&upstream);
    let since = Instant::now();
    let mut client = gate.client();
    let token = good_for(SOON, "x");
    let fields = format!("X-Request-Id: r-1\r\nAuthorization: Bearer {token}\r\n");
    assert_eq!(client.send(handshake("/accounts", &fields)).head().status, 101);
    let goodbye = b"\x88\x0f\x03\xf0token expired";
    let mut told = vec![0; goodbye.len()];
    client.0.read_exact(&mut told).unwrap();
    in_time(since.elapsed(), SOON);
    assert_eq!(told, goodbye, "1008, and why");
    // The answer that RFC 6455 section 5.5.1 has a client give.
    client.send(b"\x88\x82\0\0\0\0\x03\xf0");
    assert!(client.is_closed());
    upstream.wait_closed(1);
    let told = got.lock().unwrap().clone();
    assert_eq!(told.get(..2), Some(&b"\x88\x8f"[..]), "masked, as a client's are");
    let unmasked: Vec<u8> = told[6..21].iter().zip(told[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(unmasked, goodbye[2..]);
    ended(&gate, EXPIRED);
}
