//! Where audit lines go: standard output or a file, through a bounded queue, none lost without being counted.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::audit::file::AuditFile;
use crate::audit::record::{GapLine, Record};
use crate::audit::voice::Voice;
use crate::config::settings::{Audit, AuditTarget, WhenBlocked};
use crate::telemetry::lines::{Bounds, Lines, Unwritten};
use crate::telemetry::sink::{Gap, Sink};
use crate::telemetry::{AuditUse, Blocked};

/// The audit log.
#[derive(Debug)]
pub struct Auditor {
    /// `None`: `audit: off`.
    lines: Option<Lines>,
    when_blocked: WhenBlocked,
    dropped: AtomicU64,
}

/// Why the audit log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened for appending.
    #[error("failed to open the audit log `{path}`: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Standard output cannot be used.
    #[error("failed to open standard output for the audit log: {0}")]
    Stdout(io::Error),
    /// No thread could be started.
    #[error("failed to start the audit log's thread: {0}")]
    Thread(io::Error),
}

/// What may wait while the disk or the reader is slow.
const BOUNDS: Bounds = Bounds { lines: 8_192, bytes: 16 << 20 };

thread_local! {
    /// Each worker writes its lines here before they are queued, so that none is put together under the queue's lock.
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Auditor {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(settings: &Audit) -> Result<Self, OpenError> {
        let lines = match &settings.to {
            AuditTarget::Off => None,
            AuditTarget::Stdout => {
                let out = io::stdout().as_fd().try_clone_to_owned().map_err(OpenError::Stdout)?;
                Some(start(Stdout { file: File::from(out), voice: Voice::default() })?)
            }
            AuditTarget::File(path) => {
                let file = AuditFile::open(path, settings.rotate, settings.sync)
                    .map_err(|error| OpenError::File { path: path.clone(), error })?;
                Some(start(file)?)
            }
        };
        Ok(Self { lines, when_blocked: settings.when_blocked, dropped: AtomicU64::new(0) })
    }

    #[cfg(test)]
    pub(super) fn to_sink(sink: impl Sink + 'static, bounds: Bounds, when_blocked: WhenBlocked) -> Self {
        let lines = Some(Lines::start("audit", bounds, sink).unwrap());
        Self { lines, when_blocked, dropped: AtomicU64::new(0) }
    }

    /// Queues a line: a [`Line`](crate::audit::Line) or a [`FailureLine`](crate::audit::FailureLine).
    ///
    /// # Errors
    /// [`Blocked`] with `when_blocked: refuse`, when there is no room or the log cannot be written just now.
    pub fn write(&self, line: &impl Record) -> Result<(), Blocked> {
        let Some(lines) = &self.lines else { return Ok(()) };
        // A log that fails takes what fits into memory only where losing lines is allowed anyway.
        let refused = self.when_blocked == WhenBlocked::Refuse && lines.is_failing();
        let queued = !refused && Self::queue(lines, line);
        match (queued, self.when_blocked) {
            (true, _) => Ok(()),
            (false, WhenBlocked::Refuse) => {
                lines.tell_of(Unwritten::Refused);
                Err(Blocked)
            }
            (false, WhenBlocked::Drop) => {
                self.lose(lines);
                Ok(())
            }
        }
    }

    /// Queues a line about what cannot be refused any more. Where there is no room for it, it is lost, and that is told.
    ///
    /// # Errors
    /// [`Blocked`]: it is lost.
    pub fn write_late(&self, line: &impl Record) -> Result<(), Blocked> {
        let Some(lines) = &self.lines else { return Ok(()) };
        // For this one there is no second chance, so it may wait in memory even while the log fails.
        if Self::queue(lines, line) {
            return Ok(());
        }
        self.lose(lines);
        Err(Blocked)
    }

    fn queue(lines: &Lines, line: &impl Record) -> bool {
        SCRATCH.with_borrow_mut(|text| {
            text.clear();
            line.append_to(text).is_ok() && {
                text.push('\n');
                let queued = lines.push(text.as_bytes()).is_ok();
                text.shrink_to(KEPT_SCRATCH);
                queued
            }
        })
    }

    fn lose(&self, lines: &Lines) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        lines.tell_of(Unwritten::Lost);
    }

    /// The file was moved away, or may have been: the next line goes to wherever the path leads.
    pub fn reopen(&self) {
        if let Some(lines) = &self.lines {
            lines.nudge();
        }
    }

    /// What it did and holds, for who watches.
    #[must_use]
    pub fn usage(&self) -> AuditUse {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let Some(lines) = &self.lines else { return AuditUse { dropped, ..AuditUse::default() } };
        let (waiting_lines, waiting_bytes) = lines.waiting();
        AuditUse {
            written: lines.written(),
            dropped,
            errors: lines.errors(),
            waiting_lines,
            waiting_bytes,
            last_error: lines.last_error(),
        }
    }

    /// Whether it takes no lines just now: its last write failed, or the queue is full and nothing moves.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.is_failing() || lines.is_stuck())
    }

    /// Writes what waits, at most so long, and takes no more. What could not be written is counted as dropped and logged.
    pub fn close(&self, within: Duration) {
        let lost = self.lines.as_ref().map_or(0, |lines| lines.close(within));
        if lost > 0 {
            self.dropped.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
            tracing::error!(lines = lost, "the audit log could not be written to its end; these lines are lost");
        }
    }
}

/// A line with unusually many claims does not keep its memory for ever.
const KEPT_SCRATCH: usize = 64 << 10;

fn start(sink: impl Sink + 'static) -> Result<Lines, OpenError> {
    Lines::start("stepgate-audit", BOUNDS, sink).map_err(OpenError::Thread)
}

/// Standard output without Rust's buffer, so that a write that fails in the middle says how far it came.
struct Stdout {
    file: File,
    voice: Voice,
}

impl Sink for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn state_changed(&mut self, error: Option<&io::Error>) {
        self.voice.say(error);
    }

    fn tell(&mut self, gap: &Gap, batch: &mut Vec<u8>) {
        GapLine::now(gap).append_to(batch);
    }
}
