//! The file by itself: what it does when the disk is full, when it is cut, moved or too large, and when it cannot be synced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::audit::file::AuditFile;
use crate::config::settings::{Rotation, Sync};
use crate::telemetry::sink::{Gap, Sink};
use crate::token::Timestamp;

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    (folder, path)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn put(file: &mut AuditFile, line: &[u8]) {
    file.begin_batch(1);
    assert_eq!(file.write(line).unwrap(), line.len());
}

#[test]
fn a_line_that_was_begun_on_a_full_disk_is_taken_back() {
    let (_folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::System).unwrap();
    put(&mut file, b"{\"a\":1}\n");
    put(&mut file, b"{\"b\"");
    assert!(file.restarts_line(4), "it is to be written again whole");
    assert_eq!(text(&path), "{\"a\":1}\n");
    put(&mut file, b"{\"b\":2}\n");
    assert_eq!(text(&path), "{\"a\":1}\n{\"b\":2}\n");
    assert!(!file.restarts_line(0), "where no line was begun there is nothing to write again");
}

#[test]
fn a_file_that_was_emptied_or_deleted_to_make_room_takes_whole_lines_again() {
    let (_folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::System).unwrap();
    put(&mut file, b"{\"a\":1}\n{\"b\"");
    fs::write(&path, "").unwrap();
    assert!(file.restarts_line(4));
    put(&mut file, b"{\"b\":2}\n{\"c\"");
    assert_eq!(text(&path), "{\"b\":2}\n{\"c\"");
    assert!(file.restarts_line(4), "its length is known again");
    assert_eq!(text(&path), "{\"b\":2}\n");
    fs::write(&path, "").unwrap();
    put(&mut file, b"{\"b\":2}\n{\"c\"");
    assert!(file.restarts_line(4), "also where it was emptied while nothing was begun");
    assert_eq!(text(&path), "{\"b\":2}\n");
    file.begin_batch(1);
    fs::write(&path, "").unwrap();
    assert_eq!(file.write(b"{\"c\"").unwrap(), 4);
    assert!(file.restarts_line(4) && text(&path).is_empty(), "and in the middle of a batch");
    put(&mut file, b"{\"c\"");
    fs::remove_file(&path).unwrap();
    assert!(file.restarts_line(4), "the deleted file would take its lines with it");
    put(&mut file, b"{\"c\":3}\n");
    assert_eq!(text(&path), "{\"c\":3}\n");
}

#[test]
fn a_line_cut_short_by_another_hand_stands_alone() {
    let (_folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::System).unwrap();
    put(&mut file, b"{\"a\":1}\n{\"b\"");
    fs::write(&path, "{\"a\"").unwrap();
    assert!(file.restarts_line(4));
    put(&mut file, b"{\"b\":2}\n");
    assert_eq!(text(&path), "{\"a\"\n{\"b\":2}\n");
}

#[test]
fn a_file_that_has_grown_is_begun_anew_and_its_lines_are_kept() {
    let (_folder, path) = fresh();
    let rotate = Some(Rotation { size: 10, keep: 2 });
    let mut file = AuditFile::open(&path, rotate, Sync::Batch).unwrap();
    for line in [b"line 1\n", b"line 2\n", b"line 3\n", b"line 4\n", b"line 5\n"] {
        put(&mut file, line);
        file.tend(false).unwrap();
    }
    assert_eq!(text(&path), "line 5\n");
    assert_eq!(text(&path.with_extension("jsonl.1")), "line 3\nline 4\n");
    assert_eq!(text(&path.with_extension("jsonl.2")), "line 1\nline 2\n");
    drop(file);
    let mut again = AuditFile::open(&path, rotate, Sync::Batch).unwrap();
    put(&mut again, b"line 6\n");
    again.tend(false).unwrap();
    assert_eq!(text(&path.with_extension("jsonl.1")), "line 5\nline 6\n", "the length at the start counts");
}

#[test]
fn a_rotation_that_fails_leaves_the_file_growing() {
    let (folder, path) = fresh();
    let mut file = AuditFile::open(&path, Some(Rotation { size: 5, keep: 1 }), Sync::System).unwrap();
    // A folder with something in it can't be replaced by a file.
    fs::create_dir_all(folder.path().join("audit.jsonl.1/x")).unwrap();
    for line in [b"line 1\n", b"line 2\n"] {
        put(&mut file, line);
        file.tend(false).unwrap();
    }
    assert_eq!(text(&path), "line 1\nline 2\n");
}

#[test]
fn a_nudge_finds_a_file_that_was_moved_at_once() {
    let (_folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::System).unwrap();
    put(&mut file, b"old\n");
    fs::rename(&path, path.with_extension("moved")).unwrap();
    file.nudged();
    put(&mut file, b"new\n");
    assert_eq!((text(&path), text(&path.with_extension("moved"))), ("new\n".into(), "old\n".into()));
}

