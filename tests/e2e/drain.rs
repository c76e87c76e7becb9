//! SIGTERM under load: whoever got in is answered, in every protocol, and then the process ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, Front, HOST, Request, Said, Unusual, Upstream, alone, eventually, run, terminate};

const DRAIN: Duration = Duration::from_secs(10);
/// So that there is always something under way.
const THINKS: Duration = Duration::from_millis(60);

fn draining(upstream: &Upstream) -> Front {
    let settings = format!("limits: {{ drain: {}s }}", DRAIN.as_secs());
    Front::unusual(upstream, Unusual { settings, ..Unusual::default() })
}

/// Asks over new connections, one after the other, until none can be made any more; how often it was answered.
fn until_refused(stop: &AtomicBool, ask: impl Fn() -> Option<Result<(), String>>) -> Result<usize, String> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        match ask() {
            Some(outcome) => outcome?,
            None => return Ok(answered),
        }
        answered += 1;
    }
    Err("the gate took connections to the end of the test".to_owned())
}

/// With curl: a new process, and so a new connection, for each request.
fn by_curl(front: &Front, arguments: &[&str], url: &str) -> Option<Result<(), String>> {
    let resolved = [front.gate.port, front.tls].map(|port| format!("{HOST}:{port}:127.0.0.1"));
    let ca = front.ca();
    let usual = ["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", ca.to_str().unwrap()];
    let resolved = ["--resolve", &resolved[0], "--resolve", &resolved[1]];
    let said = run("curl", &[&usual[..], &resolved, arguments, &[url]].concat());
    match &said {
        Said { code: Some(0), out, .. } if out == "200" => Some(Ok(())),
        // It could not connect: nothing was accepted.
        Said { code: Some(7), .. } => None,
        Said { .. } => Some(Err(format!("{arguments:?} {url}: {said:?}"))),
    }
}

#[test]
fn no_connection_that_was_made_goes_without_its_answer() {
    let _alone = alone();
    let upstream = Upstream::that(|_| Answer::ok().after(THINKS));
    let mut front = draining(&upstream);
    let (clear, secure) = (front.clear("/public/1"), front.secure("/public/1"));
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ways: [(&[&str], &str); 5] = [
        (&["--http1.1"], &clear),
        (&["--http2-prior-knowledge"], &clear),
        (&["--http1.1"], &secure),
        (&["--http2"], &secure),
        (&["--http2", "--tls-max", "1.2"], &secure),
    ];
    let mut took = Duration::ZERO;
    let answered: Vec<_> = thread::scope(|threads| {
        let (front, stop, asked) = (&front, &stop, &asked);
        let clients: Vec<_> = ways
            .into_iter()
            .map(|(arguments, url)| {
                threads.spawn(move || {
                    until_refused(stop, || {
                        let outcome = by_curl(front, arguments, url);
                        asked.fetch_add(1, Ordering::Relaxed);
                        outcome
                    })
                })
            })
            .collect();
        let ready = wait(Duration::from_secs(20), || asked.load(Ordering::Relaxed) >= 50);
        terminate(&front.gate);
        let started = Instant::now();
        let ended = wait(DRAIN, || clients.iter().all(|client| client.is_finished()));
        took = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        let answered = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(ready && ended, "the load: {ready}, its end: {ended}");
        answered
    });
    for (answered, way) in answered.iter().zip(ways) {
        assert!(*answered.as_ref().unwrap() > 3, "{way:?}");
    }
    assert_eq!(front.gate.ends(DRAIN).code(), Some(0), "{}", front.gate.log());
    assert!(took < DRAIN / 2, "{took:?}");
    let all: usize = answered.into_iter().map(Result::unwrap).sum();
    assert_eq!(upstream.count(), all, "what the upstream did was told to somebody");
}

/// Whether it is so in time. Within a scope of threads an assertion would wait for clients that nobody stops.
fn wait(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn requests_that_were_accepted_on_open_connections_are_all_answered() {
    let _alone = alone();
    let upstream = Upstream::that(|_| Answer::ok().after(THINKS));
    let mut front = draining(&upstream);
    let [clear, secure] = [format!("http://127.0.0.1:{}", front.gate.port), format!("https://127.0.0.1:{}", front.tls)];
    let ways: [(&str, &[&str], &str); 4] = [
        ("/public/h1", &["--h1"], &clear),
        ("/public/h1-tls", &["--h1"], &secure),
        ("/public/h2", &["-m", "8"], &clear),
        ("/public/h2-tls", &["-m", "8"], &secure),
    ];
    let loads = thread::scope(|threads| {
        let loads: Vec<_> = ways
            .into_iter()
            .map(|(path, arguments, start)| {
                let url = format!("{start}{path}");
                // More than can be done before the end.
                threads.spawn(move || {
                    crate::support::Load::run(&[&["-n", "100000", "-c", "8"], arguments, &[&url]].concat())
                })
            })
            .collect();
        let busy = wait(Duration::from_secs(20), || {
            let seen = upstream.seen();
            ways.iter().all(|(path, ..)| seen.iter().filter(|seen| seen.path() == *path).count() > 100)
        });
        terminate(&front.gate);
        let loads: Vec<_> = loads.into_iter().map(|load| load.join().unwrap()).collect();
        assert!(busy, "no load: {loads:?}");
        loads
    });
    let started = Instant::now();
    assert_eq!(front.gate.ends(DRAIN).code(), Some(0), "{}", front.gate.log());
    assert!(started.elapsed() < DRAIN / 2, "nothing was left to wait for: {:?}", started.elapsed());
    let audit = front.gate.audit();
    for ((path, ..), load) in ways.iter().zip(loads) {
        let accepted = audit.iter().filter(|line| line["path"] == *path).count();
        let carried_out = upstream.seen().iter().filter(|seen| seen.path() == *path).count();
        let answered = usize::try_from(load.good).unwrap();
        assert_eq!((answered, load.other), (accepted, 0), "{path}: {load:?}");
        assert_eq!(answered, carried_out, "{path}: {load:?}");
        assert!(load.total > load.good, "the end came in the middle: {load:?}");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let upstream = Upstream::that(|_| Answer::ok().after(Duration::from_secs(20)));
    let mut front = draining(&upstream);
    let port = front.gate.port;
    let client = thread::spawn(move || {
        let mut wire = crate::support::Wire::open(port);
        wire.send(&Request::get("/public/1").bytes(port));
        wire.rest(Duration::from_secs(15))
    });
    eventually("the request is under way", Duration::from_secs(10), || upstream.begun() == 1);
    terminate(&front.gate);
    thread::sleep(Duration::from_secs(2));
    assert!(front.gate.is_live(), "it waits for the request that is under way");
    let started = Instant::now();
    terminate(&front.gate);
    let status = front.gate.ends(Duration::from_secs(2));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(status.code(), Some(130));
    assert!(client.join().unwrap().is_empty());
}
