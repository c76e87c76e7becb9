//! Slow, silent and vanishing clients, and the end of the gate itself.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stepgate::config::settings::Limits;

use super::client::get;
use super::gate::{Setup, gate};
use super::upstream::{Upstream, eventually, read_body};

fn limits() -> Limits {
    Limits {
        head_read: Duration::from_millis(600),
        idle: Duration::from_millis(1500),
        drain: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn impatient(upstream: &Upstream) -> super::gate::Running1 {
    Setup { limits: limits(), ..Setup::default() }.start(upstream.address)
}

#[track_caller]
fn assert_between(started: Instant, least: u64, most: u64) {
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(least) && took <= Duration::from_millis(most), "{took:?}");
}

#[test]
fn a_head_that_drips_in_is_cut_off_at_its_limit_and_others_are_served_meanwhile() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut slow = gate.client();
    slow.send("GET /public HTTP/1.1\r\n");
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(150));
        // Refused from the moment on at which the gate has closed.
        let _ = std::io::Write::write_all(slow.0.get_mut(), b"X: y\r\n");
        assert_eq!(gate.get("/public", None).status, 200);
    }
    let stopped = Instant::now();
    assert!(slow.is_closed());
    assert!(stopped.elapsed() < Duration::from_millis(400), "its time was over before");
}

#[test]
fn an_idle_connection_is_closed_at_its_own_limit() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut silent = gate.client();
    let started = Instant::now();
    assert!(silent.is_closed());
    assert_between(started, 1500, 2600);
    let mut client = gate.client();
    assert_eq!(client.ask(get("/public", None)).status, 200);
    thread::sleep(Duration::from_millis(900));
    assert_eq!(client.ask(get("/public", None)).status, 200, "longer than a head may take, shorter than it may idle");
    let started = Instant::now();
    assert!(client.is_closed());
    assert_between(started, 1500, 2600);
}

#[test]
fn a_head_begun_in_the_wake_of_a_request_has_its_own_limit_and_may_not_idle() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut client = gate.client();
    let started = Instant::now();
    client.send(format!("{}GET /public HT", get("/public", None)));
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed());
    assert_between(started, 600, 1400);
}

#[test]
fn a_body_that_stalls_is_cut_off_and_a_slow_one_is_not() {
    let upstream = Upstream::plain();
    let gate = impatient(&upstream);
    let mut stalled = gate.client();
    stalled.send("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    let mut slow = gate.client();
    slow.send("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    for byte in "123456789".chars() {
        thread::sleep(Duration::from_millis(300));
        slow.send(byte.to_string());
    }
    assert_eq!(slow.response().status, 200);
    assert!(!stalled.rest().contains(" 200 "));
    assert!(gate.notes.failed.lock().unwrap().is_empty(), "that was not the upstream's doing");
    upstream.wait_closed(1);
}

#[test]
fn a_slow_answer_is_not_taken_for_an_idle_connection() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(2200));
        std::io::Write::write_all(stream.get_mut(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = impatient(&upstream);
    assert_eq!(gate.get("/public", None).body, "ok");
}

#[test]
fn a_client_that_leaves_lets_the_upstream_go_too() {
    let upstream = Upstream::scripted(|_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        false
    });
    let gate = gate(&upstream);
    let mut waiting = gate.client();
    waiting.send(get("/public", None));
    eventually(|| upstream.seen().len() == 1);
    drop(waiting);
    upstream.wait_closed(1);
    let mut uploading = gate.client();
    uploading.send("POST /public HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome");
    eventually(|| upstream.seen().len() == 2);
    drop(uploading);
    upstream.wait_closed(2);
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
}

#[test]
fn a_client_that_leaves_amid_a_download_lets_the_upstream_go_too() {
    let upstream = Upstream::scripted(|_, stream| {
        use std::io::Write;
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        while stream.get_mut().write_all(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes()).is_ok() {}
        false
    });
    let gate = gate(&upstream);
    let mut client = gate.client();
    assert_eq!(client.send(get("/public", None)).head().status, 200);
    drop(client);
    upstream.wait_closed(1);
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let upstream = Upstream::scripted(|_, stream| {
        use std::io::Write;
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        while stream.get_mut().write_all(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes()).is_ok() {}
        false
    });
    let gate = impatient(&upstream);
    let mut client = gate.client();
    client.send(get("/public", None));
    upstream.wait_closed(1);
}

#[test]
fn a_head_over_the_limit_is_refused_and_one_under_it_passes() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let with = |size: usize| format!("GET /public HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(gate.ask(with(30 << 10)).status, 200);
    let mut client = gate.client();
    assert_eq!(client.ask(with(33 << 10)).status, 431);
    assert!(client.is_closed());
    let many = |count: usize| format!("GET /public HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(gate.ask(many(99)).status, 200);
    assert_eq!(gate.ask(many(100)).status, 431);
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn nonsense_is_answered_or_closed_and_noted() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"HELLO\r\n\r\n",
        b"GET /public HTTP/3.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n",
    ] {
        let answer = gate.client().send(nonsense).rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 4);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let upstream = Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        if seen.line().contains("slow") {
            thread::sleep(Duration::from_millis(700));
        }
        std::io::Write::write_all(stream.get_mut(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = Setup { limits: limits(), workers: 2, ..Setup::default() }.start(upstream.address);
    let (mut idle, mut busy) = (gate.client(), gate.client());
    assert_eq!(idle.ask(get("/public", None)).status, 200);
    busy.send(get("/public/slow", None));
    eventually(|| upstream.seen().len() == 2);
    let address = gate.address;
    gate.shut_down();
    assert!(idle.is_closed(), "it had nothing to finish");
    eventually(|| std::net::TcpStream::connect(address).is_err());
    let response = busy.response();
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert!(busy.is_closed());
    let (started, notes) = (Instant::now(), Arc::clone(&gate.notes));
    gate.join();
    assert!(started.elapsed() < Duration::from_secs(1), "nothing was left to wait for");
    assert_eq!(*notes.cut.lock().unwrap(), 0);
}

#[test]
fn a_drain_ends_at_its_deadline_whatever_is_left() {
    let upstream = Upstream::scripted(|_, stream| {
        let _ = std::io::Read::read(stream, &mut [0]);
        false
    });
    let gate = Setup { limits: Limits { drain: Duration::from_millis(500), ..limits() }, ..Setup::default() }
        .start(upstream.address);
    let mut client = gate.client();
    client.send(get("/public", None));
    eventually(|| upstream.seen().len() == 1);
    let (started, notes) = (Instant::now(), Arc::clone(&gate.notes));
    gate.join();
    assert_between(started, 500, 1500);
    assert_eq!(*notes.cut.lock().unwrap(), 1, "and it is told");
    assert!(client.is_closed());
    upstream.wait_closed(1);
}

#[test]
fn all_workers_take_connections() {
    let upstream = Upstream::plain();
    let gate = Setup { workers: 3, ..Setup::default() }.start(upstream.address);
    let mut clients: Vec<_> = (0..60).map(|_| gate.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("/public", None)).status, 200);
    }
    let connections = upstream.seen().iter().map(|seen| seen.connection).max().unwrap() + 1;
    assert!((2..=3).contains(&connections), "each worker has its own connection, and no more: {connections}");
}
