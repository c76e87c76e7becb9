//! A bounded queue of text lines with one thread that writes them: what the audit log and the logs go through.
//!
//! A request never waits for a disk or a pipe: [`Lines::push`] copies the line or says that there is no room. The thread
//! takes all that waits at once, so a busy gate makes few system calls, and keeps what it could not write until it can.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::telemetry::sink::{Gap, Sink, Unsynced};
use crate::token::Timestamp;

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

/// What became of what a line would have told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// It happened all the same.
    Lost,
    /// It was kept from happening.
    Refused,
}

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
    /// The sink's last answer was an error, or there is no writer any more.
    failing: AtomicBool,
    /// A line found no room, and nothing was written since.
    stuck: AtomicBool,
    written: AtomicU64,
    errors: AtomicU64,
    /// In microseconds of the wall clock; 0: never.
    last_error: AtomicI64,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: usize,
    /// What the writer holds.
    on_the_way: usize,
    bytes_on_the_way: usize,
    /// What is to be told of lines that are not there.
    gap: Option<Gap>,
    /// The sink is to be told that something changed outside.
    nudged: bool,
    /// Set once: no line is taken any more, and the writer gives up at this time.
    closing: Option<Instant>,
    finished: bool,
}

/// What the writer found to do.
enum Task {
    /// A batch of so many lines.
    Write(usize),
    /// Something changed outside.
    Nudge,
    /// Nothing came while it was waited for.
    Nothing,
    /// The queue is closed and empty.
    End,
}

