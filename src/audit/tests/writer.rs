use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use super::line::{some_denial, some_line, some_policy};
use crate::audit::{Auditor, GapLine};
use crate::config::settings::{Audit, AuditTarget, WhenBlocked};
use crate::telemetry::Blocked;
use crate::telemetry::lines::Bounds;
use crate::telemetry::sink::{Gap, Sink};

fn settings(path: &Path, when_blocked: WhenBlocked) -> Audit {
    Audit::new(AuditTarget::File(path.into()), when_blocked)
}

fn write(auditor: &Auditor) -> Result<(), Blocked> {
    let (policy, denial) = (some_policy(), some_denial());
    auditor.write(&some_line(&policy, "/admin/7", &denial, None))
}

fn eventually(what: impl Fn() -> bool) -> bool {
    (0..500).any(|_| {
        what() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

/// The writing end of a pipe that nobody reads.
struct Pipe(io::PipeWriter);

impl Sink for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
}

#[test]
fn lines_are_appended_whole_to_a_file_that_strangers_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, b"{\"v\":1,\"cut").unwrap();
    let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
    write(&auditor).unwrap();
    write(&auditor).unwrap();
    auditor.close(Duration::from_secs(5));
    assert_eq!(auditor.usage().written, 2);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "the line cut short by a crash stands alone: {text}");
    assert!(serde_json::from_str::<serde_json::Value>(lines[2]).is_ok());
    let fresh = folder.path().join("fresh.jsonl");
    drop(Auditor::open(&settings(&fresh, WhenBlocked::Refuse)).unwrap());
    assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn a_full_disk_refuses_decisions_and_is_no_crash() {
    let auditor = Auditor::open(&settings(Path::new("/dev/full"), WhenBlocked::Refuse)).unwrap();
    write(&auditor).unwrap();
    assert!(eventually(|| auditor.is_failing()));
    assert_eq!(write(&auditor), Err(Blocked));
    assert!(auditor.usage().errors >= 1);
    assert_eq!(auditor.usage().dropped, 0);
    auditor.close(Duration::from_millis(300));
    assert_eq!(
        (auditor.usage().written, auditor.usage().dropped),
        (0, 1),
        "the line that was promised and lost is counted"
    );
}

#[test]
fn a_full_disk_loses_and_counts_lines_where_that_is_allowed() {
    let auditor = Auditor::open(&settings(Path::new("/dev/full"), WhenBlocked::Drop)).unwrap();
    write(&auditor).unwrap();
    assert!(eventually(|| auditor.is_failing()));
    assert_eq!(write(&auditor), Ok(()));
    auditor.close(Duration::from_millis(300));
    assert_eq!(auditor.usage().dropped, 2);
}

#[test]
fn a_pipe_that_nobody_reads_blocks_until_somebody_does() {
    let (reader, writer) = io::pipe().unwrap();
    let bounds = Bounds { lines: 400, bytes: 16 << 20 };
    let auditor = Auditor::to_sink(Pipe(writer), bounds, WhenBlocked::Refuse);
    let mut accepted = 0_u64;
    // A pipe holds 64 KiB; the batch on its way and the queue hold some more; then there is no room.
    assert!(
        (0..5_000).any(|_| {
            let blocked = write(&auditor) == Err(Blocked);
            accepted += u64::from(!blocked);
            blocked && {
                thread::sleep(Duration::from_millis(50));
                write(&auditor) == Err(Blocked) || {
                    accepted += 1;
                    false
                }
            }
        }),
        "a log that nobody reads must block"
    );
    let reading = thread::spawn(move || BufReader::new(reader).lines().count());
    assert!(eventually(|| write(&auditor).is_ok()), "it works again once it is read");
    accepted += 1;
    auditor.close(Duration::from_secs(5));
    assert_eq!(auditor.usage().written, accepted);
    drop(auditor);
    assert_eq!(u64::try_from(reading.join().unwrap()).unwrap(), accepted, "every accepted line arrives, none else");
}

#[test]
fn a_named_pipe_without_a_reader_is_an_error_and_not_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap_err().to_string();
    assert!(error.contains("nothing reads this named pipe"), "{error}");
}

#[test]
fn a_rotated_file_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
    let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
    write(&auditor).unwrap();
    assert!(eventually(|| auditor.usage().written == 1));
    fs::rename(&path, &moved).unwrap();
    thread::sleep(Duration::from_secs(1));
    write(&auditor).unwrap();
    auditor.close(Duration::from_secs(5));
    for file in [&path, &moved] {
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1, "{}", file.display());
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_named() {
    let error = Auditor::open(&settings(Path::new("/nowhere/audit.jsonl"), WhenBlocked::Refuse)).unwrap_err();
    assert!(error.to_string().starts_with("failed to open the audit log `/nowhere/audit.jsonl`: "), "{error}");
}

