use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::telemetry::lines::{Bounds, Lines, NoRoom, Unwritten};
use crate::telemetry::sink::{Gap, Sink, Unsynced};
use crate::token::Timestamp;

const SMALL: Bounds = Bounds { lines: 4, bytes: 1 << 10 };

/// Hands each write to the test, which answers it.
struct Scripted {
    written: mpsc::Sender<Vec<u8>>,
    answers: mpsc::Receiver<io::Result<usize>>,
}

impl Sink for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.send(bytes.to_vec()).unwrap();
        self.answers.recv().unwrap_or(Ok(bytes.len()))
    }
}

fn scripted() -> (Lines, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<usize>>) {
    let (written, seen) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    (Lines::start("test", SMALL, Scripted { written, answers }).unwrap(), seen, answer)
}

#[test]
fn a_line_is_written_within_a_tenth_of_a_second_and_those_that_wait_go_together() {
    let (lines, seen, answer) = scripted();
    let began = Instant::now();
    lines.push(b"one\n").unwrap();
    lines.push(b"two\n").unwrap();
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), b"one\ntwo\n");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    answer.send(Ok(8)).unwrap();
    assert_eq!(lines.close(Duration::from_secs(5)), 0);
    assert_eq!(lines.written(), 2);
}

#[test]
fn a_write_that_stops_in_the_middle_goes_on_where_it_stopped() {
    let (lines, seen, answer) = scripted();
    lines.push(b"abcdef\n").unwrap();
    assert_eq!(seen.recv().unwrap(), b"abcdef\n");
    answer.send(Ok(3)).unwrap();
    assert_eq!(seen.recv().unwrap(), b"def\n");
    answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    assert_eq!(seen.recv().unwrap(), b"def\n", "nothing is lost and nothing is written twice");
    assert!(lines.is_failing());
    assert_eq!(lines.errors(), 1);
    answer.send(Ok(4)).unwrap();
    assert_eq!(lines.close(Duration::from_secs(5)), 0);
    assert!(!lines.is_failing());
}

#[test]
fn a_full_queue_says_so_and_keeps_what_it_has() {
    let (lines, seen, answer) = scripted();
    lines.push(b"0\n").unwrap();
    seen.recv().unwrap();
    for _ in 0..SMALL.lines {
        lines.push(b"1\n").unwrap();
    }
    assert_eq!(lines.push(b"2\n"), Err(NoRoom));
    answer.send(Ok(2)).unwrap();
    assert_eq!(seen.recv().unwrap(), b"1\n1\n1\n1\n");
    lines.push(b"3\n").unwrap();
    assert_eq!(lines.push(&[b'x'; 2 << 10]), Err(NoRoom), "bytes are bounded too");
    drop(answer);
    assert_eq!(lines.close(Duration::from_secs(5)), 0);
    assert_eq!(lines.push(b"4\n"), Err(NoRoom), "a closed queue takes nothing");
}

#[test]
fn closing_does_not_wait_for_a_sink_that_never_answers() {
    let (lines, seen, answer) = scripted();
    lines.push(b"0\n").unwrap();
    seen.recv().unwrap();
    lines.push(b"1\n").unwrap();
    assert_eq!(lines.close(Duration::from_millis(50)), 2);
    drop(answer);
}

