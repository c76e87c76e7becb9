//! The end of the gate: what was begun is finished, what was taken is answered, in both protocols.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stepgate::config::settings::Limits;

use super::client::get as get1;
use super::gate::{Running1, Setup, gate};
use super::h2_client::{END_HEADERS, END_STREAM, GO_AWAY, H2, HEADERS, Raw, frame, get, get_block};
use super::upstream::{Upstream, eventually, read_body};

fn slow() -> Upstream {
    Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        if seen.line().contains("slow") {
            thread::sleep(Duration::from_millis(700));
        }
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    })
}

#[test]
fn streams_under_way_are_finished_and_goaway_is_said() {
    let upstream = slow();
    let gate = gate(&upstream);
    let (mut busy, mut idle) = (H2::to(gate.address), H2::to(gate.address));
    assert_eq!(idle.ask(get("/public", None)).status, 200);
    let asked = busy.begin(get("/public/slow", None), true).unwrap();
    eventually(|| upstream.seen().len() == 2);
    gate.shut_down();
    idle.ended(Duration::from_millis(600)).unwrap();
    assert_eq!(busy.wait(asked).unwrap().body, "ok");
    busy.ended(Duration::from_millis(600)).unwrap();
    let started = Instant::now();
    gate.join();
    assert!(started.elapsed() < Duration::from_secs(1), "nothing was left to wait for");
}

#[test]
fn a_stream_that_does_not_end_is_cut_at_the_deadline() {
    let upstream = Upstream::scripted(|_, stream| {
        let _ = stream.read(&mut [0]);
        false
    });
    let limits = Limits { drain: Duration::from_millis(500), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    let mut raw = Raw::to(gate.address);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_block("/public")));
    eventually(|| upstream.seen().len() == 1);
    let started = Instant::now();
    gate.join();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_millis(1500), "{took:?}");
    assert_eq!(raw.until(GO_AWAY).unwrap().code(), 0);
    upstream.wait_closed(1);
}

/// Connects and asks, again and again, until nobody is there any more. Counts what was taken and not answered.
fn asks_until_the_end(gate: &Running1, lost: &AtomicUsize, answered: &AtomicUsize) {
    loop {
        // A connection that is not made is no request that was lost.
        let Ok(mut stream) = TcpStream::connect_timeout(&gate.address, Duration::from_millis(500)) else { return };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let request = get1("/public", None).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
            answered.fetch_add(1, Ordering::Relaxed);
        } else {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn no_connection_that_the_system_has_taken_is_lost() {
    let upstream = Upstream::plain();
    for round in 0..8 {
        let gate = Setup { workers: 2, ..Setup::default() }.start(upstream.address);
        let (lost, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| asks_until_the_end(&gate, &lost, &answered));
            }
            thread::sleep(Duration::from_millis(60 + 7 * round));
            gate.shut_down();
        });
        assert_eq!(lost.load(Ordering::Relaxed), 0, "of {answered:?} in round {round}");
        assert!(answered.load(Ordering::Relaxed) > 0);
        gate.join();
    }
}

#[test]
fn connections_that_wait_to_be_accepted_are_served_in_a_drain() {
    // One worker, kept busy for a while by a request whose verification blocks it: what comes meanwhile waits.
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut blocker = gate.client();
    blocker.send(get1("/accounts", Some("sleep.400")));
    thread::sleep(Duration::from_millis(100));
    let mut waiting: Vec<_> = (0..20).map(|_| gate.client()).collect();
    for client in &mut waiting {
        client.send(get1("/public", None));
    }
    // Made before the drain, asking after it has begun.
    let mut late = gate.client();
    gate.shut_down();
    thread::sleep(Duration::from_millis(500));
    late.send(get1("/public", None));
    for client in &mut waiting {
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    }
    assert_eq!(late.response().status, 200);
    assert_eq!(blocker.response().status, 200);
}

#[test]
fn a_silent_connection_holds_up_a_drain_for_a_moment_only() {
    let upstream = Upstream::plain();
    let gate = Setup { limits: Limits::default(), ..Setup::default() }.start(upstream.address);
    let (mut silent, _raw) = (gate.client(), Raw::to(gate.address));
    assert_eq!(gate.get("/public", None).status, 200);
    let started = Instant::now();
    gate.join();
    assert!(started.elapsed() < Duration::from_millis(5000), "{:?}", started.elapsed());
    assert!(silent.is_closed());
}
