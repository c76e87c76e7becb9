//! The audit log of the running program: what SIGTERM, SIGHUP, a full disk and a reader that stalls do to it.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::shared::eventually;
use crate::shared::gate::{Gate, Setup};
use crate::shared::http::Request;
use crate::shared::upstream::Upstream;

const POLICY: &str = "
version: 1
routes:
  - { name: public, match: { path: \"/public/**\" }, require: public }
";

fn gate(upstream: &Upstream, set_up: impl FnOnce(Setup) -> Setup) -> Gate {
    let gate = set_up(Gate::setup(upstream).policy(POLICY)).start();
    gate.wait_until_ready(Duration::from_secs(20));
    gate
}

fn kill(signal: &str, gate: &Gate) {
    assert!(Command::new("kill").args([signal, &gate.id().to_string()]).status().unwrap().success());
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no whole line: {line}"))).collect()
}

fn ask(gate: &Gate, number: usize) -> u16 {
    gate.send(&Request::get("/public/x").header("X-Request-Id", &format!("n-{number}"))).status
}

/// Every one of these ids stands in the lines exactly once.
fn each_once(lines: &[Value], numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let id = format!("n-{number}");
        assert_eq!(lines.iter().filter(|line| line["id"] == *id).count(), 1, "{id}");
    }
}

#[test]
fn sigterm_writes_every_line_that_was_answered_for() {
    let upstream = Upstream::start();
    let mut gate = gate(&upstream, |setup| setup);
    for number in 0..50 {
        assert_eq!(ask(&gate, number), 200);
    }
    kill("-TERM", &gate);
    assert!(gate.ends(Duration::from_secs(20)).success());
    each_once(&gate.audit(), 0..50);
}

#[test]
fn sighup_after_the_file_was_moved_begins_a_new_one_and_loses_no_line() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, |setup| setup);
    let (path, moved) = (gate.path("audit.jsonl"), gate.path("audit.jsonl.moved"));
    for number in 0..300 {
        assert_eq!(ask(&gate, number), 200);
        if number == 150 {
            fs::rename(&path, &moved).unwrap();
            kill("-HUP", &gate);
            eventually("the new file is begun at once", Duration::from_millis(900), || path.exists());
            // What logrotate compresses now is not written to any more.
            let length = fs::metadata(&moved).unwrap().len();
            assert_eq!(ask(&gate, 1000), 200);
            gate.audited("the line is in the new file", |line| line["id"] == "n-1000");
            assert_eq!(fs::metadata(&moved).unwrap().len(), length);
        }
    }
    gate.audited("the last line is written", |line| line["id"] == "n-299");
    let all = [lines(&fs::read_to_string(&moved).unwrap()), gate.audit()].concat();
    each_once(&all, 0..300);
    assert_eq!(all.len(), 301);
}

/// `RLIMIT_FSIZE` stands for a disk that is full: writes stop in the middle of a line and fail from then on. Emptying the
/// file makes room again, as it does on a disk.
fn full(when_blocked: &str, kibibytes: u32) -> (Upstream, Gate) {
    let upstream = Upstream::start();
    let audit = format!("audit: {{ to: file, path: audit.jsonl, when_blocked: {when_blocked} }}");
    let gate = gate(&upstream, |setup| setup.settings(&audit).files_up_to(kibibytes));
    (upstream, gate)
}

#[test]
fn a_full_disk_refuses_requests_crashes_nothing_and_is_over_when_there_is_room_again() {
    let (upstream, mut gate) = full("refuse", 16);
    let mut answered = Vec::new();
    let mut refused = 0_usize;
    for number in 0.. {
        match ask(&gate, number) {
            200 => answered.push(number),
            503 => refused += 1,
            status => panic!("{status}"),
        }
        if refused >= 20 {
            break;
        }
        assert!(number < 5000, "16 KiB are full by now");
    }
    assert!(!gate.is_ready(), "and it says so");
    assert_eq!(upstream.begun(), answered.len(), "nothing was forwarded without a record");
    let before = fs::read_to_string(gate.path("audit.jsonl")).unwrap();
    assert!(before.ends_with('\n'), "what did not fit of a line was taken back");
    fs::write(gate.path("audit.jsonl"), "").unwrap();
    eventually("it works again", Duration::from_secs(10), || gate.is_ready());
    assert_eq!(ask(&gate, 100_000), 200);
    kill("-TERM", &gate);
    assert!(gate.ends(Duration::from_secs(20)).success());
    let all = [lines(&before), gate.audit()].concat();
    each_once(&all, answered.iter().copied().chain([100_000]));
    let told: u64 = all.iter().filter_map(|line| line["refused"].as_u64()).sum();
    assert_eq!(told, u64::try_from(refused).unwrap(), "the log says how many requests were refused for it");
}