/// How long a line may wait for others before it is written. The promise to operators is 100 ms.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait after a sink that would block, and after one that failed.
const BLOCKED_WAIT: Duration = Duration::from_millis(10);
const FAILED_WAIT: Duration = Duration::from_millis(100);
/// The longest wait after a sink that failed again and again to make lines last.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
            stuck: AtomicBool::new(false),
            written: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last_error: AtomicI64::new(0),
        });
        let ending = Ending(Arc::clone(&shared));
        thread::Builder::new().name(name.to_owned()).spawn(move || ending.0.work(sink))?;
        Ok(Self { shared })
    }

    /// Queues a line, which ends with its newline.
    ///
    /// # Errors
    /// [`NoRoom`] when the queue is full or closed, or its writer is gone; nothing of the line is kept.
    pub fn push(&self, line: &[u8]) -> Result<(), NoRoom> {
        let bounds = &self.shared.bounds;
        let mut queue = self.shared.lock();
        let fits = queue.lines < bounds.lines && queue.bytes.len().saturating_add(line.len()) <= bounds.bytes;
        if !fits || queue.closing.is_some() || queue.finished {
            drop(queue);
            self.shared.stuck.store(true, Ordering::Relaxed);
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

    /// Notes that a line was not queued. The sink tells of it among the lines as soon as it can.
    pub fn tell_of(&self, unwritten: Unwritten) {
        let now = clock::now();
        let mut queue = self.shared.lock();
        let gap = queue.gap.get_or_insert_with(|| Gap::since(now));
        match unwritten {
            Unwritten::Lost => gap.lost = gap.lost.saturating_add(1),
            Unwritten::Refused => gap.refused = gap.refused.saturating_add(1),
        }
        gap.until = now;
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Something changed outside, such as a file that was moved away: the sink looks before it writes on.
    pub fn nudge(&self) {
        self.shared.lock().nudged = true;
        self.shared.wake.notify_one();
    }

    /// Whether the sink's last answer was an error, or the writer is gone.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Whether the queue was full and nothing was written since.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.shared.stuck.load(Ordering::Relaxed)
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

    /// When the sink failed last.
    #[must_use]
    pub fn last_error(&self) -> Option<Timestamp> {
        Some(self.shared.last_error.load(Ordering::Relaxed)).filter(|at| *at != 0).map(Timestamp::from_micros)
    }

    /// Lines and bytes that are not written yet.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.shared.lock();
        (queue.lines.saturating_add(queue.on_the_way), queue.bytes.len().saturating_add(queue.bytes_on_the_way))
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

/// Held by the writer's thread: however it ends, whoever waits for it hears of it, and nothing is queued for nobody.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.finished = true;
        if thread::panicking() || queue.closing.is_none() {
            self.0.failing.store(true, Ordering::Relaxed);
        }
        drop(queue);
        self.0.done.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that runs under the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut sink: impl Sink) {
        let (mut batch, mut pause) = (Vec::new(), FAILED_WAIT);
        loop {
            let patience = match sink.tend(false) {
                Ok(patience) => {
                    pause = FAILED_WAIT;
                    self.works(&mut sink);
                    patience
                }
                Err(unsynced) => {
                    self.doubt(&mut sink, &unsynced);
                    self.pause(pause);
                    pause = pause.saturating_mul(2).min(LONGEST_WAIT);
                    None
                }
            };
            let lines = match self.take(&mut batch, &mut sink, patience) {
                Task::Write(lines) => lines,
                Task::Nudge => {
                    sink.nudged();
                    continue;
                }
                Task::Nothing => continue,
                Task::End => break,
            };
            sink.begin_batch(lines);
            if !self.write(&mut sink, &batch) {
                return;
            }
            let mut queue = self.lock();
            (queue.on_the_way, queue.bytes_on_the_way) = (0, 0);
            drop(queue);
            self.stuck.store(false, Ordering::Relaxed);
            self.written.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if let Err(unsynced) = sink.tend(true) {
            self.doubt(&mut sink, &unsynced);
        }
    }

    /// Waits for lines and takes them all.
    fn take(&self, batch: &mut Vec<u8>, sink: &mut impl Sink, patience: Option<Duration>) -> Task {
        let mut queue = self.lock();
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        while queue.lines == 0 && queue.gap.is_none() && !queue.nudged {
            if queue.closing.is_some() {
                return Task::End;
            }
            queue = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Task::Nothing,
                Some(left) => self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        if std::mem::take(&mut queue.nudged) {
            return Task::Nudge;
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
        if let Some(gap) = queue.gap.take() {
            // What is lost is told after what came before it. The queue takes lines again from here on.
            sink.tell(&gap, batch);
        }
        let lines = std::mem::take(&mut queue.lines);
        (queue.on_the_way, queue.bytes_on_the_way) = (lines, batch.len());
        Task::Write(lines)
    }

    /// Writes a batch to its end, however long that takes; `false` when the time to close ran out before.
    fn write(&self, sink: &mut impl Sink, batch: &[u8]) -> bool {
        let mut rest = batch;
        while !rest.is_empty() {
            let wait = match sink.write(rest) {
                Ok(0) => self.failed(sink, &io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => BLOCKED_WAIT,
                Err(error) => self.failed(sink, &error),
            };
            if wait == FAILED_WAIT {
                let (_, begun) = split_at_line(batch, rest);
                if sink.restarts_line(begun.len()) {
                    rest =
                        batch.get(batch.len().saturating_sub(begun.len().saturating_add(rest.len()))..).unwrap_or(rest);
                }
            }
            let closing = self.lock().closing;
            if closing.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            thread::sleep(wait);
        }
        true
    }

    /// The sink could not make lines last that it had taken: they may be there or not.
    fn doubt(&self, sink: &mut impl Sink, unsynced: &Unsynced) {
        self.failed(sink, &unsynced.error);
        if unsynced.lines > 0 {
            let mut queue = self.lock();
            let gap = queue.gap.get_or_insert_with(|| Gap::since(unsynced.since));
            gap.doubtful = gap.doubtful.saturating_add(unsynced.lines);
            gap.since = gap.since.min(unsynced.since);
            gap.until = clock::now();
        }
    }

    /// Waits, unless the queue is closed.
    fn pause(&self, pause: Duration) {
        drop(self.wake.wait_timeout_while(self.lock(), pause, |queue| queue.closing.is_none()));
    }

    fn works(&self, sink: &mut impl Sink) {
        if self.failing.swap(false, Ordering::Relaxed) {
            sink.state_changed(None);
        }
    }

    fn failed(&self, sink: &mut impl Sink, error: &io::Error) -> Duration {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(clock::now().micros(), Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            sink.state_changed(Some(error));
        }
        FAILED_WAIT
    }
}

/// What of a batch is written, split before the line that was begun and not ended.
fn split_at_line<'a>(batch: &'a [u8], rest: &[u8]) -> (&'a [u8], &'a [u8]) {
    let written = batch.get(..batch.len().saturating_sub(rest.len())).unwrap_or_default();
    let whole = memchr::memrchr(b'\n', written).map_or(0, |place| place.saturating_add(1));
    written.split_at_checked(whole).unwrap_or((written, &[]))
}
