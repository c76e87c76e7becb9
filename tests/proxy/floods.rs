//! Clients that misuse HTTP/2: each costs itself its connection, and nobody else anything.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use stepgate::config::settings::Limits;

use super::gate::{Running1, Setup, gate};
use super::h2_client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GO_AWAY, H2, HEADERS, PING, RESET, Raw, SETTINGS,
    WINDOW, frame, get, get_block,
};
use super::upstream::{Upstream, eventually, read_body};

/// Answers after a while, so that streams are open when they are given up.
fn slow() -> Upstream {
    Upstream::scripted(|seen, stream| {
        read_body(seen, stream);
        thread::sleep(Duration::from_millis(200));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    })
}

fn asked_and_given_up(stream: u32) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get_block("/public/flood"));
    [head, frame(RESET, 0, stream, &8u32.to_be_bytes())].concat()
}

#[track_caller]
fn others_are_served(gate: &Running1) {
    let started = Instant::now();
    assert_eq!(gate.get("/public", None).status, 200);
    assert_eq!(H2::to(gate.address).ask(get("/public", None)).status, 200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let upstream = slow();
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    let flood: Vec<u8> = (0..10_000).flat_map(|number| asked_and_given_up(number * 2 + 1)).collect();
    // Refused from the moment on at which the gate has closed.
    let _ = raw.0.write_all(&flood);
    if let Some(farewell) = raw.until(GO_AWAY) {
        assert_eq!(farewell.code(), ENHANCE_YOUR_CALM);
    }
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 1);
    assert!(gate.decided().len() < 1000, "{}", gate.decided().len());
    others_are_served(&gate);
}

#[test]
fn streams_that_are_given_up_one_by_one_end_their_connection_too() {
    let upstream = slow();
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    raw.0.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // Each is seen, and perhaps sent on, before it is given up: no count of the library's is touched.
    let decided = || gate.notes.decided.lock().unwrap().len();
    for number in 0..1000 {
        let all = asked_and_given_up(number * 2 + 1);
        let (head, reset) = all.split_at(all.len() - 13);
        if raw.0.write_all(head).is_err() {
            break;
        }
        let started = Instant::now();
        while decided() <= number as usize && started.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_micros(200));
        }
        if decided() <= number as usize || raw.0.write_all(reset).is_err() {
            break;
        }
    }
    assert!((100..500).contains(&decided()), "{} were given up in a row", decided());
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 1);
    let mut patient = H2::to(gate.address);
    for _ in 0..3 {
        assert_eq!(patient.ask(get("/public", None)).status, 200);
    }
    others_are_served(&gate);
}

#[test]
fn giving_up_now_and_then_is_nobodys_business() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let mut client = H2::to(gate.address);
    for _ in 0..300 {
        let mut asked = client.begin(get("/public", None), true).unwrap();
        asked.body.send_reset(h2::Reason::CANCEL);
        assert_eq!(client.ask(get("/public", None)).status, 200);
    }
}

#[test]
fn a_head_that_goes_on_and_on_ends_its_connection() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    for piece in [&[][..], &[0x00, 1, b'x', 1, b'y'].repeat(3000)[..]] {
        let mut raw = Raw::to(gate.address);
        raw.send(&frame(HEADERS, 0, 1, &get_block("/public")));
        let part = frame(CONTINUATION, 0, 1, piece);
        let mut sent = 0;
        while sent < 20_000 && raw.0.write_all(&part).is_ok() {
            sent += 1;
        }
        assert!(sent < 20_000, "it was read to its end");
        if let Some(farewell) = raw.until(GO_AWAY) {
            assert_eq!(farewell.code(), ENHANCE_YOUR_CALM);
        }
    }
    eventually(|| *gate.notes.unreadable.lock().unwrap() == 2);
    assert!(gate.decided().is_empty());
    others_are_served(&gate);
}

#[test]
fn frames_that_ask_for_answers_which_nobody_reads_are_not_read_either() {
    let upstream = Upstream::plain();
    let limits = Limits { idle: Duration::from_millis(1500), ..Limits::default() };
    let gate = Setup { limits, ..Setup::default() }.start(upstream.address);
    for asking in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])] {
        let mut raw = Raw::to(gate.address);
        raw.0.set_nonblocking(true).unwrap();
        let many = asking.repeat(1000);
        let (mut sent, mut stuck) = (0usize, Instant::now());
        let ended = loop {
            match raw.0.write(&many) {
                // What was cut short is gone on with by nobody: it is a flood all the same.
                Ok(count) if count == many.len() => (sent, stuck) = (sent + count, Instant::now()),
                Ok(count) => {
                    sent += count;
                    let mut rest = &many[count..];
                    while !rest.is_empty() {
                        match raw.0.write(rest) {
                            Ok(count) => (rest, sent, stuck) = (&rest[count..], sent + count, Instant::now()),
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                                thread::sleep(Duration::from_millis(10));
                                if stuck.elapsed() > Duration::from_secs(8) {
                                    break;
                                }
                            }
                            Err(_closed) => break,
                        }
                    }
                    if !rest.is_empty() {
                        break stuck.elapsed();
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(10));
                    if stuck.elapsed() > Duration::from_secs(8) {
                        break stuck.elapsed();
                    }
                }
                Err(_closed) => break stuck.elapsed(),
            }
            assert!(sent < 256 << 20, "it is read for ever");
        };
        assert!(ended < Duration::from_secs(6), "nobody read the answers, and nobody closed: {ended:?}");
        others_are_served(&gate);
    }
    eventually(|| *gate.notes.open.lock().unwrap() == 0);
}

#[test]
fn what_is_no_http_2_ends_its_connection() {
    let upstream = Upstream::plain();
    let gate = gate(&upstream);
    let nonsense = [
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS, 0, &get_block("/public")),
        frame(HEADERS, END_HEADERS, 2, &get_block("/public")),
        frame(CONTINUATION, END_HEADERS, 1, &[]),
        frame(WINDOW, 0, 0, &[0, 0, 0, 0]),
        frame(PING, 0, 0, &[1]),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 40]),
        frame(DATA, 0, 1, &vec![0; 20 << 10]),
    ];
    for (before, nonsense) in nonsense.iter().enumerate() {
        let mut raw = Raw::to(gate.address);
        raw.send(nonsense);
        while raw.frame().is_some() {}
        eventually(|| *gate.notes.unreadable.lock().unwrap() == before + 1);
    }
    assert!(gate.decided().is_empty());
}

#[test]
fn small_pieces_of_a_body_that_nobody_reads_do_not_pile_up() {
    let upstream = Upstream::scripted(|_, stream| {
        thread::sleep(Duration::from_secs(3));
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gate = gate(&upstream);
    let mut raw = Raw::to(gate.address);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &get_block("/public")));
    // Empty frames cost no window at all.
    let flood = frame(DATA, 0, 1, &[]).repeat(1000);
    let mut sent = 0;
    while sent < 2000 && raw.0.write_all(&flood).is_ok() {
        sent += 1;
    }
    assert!(sent < 2000, "two million were taken");
    others_are_served_soon(&gate);
}

#[track_caller]
fn others_are_served_soon(gate: &Running1) {
    assert_eq!(gate.get("/accounts", None).status, 401);
    assert_eq!(H2::to(gate.address).ask(get("/accounts", None)).status, 401);
}