fn eventually(what: impl Fn() -> bool) -> bool {
    (0..500).any(|_| {
        what() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

/// Fails at its first writes, or to make its first lines last; takes back a line that was begun; tells of gaps.
#[derive(Default)]
struct Flaky {
    writes: usize,
    unsynced: u64,
    nudged: bool,
    out: Option<mpsc::Sender<String>>,
}

impl Flaky {
    fn started(mut self) -> (Lines, mpsc::Receiver<String>) {
        let (out, seen) = mpsc::channel();
        self.out = Some(out);
        (Lines::start("test", SMALL, self).unwrap(), seen)
    }

    fn says(&self, text: &str) {
        self.out.as_ref().unwrap().send(text.to_owned()).unwrap();
    }
}

impl Sink for Flaky {
    fn tend(&mut self, _last: bool) -> Result<Option<Duration>, Unsynced> {
        match std::mem::take(&mut self.unsynced) {
            0 => Ok(None),
            lines => Err(Unsynced { error: io::ErrorKind::Other.into(), lines, since: Timestamp::from_seconds(1) }),
        }
    }

    fn nudged(&mut self) {
        self.nudged = true;
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes = self.writes.saturating_add(1);
        match self.writes {
            1 => Ok(6),
            2..=4 => Err(io::ErrorKind::StorageFull.into()),
            _ => {
                self.says(std::str::from_utf8(bytes).unwrap());
                Ok(bytes.len())
            }
        }
    }

    fn restarts_line(&mut self, begun: usize) -> bool {
        self.says(&format!("back {begun}"));
        self.writes == 2
    }

    fn tell(&mut self, gap: &Gap, batch: &mut Vec<u8>) {
        let Gap { lost, refused, doubtful, .. } = *gap;
        batch.extend_from_slice(format!("gap {lost} {refused} {doubtful} {}\n", self.nudged).as_bytes());
    }
}

#[test]
fn a_line_that_was_taken_back_is_written_again_from_its_beginning() {
    let (lines, seen) = Flaky::default().started();
    lines.push(b"abc\n").unwrap();
    lines.push(b"defg\n").unwrap();
    let seen: Vec<String> = (0..4).map(|_| seen.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
    assert_eq!(seen, ["back 2", "back 0", "back 0", "defg\n"], "and what stands before it is not written twice");
    assert_eq!(lines.close(Duration::from_secs(5)), 0);
    assert_eq!((lines.written(), lines.errors(), lines.is_failing()), (2, 3, false));
    assert!(lines.last_error().is_some());
}

#[test]
fn lines_that_found_no_room_are_told_of_after_those_that_did() {
    let (lines, seen) = Flaky { writes: 4, ..Flaky::default() }.started();
    lines.push(b"one\n").unwrap();
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), "one\n");
    lines.tell_of(Unwritten::Lost);
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), "gap 1 0 0 false\n", "without a line beside it too");
    lines.nudge();
    lines.tell_of(Unwritten::Refused);
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), "gap 0 1 0 true\n", "the nudge goes first");
    for _ in 0..3 {
        lines.tell_of(Unwritten::Lost);
    }
    assert_eq!(lines.close(Duration::from_secs(5)), 0);
    let lost = |text: String| text.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!(seen.iter().map(lost).sum::<u64>(), 3, "and at the end");
    assert_eq!(lines.written(), 1, "only lines count");
}

#[test]
fn lines_that_may_not_have_lasted_are_told_of() {
    let (lines, seen) = Flaky { writes: 4, unsynced: 7, ..Flaky::default() }.started();
    assert!(eventually(|| lines.errors() == 1));
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), "gap 0 0 7 false\n");
    assert!(eventually(|| !lines.is_failing()), "it works again");
}

#[test]
fn a_writer_that_is_gone_takes_nothing_and_says_so() {
    struct Panics;
    impl Sink for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a bug in the sink")
        }
    }
    let lines = Lines::start("test", SMALL, Panics).unwrap();
    lines.push(b"one\n").unwrap();
    assert!(eventually(|| lines.is_failing()));
    assert_eq!(lines.push(b"two\n"), Err(NoRoom));
    assert_eq!(lines.close(Duration::from_secs(60)), 1, "nobody is waited for, and the line is known to be lost");
}

#[test]
fn a_full_queue_is_stuck_until_something_is_written() {
    let (lines, seen, answer) = scripted();
    lines.push(b"0\n").unwrap();
    seen.recv().unwrap();
    while lines.push(b"1\n").is_ok() {}
    assert!(lines.is_stuck() && !lines.is_failing());
    assert_eq!(lines.waiting(), (SMALL.lines + 1, 2 * (SMALL.lines + 1)));
    drop(answer);
    assert!(eventually(|| !lines.is_stuck()));
    assert!(eventually(|| lines.waiting() == (0, 0)));
}
