//! Clients that never get to the end of a head: they cost nobody else, and each is closed at its limit.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Front, Request, Unusual, Upstream, Wire, alone};

const SLOW: u32 = 2000;
const HEAD_READ: Duration = Duration::from_secs(5);
/// How long each is measured, and how often a request is sent.
const MEASURED: Duration = Duration::from_millis(2500);
const EVERY: Duration = Duration::from_millis(4);
/// Below this nobody minds, and two cores that do other things too make as much by themselves.
pub(crate) const FLOOR: Duration = Duration::from_millis(5);
/// A machine that others use is slow now and then; a gate that slow clients hold up is so each time.
pub(crate) const TRIES: u32 = 3;

/// The 99th percentile of requests that come at a steady pace.
pub(crate) fn p99(port: u16) -> Duration {
    let mut wire = Wire::open(port);
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < MEASURED {
        // From when it was to be sent, so that one that is held up counts for those behind it.
        let due = started + EVERY * u32::try_from(took.len()).unwrap();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        wire.send(&Request::get("/public/1").bytes(port));
        assert_eq!(wire.response_to("GET").status, 200);
        took.push(due.elapsed());
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

struct SlowClients {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl SlowClients {
    fn start(port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/slow_heads.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args([port.to_string(), SLOW.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`python3` did not start; `make tools` installs it");
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "open\n", "the slow clients did not get in; see their message above");
        Self { process, out }
    }

    /// How many were never closed, and after how many seconds the first and the last of the others was.
    fn closed(mut self) -> (u32, f64, f64) {
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        assert!(self.process.wait().unwrap().success());
        let numbers: Vec<&str> = text.split_whitespace().collect();
        (numbers[0].parse().unwrap(), numbers[1].parse().unwrap(), numbers[2].parse().unwrap())
    }
}

#[test]
fn two_thousand_slow_heads_cost_nobody_else_and_are_closed_at_their_limit() {
    let _alone = alone();
    let upstream = Upstream::start();
    let settings = format!("limits: {{ head_read: {}s }}", HEAD_READ.as_secs());
    let front = Front::unusual(&upstream, Unusual { settings, ..Unusual::default() });
    let open = || front.gate.metric("stepgate_connections_open");
    let mut measured = Vec::new();
    for _ in 0..TRIES {
        let before = p99(front.gate.port);
        let slow = SlowClients::start(front.gate.port);
        let during = p99(front.gate.port);
        assert!(open() >= f64::from(SLOW), "they were there all the time: {}", open());
        let (left, first, last) = slow.closed();
        assert_eq!(left, 0, "all are closed");
        let limit = HEAD_READ.as_secs_f64();
        assert!(first >= limit - 0.1 && last < limit + 3.0, "closed after {first} to {last} s");
        measured.push((before, during));
        if during <= (before * 2).max(FLOOR) {
            print(&format!(
                "p99 without and with {SLOW} slow heads: {measured:?}; closed after {first:.1} to {last:.1} s"
            ));
            return;
        }
    }
    panic!("p99 before and during, each time: {measured:?}");
}

#[expect(clippy::print_stderr, reason = "the numbers belong to what the test says")]
pub(crate) fn print(text: &str) {
    eprintln!("{text}");
}