/// Writes until the log is full and nothing moves any more; says how many lines were refused.
fn fill(auditor: &Auditor) -> u64 {
    let (mut refused, mut still) = (0_u64, 0_u32);
    while still < 5 {
        let dropped = auditor.usage().dropped;
        let blocked = write(auditor).is_err();
        refused = refused.saturating_add(u64::from(blocked));
        still = if blocked || auditor.usage().dropped > dropped { still.saturating_add(1) } else { 0 };
        thread::sleep(Duration::from_millis(if still > 0 { 20 } else { 0 }));
    }
    assert!(auditor.is_failing(), "it is full and nothing moves");
    refused
}

#[test]
fn a_log_that_nobody_reads_is_failing_and_tells_what_it_lost_once_it_is_read() {
    let (reader, writer) = io::pipe().unwrap();
    let bounds = Bounds { lines: 100, bytes: 16 << 20 };
    let auditor = Auditor::to_sink(Telling(Pipe(writer)), bounds, WhenBlocked::Drop);
    assert_eq!(fill(&auditor), 0, "nothing is refused");
    assert!(auditor.usage().dropped >= 5);
    let reading = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    assert!(eventually(|| !auditor.is_failing()), "it works again once it is read");
    auditor.close(Duration::from_secs(5));
    let (written, dropped) = (auditor.usage().written, auditor.usage().dropped);
    drop(auditor);
    let lines: Vec<serde_json::Value> =
        reading.join().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (gaps, decisions): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.get("lost").is_some());
    assert_eq!(u64::try_from(decisions.len()).unwrap(), written);
    assert_eq!(gaps.iter().map(|gap| gap["lost"].as_u64().unwrap()).sum::<u64>(), dropped, "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap["since"].as_str() <= gap["until"].as_str() && gap["refused"] == 0), "{gaps:?}");
}

#[test]
fn requests_that_were_refused_for_want_of_a_record_are_told_of_once_there_is_room() {
    let (reader, writer) = io::pipe().unwrap();
    let auditor = Auditor::to_sink(Telling(Pipe(writer)), Bounds { lines: 100, bytes: 16 << 20 }, WhenBlocked::Refuse);
    let refused = fill(&auditor);
    assert!(refused >= 5);
    let reading = thread::spawn(move || BufReader::new(reader).lines().map(Result::unwrap).collect::<Vec<_>>());
    auditor.close(Duration::from_secs(5));
    assert_eq!(auditor.usage().dropped, 0, "nothing happened without a record");
    drop(auditor);
    let told = reading.join().unwrap();
    let gaps: Vec<serde_json::Value> = told
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line.get("refused").is_some())
        .collect();
    assert_eq!(gaps.iter().map(|gap| gap["refused"].as_u64().unwrap()).sum::<u64>(), refused, "{gaps:?}");
}

/// A pipe that tells of gaps, as every target of the audit log does.
struct Telling(Pipe);

impl Sink for Telling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn tell(&mut self, gap: &Gap, batch: &mut Vec<u8>) {
        GapLine::now(gap).append_to(batch);
    }
}

#[test]
fn what_cannot_be_refused_any_more_waits_in_memory_and_is_lost_only_without_room() {
    let auditor = Auditor::open(&settings(Path::new("/dev/full"), WhenBlocked::Refuse)).unwrap();
    write(&auditor).unwrap();
    assert!(eventually(|| auditor.is_failing()));
    let (policy, denial) = (some_policy(), some_denial());
    auditor.write_late(&some_line(&policy, "/x", &denial, None)).unwrap();
    auditor.close(Duration::from_millis(300));
    assert_eq!(auditor.usage().dropped, 2);
    assert!(auditor.usage().last_error.is_some());
}

#[test]
fn a_file_moved_away_is_left_at_once_when_asked_and_no_line_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
    let auditor = Auditor::open(&settings(&path, WhenBlocked::Refuse)).unwrap();
    for _ in 0..20 {
        write(&auditor).unwrap();
    }
    fs::rename(&path, &moved).unwrap();
    auditor.reopen();
    assert!(eventually(|| path.exists()), "without a line to write, too");
    write(&auditor).unwrap();
    auditor.close(Duration::from_secs(5));
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(lines(&path) + lines(&moved), 21);
    assert!(lines(&path) >= 1);
}
