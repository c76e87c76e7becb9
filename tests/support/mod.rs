//! What both whole-program suites stand on: the program under test, an upstream, and HTTP by hand.

pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod upstream;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A port of loopback that nobody else uses: below the range that the system hands out by itself, so that no connection of
/// another test can take it before the program binds it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 199).unwrap() * 100;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks again and again until the answer is yes, or panics with `what` when `patience` is over.
pub(crate) fn eventually(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    while !is_so() {
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