#[test]
fn a_full_disk_loses_lines_where_that_is_allowed_and_the_log_says_how_many() {
    let (upstream, mut gate) = full("drop", 512);
    let all = 12_000;
    for number in 0..all {
        assert_eq!(ask(&gate, number), 200);
    }
    assert!(gate.is_ready(), "a log that may lose lines holds nobody up");
    assert_eq!(upstream.begun(), all);
    let metrics = gate.metrics();
    assert!(fs::read_to_string(gate.path("audit.jsonl")).unwrap().ends_with('\n'));
    // What waited in memory is larger than the file may be, so the disk is full again and again.
    let mut written = Vec::new();
    eventually("everything is written, or told", Duration::from_secs(60), || {
        let text = fs::read_to_string(gate.path("audit.jsonl")).unwrap();
        if let Some((whole, _)) = text.rsplit_once('\n').filter(|_| text.len() > 500_000) {
            // Only what was taken away whole: the writer may be in the middle of the next line.
            if fs::read_to_string(gate.path("audit.jsonl")).unwrap() == text && text.ends_with('\n') {
                written.extend(lines(whole));
                fs::write(gate.path("audit.jsonl"), "").unwrap();
            }
        }
        value(&gate.metrics(), "stepgate_audit_waiting_lines") == 0
    });
    kill("-TERM", &gate);
    assert!(gate.ends(Duration::from_secs(20)).success());
    written.extend(gate.audit());
    let lost: u64 = written.iter().filter_map(|line| line["lost"].as_u64()).sum();
    assert_eq!(lost, value(&metrics, "stepgate_audit_dropped_total"), "the log says what the counter says");
    assert!(lost > 0, "8,192 lines have room");
    let decisions = written.iter().filter(|line| line.get("decision").is_some()).count();
    assert_eq!(u64::try_from(decisions).unwrap() + lost, u64::try_from(all).unwrap());
}

fn value(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[test]
fn standard_output_whose_reader_stalls_refuses_and_whose_reader_goes_on_gets_every_line() {
    let upstream = Upstream::start();
    let mut gate = gate(&upstream, |setup| setup.settings("audit: { to: stdout }").standard_output(Stdio::piped()));
    let mut pipe = gate.standard_output();
    let mut answered = Vec::new();
    for number in 0..40_000 {
        match ask(&gate, number) {
            200 => answered.push(number),
            503 => break,
            status => panic!("{status}"),
        }
    }
    assert!(answered.len() > 8_000 && !gate.is_ready(), "{} answered", answered.len());
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    });
    eventually("it works again", Duration::from_secs(10), || gate.is_ready());
    kill("-TERM", &gate);
    assert!(gate.ends(Duration::from_secs(20)).success());
    let all = lines(&reading.join().unwrap());
    let ids: std::collections::HashSet<&str> = all.iter().filter_map(|line| line["id"].as_str()).collect();
    assert!(answered.iter().all(|number| ids.contains(&*format!("n-{number}"))), "each answer has its line");
    assert_eq!(all.iter().filter_map(|line| line["refused"].as_u64()).sum::<u64>(), 1);
}

#[test]
fn a_reader_of_standard_output_that_is_gone_is_an_error_and_no_end() {
    let upstream = Upstream::start();
    let mut gate = gate(&upstream, |setup| setup.settings("audit: { to: stdout }").standard_output(Stdio::piped()));
    drop(gate.standard_output());
    ask(&gate, 0);
    eventually("it is not ready", Duration::from_secs(5), || !gate.is_ready());
    assert_eq!(ask(&gate, 1), 503);
    assert!(gate.is_live());
}

#[test]
fn a_line_is_written_within_a_tenth_of_a_second() {
    let upstream = Upstream::start();
    let gate = gate(&upstream, |setup| setup);
    // The machine may be busy: one of a few must be in time.
    let in_time = (0..20).any(|number| {
        assert_eq!(ask(&gate, number), 200);
        std::thread::sleep(Duration::from_millis(100));
        let id = format!("n-{number}");
        gate.audit().iter().any(|line| line["id"] == *id)
    });
    assert!(in_time);
}
