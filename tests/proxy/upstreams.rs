//! An upstream in several places: where requests go, where they go instead, and what is never sent twice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::Response;
use stepgate::Reason;
use stepgate::config::settings::{Endpoint, HealthCheck, Limits, Upstream as Configured};
use stepgate::proxy::{Standings, check_health};
use stepgate::telemetry::AddressState;

use super::client::get;
use super::gate::{Running1, Setup};
use super::served::{Http2, Served};
use super::upgrades::{AGREED, handshake};
use super::upstream::{Upstream, eventually, read_body};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const POST: &str = "POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// One upstream in all these places.
fn in_all(places: &[SocketAddr]) -> Configured {
    let mut endpoints = places.iter().map(|place| Endpoint::Tcp(place.ip().to_string(), place.port()));
    let endpoint = endpoints.next().unwrap();
    Configured { endpoint, others: endpoints.collect(), ..Configured::plain("app".into(), String::new(), 0) }
}

fn before(places: &[SocketAddr]) -> Running1 {
    Setup::default().start_with(in_all(places))
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads whole requests and closes without an answer.
fn breaking() -> Upstream {
    Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        false
    })
}

/// Never answers.
fn silent() -> Upstream {
    Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_secs(5));
        false
    })
}

#[test]
fn requests_go_to_the_place_that_has_the_least_to_do() {
    let slow = || {
        Upstream::scripted(|seen, stream| {
            read_body(seen, stream);
            thread::sleep(Duration::from_millis(400));
            stream.get_mut().write_all(OK).is_ok()
        })
    };
    let upstreams = [slow(), slow(), slow()];
    let gate = before(&upstreams.each_ref().map(|upstream| upstream.address));
    thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| assert_eq!(gate.get("/public", None).status, 200));
        }
    });
    assert_eq!(upstreams.each_ref().map(|upstream| upstream.seen().len()), [3, 3, 3]);
    // An answer that is not taken to its end keeps its place busy.
    let endless = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok");
        thread::sleep(Duration::from_secs(2));
        false
    });
    let plain = Upstream::plain();
    let gate = before(&[endless.address, plain.address]);
    let mut waiting = Vec::new();
    while endless.seen().is_empty() {
        let mut client = gate.client();
        client.send(get("/public", None)).head();
        waiting.push(client);
    }
    for _ in 0..10 {
        assert_eq!(gate.get("/public", None).body, "ok");
    }
    assert_eq!(endless.seen().len(), 1);
}

#[test]
fn a_request_that_finds_nobody_goes_to_another_place_at_once_whatever_it_is() {
    let (upstream, dead) = (Upstream::plain(), nobody());
    let gate = before(&[dead, upstream.address, nobody()]);
    let began = Instant::now();
    for number in 0..20 {
        assert_eq!(gate.ask(POST).status, 200, "{number}");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|seen| seen.body == b"abc"), "with its whole body");
    assert!(gate.notes.failed.lock().unwrap().is_empty(), "no client was told");
}