#[test]
fn lines_are_brought_to_the_disk_when_their_time_has_come() {
    let (_folder, path) = fresh();
    let open = |sync| AuditFile::open(&path, None, sync).unwrap();
    let mut file = open(Sync::System);
    put(&mut file, b"1\n");
    assert_eq!(file.tend(false).unwrap(), None, "nobody asked for it");
    let mut file = open(Sync::Every(Duration::from_secs(3600)));
    assert_eq!(file.tend(false).unwrap(), None, "there is nothing to bring");
    file.to_disk = |_| Err(io::ErrorKind::Other.into());
    put(&mut file, b"2\n");
    let left = file.tend(false).unwrap().unwrap();
    assert!(left > Duration::from_secs(3500), "not yet: {left:?}");
    assert_eq!(file.tend(true).unwrap_err().lines, 1, "but at the end");
    let mut file = open(Sync::Every(Duration::from_millis(20)));
    file.to_disk = |_| Err(io::ErrorKind::Other.into());
    put(&mut file, b"3\n");
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(file.tend(false).unwrap_err().lines, 1);
    let mut file = open(Sync::Batch);
    file.to_disk = |_| Err(io::ErrorKind::Other.into());
    put(&mut file, b"4\n");
    assert_eq!(file.tend(false).unwrap_err().lines, 1);
}

#[test]
fn lines_that_the_disk_may_not_have_are_doubted_once_and_the_next_are_asked_of_a_file_opened_anew() {
    static SEEN: AtomicBool = AtomicBool::new(false);
    fn of_the_new_file(_: &File) -> io::Result<()> {
        // Asked a second time, a system may say yes without having written anything.
        if SEEN.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EIO)) }
    }
    let (_folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::Every(Duration::from_secs(3600))).unwrap();
    file.to_disk = of_the_new_file;
    file.begin_batch(3);
    let _written = file.write(b"1\n2\n3\n").unwrap();
    assert_eq!(file.tend(true).unwrap_err().lines, 3);
    file.begin_batch(0);
    let gap = Gap { doubtful: 3, ..Gap::since(Timestamp::from_seconds(0)) };
    let mut told = Vec::new();
    file.tell(&gap, &mut told);
    let _written = file.write(&told).unwrap();
    assert!(SEEN.load(Ordering::Relaxed));
    assert_eq!(file.tend(false).unwrap(), None, "after a failure the next lines are not left waiting for their time");
    assert!(text(&path).starts_with("1\n2\n3\n{\"v\":1,\"ts\":\""), "{}", text(&path));
}

#[test]
fn nothing_is_written_to_a_file_that_no_name_leads_to() {
    let (folder, path) = fresh();
    let mut file = AuditFile::open(&path, None, Sync::Batch).unwrap();
    put(&mut file, b"1\n");
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).unwrap();
    put(&mut file, b"2\n");
    assert_eq!(text(&away.join("audit.jsonl")), "1\n2\n", "a file that was moved is found later");
    fs::remove_dir_all(&away).unwrap();
    for _ in 0..2 {
        file.begin_batch(1);
        assert_eq!(file.write(b"3\n").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!file.restarts_line(0), "there is nowhere to go on");
    }
    fs::create_dir(folder.path()).unwrap();
    assert!(file.restarts_line(0), "goes on by itself");
    assert_eq!(file.write(b"3\n").unwrap(), 2);
    assert_eq!(text(&path), "3\n");
    file.to_disk = |_| Err(io::ErrorKind::Other.into());
    assert!(file.tend(false).is_err(), "the new file is brought to the disk as well");
    put(&mut file, b"4\n");
    fs::remove_file(&path).unwrap();
    put(&mut file, b"5\n");
    assert_eq!(text(&path), "5\n", "a deleted file is noticed at the next batch");
}

#[test]
fn a_pipe_that_its_reader_made_anew_is_written_to_without_a_restart() {
    let (_folder, path) = fresh();
    let make = || assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for both, so that no end waits for the other.
    let read = || File::options().read(true).write(true).open(&path).unwrap();
    make();
    let reader = read();
    let mut file = AuditFile::open(&path, None, Sync::Batch).unwrap();
    drop(reader);
    put_fails(&mut file);
    assert!(!file.restarts_line(1), "nobody reads yet");
    fs::remove_file(&path).unwrap();
    assert!(!file.restarts_line(1) && !path.exists(), "no plain file takes the place of a pipe");
    make();
    let mut reader = read();
    assert!(file.restarts_line(1), "the line that the old pipe took the beginning of is written again");
    put(&mut file, b"1\n");
    let mut got = [0; 2];
    io::Read::read_exact(&mut reader, &mut got).unwrap();
    assert_eq!(&got, b"1\n");
}

fn put_fails(file: &mut AuditFile) {
    file.begin_batch(1);
    assert_eq!(file.write(b"0\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
