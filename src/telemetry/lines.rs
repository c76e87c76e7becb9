//! A bounded queue of text lines with one thread that writes them: what the audit log and the logs go through.
//!
//! A request never waits for a disk or a pipe: [`Lines::push`] copies the line or says that there is no room. The thread
//! takes all that waits at once, so a busy gate makes few system calls, and keeps what it could not write until it can.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where lines go.
pub trait Sink: Send {
    /// Called between batches, where a file may be changed for another: what was written so far ends with a line.
    fn between_batches(&mut self) {}

    /// Writes some of the bytes and says how many.
    ///
    /// # Errors
    /// What the system says. `WouldBlock` is tried again soon, anything else counts as a failure and is tried again later.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Told of each change from working to failing and, with `None`, back.
    fn state_changed(&mut self, _error: Option<&io::Error>) {}
}

/// The most that may wait in a queue. As much again may be on its way to the sink.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Lines.
    pub lines: usize,
    /// Bytes.
    pub bytes: usize,
}

/// There is no room for the line, or the queue is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The queue. Dropping the last handle closes it without waiting.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    queue: Mutex<Queue>,
    /// Wakes the writer.
    wake: Condvar,
    /// Tells whoever closes that the writer is done.
    done: Condvar,
    failing: AtomicBool,
    written: AtomicU64,
    errors: AtomicU64,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: usize,
    /// Lines that the writer holds.
    on_the_way: usize,
    /// Set once: no line is taken any more, and the writer gives up at this time.
    closing: Option<Instant>,
    finished: bool,
}

/// How long a line may wait for others before it is written. The promise to operators is 100 ms.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait after a sink that would block, and after one that failed.
const BLOCKED_WAIT: Duration = Duration::from_millis(10);
const FAILED_WAIT: Duration = Duration::from_millis(100);

impl Lines {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// When the system gives us no thread.
    pub fn start(name: &str, bounds: Bounds, sink: impl Sink + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            bounds,
            queue: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            failing: AtomicBool::new(false),
            written: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            theirs.work(sink);
            theirs.lock().finished = true;
            theirs.done.notify_all();
        })?;
        Ok(Self { shared })
    }

    /// Queues a line, which ends with its newline.
    ///
    /// # Errors
    /// [`NoRoom`] when the queue is full or closed; nothing of the line is kept.
    pub fn push(&self, line: &[u8]) -> Result<(), NoRoom> {
        let bounds = &self.shared.bounds;
        let mut queue = self.shared.lock();
        let fits = queue.lines < bounds.lines && queue.bytes.len().saturating_add(line.len()) <= bounds.bytes;
        if !fits || queue.closing.is_some() {
            return Err(NoRoom);
        }
        queue.bytes.extend_from_slice(line);
        queue.lines = queue.lines.saturating_add(1);
        // The writer sleeps on an empty queue and, gathering, on one that is less than half full.
        let wake = queue.lines == 1 || queue.lines == bounds.lines.div_ceil(2) || queue.bytes.len() > bounds.bytes / 2;
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Whether the sink's last answer was an error.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Lines written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Errors of the sink since the start.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// Takes no more lines, and waits until the rest is written, at most so long. Says how many lines were lost.
    pub fn close(&self, within: Duration) -> usize {
        let deadline = Instant::now().checked_add(within).unwrap_or_else(Instant::now);
        let mut queue = self.shared.lock();
        queue.closing = Some(deadline);
        self.shared.wake.notify_all();
        while !queue.finished {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.shared.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.lines.saturating_add(queue.on_the_way)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("failing", &self.is_failing()).field("written", &self.written()).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that runs under the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut sink: impl Sink) {
        let mut batch = Vec::new();
        while let Some(lines) = self.take(&mut batch) {
            sink.between_batches();
            if !self.write(&mut sink, &batch) {
                return;
            }
            self.lock().on_the_way = 0;
            self.written.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Waits for lines and takes them all; `None` when the queue is closed and empty.
    fn take(&self, batch: &mut Vec<u8>) -> Option<usize> {
        let mut queue = self.lock();
        while queue.lines == 0 {
            if queue.closing.is_some() {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let half = self.bounds.lines / 2;
        let (mut queue, _) = self
            .wake
            .wait_timeout_while(queue, GATHER, |queue| {
                queue.closing.is_none() && queue.lines <= half && queue.bytes.len() <= self.bounds.bytes / 2
            })
            .unwrap_or_else(PoisonError::into_inner);
        batch.clear();
        std::mem::swap(batch, &mut queue.bytes);
        let lines = std::mem::take(&mut queue.lines);
        queue.on_the_way = lines;
        Some(lines)
    }

    /// Writes a batch to its end, however long that takes; `false` when the time to close ran out before.
    fn write(&self, sink: &mut impl Sink, batch: &[u8]) -> bool {
        let mut rest = batch;
        while !rest.is_empty() {
            let wait = match sink.write(rest) {
                Ok(0) => self.failed(sink, &io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    if self.failing.swap(false, Ordering::Relaxed) {
                        sink.state_changed(None);
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => BLOCKED_WAIT,
                Err(error) => self.failed(sink, &error),
            };
            let closing = self.lock().closing;
            if closing.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            thread::sleep(wait);
        }
        true
    }

    fn failed(&self, sink: &mut impl Sink, error: &io::Error) -> Duration {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            sink.state_changed(Some(error));
        }
        FAILED_WAIT
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

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
}