#[test]
fn a_connection_that_breaks_before_an_answer_sends_only_what_may_be_sent_twice_elsewhere() {
    // In every order: which of them is asked first is left to chance.
    for _ in 0..4 {
        let (broken, good) = (breaking(), Upstream::plain());
        let gate = before(&[broken.address, good.address]);
        for _ in 0..4 {
            assert_eq!(gate.get("/public", None).status, 200);
        }
        assert!(!broken.seen().is_empty());
        let (before, after) = (broken.seen().len(), good.seen().len());
        let statuses: Vec<u16> = (0..2).map(|_| gate.ask(POST).status).collect();
        let posts = |upstream: &Upstream, from: usize| upstream.seen().len() - from;
        let (lost, done) = (posts(&broken, before), posts(&good, after));
        assert_eq!(lost + done, 2, "each was sent once: {statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 502).count(), lost);
    }
}

#[test]
fn what_may_be_sent_twice_is_sent_twice_and_no_more() {
    let upstreams = [breaking(), breaking(), breaking()];
    let gate = before(&upstreams.each_ref().map(|upstream| upstream.address));
    let seen = || upstreams.iter().map(|upstream| upstream.seen().len()).sum::<usize>();
    assert_eq!(gate.get("/public", None).status, 502);
    assert_eq!(seen(), 2);
    assert_eq!(gate.ask("DELETE /public HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
    assert_eq!(seen(), 3, "what changes something is sent once, whether it has a body or not");
    let mut client = gate.client();
    let upload = "GET /public HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(client.ask(upload).status, 502);
    assert_eq!(seen(), 4);
}

#[test]
fn nothing_is_sent_again_after_the_head_of_an_answer() {
    let half = || {
        Upstream::scripted(|seen, stream| {
            read_body(seen, stream);
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok");
            false
        })
    };
    let upstreams = [half(), half()];
    let gate = before(&upstreams.each_ref().map(|upstream| upstream.address));
    let answer = gate.client().send(get("/public", None)).rest();
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(upstreams.iter().map(|upstream| upstream.seen().len()).sum::<usize>(), 1);
    let odd = || Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok");
    let upstreams = [odd(), odd()];
    let gate = before(&upstreams.each_ref().map(|upstream| upstream.address));
    assert_eq!(gate.get("/public", None).status, 502);
    assert_eq!(upstreams.iter().map(|upstream| upstream.seen().len()).sum::<usize>(), 1, "it was answered, if badly");
}

#[test]
fn a_request_that_is_not_answered_in_time_goes_nowhere_else_and_five_of_them_leave_the_place_out() {
    let (quiet, good) = (silent(), Upstream::plain());
    let upstream = Configured { timeout: Some(Duration::from_millis(100)), ..in_all(&[quiet.address, good.address]) };
    let gate = Setup::default().start_with(upstream);
    let mut late = 0;
    while late < 5 {
        let status = gate.get("/public", None).status;
        late += usize::from(status == 504);
        assert!(status == 200 || status == 504);
        assert_eq!(quiet.seen().len(), late, "each was sent once");
    }
    let causes = gate.notes.failed.lock().unwrap().clone();
    assert_eq!(causes.len(), 5);
    assert!(causes.iter().all(|(_, reason, status)| (*reason, *status) == (Reason::UpstreamTimeout, 504)));
    let before = good.seen().len();
    for _ in 0..10 {
        assert_eq!(gate.get("/public", None).status, 200);
    }
    assert_eq!(good.seen().len(), before + 10);
}

#[test]
fn answers_that_tell_of_an_error_leave_nobody_out() {
    let failing = Upstream::answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    let good = Upstream::plain();
    let gate = before(&[failing.address, good.address]);
    let statuses: Vec<u16> = (0..40).map(|_| gate.get("/public", None).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 20);
}

#[test]
fn a_body_that_the_client_breaks_off_says_nothing_of_the_upstream() {
    let upstreams = [Upstream::plain(), Upstream::plain()];
    let gate = before(&upstreams.each_ref().map(|upstream| upstream.address));
    for _ in 0..20 {
        gate.client().send("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
        let mut client = gate.client();
        let odd = client.ask("POST /public HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
        assert_eq!(odd.status, 400);
    }
    for _ in 0..10 {
        assert_eq!(gate.get("/public", None).status, 200);
    }
    assert!(gate.standings.health().iter().all(|place| place.failures == 0));
    let gets = |upstream: &Upstream| upstream.seen().iter().filter(|seen| seen.line().starts_with("GET")).count();
    assert_eq!(upstreams.each_ref().map(gets), [5, 5], "both get requests");
}

#[test]
fn a_place_that_comes_back_gets_requests_again() {
    let (address, good) = (nobody(), Upstream::plain());
    let gate = before(&[address, good.address]);
    for _ in 0..4 {
        assert_eq!(gate.get("/public", None).status, 200);
    }
    let back = Upstream::at(address, |seen, stream| {
        read_body(seen, stream);
        stream.get_mut().write_all(OK).is_ok()
    });
    eventually(|| {
        assert_eq!(gate.get("/public", None).status, 200);
        !back.seen().is_empty()
    });
    let before = back.seen().len();
    (0..20).for_each(|_| assert_eq!(gate.get("/public", None).status, 200));
    assert_eq!(back.seen().len() - before, 10, "as many as the other");
}

#[test]
fn where_all_places_are_out_all_are_tried() {
    let (one, other) = (nobody(), nobody());
    let gate = before(&[one, other]);
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(gate.ask(POST).status, 502);
        assert!(began.elapsed() < Duration::from_millis(500));
    }
    let causes = gate.notes.causes.lock().unwrap().clone();
    let said = |address: SocketAddr| causes.iter().all(|cause| cause.contains(&address.to_string()));
    assert!(said(one) && said(other), "{causes:?}");
    let _back = Upstream::at(other, |seen, stream| {
        read_body(seen, stream);
        stream.get_mut().write_all(OK).is_ok()
    });
    assert_eq!(gate.ask(POST).status, 200, "at the first request, however long it was to be left out");
}

#[test]
fn http_2_and_sockets_have_several_places_too() {
    let calls = Arc::new(AtomicUsize::new(0));
    let served = || {
        let calls = calls.clone();
        Served::h2c(Http2::new(move |mut call| {
            let calls = calls.clone();
            async move {
                calls.fetch_add(1, Ordering::SeqCst);
                assert_eq!(call.body().await.0.as_slice(), b"abc");
                call.respond.send_response(Response::new(()), true).unwrap();
            }
        }))
    };
    let (one, other) = (served(), served());
    let upstream = in_all(&[one.address, nobody(), other.address]);
    let gate = Setup::default().start_with(Configured { http2: true, ..upstream });
    for _ in 0..20 {
        assert_eq!(gate.ask(POST).status, 200);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 20);
    assert!(one.requests() >= 8 && other.requests() >= 8, "{} {}", one.requests(), other.requests());

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let unix = Served::unix(&socket, None);
    let tcp = Upstream::plain();
    let mut upstream = in_all(&[tcp.address]);
    upstream.others = [Endpoint::Unix(socket), Endpoint::Unix(folder.path().join("none"))].into();
    let gate = Setup::default().start_with(upstream);
    for _ in 0..20 {
        assert_eq!(gate.get("/public", None).status, 200);
    }
    assert!(unix.requests() >= 8 && tcp.seen().len() >= 8);
}

#[test]
fn a_tunnel_finds_a_place_like_any_request_and_counts_there_while_it_is_open() {
    let agreeing = || {
        Upstream::scripted(|seen, stream| {
            if !seen.line().starts_with("GET /public/tunnel") {
                read_body(seen, stream);
                return stream.get_mut().write_all(OK).is_ok();
            }
            stream.get_mut().write_all(AGREED.as_bytes()).unwrap();
            let _ends = stream.read_to_end(&mut Vec::new());
            false
        })
    };
    let upstreams = [agreeing(), agreeing()];
    let seen = || upstreams.each_ref().map(|upstream| upstream.seen().len());
    let gate = before(&[nobody(), upstreams[0].address, nobody(), upstreams[1].address]);
    let open = || {
        let mut client = gate.client();
        assert_eq!(client.send(handshake("/public/tunnel", "")).head().status, 101);
        client
    };
    let mut tunnels: Vec<_> = (0..4).map(|_| open()).collect();
    assert_eq!(seen(), [2, 2]);
    assert!(gate.notes.failed.lock().unwrap().is_empty());
    // With one less at one of them, that is where requests go.
    drop(tunnels.pop());
    thread::sleep(Duration::from_millis(200));
    let before = seen();
    for _ in 0..6 {
        assert_eq!(gate.get("/public", None).status, 200);
    }
    let gets = [seen()[0] - before[0], seen()[1] - before[1]];
    assert!(gets == [0, 6] || gets == [6, 0], "{gets:?}");
}

#[test]
fn requests_for_which_a_client_does_not_wait_leave_nothing_behind() {
    let (quiet, good) = (silent(), Upstream::plain());
    let limits = Limits { drain: Duration::from_secs(1), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start_with(in_all(&[quiet.address, good.address]));
    for _ in 0..10 {
        let mut client = gate.client();
        client.send(get("/public", None));
        thread::sleep(Duration::from_millis(30));
    }
    // Those that left count no more: both places are as busy, and take turns.
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
    let (before, asked) = (quiet.seen().len(), good.seen().len());
    assert!(before >= 3 && asked >= 3, "{before} {asked}");
    let mut clients: Vec<_> = (0..4).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(get("/public", None));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(quiet.seen().len() > before && good.seen().len() > asked);
}

#[test]
fn a_place_whose_health_checks_fail_gets_no_requests_until_they_succeed() {
    let well = Arc::new(AtomicBool::new(true));
    let says = well.clone();
    let ill = Upstream::scripted(move |seen, stream| {
        read_body(seen, stream);
        let is_well = says.load(Ordering::SeqCst) || !seen.line().starts_with("GET /up?x=1 ");
        let refusal: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        stream.get_mut().write_all(if is_well { OK } else { refusal }).is_ok()
    });
    let good = Upstream::plain();
    let (every, timeout) = (Duration::from_millis(50), Duration::from_millis(40));
    let check = HealthCheck { every, timeout, ..HealthCheck::of("/up?x=1".into()) };
    let upstream = Configured { health: Some(check), ..in_all(&[ill.address, good.address]) };
    let gate = Setup::default().start_with(upstream.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    check_health(std::slice::from_ref(&upstream), &[None], &gate.standings, runtime.handle());
    let asked = |upstream: &Upstream| upstream.seen().iter().filter(|seen| seen.line().contains("/public")).count();
    let state = |place: usize| gate.standings.health()[place].state;
    let share = || {
        let before = asked(&ill);
        (0..20).for_each(|_| assert_eq!(gate.get("/public", None).status, 200));
        asked(&ill) - before
    };
    eventually(|| gate.standings.health().iter().all(|one| one.checks.is_some_and(|(passed, _)| passed > 1)));
    assert_eq!(share(), 10);
    let seen = good.seen();
    let check = seen.iter().find(|seen| seen.line() == "GET /up?x=1 HTTP/1.1").unwrap();
    assert_eq!(check.field("host"), Some(good.address.to_string().as_str()));
    assert!(check.field("user-agent").unwrap().starts_with("stepgate-health/"));
    well.store(false, Ordering::SeqCst);
    eventually(|| state(0) == AddressState::Unhealthy);
    assert_eq!(gate.standings.health()[0].error.as_deref(), Some("it answers with 503"));
    assert_eq!(share(), 0);
    well.store(true, Ordering::SeqCst);
    eventually(|| state(0) == AddressState::Up);
    assert_eq!(share(), 10);
    assert_eq!(state(1), AddressState::Up);
}

#[test]
fn health_is_asked_over_http_2_and_sockets_and_judged_by_the_statuses_that_are_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = Served::h2c(Http2::new(|mut call| async move {
        assert_eq!(call.request.uri().path(), "/up");
        call.respond.send_response(Response::builder().status(204).body(()).unwrap(), true).unwrap();
    }));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let unix = Served::unix(&socket, None);
    for (upstream, statuses, passes) in [
        (served.upstream(true, None), &[][..], true),
        (served.upstream(true, None), &[200, 204], true),
        (served.upstream(true, None), &[200], false),
        (unix.upstream(false, None), &[], true),
        (served.upstream(false, None), &[], false),
        (in_all(&[nobody()]), &[], false),
    ] {
        let every = Duration::from_millis(50);
        let timeout = Duration::from_secs(1);
        let check = HealthCheck { every, timeout, status: statuses.into(), ..HealthCheck::of("/up".into()) };
        let upstream = Configured { health: Some(check), ..upstream };
        let standings = Standings::of(std::slice::from_ref(&upstream));
        check_health(std::slice::from_ref(&upstream), &[None], &standings, runtime.handle());
        eventually(|| {
            let (passed, failed) = standings.health()[0].checks.unwrap();
            if passes { passed >= 3 } else { failed >= 3 }
        });
        let (passed, failed) = standings.health()[0].checks.unwrap();
        assert_eq!(if passes { failed } else { passed }, 0, "{upstream:?}");
        eventually(|| (standings.health()[0].state == AddressState::Up) == passes);
    }
}
